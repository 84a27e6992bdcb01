-- stream_detach.lua: note that a connection no longer reads a stream.
-- KEYS[1] stream state
-- ARGV[1] reader   ARGV[2] offset of the first event it has not sent
-- Returns 1, or 0 if another connection is the reader.
if redis.call('HGET', KEYS[1], 'reader') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'reader', '', 'seen', ARGV[2])
return 1
