-- round_end.lua: drop the record of a call that has ended.
-- KEYS[1] record of the call
-- ARGV[1] number of the run
-- Returns 1; 0 if there is none, or the call has been run again.
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
return 1
