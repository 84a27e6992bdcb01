-- round_answer.lua: keep answers before the call gets them.
-- KEYS[1] record of the call
-- ARGV[1] ms that it is kept   ARGV[2] number of the run   ARGV[3] most bytes of answers
-- ARGV[4...] questions and answers in turn
-- Returns 1; 0 if the call has been run again. Of a call that is not run again, or has
-- had too many bytes of answers to be run again, nothing is kept.
local r = redis.call('HMGET', KEYS[1], 'run', 'again', 'bytes')
if r[1] and r[1] ~= ARGV[2] then return 0 end
if r[2] ~= '1' then return 1 end
local bytes = tonumber(r[3] or 0)
for i = 4, #ARGV, 2 do
  bytes = bytes + #ARGV[i + 1] - redis.call('HSTRLEN', KEYS[1], 'a:' .. ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if bytes > tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], 'again', '')
  return 1
end
redis.call('HSET', KEYS[1], 'bytes', string.format('%.0f', bytes))
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], 'a:' .. ARGV[i], ARGV[i + 1]) end
return 1
