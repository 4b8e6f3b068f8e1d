-- What was asked of the provider: a row before each call, with what it can cost at most. One that is never settled counts
-- in full. What left is written down by its names, sizes and digests, never itself; what came back is kept, so that the
-- same question is paid for once.
CREATE TYPE analysis_call_state AS ENUM ('open', 'settled', 'lost');

CREATE TABLE analysis_call (
    id              uuid PRIMARY KEY,
    analysis_id     uuid NOT NULL REFERENCES analysis ON DELETE CASCADE,
    workspace_id    uuid NOT NULL REFERENCES workspace,
    month           date NOT NULL,
    digest          bytea NOT NULL CONSTRAINT analysis_call_digest_length CHECK (octet_length(digest) = 32),
    prompt          text NOT NULL,
    model           text NOT NULL,
    sent            jsonb NOT NULL,
    state           analysis_call_state NOT NULL DEFAULT 'open',
    outcome         text CONSTRAINT analysis_call_outcome_word CHECK (outcome ~ '^[a-z][a-z_]{1,39}$'),
    reserved_micros bigint NOT NULL CONSTRAINT analysis_call_reserved_range CHECK (reserved_micros >= 0),
    counted_micros  bigint NOT NULL CONSTRAINT analysis_call_counted_range CHECK (counted_micros >= 0),
    input_tokens    bigint,
    output_tokens   bigint,
    answer          text,
    began_at        timestamptz NOT NULL DEFAULT ledger_now(),
    open_until      timestamptz NOT NULL, -- whoever began it comes back by then, or never
    ended_at        timestamptz,
    CONSTRAINT analysis_call_ends CHECK ((state = 'open') = (ended_at IS NULL))
);
-- The same question is asked by one at a time; the others wait for what comes of it.
CREATE UNIQUE INDEX one_open_question ON analysis_call (workspace_id, digest, prompt, model) WHERE state = 'open';
CREATE INDEX analysis_call_answered ON analysis_call (workspace_id, digest, prompt, model) WHERE answer IS NOT NULL;
CREATE INDEX analysis_call_by_analysis ON analysis_call (analysis_id, began_at);

-- What a month has cost, with what is set aside: it outlives the calls that it was for.
CREATE TABLE analysis_month (
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    month          date NOT NULL,
    counted_micros bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, month)
);
