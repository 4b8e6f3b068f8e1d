-- Letters on their way: written with what they tell of, in one transaction, and sent by the workers. What was accepted
-- by the mail server and not noted is sent again under the same name, by which mailboxes know it as the same.
CREATE TABLE mail (
    id           uuid PRIMARY KEY,
    to_address   text NOT NULL,
    subject      text NOT NULL,
    body         text,                 -- null when it is over: what it says may open a door
    created_at   timestamptz NOT NULL DEFAULT ledger_now(),
    worthless_at timestamptz NOT NULL, -- what it offers has ended by then
    try_at       timestamptz,          -- null when it is over
    tries        integer NOT NULL DEFAULT 0,
    sent_at      timestamptz,
    error        text,                 -- of the last try
    CONSTRAINT mail_says_something CHECK (try_at IS NULL OR body IS NOT NULL)
);
CREATE INDEX mail_due ON mail (try_at) WHERE try_at IS NOT NULL;
CREATE INDEX mail_over ON mail (created_at) WHERE try_at IS NULL;
