-- The slits into the vault run as their owner, from whom row security hides nothing: they ask for themselves whether what is put
-- there is of the bound workspace. What is of another is as if it were not there.
CREATE OR REPLACE FUNCTION keep_webhook_secret(its_webhook uuid, its_id uuid, its_key text, its_blob bytea, overlap interval)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM webhook w
    WHERE w.id = its_webhook AND coalesce(w.workspace_id = bound_workspace(), true) FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM vault.webhook_secret s WHERE s.webhook_id = its_webhook AND s.ends_at IS NOT NULL;
    UPDATE vault.webhook_secret s SET ends_at = ledger_now() + overlap WHERE s.webhook_id = its_webhook;
    INSERT INTO vault.webhook_secret (id, webhook_id, key_id, sealed) VALUES (its_id, its_webhook, its_key, its_blob);
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION keep_connection_secret(connection uuid, its_field text, its_key text, its_blob bytea) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO vault.connection_secret (connection_id, field, key_id, sealed)
    SELECT c.id, its_field, its_key, its_blob FROM connection c
    WHERE c.id = connection AND c.ended_at IS NULL AND its_field = 'code'
      AND coalesce(c.workspace_id = bound_workspace(), true)
    RETURNING true
$$;
