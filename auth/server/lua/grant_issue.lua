-- Stores a grant that has no code but one access token.
-- KEYS[1] the grant
-- ARGV[1] its data  ARGV[2] hash of the access token  ARGV[3] its life, ms  ARGV[4] what it allows
-- Returns 1, or 0 if there is such a grant already.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local ends = string.format('%.0f', now + ARGV[3])
redis.call('HSET', KEYS[1], 'data', ARGV[1], 'at:' .. ARGV[2], ends .. '|' .. ARGV[4], 'lives', ends .. '|' .. ends)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
