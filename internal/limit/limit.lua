-- Takes one request from a rate, by the generic cell rate algorithm: the key
-- holds when, in ms, all that was taken would have been due at the steady rate.
-- KEYS[1] the state
-- ARGV[1] requests  ARGV[2] per so many ms
-- Returns whether it may (1 or 0), how many more may at once, and in how many ms
-- the next may if it may not, else when all may again.
local requests, per = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local interval = per / requests
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local next = due + interval
if next - now > per then
  return {0, 0, math.ceil(next - now - per)}
end
redis.call('SET', KEYS[1], string.format('%.3f', next), 'PX', math.ceil(next - now))
return {1, math.floor((per - (next - now)) / interval), math.ceil(next - now)}
