-- round_open.lua: note what a call waits for, and where.
-- KEYS[1] record of the call
-- ARGV[1] ms that it is kept   ARGV[2] round   ARGV[3] whose call it is, and of what
-- ARGV[4] instance   ARGV[5] connection   ARGV[6] 1 if the call may be run again
-- ARGV[7] what is asked
-- Returns 1.
redis.call('HSET', KEYS[1], 'round', ARGV[2], 'claim', ARGV[3], 'instance', ARGV[4], 'conn', ARGV[5], 'again', ARGV[6], 'asks', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
