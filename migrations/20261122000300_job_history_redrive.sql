-- What ended badly and was tried again says as which job: a second try finds it taken, and nobody is alarmed any
-- more. The payload's version goes along, or a newer payload would come back as an old one.
ALTER TABLE job_history ADD COLUMN ver integer NOT NULL DEFAULT 1, ADD COLUMN redriven_as uuid;

-- Why something ended, in a word to choose by: a failure is kept as `code: message`, all else is its outcome.
CREATE FUNCTION cause_of(outcome attempt_outcome, reason text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN outcome <> 'done' THEN coalesce(substring(reason FROM '^([^[:space:]:]+): '), outcome::text) END;

-- What ended otherwise than well is little among much.
CREATE INDEX job_history_ended ON job_history (id) WHERE outcome <> 'done';
