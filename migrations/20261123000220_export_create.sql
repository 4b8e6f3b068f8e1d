-- Copies of what is known of somebody, or of a workspace, on their way: written down in one transaction, packed into one file
-- part by part, and fetched once by whoever has the link. All of it goes when the link ends, and with a deletion.
CREATE TYPE export_state AS ENUM ('asked', 'gathered', 'made');

CREATE TABLE export (
    id           uuid PRIMARY KEY,
    workspace_id uuid,                      -- what is within it; null: wherever it is
    whole        boolean NOT NULL,          -- the workspace's own, whoever it came through
    state        export_state NOT NULL DEFAULT 'asked',
    link_digest  bytea NOT NULL CONSTRAINT export_link_key UNIQUE,
    object_key   text NOT NULL CONSTRAINT export_object_key_key UNIQUE,
    parts        text,                      -- what the store calls the parts, until they are joined
    bytes        bigint,                    -- of the file, once it is made
    asked_at     timestamptz NOT NULL DEFAULT ledger_now(),
    made_at      timestamptz,
    taken_at     timestamptz,
    expires_at   timestamptz NOT NULL,
    CONSTRAINT export_is_made CHECK ((state = 'made') = (made_at IS NOT NULL) AND (made_at IS NULL) = (bytes IS NULL))
);
CREATE INDEX export_expiry ON export (expires_at);

-- Whom it is of, by our own ids.
CREATE TABLE export_covered (
    export_id uuid NOT NULL REFERENCES export ON DELETE CASCADE,
    id        uuid NOT NULL,
    kind      text NOT NULL CONSTRAINT export_covered_kind_known CHECK (kind IN ('account', 'person')),
    PRIMARY KEY (export_id, id, kind)
);
CREATE INDEX export_covered_by_id ON export_covered (id);

-- What goes into the file, in order: words that were gathered, or a file of the store.
CREATE TABLE export_item (
    export_id  uuid NOT NULL REFERENCES export ON DELETE CASCADE,
    position   integer NOT NULL,
    path       text NOT NULL,
    body       text,
    object_key text,
    begins_at  bigint,  -- where in the file it begins
    crc        bigint,  -- once it is packed
    bytes      bigint,
    sha256     bytea,
    PRIMARY KEY (export_id, position),
    CONSTRAINT export_item_is_one_thing CHECK ((body IS NULL) <> (object_key IS NULL))
);

-- The parts that the store has, and up to where each goes: a worker that comes later goes on from there.
CREATE TABLE export_part (
    export_id uuid NOT NULL REFERENCES export ON DELETE CASCADE,
    number    integer NOT NULL,
    bytes     bigint NOT NULL,
    position  integer NOT NULL,
    within    bigint NOT NULL,
    PRIMARY KEY (export_id, number)
);
-- One job an export, so that one worker at a time packs it.
CREATE UNIQUE INDEX one_export_job ON job ((payload ->> 'export_id')) WHERE kind = 'export';

-- A request for deletion covers them too, and a letter may bring their link.
ALTER TABLE deletion_mark
    DROP CONSTRAINT deletion_mark_kind_known,
    ADD CONSTRAINT deletion_mark_kind_known CHECK (
        kind IN ('account', 'person', 'publication', 'post', 'media', 'upload', 'job', 'connection',
                 'invitation', 'mail', 'analysis', 'export'));
ALTER TABLE deletion_letter
    DROP CONSTRAINT deletion_letter_kind_known,
    ADD CONSTRAINT deletion_letter_kind_known CHECK (kind IN ('confirm', 'done', 'export'));
