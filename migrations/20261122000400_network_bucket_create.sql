-- How much of a network's allowance is left: of the app, of each workspace, of each account. All workers take from
-- the same rows, and nothing that happens to Redis fills them.
CREATE TABLE network_bucket (
    lane     text PRIMARY KEY, -- 'network', 'network/w/<workspace>' or 'network/a/<account>'
    full_at  timestamptz NOT NULL, -- when it will be full if nobody takes any more
    promised timestamptz NOT NULL  -- what whoever was last sent away from here was told
) WITH (fillfactor = 50);
