-- The write-ahead log of mutating requests: a row is committed before its request leaves the process.
CREATE TYPE call_kind AS ENUM ('prepare', 'commit', 'observe', 'discard', 'refresh', 'revoke');
CREATE TYPE call_verdict AS ENUM ('ok', 'definite_no', 'ambiguous', 'resolved_yes', 'resolved_no');

CREATE TABLE remote_call (
    call_id        uuid PRIMARY KEY,
    publication_id uuid REFERENCES publication ON DELETE CASCADE,
    account_id     uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    job_id         uuid NOT NULL,
    epoch          bigint NOT NULL,
    worker_inc     uuid NOT NULL,
    seq            bigint GENERATED ALWAYS AS IDENTITY,
    kind           call_kind NOT NULL,
    handle_id      text,
    fingerprint    bytea,
    started_at     timestamptz NOT NULL DEFAULT ledger_now(),
    deadline_at    timestamptz NOT NULL,
    finished_at    timestamptz,
    http_status    smallint,
    remote_code    text,
    remote_message text,
    remote_ids     jsonb,
    revoked        boolean NOT NULL DEFAULT false,
    verdict        call_verdict
);
-- A second commit can be written only when every earlier one is proved to have had no effect.
CREATE UNIQUE INDEX one_effective_commit ON remote_call (publication_id)
    WHERE kind = 'commit' AND (verdict IS NULL OR verdict IN ('ok', 'ambiguous', 'resolved_yes'));
CREATE INDEX remote_call_by_publication ON remote_call (publication_id, seq);
