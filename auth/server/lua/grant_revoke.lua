-- Deletes a grant if the token is its refresh token, or was it.
-- KEYS[1] the grant
-- ARGV[1] hash of the token
-- Returns 1, or 0 if there is no such token.
local was = redis.call('HMGET', KEYS[1], 'rt', 'retired')
local short, retired = string.sub(ARGV[1], 1, 24), was[2] or ''
local known = was[1] == ARGV[1]
for i = 1, #retired, 24 do
  known = known or string.sub(retired, i, i + 23) == short
end
if known then
  redis.call('DEL', KEYS[1])
  return 1
end
return 0
