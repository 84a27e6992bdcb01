-- stream_detach.lua: note that a connection no longer reads a stream.
-- KEYS[1] stream state
-- ARGV[1] reader   ARGV[2] offset of the first event it has not sent
-- ARGV[3] where on the bus its client is, or ''
-- Returns 1, or 0 if another connection is the reader.
if redis.call('HGET', KEYS[1], 'reader') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'reader', '', 'seen', ARGV[2], 'position', ARGV[3])
return 1
