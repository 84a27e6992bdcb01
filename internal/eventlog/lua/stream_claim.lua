-- stream_claim.lua: make a connection the reader of a stream again, in the place of
-- one that is not there.
-- KEYS[1] stream state
-- ARGV[1] reader   ARGV[2] the reader that is not there, or ''
-- Returns 1, or 0 if the stream has another reader by now, or is gone.
local state = redis.call('HMGET', KEYS[1], 'next', 'reader')
if not state[1] or (state[2] or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'reader', ARGV[1])
return 1
