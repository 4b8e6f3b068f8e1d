-- When an account's network is asked about it next. A sweep takes the few that are due, whatever the others do.
ALTER TABLE account ADD COLUMN facts_due_at timestamptz NOT NULL DEFAULT '-infinity';
CREATE INDEX account_facts_due ON account (facts_due_at) WHERE state = 'active';
