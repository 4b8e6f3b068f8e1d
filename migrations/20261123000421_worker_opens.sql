-- What a worker opens of what is sealed: 1, what stands under the key ring; 2, what stands under an account's data key, too.
-- Those that say nothing are of before there were data keys: while one of them lives, tokens are sealed as it reads them.
ALTER TABLE worker ADD COLUMN opens smallint NOT NULL DEFAULT 1;
