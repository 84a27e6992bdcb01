-- stream_open.lua: begin the stream of a call, with its first event, which has
-- a nonce and no data.
-- KEYS[1] session record   KEYS[2] open streams   KEYS[3] stream state   KEYS[4] log
-- ARGV[1] stream id   ARGV[2] writer (an instance)   ARGV[3] reader, or ''
-- ARGV[4] id of the call   ARGV[5] nonce   ARGV[6] most open streams of a session
-- Returns 'ok' (also when repeated), 'gone' without the session, or 'full'.
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 1 then return 'gone' end
if redis.call('HGET', KEYS[3], 'tag') == ARGV[5] then
  redis.call('HSET', KEYS[3], 'reader', ARGV[3])
  return 'ok'
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local open = redis.call('ZCOUNT', KEYS[2], '(' .. string.format('%.0f', now), '+inf')
if open >= tonumber(ARGV[6]) then return 'full' end
-- The first write takes memory: a Redis that is full refuses it, and would not
-- refuse it after another write. A call that cannot stream is answered as JSON.
redis.call('ZADD', KEYS[2], now + ttl, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('PEXPIRE', KEYS[2], ttl)
redis.call('HSET', KEYS[3], 'writer', ARGV[2], 'reader', ARGV[3], 'call', ARGV[4], 'tag', ARGV[5],
  'base', 0, 'next', 1, 'bytes', #ARGV[5], 'seen', 0)
redis.call('PEXPIRE', KEYS[3], ttl)
redis.call('RPUSH', KEYS[4], ARGV[5])
redis.call('PEXPIRE', KEYS[4], ttl)
return 'ok'
