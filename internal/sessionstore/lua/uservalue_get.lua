-- uservalue_get.lua: read one of a user's values. That is a use of them.
-- KEYS[1] values
-- ARGV[1] name   ARGV[2] ms they are kept after a use
-- Returns version, a space and the value; '' if it is not set.
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('HGET', KEYS[1], ARGV[1]) or ''
