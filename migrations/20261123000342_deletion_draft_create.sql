-- What a network may keep unseen of somebody who is being deleted: drafts, and what they are made of. It is taken back while
-- there is access, and what could not be stands in the receipt.
CREATE TYPE draft_outcome AS ENUM ('open', 'gone', 'left', 'passing');

CREATE TABLE deletion_draft (
    request_id    uuid NOT NULL REFERENCES deletion_request,
    account_id    uuid NOT NULL,
    handle_kind   text NOT NULL,
    handle_id     text NOT NULL,
    handle_detail jsonb NOT NULL DEFAULT '{}',
    outcome       draft_outcome NOT NULL DEFAULT 'open', -- passing: public, or ends by itself
    attempts      integer NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL DEFAULT ledger_now(),
    code          text, -- the network's last word
    why           text CONSTRAINT deletion_draft_why_known CHECK (why IN ('away', 'no_access', 'refused')),
    PRIMARY KEY (request_id, handle_kind, handle_id),
    CONSTRAINT deletion_draft_left_says_why CHECK (outcome <> 'left' OR why IS NOT NULL)
);
CREATE INDEX deletion_draft_open ON deletion_draft (request_id, next_at) WHERE outcome = 'open';
