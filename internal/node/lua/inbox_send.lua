-- inbox_send.lua: put a message into an instance's inbox.
-- KEYS[1] inbox
-- ARGV[1] most messages kept   ARGV[2...] fields and values of the message
-- Returns 1, or 0 if the instance is dead: an inbox that nobody renews expires,
-- and sending does not make a new one.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 2))
return 1
