-- A file that a browser was allowed to send straight to the object store. What comes under `object_key` is looked at
-- before it becomes a medium, under a key of its own that nobody outside was ever given.
CREATE TABLE upload (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace,
    object_key   text NOT NULL CONSTRAINT upload_object_key_key UNIQUE,
    name         text NOT NULL,
    type         text NOT NULL,   -- promised; the content decides
    bytes        bigint NOT NULL CONSTRAINT upload_bytes_positive CHECK (bytes > 0),
    media_id     uuid CONSTRAINT upload_media_fkey REFERENCES media ON DELETE SET NULL, -- what it became
    created_at   timestamptz NOT NULL DEFAULT ledger_now()
);
CREATE INDEX upload_age ON upload (created_at);
CREATE INDEX upload_by_media ON upload (media_id) WHERE media_id IS NOT NULL;
