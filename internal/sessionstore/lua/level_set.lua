-- level_set.lua: store a session's log level.
-- KEYS[1] record
-- ARGV[1] level
-- Returns 1, or nil if the session is gone.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
redis.call('HSET', KEYS[1], 'level', ARGV[1])
return 1
