-- Since when a job was in trouble goes on to count when its publication gets a job again.
ALTER TABLE job_history ADD COLUMN troubled_at timestamptz;
