-- round_adopt.lua: take over a call whose instance has died, with the answers to what
-- it asked last.
-- KEYS[1] record of the call
-- ARGV[1] ms that it is kept   ARGV[2] round   ARGV[3] whose call it is, and of what
-- ARGV[4] the dead instance   ARGV[5] the one that takes over   ARGV[6] name of the try
-- ARGV[7...] questions and answers in turn
-- Returns the number of the next run, and all questions and answers in turn; nil if
-- the call is another's, is in another round, must not be run again, or has been taken
-- over by another try.
local r = redis.call('HMGET', KEYS[1], 'round', 'claim', 'instance', 'again', 'try')
if r[5] ~= ARGV[6] then
  if r[1] ~= ARGV[2] or r[2] ~= ARGV[3] or r[3] ~= ARGV[4] or r[4] ~= '1' then return false end
  redis.call('HSET', KEYS[1], 'round', '', 'instance', ARGV[5], 'conn', '', 'try', ARGV[6])
  redis.call('HINCRBY', KEYS[1], 'run', 1)
  for i = 7, #ARGV, 2 do redis.call('HSET', KEYS[1], 'a:' .. ARGV[i], ARGV[i + 1]) end
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
local reply = { redis.call('HGET', KEYS[1], 'run') }
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 2) == 'a:' then
    reply[#reply + 1] = string.sub(fields[i], 3)
    reply[#reply + 1] = fields[i + 1]
  end
end
return reply
