-- Stores a new grant, whose code is not redeemed yet.
-- KEYS[1] the grant
-- ARGV[1] its data  ARGV[2] hash of the code  ARGV[3] life of the code, ms
-- Returns 1, or 0 if there is such a grant already.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'data', ARGV[1], 'code', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
