-- Takes a refresh token and says by which salt the next one is made of it. The
-- same token again, soon and while the next is not used, gets the same salt:
-- its answer was lost, or two tabs were quick. Any other token that was replaced
-- shows a theft: the grant goes (OAuth 2.1, section 4.3.1). A token that never
-- was one does no harm: whoever sees an access token knows the grant's id.
-- KEYS[1] the grant
-- ARGV[1] hash of the token  ARGV[2] a new salt  ARGV[3] hash of the next token by that salt
-- ARGV[4] hash of a new access token  ARGV[5] its life, ms  ARGV[6] what it allows
-- ARGV[7] how long the token before and its access tokens go on, ms
-- ARGV[8] life of the grant from now, ms
-- Returns the salt; 0 if grant or token are unknown; -1 if the token was replaced before.
local key, token, grace = KEYS[1], ARGV[1], tonumber(ARGV[7])
local max_retired, max_tokens = 200, 100
local short = string.sub(token, 1, 24) -- 96 bits tell 200 tokens apart
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local was = redis.call('HMGET', key, 'rt', 'before', 'replaced', 'salt', 'retired')
local current, before, replaced, salt, retired = was[1], was[2], was[3], was[4], was[5] or ''

-- live cuts what the access tokens have left to limit, and drops the one that
-- ends first if there are too many.
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
  salt = ARGV[2]
  redis.call('HSET', key, 'rt', ARGV[3], 'before', token, 'replaced', string.format('%.0f', now), 'salt', salt,
    'retired', string.sub(retired .. short, -24 * max_retired))
  live(now + grace)
elseif before == token and now < tonumber(replaced) + grace then
  live(math.huge)
else
  for i = 1, #retired, 24 do
    if string.sub(retired, i, i + 23) == short then
      redis.call('DEL', key)
      return -1
    end
  end
  return 0
end
redis.call('HSET', key, 'at:' .. ARGV[4], string.format('%.0f', now + ARGV[5]) .. '|' .. ARGV[6])
redis.call('PEXPIRE', key, ARGV[8])
return salt
