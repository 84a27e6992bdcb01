-- Ends a flow because a user has logged in, once: in the browser that consented
-- and with the state that the upstream was given.
-- KEYS[1] the flow
-- ARGV[1] hash of the browser's cookie  ARGV[2] hash of the state
-- Returns the flow's data and the upstream's, sealed, or nil if there is no such flow.
local was = redis.call('HMGET', KEYS[1], 'browser', 'login', 'data', 'upstream')
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] then
  return nil
end
redis.call('DEL', KEYS[1])
return {was[3], was[4]}
