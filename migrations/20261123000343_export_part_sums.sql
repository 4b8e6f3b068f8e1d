-- How far the sums of a file are that a part ends in the middle of: whoever goes on reads nothing twice.
ALTER TABLE export_part ADD COLUMN sums bytea;
