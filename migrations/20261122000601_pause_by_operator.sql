-- Who has stopped something may let it go on: a workspace's key does not lift what an operator has stopped, even where
-- both have stopped the same.
ALTER TABLE pause ADD COLUMN by_operator boolean NOT NULL DEFAULT true;
ALTER TABLE pause DROP CONSTRAINT pause_pkey;
ALTER TABLE pause ADD PRIMARY KEY (scope, subject, by_operator);
