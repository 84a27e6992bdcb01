-- stream_attach.lua: make a connection the reader of a stream, and return what
-- it has to read.
-- KEYS[1] session record   KEYS[2] stream state   KEYS[3] log
-- ARGV[1] reader   ARGV[2] offset of the last event the client has, or -1
-- ARGV[3] that event's nonce, or '' if the client wants the event at that offset
-- ARGV[4] most events to return   ARGV[5] '1' if the client's position on the bus
-- is given, empty if unknown, in ARGV[6]
-- ARGV[7] number of the attachment: its time, in ms since 1970
-- With offset -1 the stream is begun if it is not there, and reading starts
-- after what the last reader has seen.
-- Of two connections the one with the greater number reads, in whatever order they
-- come here: the other one's client may have gone meanwhile.
-- Returns {'ok', offset of the first event, next offset, '1' if ended, writer,
-- previous reader, the call's id, position on the bus, events...}, {'gone'}
-- without the session, or {'lost'} if what the client wants is not, or no
-- longer, in the log, or {'older', the last number} if a newer connection has
-- attached. Without a client's position it is the last reader's, or
-- 'lost' if the log is.
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 1 then return {'gone'} end
local state = redis.call('HMGET', KEYS[2], 'next', 'base', 'ended', 'writer', 'reader', 'call', 'seen', 'position', 'attached')
local next, base, last = tonumber(state[1]), tonumber(state[2]), tonumber(ARGV[2])
local from
local number, attached = tonumber(ARGV[7]), tonumber(state[9]) or 0
if number < attached then return {'older', string.format('%.0f', attached)} end
-- Redis may have evicted one key and not the other: then the log is lost. The
-- standalone stream goes on; its offsets do too if they are known.
if not next or redis.call('LLEN', KEYS[3]) ~= next - base then
  if last >= 0 then return {'lost'} end
  if next then state[8] = 'lost' end
  next = next or 0
  base, from = next, next
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[2], 'next', next, 'base', base, 'bytes', 0)
  redis.call('PEXPIRE', KEYS[2], ttl)
elseif last < 0 then
  -- The last reader may have sent what Redis then lost in a failover.
  from = math.min(math.max(tonumber(state[7]) or 0, base), next)
elseif ARGV[3] == '' then
  -- Such a client has been attached to the stream. Nobody has to one that was begun
  -- anew, by an append, after the client's was lost.
  if attached == 0 or last < base or last > next then return {'lost'} end
  from = last
else
  if last < base or last >= next then return {'lost'} end
  local entry = redis.call('LINDEX', KEYS[3], last - base)
  if not entry or string.sub(entry, 1, #ARGV[3]) ~= ARGV[3] then return {'lost'} end
  from = last + 1
end
redis.call('HSET', KEYS[2], 'reader', ARGV[1], 'seen', from, 'attached', ARGV[7])
if ARGV[5] == '1' then
  state[8] = ARGV[6]
  redis.call('HSET', KEYS[2], 'position', ARGV[6])
end
local reply = {'ok', from, next, state[3] or '', state[4] or '', state[5] or '', state[6] or '', state[8] or ''}
for _, entry in ipairs(redis.call('LRANGE', KEYS[3], from - base, from - base + ARGV[4] - 1)) do
  reply[#reply + 1] = entry
end
return reply
