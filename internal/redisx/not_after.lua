-- Stands before every script: none changes anything after its caller has given it
-- up. Redis may execute a command late, after others that were sent over other
-- connections since.
-- The last argument, which the script does not see, is the time from which on it is
-- refused, in ms since 1970 by Redis's clock. The script has that clock in now.
local not_after = tonumber(table.remove(ARGV))
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if now >= not_after then return redis.error_reply('LATE ' .. string.format('%.0f', now)) end
