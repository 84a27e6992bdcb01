-- subscription_remove.lua: end a session's subscription to a resource.
-- KEYS[1] record   KEYS[2] subscriptions   KEYS[3] standalone stream's state
-- ARGV[1] URI
-- As in subscription_add.lua, the session ends if its subscriptions were evicted.
-- Returns {'1', reader of the standalone stream}; nil if the session is gone.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
if redis.call('HGET', KEYS[1], 'subscribed') == '1' then
  if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('DEL', KEYS[1])
    return false
  end
  redis.call('HDEL', KEYS[2], ARGV[1])
  if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('HDEL', KEYS[1], 'subscribed') end
else
  redis.call('HDEL', KEYS[2], ARGV[1]) -- what an older instance has stored
end
return {'1', redis.call('HGET', KEYS[3], 'reader') or ''}
