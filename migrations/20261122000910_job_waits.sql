-- A job that nobody takes until somebody has approved its post.
ALTER TYPE job_standing ADD VALUE 'waits';
