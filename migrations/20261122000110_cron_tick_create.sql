-- Every tick that was taken, with its job. Any worker may insert one; the primary key lets one of them. A job of
-- a schedule belongs to the house: its workspace is the nil UUID.
CREATE TABLE cron_tick (
    name       text NOT NULL,
    fire_at    timestamptz NOT NULL,
    job_id     uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT ledger_now(),
    PRIMARY KEY (name, fire_at)
);
CREATE INDEX cron_tick_by_age ON cron_tick (created_at);
