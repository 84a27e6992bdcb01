-- bus_publish.lua: tell every instance something.
-- KEYS[1] bus
-- ARGV[1] most messages kept   ARGV[2] time to live in ms
-- ARGV[3...] fields and values of the message
-- Returns the message's id.
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return id
