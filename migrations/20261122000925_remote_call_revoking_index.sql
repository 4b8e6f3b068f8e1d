-- Whether access of an account is being taken back.
CREATE INDEX remote_call_revoking ON remote_call (account_id) WHERE kind = 'revoke' AND verdict IS NULL;
