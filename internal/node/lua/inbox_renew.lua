-- inbox_renew.lua: keep an instance's inbox for another while, or make it anew.
-- KEYS[1] inbox
-- ARGV[1] time to live in ms   ARGV[2] id up to which messages have been read
-- Returns {1 if the inbox was there, 0 if it had to be made, and the time}: in the
-- latter case the fleet may have taken the instance for dead.
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 1 then
  redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])
  return {1, now}
end
redis.call('XADD', KEYS[1], '*', 'v', '1', 'k', 'hello')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {0, now}
