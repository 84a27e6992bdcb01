-- stream_miss.lua: note that a stream's writer was not found alive.
-- KEYS[1] stream state
-- ARGV[1] writer   ARGV[2] ms after which an earlier note no longer counts
-- The note is the stream's, not a connection's: whoever reads the stream next
-- goes on from it.
-- Returns for how many ms the writer has been missing, or -1 if the stream has
-- another writer.
if redis.call('HGET', KEYS[1], 'writer') ~= ARGV[1] then return -1 end
local since = tonumber(redis.call('HGET', KEYS[1], 'missed'))
if since and now >= since and now - since <= tonumber(ARGV[2]) then return now - since end
redis.call('HSET', KEYS[1], 'missed', string.format('%.0f', now))
return 0
