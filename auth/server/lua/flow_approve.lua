-- Takes the user's consent, once: from the browser and by the form that the
-- consent page was sent to and with. The login that follows begins here. Given
-- again, by a second click or after a step back, it changes nothing.
-- KEYS[1] the flow
-- ARGV[1] hash of the browser's cookie  ARGV[2] hash of the form's token
-- ARGV[3] hash of the state for the upstream  ARGV[4] the upstream's data, sealed
-- ARGV[5] where the login is, sealed
-- Returns where the login is that the first consent began, or nil if there is no
-- such consent to give.
local was = redis.call('HMGET', KEYS[1], 'browser', 'form', 'login', 'to')
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] then
  return nil
end
if was[3] then
  return was[4]
end
redis.call('HSET', KEYS[1], 'login', ARGV[3], 'upstream', ARGV[4], 'to', ARGV[5])
return ARGV[5]
