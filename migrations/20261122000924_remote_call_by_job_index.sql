-- Exchanges whose answer is awaited. Each of these indexes is a transaction of its own, so that none holds what writes into
-- the log up for longer than it takes itself.
CREATE INDEX remote_call_by_job ON remote_call (job_id) WHERE kind = 'connect' AND verdict IS NULL;
