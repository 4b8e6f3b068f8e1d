-- What a workspace is told of by itself: an address of its own software, and which events it wants there.
CREATE TYPE webhook_state AS ENUM ('active', 'disabled');
CREATE TYPE webhook_disabled_why AS ENUM (
    'failing', -- nothing that was sent there was taken for days
    'gone',    -- the address itself said that it wants no more
    'asked'    -- somebody switched it off
);

CREATE TABLE webhook (
    id             uuid PRIMARY KEY, -- of version 7: in the order in which they were made
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    url            text NOT NULL CONSTRAINT webhook_url_length CHECK (length(url) BETWEEN 1 AND 2048),
    events         text[] NOT NULL CONSTRAINT webhook_wants_something CHECK (cardinality(events) BETWEEN 1 AND 50),
    note           text NOT NULL DEFAULT '' CONSTRAINT webhook_note_length CHECK (length(note) <= 200),
    state          webhook_state NOT NULL DEFAULT 'active',
    disabled_why   webhook_disabled_why,
    disabled_at    timestamptz,
    failing_since  timestamptz, -- the first failure since the last success
    previous_until timestamptz, -- until when what it was signed with before is good
    created_by     uuid,        -- the person or the API key
    created_at     timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT webhook_is_disabled_for_a_reason CHECK (
        (state = 'disabled') = (disabled_why IS NOT NULL) AND (state = 'disabled') = (disabled_at IS NOT NULL))
);
CREATE INDEX webhook_by_workspace ON webhook (workspace_id, id);

-- What what is sent there is signed with: the present secret, and the one before it while it is being exchanged.
CREATE TABLE vault.webhook_secret (
    id         uuid PRIMARY KEY,
    webhook_id uuid NOT NULL REFERENCES public.webhook ON DELETE CASCADE,
    key_id     text NOT NULL,
    sealed     bytea NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT public.ledger_now(),
    ends_at    timestamptz -- null: it is the present one
);
CREATE UNIQUE INDEX one_present_webhook_secret ON vault.webhook_secret (webhook_id) WHERE ends_at IS NULL;
CREATE INDEX webhook_secret_by_webhook ON vault.webhook_secret (webhook_id);
CREATE INDEX webhook_secret_ends ON vault.webhook_secret (ends_at) WHERE ends_at IS NOT NULL;

-- Something that happened and that somebody wants to hear of: our own ids alone, for what is told is what is true when it
-- is told. Its id is the same at every address and in every try.
CREATE TABLE event (
    id             uuid PRIMARY KEY,
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    type           text NOT NULL CONSTRAINT event_type_word CHECK (type ~ '^[a-z]+\.[a-z_]+$'),
    occurred_at    timestamptz NOT NULL DEFAULT ledger_now(),
    post_id        uuid,
    publication_id uuid,
    account_id     uuid,
    request_id     uuid
);
CREATE INDEX event_by_account ON event (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX event_by_age ON event (occurred_at);

-- An event on its way to one address.
CREATE TYPE delivery_state AS ENUM (
    'waiting',   -- there is a job for it
    'delivered', -- it was taken
    'failed',    -- it was given up
    'gone'       -- what it was about was deleted before it could be told
);

CREATE TABLE delivery (
    id           uuid PRIMARY KEY,
    event_id     uuid NOT NULL REFERENCES event ON DELETE CASCADE,
    webhook_id   uuid NOT NULL REFERENCES webhook ON DELETE CASCADE,
    job_id       uuid NOT NULL,
    state        delivery_state NOT NULL DEFAULT 'waiting',
    tries        integer NOT NULL DEFAULT 0,
    last_status  smallint, -- of the last answer; null: there was none
    last_error   text,     -- words of ours
    last_at      timestamptz,
    delivered_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT delivery_once UNIQUE (event_id, webhook_id),
    CONSTRAINT delivery_is_delivered CHECK ((state = 'delivered') = (delivered_at IS NOT NULL))
);
CREATE INDEX delivery_by_webhook ON delivery (webhook_id, created_at DESC, id DESC);
CREATE INDEX delivery_by_job ON delivery (job_id);
