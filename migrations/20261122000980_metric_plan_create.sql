-- When an account, and what was published on it, is asked about next: found by its state, never by a message. Its
-- number is what snapshots know it by; they are many, and a uuid takes four times as much.
CREATE TABLE metric_plan (
    number         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id   uuid NOT NULL REFERENCES workspace,
    account_id     uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    publication_id uuid REFERENCES publication ON DELETE CASCADE, -- null: the account itself
    object         text NOT NULL CONSTRAINT metric_plan_object_word CHECK (object ~ '^[a-z][a-z_]{1,39}$'),
    since          timestamptz NOT NULL,       -- when it came out
    due_at         timestamptz,                -- null: it is asked about no more
    ended          text,                       -- why not
    captures       integer NOT NULL DEFAULT 0, -- how often there was an answer
    absent_since   timestamptz,                -- since when each answer that could have had it has left it out
    captured_at    timestamptz,                -- the last time there was an answer
    CONSTRAINT metric_plan_publication_key UNIQUE (publication_id),
    CONSTRAINT metric_plan_ended CHECK ((due_at IS NULL) = (ended IS NOT NULL))
);
CREATE UNIQUE INDEX metric_plan_of_account_itself ON metric_plan (account_id) WHERE publication_id IS NULL;
CREATE INDEX metric_plan_due ON metric_plan (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX metric_plan_of_account ON metric_plan (account_id, due_at);
-- One job an account, so that its objects are asked about one after the other.
CREATE UNIQUE INDEX one_snapshot_job ON job (account_id) WHERE kind = 'metric_snapshot';
