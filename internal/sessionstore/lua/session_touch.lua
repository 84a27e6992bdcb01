-- session_touch.lua: let all keys of a session live on, up to the end of its
-- absolute lifetime.
-- KEYS[1] record   KEYS[2] values   KEYS[3] open streams   KEYS[4] ended streams
-- KEYS[5] standalone stream's state   KEYS[6] standalone stream's log
-- KEYS[7] subscriptions   KEYS[8] stored bytes
-- KEYS[9...] states and logs of streams in use
-- ARGV[1] ms an unused record is kept   ARGV[2...] ids of those streams
-- A session whose subscriptions or values Redis has evicted is not touched but ends:
-- its client would miss what it waits for, and not know.
-- Returns strings: ms until the keys expire, field next of the standalone
-- stream, owner, reader of the standalone stream. Returns nil if the session is
-- gone.
local record = redis.call('HMGET', KEYS[1], 'expires', 'owner', 'subscribed', 'valued')
if not record[1] then return false end
if record[3] == '1' and redis.call('EXISTS', KEYS[7]) == 0 or record[4] == '1' and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('UNLINK', unpack(KEYS))
  return false
end
local ttl, expires = tonumber(ARGV[1]), tonumber(record[1])
if expires > 0 then
  ttl = math.min(ttl, expires - now)
  if ttl < 1 then return false end
end
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], ttl) end
-- The index forgets a stream at its score; one that has ended is not in it.
for i = 2, #ARGV do redis.call('ZADD', KEYS[3], 'XX', now + ttl, ARGV[i]) end
local standalone = redis.call('HMGET', KEYS[5], 'next', 'reader')
return {string.format('%.0f', ttl), standalone[1] or '0', record[2] or '', standalone[2] or ''}
