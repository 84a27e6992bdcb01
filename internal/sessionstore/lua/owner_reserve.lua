-- owner_reserve.lua: count a session among its owner's, if there is room.
-- KEYS[1] sessions of the owner, scored by the ms since 1970 at which they end
-- ARGV[1] session id   ARGV[2] ms the session is kept   ARGV[3] most sessions
-- Returns 1 if the session is counted now, 2 if it was before, 0 if the owner
-- has too many.
local ttl = tonumber(ARGV[2])
local had = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not had and redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now), '+inf') >= tonumber(ARGV[3]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + ttl, ARGV[1])
if redis.call('PTTL', KEYS[1]) < ttl then
  -- A user who may write but not expire must leave nothing behind for ever.
  local expired = redis.pcall('PEXPIRE', KEYS[1], ttl)
  if type(expired) == 'table' and expired.err then
    redis.call('ZREM', KEYS[1], ARGV[1])
    return expired
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return had and 2 or 1
