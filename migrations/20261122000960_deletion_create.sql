-- Requests that all data of a person be deleted, whatever way they came. The row outlives the data: it is what a restore
-- from a backup is corrected by, and holds nothing that names anybody once the request is done.
CREATE TYPE deletion_origin AS ENUM ('meta', 'page', 'mail', 'staff', 'account');
CREATE TYPE deletion_stage AS ENUM (
    'draining', 'revoking', 'shredding', 'purging', 'verifying', 'telling', 'forgetting', 'done');

CREATE TABLE deletion_request (
    id           uuid PRIMARY KEY,
    origin       deletion_origin NOT NULL,
    -- of the code that its state is looked up by; the code itself is kept nowhere
    code_digest  bytea NOT NULL CONSTRAINT deletion_request_code_length CHECK (octet_length(code_digest) = 32),
    -- of what came, keyed by a secret that is not in here: what comes again is the same request
    asked_digest bytea,
    stage        deletion_stage NOT NULL DEFAULT 'draining',
    round        integer NOT NULL DEFAULT 1, -- of purging: what is found left begins another
    received_at  timestamptz NOT NULL DEFAULT ledger_now(),
    signed_at    timestamptz, -- by Meta's clock
    signed_until timestamptz,
    moved_at     timestamptz NOT NULL DEFAULT ledger_now(), -- the last progress
    drained_at   timestamptz,
    revoked_at   timestamptz,
    shredded_at  timestamptz,
    purged_at    timestamptz,
    verified_at  timestamptz,
    told_at      timestamptz,
    done_at      timestamptz,
    was_armed    integer NOT NULL DEFAULT 0, -- publications that were on their way when it came: they are waited for
    given_up     integer NOT NULL DEFAULT 0, -- those that were not, and go out no more
    not_provable integer NOT NULL DEFAULT 0, -- of which nobody could tell in time whether they are public
    language     text NOT NULL DEFAULT 'en' CONSTRAINT deletion_request_language_known CHECK (language IN ('en', 'he')),
    recipient    bytea,                      -- the address that the confirmation goes to, sealed; forgotten in the end
    reason       text CONSTRAINT deletion_request_reason_length CHECK (length(reason) BETWEEN 1 AND 500),
    addressed    boolean NOT NULL DEFAULT false, -- there was one
    workspace_id uuid,                       -- whose staff asked, where it was the staff
    asked_by     uuid,                       -- the person or the key that asked for somebody
    receipt      text,                       -- what is signed, byte for byte
    signature    bytea,
    key_id       text,
    CONSTRAINT deletion_request_code_key UNIQUE (code_digest),
    CONSTRAINT deletion_request_asked_key UNIQUE (asked_digest),
    CONSTRAINT deletion_request_ends CHECK ((stage = 'done') = (done_at IS NOT NULL)),
    CONSTRAINT deletion_request_receipt_is_signed CHECK ((receipt IS NULL) = (signature IS NULL)
                                                         AND (receipt IS NULL) = (key_id IS NULL))
);
CREATE INDEX deletion_request_open ON deletion_request (moved_at) WHERE stage <> 'done';

-- The connections that a request covers, as they were when it came: by our own ids, which nobody has again.
CREATE TYPE revocation_state AS ENUM ('open', 'revoked', 'already', 'nothing', 'superseded', 'given_up');

CREATE TABLE deletion_account (
    request_id   uuid NOT NULL REFERENCES deletion_request,
    account_id   uuid NOT NULL,
    workspace_id uuid NOT NULL,
    platform     text NOT NULL,
    revocation   revocation_state NOT NULL DEFAULT 'open',
    attempts     integer NOT NULL DEFAULT 0,
    next_at      timestamptz NOT NULL DEFAULT ledger_now(),
    code         text, -- the network's last word
    answered_at  timestamptz,
    PRIMARY KEY (request_id, account_id)
);
CREATE INDEX deletion_account_by_account ON deletion_account (account_id);

