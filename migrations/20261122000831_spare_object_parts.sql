-- Parts that were sent and never joined are no file, and are removed by the name that the store has for them.
ALTER TABLE spare_object ADD COLUMN parts text CONSTRAINT spare_object_parts_not_empty CHECK (parts <> '');
