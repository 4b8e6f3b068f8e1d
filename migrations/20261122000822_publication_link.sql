-- The link as this account's followers get it, with the workspace's parameters; null: the post's as it was written.
ALTER TABLE publication ADD COLUMN link text;