-- What else it covers, by id, written down before anything of it is destroyed; forgotten in the end.
CREATE TABLE deletion_mark (
    request_id uuid NOT NULL REFERENCES deletion_request,
    id         uuid NOT NULL,
    kind       text NOT NULL CONSTRAINT deletion_mark_kind_known CHECK (
                   kind IN ('account', 'person', 'publication', 'post', 'media', 'upload', 'job')),
    PRIMARY KEY (request_id, id, kind)
);
CREATE TABLE deletion_object (
    request_id uuid NOT NULL REFERENCES deletion_request,
    object_key text NOT NULL,
    parts      text,
    erased     boolean NOT NULL DEFAULT false,
    attempts   integer NOT NULL DEFAULT 0, -- in vain
    PRIMARY KEY (request_id, object_key)
);

-- Each store in turn. The row is there before anything in its store is destroyed, and counts what was.
CREATE TABLE deletion_step (
    request_id uuid NOT NULL REFERENCES deletion_request,
    round      integer NOT NULL,
    store      text NOT NULL,
    erased     bigint NOT NULL DEFAULT 0,
    began_at   timestamptz NOT NULL DEFAULT ledger_now(),
    moved_at   timestamptz NOT NULL DEFAULT ledger_now(),
    done_at    timestamptz,
    PRIMARY KEY (request_id, round, store)
);

-- Who asks on the public page proves the address by the link that is mailed there: good once, for a day.
CREATE TABLE deletion_ask (
    digest     bytea PRIMARY KEY,
    recipient  bytea NOT NULL, -- the address, sealed
    language   text NOT NULL CONSTRAINT deletion_ask_language_known CHECK (language IN ('en', 'he')),
    asked_at   timestamptz NOT NULL DEFAULT ledger_now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX deletion_ask_age ON deletion_ask (expires_at);

-- Mails that wait to be handed on: address, subject and words sealed together.
CREATE TABLE deletion_letter (
    id         uuid PRIMARY KEY,
    request_id uuid REFERENCES deletion_request,
    kind       text NOT NULL CONSTRAINT deletion_letter_kind_known CHECK (kind IN ('confirm', 'done')),
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT ledger_now()
);
CREATE UNIQUE INDEX one_letter_a_request ON deletion_letter (request_id, kind) WHERE request_id IS NOT NULL;
CREATE INDEX deletion_letter_age ON deletion_letter (created_at);

-- What receipts are signed with. What verifies them is public; the seed is in the vault.
CREATE TABLE receipt_key (
    id         text PRIMARY KEY,
    public     bytea NOT NULL CONSTRAINT receipt_key_length CHECK (octet_length(public) = 32),
    created_at timestamptz NOT NULL DEFAULT ledger_now()
);
CREATE TABLE vault.receipt_seed (
    id     text PRIMARY KEY REFERENCES public.receipt_key,
    sealed bytea NOT NULL
);

-- An account that is being erased is no more the account of that name: whoever connects it anew makes another one, which
-- the request does not touch.
ALTER TABLE account ADD COLUMN deletion_id uuid REFERENCES deletion_request;
ALTER TABLE account DROP CONSTRAINT account_external_key;
CREATE UNIQUE INDEX account_external_key ON account (workspace_id, platform, external_id) WHERE deletion_id IS NULL;
CREATE INDEX account_by_subject ON account (subject_id) WHERE subject_id IS NOT NULL;
CREATE INDEX account_by_subject_email ON account (lower(subject_email)) WHERE subject_email IS NOT NULL;
-- Purging goes by these.
CREATE INDEX remote_call_by_account ON remote_call (account_id);
CREATE INDEX job_by_account ON job (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX job_history_by_account ON job_history (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX orphan_handle_by_account ON orphan_handle (account_id);

-- One job a request, so that one worker at a time holds it.
CREATE UNIQUE INDEX one_deletion_job ON job ((payload ->> 'request_id')) WHERE kind = 'deletion';
