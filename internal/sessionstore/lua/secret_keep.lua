-- secret_keep.lua: let the fleet's secret live on, or give the fleet one.
-- KEYS[1] secret
-- ARGV[1] the secret that the caller knows, or has made   ARGV[2] ms it is kept
-- Returns the fleet's secret.
local secret = redis.call('GET', KEYS[1])
if not secret then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return ARGV[1]
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return secret
