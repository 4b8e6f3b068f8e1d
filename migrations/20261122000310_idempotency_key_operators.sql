-- An operator's key belongs to no workspace: its answers are kept under the house's, the nil UUID, which has no row.
ALTER TABLE idempotency_key DROP CONSTRAINT idempotency_key_workspace_id_fkey;
