-- Files in the object store that no row needs, or that may turn out so: written down before they are stored, and removed
-- when `remove_at` has come and nobody has kept them.
CREATE TABLE spare_object (
    object_key text PRIMARY KEY,
    remove_at  timestamptz NOT NULL,
    -- its removal has begun: it is not to be kept any more
    taken      boolean NOT NULL DEFAULT false
);
CREATE INDEX spare_object_due ON spare_object (remove_at);
