-- Metrics that a network does not tell of an account, in its words; they are tried again now and then.
CREATE TABLE metric_refusal (
    account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    metric     smallint NOT NULL,
    since      timestamptz NOT NULL DEFAULT ledger_now(),
    tried_at   timestamptz NOT NULL DEFAULT ledger_now(), -- the last time
    code       text NOT NULL,
    words      text NOT NULL,
    CONSTRAINT metric_refusal_key PRIMARY KEY (account_id, metric)
);

-- What operators are told once, however often it is found.
CREATE TABLE notice (
    topic   text NOT NULL CONSTRAINT notice_topic_word CHECK (topic ~ '^[a-z][a-z_]{1,39}$'),
    subject text NOT NULL, -- what it is about; nobody is told twice of the same
    detail  text NOT NULL, -- the network's code; its words may be of somebody, and this stays
    told_at timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT notice_key PRIMARY KEY (topic, subject)
);
