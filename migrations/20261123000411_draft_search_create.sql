-- Accounts on which a call that prepares lost its answer: what it may have left at the network has no name here, and is
-- looked for there an hour later.
CREATE TABLE draft_search (
    account_id uuid PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    since      timestamptz NOT NULL,        -- no such call began earlier
    seek_at    timestamptz NOT NULL DEFAULT ledger_now() + interval '1 hour',
    tries      integer NOT NULL DEFAULT 0   -- that failed
);
CREATE INDEX draft_search_due ON draft_search (seek_at);

-- One search is for all calls of an account: one that is noted is not waited for, nor put off.
CREATE FUNCTION seek_draft() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO draft_search (account_id, since) VALUES (NEW.account_id, NEW.started_at - interval '1 hour')
    ON CONFLICT (account_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER remote_call_may_have_left_a_draft AFTER UPDATE OF verdict ON remote_call
    FOR EACH ROW WHEN (NEW.kind = 'prepare' AND NEW.verdict = 'ambiguous' AND OLD.verdict IS NULL
                       AND NEW.handle_id IS NULL AND NEW.account_id IS NOT NULL)
    EXECUTE FUNCTION seek_draft();
