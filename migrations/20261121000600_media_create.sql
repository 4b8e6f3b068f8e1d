-- Files in the object store. The key is random and of the workspace; the uploaded name is display only.
CREATE TYPE media_state AS ENUM ('uploading', 'ready');

CREATE TABLE media (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace,
    object_key   text NOT NULL,
    name         text NOT NULL,
    type         text NOT NULL,
    bytes        bigint NOT NULL,
    width        integer NOT NULL,
    height       integer NOT NULL,
    duration_ms  bigint,
    sha256       bytea NOT NULL,
    state        media_state NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT media_object_key_key UNIQUE (object_key)
);
CREATE INDEX media_by_workspace ON media (workspace_id, id);
