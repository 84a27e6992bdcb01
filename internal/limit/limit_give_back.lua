-- Gives back one request that was taken from a rate. The state is as in limit.lua.
-- KEYS[1] the state
-- ARGV[1] requests  ARGV[2] per so many µs
-- Returns 1, or 0 if nothing counts any more.
local due = tonumber(redis.call('GET', KEYS[1]) or 0)
local requests, per = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if due <= now then
  return 0
end
local interval = math.max(math.floor(per / requests), 1)
local next = math.min(due, now + requests * interval) - interval
if next <= now then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
end
return 1
