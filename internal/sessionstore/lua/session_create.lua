-- session_create.lua: write the record of a new session.
-- KEYS[1] record
-- ARGV[1] ms an unused record is kept   ARGV[2] ms of absolute lifetime, 0: none
-- ARGV[3...] fields of the record, name and value in turn
-- Returns {created, expires} in ms since 1970, expires 0 without an absolute
-- lifetime; nil if there already is a record.
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local ttl, lifetime, expires = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
if lifetime > 0 then
  expires = now + lifetime
  ttl = math.min(ttl, lifetime)
end
redis.call('HSET', KEYS[1], 'created', now, 'expires', expires, unpack(ARGV, 3))
-- A user who may write but not expire must leave nothing behind for ever.
local expired = redis.pcall('PEXPIRE', KEYS[1], ttl)
if type(expired) == 'table' and expired.err then
  redis.call('DEL', KEYS[1])
  return expired
end
return {now, expires}
