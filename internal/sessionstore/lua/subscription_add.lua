-- subscription_add.lua: subscribe a session to a resource. Who is subscribed
-- keeps its position: updates since then may not have reached the client yet.
-- KEYS[1] record   KEYS[2] subscriptions   KEYS[3] standalone stream's state
-- ARGV[1] URI   ARGV[2] position on the bus   ARGV[3] most subscriptions
-- The record says that there are subscriptions. If they are gone nevertheless, Redis
-- has evicted them: the session ends, and its client learns it from that.
-- Returns {'1' or '0' if there are too many, reader of the standalone stream};
-- nil if the session is gone.
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 1 then return false end
local subscribed = redis.call('HGET', KEYS[1], 'subscribed') == '1'
if subscribed and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[1])
  return false
end
local reader = redis.call('HGET', KEYS[3], 'reader') or ''
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return {'1', reader} end
if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[3]) then return {'0', reader} end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ttl)
if not subscribed then redis.call('HSET', KEYS[1], 'subscribed', '1') end
return {'1', reader}
