-- Who was asked to join a workspace and has not yet. The link is kept as its digest; a second invitation of the same
-- address replaces the first.
CREATE TABLE invitation (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    email        text NOT NULL CONSTRAINT invitation_email_lower CHECK (email = lower(email)),
    first_name   text NOT NULL,
    last_name    text NOT NULL,
    role         member_role NOT NULL,
    digest       bytea NOT NULL CONSTRAINT invitation_digest_key UNIQUE,
    invited_by   uuid REFERENCES person ON DELETE SET NULL,
    mail_id      uuid REFERENCES mail ON DELETE SET NULL,
    created_at   timestamptz NOT NULL DEFAULT ledger_now(),
    expires_at   timestamptz NOT NULL,
    CONSTRAINT invitation_email_key UNIQUE (workspace_id, email)
);
