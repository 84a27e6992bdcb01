-- stream_append.lua: add an event to a stream's log, end the stream, or both.
-- KEYS[1] session record   KEYS[2] open streams   KEYS[3] ended streams
-- KEYS[4] stream state     KEYS[5] log           KEYS[6] stored bytes
-- ARGV[1] stream id   ARGV[2] writer, or '' if the stream has many
-- ARGV[3] nonce ('' for no event)   ARGV[4] data   ARGV[5] '1' to end the stream
-- ARGV[6] ms that a log outlives its stream   ARGV[7] most events   ARGV[8] most bytes
-- ARGV[9] '1' if an earlier try with the same nonce may have succeeded
-- ARGV[10] most bytes stored of a session   ARGV[11] bytes that a stream counts for
--   besides its events   ARGV[12] '1' for an event that is stored in any case
-- ARGV[13] number of the append among those of its writer, from 1 on, or ''
-- ARGV[14] ms since 1970 at which it was sent
-- Returns {'ok', offset of the event, reader}, or one of {'gone'} without the
-- session, {'lost'} without the stream, {'ended'}, {'fenced'} if the stream
-- has another writer, {'late'} if its writer has appended something since, and
-- {'full', streams that may be dropped...}, the first to end first, if the session
-- may not store the event.
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 1 then return {'gone'} end
local state = redis.call('HMGET', KEYS[4], 'next', 'base', 'bytes', 'ended', 'reader', 'writer', 'number')
local next, base, bytes = tonumber(state[1]), tonumber(state[2]), tonumber(state[3])
-- Redis may have evicted one key and not the other: then the log is lost. The
-- standalone stream goes on; its offsets do too if they are known.
local lost = not next or redis.call('LLEN', KEYS[5]) ~= next - base
if lost then
  if ARGV[2] ~= '' then return {'lost'} end
  next, bytes = next or 0, 0
  base = next
end
local reader = state[5] or ''
local number, last = tonumber(ARGV[13]), tonumber(state[7]) or 0
if number and number < last then return {'late'} end
if number and number == last then return {'ok', ARGV[3] == '' and next or next - 1, reader} end
-- Every append has a nonce of its own, so a repeated one is found by it. The first
-- of two tries may come after the second, but then it was under way for longer
-- than a writer waits before the second.
local under_way = now - (tonumber(ARGV[14]) or now)
if not lost and not number and ARGV[3] ~= '' and (ARGV[9] == '1' or under_way > 5) then
  local entries = redis.call('LRANGE', KEYS[5], (ARGV[9] == '1' or under_way > 250) and 0 or -64, -1)
  for i = #entries, 1, -1 do
    if string.sub(entries[i], 1, #ARGV[3]) == ARGV[3] then return {'ok', next - #entries + i - 1, reader} end
  end
end
if state[4] == '1' then return {'ended'} end
if ARGV[2] ~= '' and state[6] ~= ARGV[2] then return {'fenced'} end
local offset = next
local stored = redis.call('HMGET', KEYS[6], 'all', ARGV[1])
local counted = tonumber(stored[2] or 0)
local others = tonumber(stored[1] or 0) - counted + ARGV[11]
if ARGV[3] ~= '' then
  local entry = ARGV[3] .. ARGV[4]
  local most = tonumber(ARGV[10])
  if others + bytes + #entry > most and ARGV[12] ~= '1' then
    local ended = redis.call('ZRANGE', KEYS[3], 0, 999)
    -- What has ended goes before what has not: then the stream's own beginning.
    if #ended > 0 or others + #entry > most then return {'full', unpack(ended)} end
  end
  if lost then
    redis.call('DEL', KEYS[5])
    redis.call('HSET', KEYS[4], 'seen', 0)
  end
  redis.call('RPUSH', KEYS[5], entry)
  next, bytes = next + 1, bytes + #entry
  while next - base > 1 and (next - base > tonumber(ARGV[7]) or bytes > tonumber(ARGV[8]) or others + bytes > most) do
    bytes = bytes - #redis.call('LPOP', KEYS[5])
    base = base + 1
  end
end
redis.call('HSET', KEYS[4], 'next', next, 'base', base, 'bytes', bytes, 'number', number or last)
redis.call('HSET', KEYS[6], 'all', others + bytes, ARGV[1], ARGV[11] + bytes)
redis.call('PEXPIRE', KEYS[6], ttl)
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[4], 'ended', '1')
  redis.call('ZREM', KEYS[2], ARGV[1])
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now), 'LIMIT', 0, 128)) do
    redis.call('HINCRBY', KEYS[6], 'all', 0 - (redis.call('HGET', KEYS[6], id) or 0))
    redis.call('HDEL', KEYS[6], id)
    redis.call('ZREM', KEYS[3], id)
  end
  redis.call('ZADD', KEYS[3], now + ARGV[6], ARGV[1])
  redis.call('PEXPIRE', KEYS[3], math.max(ttl, tonumber(ARGV[6])))
  ttl = tonumber(ARGV[6])
end
redis.call('PEXPIRE', KEYS[4], ttl)
redis.call('PEXPIRE', KEYS[5], ttl)
return {'ok', offset, reader}
