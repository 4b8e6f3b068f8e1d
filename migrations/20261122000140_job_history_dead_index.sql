-- Dead letters are few among many: counting them must not read the history.
CREATE INDEX job_history_dead ON job_history (kind) WHERE outcome = 'dead';
