-- subscription_remove.lua: end a session's subscription to a resource.
-- KEYS[1] record   KEYS[2] subscriptions   KEYS[3] standalone stream's state
-- ARGV[1] URI
-- Returns {'1', reader of the standalone stream}; nil if the session is gone.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
redis.call('HDEL', KEYS[2], ARGV[1])
return {'1', redis.call('HGET', KEYS[3], 'reader') or ''}
