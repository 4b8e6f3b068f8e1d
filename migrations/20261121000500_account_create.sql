-- A connected account of a network. Its tokens live in another schema.
CREATE TYPE account_state AS ENUM ('active', 'paused', 'reconnect', 'frozen', 'erased');

CREATE TABLE account (
    id               uuid PRIMARY KEY,
    workspace_id     uuid NOT NULL REFERENCES workspace,
    platform         text NOT NULL CONSTRAINT account_platform_word CHECK (platform ~ '^[a-z][a-z_]{1,39}$'),
    external_id      text NOT NULL CONSTRAINT account_external_id_length CHECK (length(external_id) BETWEEN 1 AND 200),
    name             text NOT NULL,
    state            account_state NOT NULL DEFAULT 'active',
    state_reason     text,
    token_generation bigint NOT NULL DEFAULT 1,
    token_expires_at timestamptz, -- null: the network names no end
    frozen_at        timestamptz,
    resting_until    timestamptz, -- the network asked to be left alone until then
    defaults         jsonb NOT NULL DEFAULT '{}', -- options a post may leave out, such as privacy_level
    subject_id       text, -- the person who granted the connection, by the network's app-scoped id
    subject_email    text,
    created_at       timestamptz NOT NULL DEFAULT ledger_now(),
    connected_at     timestamptz NOT NULL DEFAULT ledger_now(), -- the last time; what was refused before says nothing of it
    CONSTRAINT account_external_key UNIQUE (workspace_id, platform, external_id)
);

-- The vault: a schema of its own, which the web role may not enter.
CREATE SCHEMA vault;
CREATE TABLE vault.token (
    account_id uuid NOT NULL REFERENCES public.account ON DELETE CASCADE,
    field      text NOT NULL CONSTRAINT token_field_known CHECK (field IN ('access', 'refresh')),
    generation bigint NOT NULL,
    key_id     text NOT NULL,
    sealed     bytea NOT NULL,
    issued_at  timestamptz NOT NULL DEFAULT public.ledger_now(),
    expires_at timestamptz,
    PRIMARY KEY (account_id, field)
);
