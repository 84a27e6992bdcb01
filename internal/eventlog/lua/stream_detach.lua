-- stream_detach.lua: note that a connection no longer reads a stream.
-- KEYS[1] stream state
-- ARGV[1] reader   ARGV[2] offset of the first event it has not sent, '' if that is
-- not known: then it is where the reader began
-- ARGV[3] where on the bus its client is, or ''
-- Returns 1, or 0 if another connection is the reader.
if redis.call('HGET', KEYS[1], 'reader') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'reader', '')
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'seen', ARGV[2], 'position', ARGV[3]) end
return 1
