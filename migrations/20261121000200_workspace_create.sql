-- Every row of business data belongs to one workspace: a client of an agency, or the company itself.
CREATE TABLE workspace (
    id         uuid PRIMARY KEY,
    name       text NOT NULL CONSTRAINT workspace_name_length CHECK (length(name) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT workspace_name_key UNIQUE (name)
);
