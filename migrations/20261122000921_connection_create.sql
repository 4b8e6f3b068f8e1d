-- A connection on its way: from the network's dialog to the accounts that somebody chose. It is the work of one person in
-- one session of theirs; what the dialog gave stands sealed in the vault, which `web` may put into and not look into.
CREATE TYPE connection_state AS ENUM ('asked', 'coded', 'granted', 'offered', 'chosen', 'done', 'refused');

CREATE TABLE connection (
    id             uuid PRIMARY KEY,
    workspace_id   uuid NOT NULL REFERENCES workspace,
    person_id      uuid NOT NULL REFERENCES person,
    platform       text NOT NULL CONSTRAINT connection_platform_word CHECK (platform ~ '^[a-z][a-z_]{1,39}$'),
    state          connection_state NOT NULL DEFAULT 'asked',
    state_digest   bytea NOT NULL, -- of what the dialog brings back; used up by its first return
    session_digest bytea NOT NULL, -- of the session that it was begun in
    redirect_uri   text NOT NULL,  -- to the byte as the dialog was given it
    subject_id     text,           -- the person at the network, by the app-scoped id
    offers         jsonb NOT NULL DEFAULT '[]', -- what can be connected, and what is missing for it
    chosen         text[] NOT NULL DEFAULT '{}', -- of these: 'platform/id'
    why            jsonb,          -- {class, code, message}: why it came to nothing
    job_id         uuid,
    created_at     timestamptz NOT NULL DEFAULT ledger_now(),
    expires_at     timestamptz NOT NULL,
    ended_at       timestamptz,
    CONSTRAINT connection_state_key UNIQUE (state_digest),
    CONSTRAINT connection_ends CHECK ((state IN ('done', 'refused')) = (ended_at IS NOT NULL)),
    CONSTRAINT connection_is_refused_for_a_reason CHECK ((state = 'refused') = (why IS NOT NULL))
);
CREATE INDEX connection_expires ON connection (expires_at) WHERE ended_at IS NULL;
CREATE INDEX connection_ended ON connection (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE vault.connection_secret (
    connection_id uuid NOT NULL REFERENCES public.connection ON DELETE CASCADE,
    field         text NOT NULL CONSTRAINT connection_secret_field_known CHECK (field IN ('verifier', 'code', 'grant')),
    key_id        text NOT NULL,
    sealed        bytea NOT NULL,
    PRIMARY KEY (connection_id, field)
);

-- The slit through which `web` puts what it was brought: it may not enter the vault. Runs as its owner.
CREATE FUNCTION keep_connection_secret(connection uuid, its_field text, its_key text, its_blob bytea) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO vault.connection_secret (connection_id, field, key_id, sealed)
    SELECT c.id, its_field, its_key, its_blob FROM connection c
    WHERE c.id = connection AND c.ended_at IS NULL AND its_field IN ('verifier', 'code')
    RETURNING true
$$;

-- A code is exchanged before there is an account.
ALTER TABLE remote_call
    ALTER COLUMN account_id DROP NOT NULL,
    ADD CONSTRAINT remote_call_is_about_an_account CHECK (account_id IS NOT NULL OR kind = 'connect');
CREATE INDEX remote_call_by_job ON remote_call (job_id) WHERE kind = 'connect' AND verdict IS NULL;
CREATE INDEX remote_call_revoking ON remote_call (account_id) WHERE kind = 'revoke' AND verdict IS NULL;
CREATE INDEX remote_call_of_grants_over ON remote_call (finished_at)
    WHERE kind IN ('connect', 'revoke') AND verdict IS NOT NULL;

-- What became of the access of an account that was disconnected.
CREATE TYPE parting_state AS ENUM (
    'asked',    -- it is to be taken back at the network, and is shredded here in the step that says so
    'revoked',  -- the network has taken it back
    'kept',     -- other accounts rest on the same grant: shredded here alone
    'told',     -- the network said itself that it is gone
    'unproved'  -- the network could not be brought to say so in time: shredded here
);
ALTER TABLE account
    ADD COLUMN disconnected_at timestamptz,
    ADD COLUMN disconnected_by uuid, -- the person, or the key
    ADD COLUMN disconnected_how text CONSTRAINT account_disconnected_how CHECK (disconnected_how IN ('staff', 'key', 'network')),
    ADD COLUMN parting parting_state,
    ADD COLUMN connected_by uuid, -- the person who connected it through the console
    ADD CONSTRAINT account_parting CHECK (
        (disconnected_at IS NULL) = (parting IS NULL) AND (disconnected_at IS NULL) = (disconnected_how IS NULL));
CREATE INDEX account_by_external ON account (platform, external_id);
-- One job an account, so that one worker at a time takes its access back.
CREATE UNIQUE INDEX one_disconnect_job ON job (account_id) WHERE kind = 'disconnect';
