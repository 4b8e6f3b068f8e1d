-- What staff wrote, and when it is to go out: wall time, zone and the instant they make are all kept.
CREATE TYPE post_kind AS ENUM ('post', 'reel', 'story', 'carousel');

CREATE TABLE post (
    id            uuid PRIMARY KEY,
    workspace_id  uuid NOT NULL REFERENCES workspace,
    kind          post_kind NOT NULL,
    caption       text NOT NULL,
    link          text,
    wall_time     timestamp,  -- null: as soon as possible
    time_zone     text,       -- an IANA name, or an offset where the wall time carried one
    fold          text CONSTRAINT post_fold_known CHECK (fold IN ('earlier', 'later')),
    scheduled_for timestamptz NOT NULL,
    latest_after  interval NOT NULL CONSTRAINT post_latest_after_positive CHECK (latest_after >= '0'),
    created_by    uuid,       -- the person or the API key that asked
    created_at    timestamptz NOT NULL DEFAULT ledger_now()
);
CREATE INDEX post_by_workspace ON post (workspace_id, id);
CREATE INDEX post_by_time ON post (workspace_id, scheduled_for);

CREATE TABLE post_media (
    post_id  uuid NOT NULL REFERENCES post ON DELETE CASCADE,
    position smallint NOT NULL,
    media_id uuid NOT NULL REFERENCES media,
    PRIMARY KEY (post_id, position)
);
