-- A grant that no account rests on is taken back, too. What stands in the log already holds to it, for it held to less; it is
-- looked through later all the same, beside the work that goes on.
ALTER TABLE remote_call
    DROP CONSTRAINT remote_call_is_about_an_account,
    ADD CONSTRAINT remote_call_is_about_an_account CHECK (account_id IS NOT NULL OR kind IN ('connect', 'revoke')) NOT VALID;
