-- stream_read.lua: read a part of a stream's log.
-- KEYS[1] stream state   KEYS[2] log
-- ARGV[1] offset of the first event wanted   ARGV[2] most events to return
-- Returns {'ok', next offset, '1' if ended, events...}, or {'lost'} if the
-- first event wanted is no longer in the log.
local state = redis.call('HMGET', KEYS[1], 'next', 'base', 'ended')
local next, base, from = tonumber(state[1]), tonumber(state[2]), tonumber(ARGV[1])
if not next or from < base or from > next then return {'lost'} end
-- Redis may have evicted one key and not the other: then the log is lost.
if redis.call('LLEN', KEYS[2]) ~= next - base then return {'lost'} end
local reply = {'ok', next, state[3] or ''}
for _, entry in ipairs(redis.call('LRANGE', KEYS[2], from - base, from - base + ARGV[2] - 1)) do
  reply[#reply + 1] = entry
end
return reply
