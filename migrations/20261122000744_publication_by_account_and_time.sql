-- What else goes to an account around a time: a repetition, or the next that is due. Serves what the index by account
-- alone did.
CREATE INDEX publication_by_account_and_time ON publication (account_id, scheduled_for);
DROP INDEX publication_by_account;
