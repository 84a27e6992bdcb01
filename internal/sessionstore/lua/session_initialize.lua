-- session_initialize.lua: note that notifications/initialized has arrived.
-- KEYS[1] record
-- Returns 1 to the first caller, 0 to later ones, nil if the session is gone.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
if redis.call('HGET', KEYS[1], 'initialized') == '1' then return 0 end
redis.call('HSET', KEYS[1], 'initialized', '1')
return 1
