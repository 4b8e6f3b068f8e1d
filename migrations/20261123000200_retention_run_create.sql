-- What retention has dropped, by day and class. The row is there before anything goes and counts up with each batch, in
-- its transaction; it is closed when nothing of that age is left. Whoever finds an open one goes on with it.
CREATE TABLE retention_run (
    day      date NOT NULL,
    class    text NOT NULL CONSTRAINT retention_run_class_word CHECK (class ~ '^[a-z][a-z_]{1,39}$'),
    keeps    interval NOT NULL, -- the age that it went by
    dropped  bigint NOT NULL DEFAULT 0,
    began_at timestamptz NOT NULL DEFAULT ledger_now(),
    moved_at timestamptz NOT NULL DEFAULT ledger_now(),
    done_at  timestamptz,
    PRIMARY KEY (day, class)
);
