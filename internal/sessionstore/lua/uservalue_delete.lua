-- uservalue_delete.lua: delete one of a user's values. That is a use of the others.
-- KEYS[1] values
-- ARGV[1] name   ARGV[2] ms they are kept after a use
-- Returns 1.
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
