-- Takes one request from a rate, by the generic cell rate algorithm: the key
-- holds when, in µs, all that was taken would have been due at the steady rate.
-- Whole numbers only: sums of fractions would refuse the last of a burst.
-- KEYS[1] the state
-- ARGV[1] requests  ARGV[2] per so many µs  ARGV[3] 1 to take one, 0 to peek
-- Returns whether it may (1 or 0), how many more may at once, and in how many µs
-- the next may if it may not, else when all may again.
local requests, per, take = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = math.max(math.floor(per / requests), 1)
local burst = requests * interval
-- Neither a clock that was set back nor a rate that was higher makes anyone
-- wait for longer than the whole burst takes.
local due = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or now), now), now + burst)
local next = due + interval
if next - now > burst then
  return {0, 0, next - now - burst}
end
if take then
  redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
  due = next
end
return {1, math.floor((now + burst - due) / interval), due - now}
