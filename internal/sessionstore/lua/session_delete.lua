-- session_delete.lua: delete a session and tell which streams it had. The
-- caller deletes those: a script declares its keys before it can read an index.
-- KEYS[1] record   KEYS[2] values   KEYS[3] open streams   KEYS[4] ended streams
-- KEYS[5] standalone stream's state   KEYS[6] standalone stream's log
-- KEYS[7] subscriptions   KEYS[8] stored bytes
-- Returns strings: '1', or '0' if there was no record; owner; stream id, ...
local owner = redis.call('HGET', KEYS[1], 'owner') or ''
local reply = {redis.call('EXISTS', KEYS[1]) == 1 and '1' or '0', owner}
for i = 3, 4 do
  for _, id in ipairs(redis.call('ZRANGE', KEYS[i], 0, -1)) do reply[#reply + 1] = id end
end
redis.call('UNLINK', unpack(KEYS))
return reply
