-- What is done by the clock on a wall. Each worker writes its file's schedules here when it starts, and all go
-- by these rows: while versions change, the file of the worker that started last decides for everybody.
CREATE TYPE catch_up AS ENUM ('all', 'latest', 'none');

CREATE TABLE schedule (
    name          text PRIMARY KEY CONSTRAINT schedule_name_word CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    cron          text NOT NULL,
    time_zone     text NOT NULL,
    kind          text NOT NULL CONSTRAINT schedule_kind_word CHECK (kind ~ '^[a-z][a-z_]{1,39}$'),
    ver           integer NOT NULL,
    payload       jsonb NOT NULL CONSTRAINT schedule_payload_size CHECK (octet_length(payload::text) <= 65536),
    catch_up      catch_up NOT NULL,
    enabled       boolean NOT NULL,
    -- every tick up to here was taken or left out; a schedule that is new, changed or enabled again starts at now
    decided_until timestamptz NOT NULL
);
