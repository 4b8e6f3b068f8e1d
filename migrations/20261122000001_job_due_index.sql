-- A sweep walks on from where the last one stopped: among jobs of one moment the id tells the place.
CREATE INDEX due_in_order ON job (kind, workspace_id, run_at, id) WHERE standing = 'active';
DROP INDEX due;
