-- stream_drop.lua: drop streams of a session, so that it may store something else.
-- KEYS[1] open streams   KEYS[2] ended streams   KEYS[3] stored bytes
-- KEYS[4...] state and log of each stream
-- ARGV[1] most bytes stored of the session   ARGV[2...] ids of the streams
-- Streams are dropped in their order, until a quarter of what may be stored is free.
-- One that is open, and not forgotten, is none to drop.
-- Returns how many were dropped.
local dropped = 0
for i = 2, #ARGV do
  local all = tonumber(redis.call('HGET', KEYS[3], 'all') or 0)
  if dropped > 0 and all <= ARGV[1] * 3 / 4 then break end
  local open = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0)
  if open <= now then
    redis.call('UNLINK', KEYS[2 * i], KEYS[2 * i + 1])
    redis.call('ZREM', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('HINCRBY', KEYS[3], 'all', 0 - (redis.call('HGET', KEYS[3], ARGV[i]) or 0))
    redis.call('HDEL', KEYS[3], ARGV[i])
    dropped = dropped + 1
  end
end
return dropped
