-- Rotates a refresh token: returns the salt from which the next one is derived.
-- Within the grace, and while the next one is not used, the same token gets the
-- same salt again: the response may have been lost, or two processes of one client
-- were quick. After the grace it gets a new salt, and the next one that nobody has
-- used is replaced. Any other token of the family, however long ago it was
-- replaced, is a sign of theft: the grant is deleted (OAuth 2.1, section 4.3.1). A
-- token that was never issued changes nothing: the grant's id alone, which access
-- tokens show, does no harm.
-- The access tokens from before are replaced: no new requests are accepted with
-- them, but they stay known until they expire, so that one which is revoked can be
-- told from one that was replaced.
-- KEYS[1] the grant
-- ARGV[1] hash of the token  ARGV[2] hash of its family
-- ARGV[3] a new salt  ARGV[4] hash of the next token by that salt
-- ARGV[5] hash of a new access token  ARGV[6] its life, ms  ARGV[7] what it allows
-- ARGV[8] the grace, ms; negative if a replaced token may never be used again
-- ARGV[9] how long replaced access tokens are accepted, ms
-- ARGV[10] life of the grant from now, ms
-- Returns the salt; 0 if grant or token are unknown; -1 if the token was replaced before.
local key, token, grace, accepted = KEYS[1], ARGV[1], tonumber(ARGV[8]), now + ARGV[9]
local max_tokens = 100
local leeway = 60000 -- what expires by this clock may not have by another

local was = redis.call('HMGET', key, 'rt', 'before', 'replaced', 'salt', 'family', 'lives')
local current, before, replaced, salt, family, lives = was[1], was[2], was[3], was[4], was[5], was[6]

local function ms(n) return string.format('%.0f', n) end

-- tidy removes the access tokens that have expired, and the one that expires first
-- if there are too many. If replacing, the others are replaced.
local function tidy(replacing)
  local fields, count, first, first_end = redis.call('HGETALL', key), 0, nil, nil
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    local hash, is_old = string.match(field, '^at:(.*)$'), string.sub(field, 1, 4) == 'old:'
    if hash or is_old then
      local ends = tonumber(string.match(value, is_old and '|(%d+)$' or '^(%d+)|'))
      if ends + leeway <= now then
        redis.call('HDEL', key, field)
      else
        if hash and replacing then
          redis.call('HDEL', key, field)
          field = 'old:' .. hash
          redis.call('HSET', key, field, ms(math.min(ends, accepted)) .. string.match(value, '^%d+(|.*)$') .. '|' .. ms(ends))
        end
        count = count + 1
        if not first or ends < first_end then
          first, first_end = field, ends
        end
      end
    end
  end
  if count >= max_tokens then
    redis.call('HDEL', key, first)
  end
end

-- rotate makes the next token by the new salt the current one.
local function rotate()
  salt = ARGV[3]
  redis.call('HSET', key, 'rt', ARGV[4], 'before', token, 'replaced', ms(now), 'salt', salt)
  tidy(true)
end

if not current then
  return 0
elseif current == token then
  rotate()
elseif before == token and now < tonumber(replaced) + grace then
  tidy(false)
elseif before == token and grace >= 0 then
  rotate()
elseif family == ARGV[2] then
  redis.call('DEL', key)
  return -1
else
  return 0
end
local newest = tonumber(string.match(lives or '0|', '^(%d+)|'))
redis.call('HSET', key, 'at:' .. ARGV[5], ms(now + ARGV[6]) .. '|' .. ARGV[7],
  'lives', ms(math.max(newest, now + ARGV[6])) .. '|' .. ms(now + ARGV[10]))
redis.call('PEXPIRE', key, ARGV[10])
return salt
