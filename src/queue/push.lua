-- Adds hints that are not yet held, up to the window, and wakes a worker.
-- KEYS: ring, wake, gen, depth, turn   ARGV: prefix, window, a generation if there is none, then workspace, id, score …
-- Returns how many found no room.
local ring, wake, gen, depth, turn = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
redis.call('SET', gen, ARGV[3], 'NX')
local held = tonumber(redis.call('GET', depth) or '0')
local room = tonumber(ARGV[2]) - held
local added, refused, met = 0, 0, {}
for n = 4, #ARGV, 3 do
    local workspace = ARGV[n]
    local queue = ARGV[1] .. workspace
    -- a few of each always find room: one workspace's backlog must not keep the others out
    if added >= room and redis.call('ZCARD', queue) >= 16 then
        refused = refused + 1
    else
        added = added + redis.call('ZADD', queue, 'NX', ARGV[n + 2], ARGV[n + 1])
        if not met[workspace] then
            met[workspace] = true
            if not redis.call('ZSCORE', ring, workspace) then
                redis.call('ZADD', ring, redis.call('INCR', turn), workspace)
            end
        end
    end
end
if added > 0 then redis.call('INCRBY', depth, added) end
-- also when nothing was new: whoever was woken before may have died before it looked
if redis.call('EXISTS', ring) == 1 then
    redis.call('LPUSH', wake, '1')
    redis.call('LTRIM', wake, 0, 63)
end
return refused
