-- Whose a session is, so that it can be shown to them and ended with their membership or their password.
DELETE FROM session
WHERE data ? 'person' AND NOT EXISTS (SELECT FROM person p WHERE p.id::text = session.data ->> 'person');
ALTER TABLE session
    ADD COLUMN person_id uuid GENERATED ALWAYS AS ((data ->> 'person')::uuid) STORED REFERENCES person ON DELETE CASCADE;
CREATE INDEX session_by_person ON session (person_id);
