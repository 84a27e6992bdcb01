-- stream_append.lua: add an event to a stream's log, end the stream, or both.
-- KEYS[1] session record   KEYS[2] open streams   KEYS[3] ended streams
-- KEYS[4] stream state     KEYS[5] log
-- ARGV[1] stream id   ARGV[2] writer, or '' if the stream has many
-- ARGV[3] nonce ('' for no event)   ARGV[4] data   ARGV[5] '1' to end the stream
-- ARGV[6] ms that a log outlives its stream   ARGV[7] most events   ARGV[8] most bytes
-- ARGV[9] '1' if an earlier try with the same nonce may have succeeded
-- ARGV[10] number of the append among those of its writer, from 1 on, or ''
-- ARGV[11] ms since 1970 at which it was sent
-- Returns {'ok', offset of the event, reader}, or one of {'gone'} without the
-- session, {'lost'} without the stream, {'ended'}, {'fenced'} if the stream has
-- another writer, and {'late'} if its writer has appended something since.
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 1 then return {'gone'} end
local state = redis.call('HMGET', KEYS[4], 'next', 'base', 'bytes', 'ended', 'reader', 'writer', 'number')
local next, base, bytes = tonumber(state[1]), tonumber(state[2]), tonumber(state[3])
-- Redis may have evicted one key and not the other: then the log is lost. The
-- standalone stream goes on; its offsets do too if they are known.
if not next or redis.call('LLEN', KEYS[5]) ~= next - base then
  if ARGV[2] ~= '' then return {'lost'} end
  next, bytes = next or 0, 0
  base = next
  redis.call('DEL', KEYS[5])
  redis.call('HSET', KEYS[4], 'seen', 0)
end
local reader = state[5] or ''
local number, last = tonumber(ARGV[10]), tonumber(state[7]) or 0
if number and number < last then return {'late'} end
if number and number == last then return {'ok', ARGV[3] == '' and next or next - 1, reader} end
-- Every append has a nonce of its own, so a repeated one is found by it. The first
-- of two tries may come after the second, but then it was under way for longer
-- than a writer waits before the second.
local under_way = now - (tonumber(ARGV[11]) or now)
if not number and ARGV[3] ~= '' and (ARGV[9] == '1' or under_way > 5) then
  local entries = redis.call('LRANGE', KEYS[5], (ARGV[9] == '1' or under_way > 250) and 0 or -64, -1)
  for i = #entries, 1, -1 do
    if string.sub(entries[i], 1, #ARGV[3]) == ARGV[3] then return {'ok', next - #entries + i - 1, reader} end
  end
end
if state[4] == '1' then return {'ended'} end
if ARGV[2] ~= '' and state[6] ~= ARGV[2] then return {'fenced'} end
local offset = next
if ARGV[3] ~= '' then
  local entry = ARGV[3] .. ARGV[4]
  redis.call('RPUSH', KEYS[5], entry)
  next, bytes = next + 1, bytes + #entry
  while next - base > 1 and (next - base > tonumber(ARGV[7]) or bytes > tonumber(ARGV[8])) do
    bytes = bytes - #redis.call('LPOP', KEYS[5])
    base = base + 1
  end
end
redis.call('HSET', KEYS[4], 'next', next, 'base', base, 'bytes', bytes, 'number', number or last)
if ARGV[5] == '1' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', KEYS[4], 'ended', '1')
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  redis.call('ZADD', KEYS[3], now + ARGV[6], ARGV[1])
  redis.call('PEXPIRE', KEYS[3], math.max(ttl, tonumber(ARGV[6])))
  ttl = tonumber(ARGV[6])
end
redis.call('PEXPIRE', KEYS[4], ttl)
redis.call('PEXPIRE', KEYS[5], ttl)
return {'ok', offset, reader}
