-- Takes up to n hints, a few of each workspace in turn, so that a quiet one never waits behind a noisy one.
-- KEYS: ring, wake, gen, depth, turn   ARGV: prefix, n, most of one workspace at a time
local ring, wake, gen, depth, turn = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local n, quantum = tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = {}
for _ = 1, 1024 do -- bounded: a script that runs on stops every other client
    if #ids >= n then break end
    local workspace = redis.call('ZRANGE', ring, 0, 0)[1]
    if not workspace then break end
    local queue = ARGV[1] .. workspace
    local taken = redis.call('ZPOPMIN', queue, math.min(quantum, n - #ids))
    for i = 1, #taken, 2 do ids[#ids + 1] = taken[i] end
    if redis.call('EXISTS', queue) == 0 then
        redis.call('ZREM', ring, workspace)
    else
        redis.call('ZADD', ring, redis.call('INCR', turn), workspace)
    end
end
if #ids > 0 then redis.call('DECRBY', depth, #ids) end
if redis.call('EXISTS', ring) == 1 then
    redis.call('LPUSH', wake, '1')
    redis.call('LTRIM', wake, 0, 63)
end
return { redis.call('GET', gen) or '', ids }
