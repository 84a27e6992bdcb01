-- session_initialize.lua: read a session's record, and note that
-- notifications/initialized has arrived, if it is the caller's session.
-- KEYS[1] record
-- ARGV[1] owner   ARGV[2] name of the server, '' if it does not matter
-- ARGV[3] '1' if the session is of the HTTP+SSE transport   ARGV[4...] fields
-- Returns {1 to the first of the callers whose session it is, 0 to others, values of
-- the fields as they were ...}.
local record = redis.call('HMGET', KEYS[1], 'v', 'initialized', 'owner', 'name', 'legacy')
local others = record[3] ~= ARGV[1] or (record[5] or '') ~= ARGV[3]
  or ARGV[2] ~= '' and record[4] and record[4] ~= ARGV[2]
local first = record[1] and record[2] ~= '1' and not others
local reply = redis.call('HMGET', KEYS[1], unpack(ARGV, 4))
table.insert(reply, 1, first and 1 or 0)
if first then redis.call('HSET', KEYS[1], 'initialized', '1') end
return reply
