-- What a workspace does not want its data to be used for any more. What it has not withdrawn is given. Looked at after each
-- claim of a kind that serves such a purpose, so that nothing leaves that was not under way.
CREATE TABLE consent_withdrawal (
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    purpose      text NOT NULL CONSTRAINT consent_withdrawal_purpose_word CHECK (purpose ~ '^[a-z][a-z_]{1,39}$'),
    withdrawn_at timestamptz NOT NULL DEFAULT ledger_now(),
    PRIMARY KEY (workspace_id, purpose)
);
