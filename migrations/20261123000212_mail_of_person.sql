-- Whom a letter is to whose address is not that of any person: one that is not proved yet, or is not theirs any more.
ALTER TABLE mail ADD COLUMN person_id uuid REFERENCES person ON DELETE SET NULL;
CREATE INDEX mail_of_person ON mail (person_id) WHERE person_id IS NOT NULL;
