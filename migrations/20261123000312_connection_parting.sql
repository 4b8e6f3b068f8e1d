-- What a dialog gave that nobody went on with is given back at its network, like the access of an account that is disconnected:
-- the grant stays in the vault until that has been done, or cannot be.
ALTER TABLE connection
    ADD COLUMN granted_at timestamptz,   -- when the network gave the grant
    ADD COLUMN parting    parting_state, -- null: there is no grant, or accounts rest on it
    ADD CONSTRAINT connection_parts_when_it_is_over CHECK (parting IS NULL OR ended_at IS NOT NULL);
CREATE INDEX connection_parting ON connection (ended_at) WHERE parting = 'asked';
CREATE INDEX connection_by_subject ON connection (subject_id) WHERE subject_id IS NOT NULL;
-- One job a connection, so that one worker at a time gives its grant back.
CREATE UNIQUE INDEX one_giving_back ON job ((payload ->> 'connection_id')) WHERE kind = 'disconnect' AND account_id IS NULL;
