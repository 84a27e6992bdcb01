-- Ends an authorization session because the login has ended, once: in the browser
-- that consented, and with the state that the upstream was given.
-- KEYS[1] the authorization session
-- ARGV[1] hash of the browser's cookie  ARGV[2] hash of the state
-- Returns the session's data and the upstream's, sealed, or nil if there is no
-- such session.
local was = redis.call('HMGET', KEYS[1], 'browser', 'login', 'data', 'upstream')
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] then
  return nil
end
redis.call('DEL', KEYS[1])
return {was[3], was[4]}
