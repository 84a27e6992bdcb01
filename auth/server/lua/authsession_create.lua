-- Stores an authorization session, which waits for the user's decision.
-- KEYS[1] the authorization session
-- ARGV[1] its data  ARGV[2] hash of the browser's cookie  ARGV[3] hash of the form's token
-- ARGV[4] its life, ms
-- Returns 1, or 0 if there is a session with this id already.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'data', ARGV[1], 'browser', ARGV[2], 'form', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
