-- Rotates a refresh token: returns the salt from which the next one is derived.
-- Within the grace, and while the next one is not used, the same token gets the
-- same salt again: the response may have been lost, or two tabs were quick. Any
-- other token of the family, however long ago it was replaced, is a sign of theft:
-- the grant is deleted (OAuth 2.1, section 4.3.1). A token that was never issued
-- changes nothing: the grant's id alone, which access tokens show, does no harm.
-- KEYS[1] the grant
-- ARGV[1] hash of the token  ARGV[2] hash of its family
-- ARGV[3] a new salt  ARGV[4] hash of the next token by that salt
-- ARGV[5] hash of a new access token  ARGV[6] its life, ms  ARGV[7] what it allows
-- ARGV[8] how long the replaced token and its access tokens stay valid, ms
-- ARGV[9] life of the grant from now, ms
-- Returns the salt; 0 if grant or token are unknown; -1 if the token was replaced before.
local key, token, grace = KEYS[1], ARGV[1], tonumber(ARGV[8])
local max_tokens = 100

local was = redis.call('HMGET', key, 'rt', 'before', 'replaced', 'salt', 'family')
local current, before, replaced, salt, family = was[1], was[2], was[3], was[4], was[5]

-- live shortens the lives of the access tokens to limit, removes expired ones, and
-- removes the one that ends first if there are too many.
local function live(limit)
  local fields, count, first, first_end = redis.call('HGETALL', key), 0, nil, nil
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 3) == 'at:' then
      local ends, allows = string.match(fields[i + 1], '^(%d+)(|.*)$')
      ends = tonumber(ends)
      if ends <= now or limit <= now then
        redis.call('HDEL', key, fields[i])
      else
        if ends > limit then
          ends = limit
          redis.call('HSET', key, fields[i], string.format('%.0f', ends) .. allows)
        end
        count = count + 1
        if not first or ends < first_end then
          first, first_end = fields[i], ends
        end
      end
    end
  end
  if count >= max_tokens then
    redis.call('HDEL', key, first)
  end
end

if not current then
  return 0
elseif current == token then
  salt = ARGV[3]
  redis.call('HSET', key, 'rt', ARGV[4], 'before', token, 'replaced', string.format('%.0f', now), 'salt', salt)
  live(now + grace)
elseif before == token and now < tonumber(replaced) + grace then
  live(math.huge)
elseif family == ARGV[2] then
  redis.call('DEL', key)
  return -1
else
  return 0
end
redis.call('HSET', key, 'at:' .. ARGV[5], string.format('%.0f', now + ARGV[6]) .. '|' .. ARGV[7])
redis.call('PEXPIRE', key, ARGV[9])
return salt
