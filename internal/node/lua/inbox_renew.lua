-- inbox_renew.lua: keep an instance's inbox and responses for another while, and
-- make anew what is gone.
-- KEYS[1] inbox   KEYS[2] responses
-- ARGV[1] ms that the inbox lives   ARGV[2] id up to which it has been read
-- ARGV[3] ms that the responses live   ARGV[4] id up to which they have been read
-- Returns the time. What is made anew begins with a message 'hello', whose id follows
-- that of the last message read: so the instance reads it, even if it never got
-- the reply to the renewal, and knows that messages may have been lost.
for i, key in ipairs(KEYS) do
  local ttl, read = ARGV[2 * i - 1], ARGV[2 * i]
  if redis.call('PEXPIRE', key, ttl) == 1 then
    redis.call('XTRIM', key, 'MINID', read)
  else
    local ms, seq = string.match(read, '^(%d+)-(%d+)$')
    redis.call('XADD', key, ms .. '-' .. string.format('%.0f', seq + 1), 'v', '1', 'k', 'hello')
    redis.call('PEXPIRE', key, ttl)
  end
end
return now
