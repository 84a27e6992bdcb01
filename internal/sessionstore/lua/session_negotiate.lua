-- session_negotiate.lua: note what a session's initialize agreed on, if it is a
-- session that began without.
-- KEYS[1] record
-- ARGV[1...] fields of the record, name and value in turn
-- Returns 1, 0 if initialize has agreed on something before, nil if the session
-- is gone.
local version = redis.call('HGET', KEYS[1], 'version')
if not version then return false end
if version ~= '' then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
