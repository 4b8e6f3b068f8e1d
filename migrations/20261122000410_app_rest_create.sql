-- Apps that their network wants to be left alone by. A strike is a limit that came with no time; the next rest is
-- twice as long.
CREATE TABLE app_rest (
    app     text PRIMARY KEY,
    ends_at timestamptz NOT NULL,
    strikes integer NOT NULL DEFAULT 0
);
