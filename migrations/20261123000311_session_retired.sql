-- A session whose person may do something else now goes on under another id. Requests that were on their way with the old id
-- are answered for a few seconds more, as before; what they change in the session is changed in the one that goes on.
ALTER TABLE session
    ADD COLUMN retired_at timestamptz,
    ADD COLUMN passed_to  text REFERENCES session ON DELETE CASCADE;
CREATE INDEX session_passed_to ON session (passed_to) WHERE passed_to IS NOT NULL;
