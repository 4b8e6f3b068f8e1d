-- A large file comes in parts, which the store keeps apart under a name of its own until they are joined. That name, so
-- that they can be joined, or given up; null where the file comes whole, and once the parts are joined.
ALTER TABLE upload ADD COLUMN parts text CONSTRAINT upload_parts_not_empty CHECK (parts <> '');
