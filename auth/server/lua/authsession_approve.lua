-- Records the user's consent, once: it must come from the browser and with the
-- form that the consent page was sent to. The login that follows begins here. A
-- repetition, by a second click or after a step back, changes nothing.
-- KEYS[1] the authorization session
-- ARGV[1] hash of the browser's cookie  ARGV[2] hash of the form's token
-- ARGV[3] hash of the state for the upstream  ARGV[4] the upstream's data, sealed
-- ARGV[5] the URL of the login, sealed
-- Returns the URL of the login that the first consent began, or nil if there is
-- no such session.
local was = redis.call('HMGET', KEYS[1], 'browser', 'form', 'login', 'to')
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] then
  return nil
end
if was[3] then
  return was[4]
end
redis.call('HSET', KEYS[1], 'login', ARGV[3], 'upstream', ARGV[4], 'to', ARGV[5])
return ARGV[5]
