-- bus_mark_loss.lua: mark the place where the bus has lost its end, unless that was
-- done. Whoever reads the bus, also later, learns that what was before the mark
-- is not complete.
-- KEYS[1] bus
-- ARGV[1] id up to which an instance had read the bus
-- ARGV[2] ms part of that id   ARGV[3] the next id with other ms
-- ARGV[4] time to live in ms   ARGV[5] kind of the mark
-- ARGV[6...] fields and values of the mark
-- Returns 1, or 0 if there is a mark already.
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1000)) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'k' and entry[2][i + 1] == ARGV[5] then return 0 end
  end
end
-- Ids must not run backwards for anybody, whatever the clock of a new primary.
local id = now > tonumber(ARGV[2]) and '*' or ARGV[3]
redis.call('XADD', KEYS[1], id, unpack(ARGV, 6))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
