-- What a letter says may open a door: it is sealed until it is sent, for a worker alone to open. What was put down before lies
-- in `body` until a worker has sealed it, and so does what a process of before still puts down; nobody else writes there.
ALTER TABLE mail
    ADD COLUMN sealed bytea, -- null when it is over
    DROP CONSTRAINT mail_says_something,
    ADD CONSTRAINT mail_says_something CHECK (try_at IS NULL OR body IS NOT NULL OR sealed IS NOT NULL),
    ADD CONSTRAINT mail_says_it_once CHECK (body IS NULL OR sealed IS NULL);
CREATE INDEX mail_in_the_clear ON mail (id) WHERE body IS NOT NULL;
CREATE INDEX mail_sealed ON mail (id) WHERE sealed IS NOT NULL;
