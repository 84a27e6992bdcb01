-- value_set.lua: change one of a session's values if it is at a given version.
-- KEYS[1] record   KEYS[2] values
-- ARGV[1] name   ARGV[2] version, 0 if never set   ARGV[3] value   ARGV[4] most values
-- Returns the new version, 0 if the value is at another, -1 if the session has
-- too many values, nil if the session is gone.
-- The field ':last' counts the versions of all values, so that a value deleted
-- and set again is never at a version it was at before.
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 1 then return false end
if redis.call('HGET', KEYS[1], 'valued') == '1' and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[1]) -- evicted: the session ends, it would go on with other values
  return false
end
local stored = redis.call('HGET', KEYS[2], ARGV[1])
local version = stored and string.match(stored, '^%d+') or '0'
if version ~= ARGV[2] then return 0 end
if not stored and redis.call('HLEN', KEYS[2]) - redis.call('HEXISTS', KEYS[2], ':last') >= tonumber(ARGV[4]) then
  return -1
end
local new = redis.call('HINCRBY', KEYS[2], ':last', 1)
redis.call('HSET', KEYS[2], ARGV[1], new .. ' ' .. ARGV[3])
if redis.call('PTTL', KEYS[2]) < 0 then
  -- A user who may write but not expire must leave nothing behind for ever.
  local expired = redis.pcall('PEXPIRE', KEYS[2], ttl)
  if type(expired) == 'table' and expired.err then
    redis.call('DEL', KEYS[2])
    return expired
  end
end
if redis.call('HGET', KEYS[1], 'valued') ~= '1' then redis.call('HSET', KEYS[1], 'valued', '1') end
return new
