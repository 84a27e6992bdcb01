-- Ends a flow because the user declined: same checks as flow_approve.lua.
-- KEYS[1] the flow
-- ARGV[1] hash of the browser's cookie  ARGV[2] hash of the form's token
-- Returns 1, or 0 if there is no such flow.
local was = redis.call('HMGET', KEYS[1], 'browser', 'form', 'login')
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] or was[3] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
