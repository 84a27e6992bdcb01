-- Ends an authorization session because the user declined. It must come from the
-- same browser and form as a consent, and before it.
-- KEYS[1] the authorization session
-- ARGV[1] hash of the browser's cookie  ARGV[2] hash of the form's token
-- Returns 1, or 0 if there is no such session.
local was = redis.call('HMGET', KEYS[1], 'browser', 'form', 'login')
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] or was[3] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
