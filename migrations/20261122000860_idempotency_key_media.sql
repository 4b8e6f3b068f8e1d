-- The file that an answer names: the answer goes with the file, for repeating it would promise what is gone.
ALTER TABLE idempotency_key ADD COLUMN media_id uuid;
UPDATE idempotency_key k SET media_id = m.id
FROM media m WHERE k.status = 201 AND m.workspace_id = k.workspace_id AND m.id::text = k.body::jsonb ->> 'id';
-- What named a file that is gone already would name it for days to come; promises of uploads are none of those.
DELETE FROM idempotency_key k
WHERE k.status = 201 AND k.media_id IS NULL AND k.body::jsonb ? 'bytes' AND k.body::jsonb ? 'width';
ALTER TABLE idempotency_key ADD CONSTRAINT idempotency_key_media_id_fkey
    FOREIGN KEY (media_id) REFERENCES media ON DELETE CASCADE;
CREATE INDEX idempotency_key_by_media ON idempotency_key (media_id) WHERE media_id IS NOT NULL;
