-- bus_publish.lua: tell every instance something.
-- KEYS[1] bus
-- ARGV[1] most messages kept   ARGV[2] time to live in ms
-- ARGV[3...] fields and values of the message
-- Each message has a number n, one more than the last one's: an instance sees
-- by it that messages were trimmed before it read them, or lost in a failover.
-- Returns the message's id.
local n = 0
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last and last[2][1] == 'n' then n = tonumber(last[2][2]) end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'n', string.format('%.0f', n + 1), unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return id
