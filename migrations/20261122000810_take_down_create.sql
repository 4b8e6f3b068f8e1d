-- A wish to take down what is public. The publication stays published, for that is what it was; what became of the wish
-- is kept beside it. The primary key is what makes it one wish, and `job_id` names the one job that carries it out.
CREATE TYPE take_down_state AS ENUM ('asked', 'gone', 'refused');

CREATE TABLE take_down (
    publication_id uuid PRIMARY KEY REFERENCES publication ON DELETE CASCADE,
    state          take_down_state NOT NULL DEFAULT 'asked',
    job_id         uuid NOT NULL,
    asked_by       uuid NOT NULL,
    asked_at       timestamptz NOT NULL DEFAULT ledger_now(),
    reason         text,                 -- what the one who asked wrote
    ended_at       timestamptz,
    why            jsonb,                -- {class, code, message}: why it was refused
    CONSTRAINT take_down_ends CHECK ((state = 'asked') = (ended_at IS NULL)),
    CONSTRAINT take_down_is_refused_for_a_reason CHECK ((state = 'refused') = (why IS NOT NULL))
);
CREATE INDEX take_down_by_job ON take_down (job_id);
