-- round_answer.lua: keep answers before the call gets them.
-- KEYS[1] record of the call
-- ARGV[1] ms that it is kept   ARGV[2...] questions and answers in turn
-- Returns 1, or 0 if there is no record.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], 'a:' .. ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
