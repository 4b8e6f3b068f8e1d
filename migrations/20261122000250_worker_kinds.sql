-- What a worker takes, so that a late queue can be told from one that nobody works on.
ALTER TABLE worker ADD COLUMN kinds text[]; -- null: a worker from before this was kept
-- How far publishing is behind is read every half minute.
CREATE INDEX publication_due ON publication (scheduled_for)
    WHERE state NOT IN ('published', 'failed', 'cancelled', 'held');
