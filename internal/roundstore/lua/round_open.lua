-- round_open.lua: note what a run of a call waits for, and where.
-- KEYS[1] record of the call
-- ARGV[1] ms that it is kept   ARGV[2] number of the run   ARGV[3] 1 if it waits for
-- the first time   ARGV[4] round   ARGV[5] whose call it is, and of what
-- ARGV[6] instance   ARGV[7] connection   ARGV[8] 1 if the call may be run again
-- ARGV[9] what is asked
-- Returns 1; 0 if the call has been run again. If the record was lost, with the
-- answers that the call has had, it cannot be run again.
local run = redis.call('HGET', KEYS[1], 'run')
if run and run ~= ARGV[2] then return 0 end
local again = ARGV[8]
if run then
  if redis.call('HGET', KEYS[1], 'again') ~= '1' then again = '' end
elseif ARGV[3] ~= '1' then
  again = ''
end
redis.call('HSET', KEYS[1], 'run', ARGV[2], 'round', ARGV[4], 'claim', ARGV[5], 'instance', ARGV[6], 'conn', ARGV[7], 'again', again, 'asks', ARGV[9])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
