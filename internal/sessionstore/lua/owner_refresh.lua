-- owner_refresh.lua: count a session longer among its owner's, if it still is.
-- KEYS[1] sessions of the owner, scored by the ms since 1970 at which they end
-- ARGV[1] session id   ARGV[2] ms the session is kept
-- Returns 1, or 0 if the session is not counted.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
local ttl = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], now + ttl, ARGV[1])
if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ttl) end
return 1
