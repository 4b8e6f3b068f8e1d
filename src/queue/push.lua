-- Adds hints that are not yet held, up to the window, and wakes a worker.
-- KEYS: ring, wake, gen, depth, turn   ARGV: prefix, window, a generation if there is none, then workspace, id, score …
local ring, wake, gen, depth, turn = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
redis.call('SET', gen, ARGV[3], 'NX')
local held = tonumber(redis.call('GET', depth) or '0')
local room = tonumber(ARGV[2]) - held
local added = 0
for n = 4, #ARGV, 3 do
    if added >= room then break end
    local workspace = ARGV[n]
    if redis.call('ZADD', ARGV[1] .. workspace, 'NX', ARGV[n + 2], ARGV[n + 1]) == 1 then
        added = added + 1
        if not redis.call('ZSCORE', ring, workspace) then
            redis.call('ZADD', ring, redis.call('INCR', turn), workspace)
        end
    end
end
if added > 0 then
    redis.call('INCRBY', depth, added)
    redis.call('LPUSH', wake, '1')
    redis.call('LTRIM', wake, 0, 63)
end
return { redis.call('GET', gen), held + added }
