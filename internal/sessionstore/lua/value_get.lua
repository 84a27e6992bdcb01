-- value_get.lua: read one of a session's values.
-- KEYS[1] record   KEYS[2] values
-- ARGV[1] name
-- Returns version, a space and the value; '' if it was never set; nil if the
-- session is gone.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
if redis.call('HGET', KEYS[1], 'valued') == '1' and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[1]) -- evicted: the session ends, it would go on with other values
  return false
end
return redis.call('HGET', KEYS[2], ARGV[1]) or ''
