-- A code is exchanged before there is an account. What stands in the log already has one: it is looked through later, beside
-- the work that goes on.
ALTER TABLE remote_call
    ALTER COLUMN account_id DROP NOT NULL,
    ADD CONSTRAINT remote_call_is_about_an_account CHECK (account_id IS NOT NULL OR kind = 'connect') NOT VALID;
