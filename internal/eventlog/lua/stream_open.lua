-- stream_open.lua: begin the stream of a call, with its first event, which has
-- a nonce and no data.
-- KEYS[1] session record   KEYS[2] open streams   KEYS[3] stream state   KEYS[4] log
-- KEYS[5] stored bytes   KEYS[6] ended streams
-- ARGV[1] stream id   ARGV[2] writer (an instance)   ARGV[3] reader, or ''
-- ARGV[4] id of the call   ARGV[5] nonce   ARGV[6] most bytes stored of a session
-- ARGV[7] bytes that a stream counts for besides its events
-- Returns {'ok'} (also when repeated), {'gone'} without the session, or {'full',
-- streams that may be dropped...}, the first to end first.
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 1 then return {'gone'} end
if redis.call('HGET', KEYS[3], 'tag') == ARGV[5] then
  redis.call('HSET', KEYS[3], 'reader', ARGV[3])
  return {'ok'}
end
local size = #ARGV[5] + ARGV[7]
if tonumber(redis.call('HGET', KEYS[5], 'all') or 0) + size > tonumber(ARGV[6]) then
  local reply = {'full'}
  for i = 2, 6, 4 do -- those that nobody uses any more, and those that have ended
    local upto = i == 2 and string.format('%.0f', now) or '+inf'
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', upto, 'LIMIT', 0, 500)) do reply[#reply + 1] = id end
  end
  return reply
end
-- The first write takes memory: a Redis that is full refuses it, and would not
-- refuse it after another write. A call that cannot stream is answered as JSON.
redis.call('ZADD', KEYS[2], now + ttl, ARGV[1])
redis.call('PEXPIRE', KEYS[2], ttl)
redis.call('HINCRBY', KEYS[5], 'all', size - (redis.call('HGET', KEYS[5], ARGV[1]) or 0))
redis.call('HSET', KEYS[5], ARGV[1], size)
redis.call('PEXPIRE', KEYS[5], ttl)
-- Streams that nobody uses any more are gone.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'LIMIT', 0, 128)) do
  redis.call('HINCRBY', KEYS[5], 'all', 0 - (redis.call('HGET', KEYS[5], id) or 0))
  redis.call('HDEL', KEYS[5], id)
  redis.call('ZREM', KEYS[2], id)
end
redis.call('HSET', KEYS[3], 'writer', ARGV[2], 'reader', ARGV[3], 'call', ARGV[4], 'tag', ARGV[5],
  'base', 0, 'next', 1, 'bytes', #ARGV[5], 'seen', 0)
redis.call('PEXPIRE', KEYS[3], ttl)
redis.call('RPUSH', KEYS[4], ARGV[5])
redis.call('PEXPIRE', KEYS[4], ttl)
return {'ok'}
