-- The slit through which `web` puts what a webhook is signed with: it may not enter the vault. What was the present secret
-- is good for so long still, and the one before that is gone. Runs as its owner.
CREATE FUNCTION keep_webhook_secret(its_webhook uuid, its_id uuid, its_key text, its_blob bytea, overlap interval)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM webhook w WHERE w.id = its_webhook FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM vault.webhook_secret s WHERE s.webhook_id = its_webhook AND s.ends_at IS NOT NULL;
    UPDATE vault.webhook_secret s SET ends_at = ledger_now() + overlap WHERE s.webhook_id = its_webhook;
    INSERT INTO vault.webhook_secret (id, webhook_id, key_id, sealed) VALUES (its_id, its_webhook, its_key, its_blob);
    RETURN true;
END $$;
