-- response_send.lua: put a message that must not be lost where its instance will
-- find it, also if it is stopped or cut off now and comes back.
-- KEYS[1] responses   KEYS[2] inbox
-- ARGV[1] most messages   ARGV[2] most bytes   ARGV[3] bytes of this message
-- ARGV[4...] fields and values of the message
-- Returns 'alive' if the inbox is there, 'away' if only the responses are, 'gone'
-- if neither is: the instance has left for good, or will find that it has lost
-- both; 'full' if the bounds do not allow it.
-- The field b of each message is how many bytes there have been up to it.
local alive = redis.call('EXISTS', KEYS[2]) == 1
if redis.call('EXISTS', KEYS[1]) == 0 then
  if not alive then return 'gone' end
  -- An instance of a version that has no responses, or one that has lost them.
  redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4))
  return 'alive'
end
local function bytes(entry) -- up to an entry
  for i = 1, entry and #entry[2] or 0, 2 do
    if entry[2][i] == 'b' then return tonumber(entry[2][i + 1]) end
  end
  return 0
end
local first = bytes(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1])
local last = bytes(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1])
local total = last + tonumber(ARGV[3])
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) or total - first > tonumber(ARGV[2]) then return 'full' end
redis.call('XADD', KEYS[1], '*', 'b', string.format('%.0f', total), unpack(ARGV, 4))
return alive and 'alive' or 'away'
