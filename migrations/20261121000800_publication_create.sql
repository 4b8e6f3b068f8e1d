-- One intended public effect: a post on an account. Queueing is the job's business, not repeated here.
CREATE TYPE publication_state AS ENUM (
    'scheduled', 'preparing', 'prepared', 'waiting', 'armed', 'unknown', 'retry_wait',
    'published', 'held', 'failed', 'cancelled');
CREATE TYPE handle_state AS ENUM ('none', 'building', 'ready', 'dead', 'spent');

CREATE TABLE publication (
    id                  uuid PRIMARY KEY,
    workspace_id        uuid NOT NULL REFERENCES workspace,
    account_id          uuid NOT NULL REFERENCES account,
    post_id             uuid NOT NULL REFERENCES post ON DELETE CASCADE,
    surface             text NOT NULL CONSTRAINT publication_surface_word CHECK (surface ~ '^[a-z][a-z_]{1,39}$'),
    caption             text,                        -- null: the post's
    options             jsonb NOT NULL DEFAULT '{}',
    state               publication_state NOT NULL,
    version             bigint NOT NULL DEFAULT 1,   -- raised by every edit of what would be sent
    scheduled_for       timestamptz NOT NULL,
    latest_at           timestamptz NOT NULL,
    next_check_at       timestamptz,                 -- the reconciler's next look, while unknown
    handle_kind         text,
    handle_id           text,
    handle_detail       jsonb NOT NULL DEFAULT '{}', -- what the network needs besides the id to go on
    handle_state        handle_state NOT NULL DEFAULT 'none',
    handle_version      bigint,                      -- the version that was prepared
    armed_at            timestamptz,
    quarantine_until    timestamptz,
    absent_since        timestamptz,                 -- the first of the reads that prove absence
    public_id           text,
    public_url          text,
    published_at        timestamptz,
    cancel_requested_at timestamptz,
    hold_reason         text,
    error               jsonb,                       -- {class, code, message} of the last failure
    updated_at          timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT publication_effect_key UNIQUE (post_id, account_id, surface),
    CONSTRAINT publication_handle_key UNIQUE (handle_kind, handle_id),
    CONSTRAINT publication_unknown_is_looked_at CHECK (state <> 'unknown' OR next_check_at IS NOT NULL),
    CONSTRAINT publication_handle_is_named CHECK (handle_state = 'none' OR handle_id IS NOT NULL)
);
-- Two commits of one account at once would run into the network's own limits and order.
CREATE UNIQUE INDEX one_armed_per_account ON publication (account_id) WHERE state = 'armed';
CREATE INDEX publication_unknown ON publication (next_check_at) WHERE state = 'unknown';
CREATE INDEX publication_unnamed ON publication (next_check_at) WHERE state = 'published' AND next_check_at IS NOT NULL;
CREATE INDEX publication_open ON publication (state) WHERE state NOT IN ('published', 'failed', 'cancelled', 'held');
CREATE INDEX publication_by_account ON publication (account_id);

-- Handles made by somebody who no longer held the claim, or replaced unarmed: swept at the network.
CREATE TABLE orphan_handle (
    account_id  uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    handle_kind text NOT NULL,
    handle_id   text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT ledger_now(),
    PRIMARY KEY (handle_kind, handle_id)
);
