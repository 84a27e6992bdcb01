-- bus_publish.lua: tell every instance something.
-- KEYS[1] bus
-- ARGV[1] most messages kept   ARGV[2] time to live in ms
-- ARGV[3...] fields and values of the message
-- Each message names the one before it in its field p: an instance sees by it
-- that messages were trimmed before it read them, or lost in a failover.
-- Returns the message's id.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'p', last and last[1] or '0-0', unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return id
