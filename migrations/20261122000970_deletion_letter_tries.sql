-- Who takes a mail about a deletion to send it has it alone for a while; what could not be sent waits longer each time.
ALTER TABLE deletion_letter
    ADD COLUMN try_at timestamptz NOT NULL DEFAULT ledger_now(),
    ADD COLUMN tries  integer NOT NULL DEFAULT 0;
