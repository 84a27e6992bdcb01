-- Redeems a grant's code, once. If it is redeemed again, by a request that passed
-- all other checks, it was stolen: the grant is deleted with all its tokens (OAuth
-- 2.1, section 4.1.3).
-- KEYS[1] the grant
-- ARGV[1] hash of the code
-- ARGV[2] hash of the access token  ARGV[3] its life, ms  ARGV[4] what it allows
-- ARGV[5] hash of the refresh token, empty for none
-- ARGV[6] hash of what all refresh tokens of the grant have in common
-- ARGV[7] life of the grant from now, ms
-- Returns 1; 0 if the grant or the code is unknown; -1 if the code was used.
local was = redis.call('HMGET', KEYS[1], 'code', 'redeemed')
if was[1] ~= ARGV[1] then
  return 0
end
if was[2] then
  redis.call('DEL', KEYS[1])
  return -1
end
local ends = string.format('%.0f', now + ARGV[3])
redis.call('HSET', KEYS[1], 'redeemed', now, 'at:' .. ARGV[2], ends .. '|' .. ARGV[4],
  'lives', ends .. '|' .. string.format('%.0f', now + ARGV[7]))
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'rt', ARGV[5], 'family', ARGV[6])
end
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return 1
