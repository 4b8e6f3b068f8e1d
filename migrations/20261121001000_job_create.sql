-- Live jobs only: a finished job leaves for job_history in the statement that finishes it.
CREATE TYPE job_standing AS ENUM ('active', 'paused');
CREATE TYPE attempt_outcome AS ENUM (
    'done', 'waiting', 'retry', 'paused', 'released', 'reaped', 'held', 'failed', 'cancelled', 'unknown', 'dead');

CREATE TABLE job (
    id             uuid PRIMARY KEY,
    kind           text NOT NULL CONSTRAINT job_kind_word CHECK (kind ~ '^[a-z][a-z_]{1,39}$'),
    ver            integer NOT NULL DEFAULT 1,
    workspace_id   uuid NOT NULL,
    account_id     uuid,
    publication_id uuid,
    prio           smallint NOT NULL DEFAULT 0,
    run_at         timestamptz NOT NULL,
    standing       job_standing NOT NULL DEFAULT 'active',
    epoch          bigint NOT NULL DEFAULT 1,
    attempt        integer NOT NULL DEFAULT 0, -- attempts spent
    crash_count    integer NOT NULL DEFAULT 0, -- claims ended by the reaper
    payload        jsonb NOT NULL CONSTRAINT job_payload_size CHECK (octet_length(payload::text) <= 65536),
    created_at     timestamptz NOT NULL DEFAULT ledger_now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX due ON job (kind, workspace_id, run_at) WHERE standing = 'active';
CREATE UNIQUE INDEX one_publish_job ON job (publication_id) WHERE kind = 'publish';

-- Mutual exclusion is this table's primary key; (job_id, epoch, worker_inc) names one claim and no other.
CREATE TABLE claim (
    job_id      uuid PRIMARY KEY,
    epoch       bigint NOT NULL,
    worker_inc  uuid NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT ledger_now(),
    deadline_at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Attempts that ended otherwise than by finishing the job; the last attempt is the history row itself.
CREATE TABLE attempt (
    job_id         uuid NOT NULL,
    publication_id uuid,
    epoch          bigint NOT NULL,
    started_at     timestamptz NOT NULL,
    ended_at       timestamptz NOT NULL DEFAULT ledger_now(),
    outcome        attempt_outcome NOT NULL,
    reason         text NOT NULL,
    PRIMARY KEY (job_id, epoch)
);
CREATE INDEX attempt_by_publication ON attempt (publication_id, ended_at) WHERE publication_id IS NOT NULL;

CREATE TABLE worker (
    inc         uuid PRIMARY KEY, -- fresh at every start: a name would outlive the process it named
    version     text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT ledger_now(),
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);
