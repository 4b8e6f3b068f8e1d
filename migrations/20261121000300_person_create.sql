-- Staff: who may sign in, and what they may do in which workspace.
CREATE TYPE member_role AS ENUM ('viewer', 'author', 'publisher', 'admin', 'privacy');

CREATE TABLE person (
    id            uuid PRIMARY KEY,
    email         text NOT NULL CONSTRAINT person_email_lower CHECK (email = lower(email)),
    first_name    text NOT NULL,
    last_name     text NOT NULL,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT person_email_key UNIQUE (email)
);

CREATE TABLE membership (
    person_id    uuid NOT NULL REFERENCES person ON DELETE CASCADE,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    role         member_role NOT NULL,
    PRIMARY KEY (person_id, workspace_id)
);

-- Sessions are looked up by a random id alone; what the cookie carries is that id and nothing else.
CREATE TABLE session (
    id         text PRIMARY KEY,
    data       jsonb NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX session_expiry ON session (expires_at);
