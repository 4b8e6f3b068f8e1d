-- Reads the log through, and holds nobody up who writes into it.
ALTER TABLE remote_call VALIDATE CONSTRAINT remote_call_is_about_an_account;
