-- Deletes a grant if the token is its refresh token, or was it.
-- KEYS[1] the grant
-- ARGV[1] hash of what all refresh tokens of the grant have in common
-- Returns 1, or 0 if there is no such token.
if redis.call('HGET', KEYS[1], 'family') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
