-- A key for each account, sealed under the key ring, that the account's tokens are sealed under: without this row no copy of
-- them can be read any more, neither a dead row's nor a log's nor a backup's. That is worth something as long as the keys are
-- not in the same copies: a backup that is kept for long leaves the rows of this table out
-- (`pg_dump --exclude-table-data=vault.data_key`), and what a full one brings back of the deleted is destroyed by
-- `postroom restore` before any worker starts.
CREATE TABLE vault.data_key (
    account_id uuid PRIMARY KEY REFERENCES public.account ON DELETE CASCADE,
    id         uuid NOT NULL, -- stands beside the tokens, as 'data:…'; another one with each pair
    cipher     text NOT NULL CONSTRAINT data_key_cipher_word CHECK (cipher ~ '^[a-z][a-z0-9-]{1,39}$'),
    key_id     text NOT NULL, -- of the ring
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT public.ledger_now()
)
-- what was destroyed is cleared away soon, however many keys there are
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);

-- Whoever shreds the last token of an account shreds its key, in the same transaction, whatever it is shredded for: also a
-- worker of an earlier version, which knows of no keys.
CREATE FUNCTION vault.end_data_keys() RETURNS trigger
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
BEGIN
    DELETE FROM vault.data_key k
    WHERE k.account_id IN (SELECT g.account_id FROM gone g)
      AND NOT EXISTS (SELECT FROM vault.token t WHERE t.account_id = k.account_id);
    RETURN NULL;
END $$;
CREATE TRIGGER token_takes_its_data_key_along AFTER DELETE ON vault.token
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION vault.end_data_keys();
