-- Whether a grant that no account rests on is being taken back.
CREATE INDEX remote_call_giving_back ON remote_call (job_id) WHERE kind = 'revoke' AND account_id IS NULL AND verdict IS NULL;
