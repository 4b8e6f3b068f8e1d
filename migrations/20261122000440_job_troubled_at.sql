-- Since when a job has been tried again or made to wait for a limit: what counts against its time, not its attempts.
ALTER TABLE job ADD COLUMN troubled_at timestamptz;
