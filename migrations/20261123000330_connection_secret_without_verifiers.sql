-- No network that accounts are connected of takes a challenge (PKCE) of an app that keeps a secret: what a dialog gave and
-- the grant are all that a connection keeps.
DELETE FROM vault.connection_secret WHERE field = 'verifier';
ALTER TABLE vault.connection_secret
    DROP CONSTRAINT connection_secret_field_known,
    ADD CONSTRAINT connection_secret_field_known CHECK (field IN ('code', 'grant'));

CREATE OR REPLACE FUNCTION keep_connection_secret(connection uuid, its_field text, its_key text, its_blob bytea) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO vault.connection_secret (connection_id, field, key_id, sealed)
    SELECT c.id, its_field, its_key, its_blob FROM connection c
    WHERE c.id = connection AND c.ended_at IS NULL AND its_field = 'code'
    RETURNING true
$$;
