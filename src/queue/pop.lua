-- Takes up to n hints, a few of each workspace in turn, so that a quiet one never waits behind a noisy one.
-- KEYS: ring, wake, gen, depth, turn
-- ARGV: prefix, n, the least of one workspace at a time, the most of one, then workspaces with another most
local ring, wake, gen, depth, turn = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local n = tonumber(ARGV[2])
local cap, rests = tonumber(ARGV[4]), {}
for i = 5, #ARGV, 2 do rests[ARGV[i]] = tonumber(ARGV[i + 1]) end

local ids, turns, at = {}, {}, 0
local size = redis.call('ZCARD', ring)
local share = math.max(tonumber(ARGV[3]), math.ceil(n / math.max(size, 1)))
for _ = 1, 1024 do -- bounded: a script that runs on stops every other client
    if #ids >= n or at >= size then break end
    local workspace = redis.call('ZRANGE', ring, at, at)[1]
    local rest = rests[workspace] or cap
    if rest == 0 then
        at = at + 1
    else
        local queue = ARGV[1] .. workspace
        local taken = redis.call('ZPOPMIN', queue, math.min(share, rest, n - #ids))
        for i = 1, #taken, 2 do ids[#ids + 1] = taken[i] end
        turns[#turns + 1] = { workspace, #taken / 2 }
        rests[workspace] = rest - #taken / 2
        if redis.call('EXISTS', queue) == 0 then
            redis.call('ZREM', ring, workspace)
            size = size - 1
        else
            redis.call('ZADD', ring, redis.call('INCR', turn), workspace)
        end
    end
end

local left = 0
if size == 0 then
    redis.call('DEL', depth) -- whatever it counted, there is nothing
elseif #ids > 0 then
    left = redis.call('DECRBY', depth, #ids)
    redis.call('LPUSH', wake, '1')
    redis.call('LTRIM', wake, 0, 63)
else
    left = tonumber(redis.call('GET', depth) or '0') -- all were passed over
end
return { redis.call('GET', gen) or '', left, ids, turns }
