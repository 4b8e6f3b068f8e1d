-- Networks that are broken: nobody goes there until then, and after it one looks whether it is well again.
CREATE TABLE breaker (
    network     text PRIMARY KEY,
    opened      integer NOT NULL DEFAULT 1, -- how often in a row
    open_until  timestamptz NOT NULL,
    probe_until timestamptz -- somebody is looking, and has this long
);
