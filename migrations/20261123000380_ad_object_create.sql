-- What is advertised: the ad account itself, its campaigns, their parts and their ads, by the network's ids. Their numbers know
-- each by its number here.
CREATE TABLE ad_object (
    number       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace,
    account_id   uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    level        text NOT NULL CONSTRAINT ad_object_level_word CHECK (level ~ '^[a-z][a-z_]{1,39}$'),
    remote_id    text NOT NULL,
    parent_id    text,                 -- the network's id of what it is in
    name         text,                 -- what people call it, as it was told last
    seen_at      timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT ad_object_key UNIQUE (account_id, level, remote_id)
);
