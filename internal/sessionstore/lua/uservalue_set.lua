-- uservalue_set.lua: change one of a user's values if it is at a given version. That
-- is a use of them all.
-- KEYS[1] values
-- ARGV[1] name   ARGV[2] version, 0 if never set   ARGV[3] value   ARGV[4] most values
-- ARGV[5] ms they are kept after a use
-- Returns the new version, 0 if the value is at another, -1 if the user has too many
-- values.
-- The field ':last' counts the versions of all values. It begins with the time, so
-- that values which come after others have expired are at versions of their own.
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local version = stored and string.match(stored, '^%d+') or '0'
if version ~= ARGV[2] then return 0 end
local counted = redis.call('HEXISTS', KEYS[1], ':last')
if not stored and redis.call('HLEN', KEYS[1]) - counted >= tonumber(ARGV[4]) then return -1 end
if counted == 0 then redis.call('HSET', KEYS[1], ':last', string.format('%.0f', now)) end
local new = redis.call('HINCRBY', KEYS[1], ':last', 1)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', new) .. ' ' .. ARGV[3])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then
  -- A user who may write but not expire must leave nothing behind for ever.
  local expired = redis.pcall('PEXPIRE', KEYS[1], ARGV[5])
  if type(expired) == 'table' and expired.err then
    if counted == 0 then redis.call('DEL', KEYS[1]) end
    return expired
  end
end
return new
