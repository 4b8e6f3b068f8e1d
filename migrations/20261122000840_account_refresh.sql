-- The machine that keeps an account's access alive: IDLE(g) → REFRESHING(g, call) → IDLE(g+1), or SUSPECT where nobody
-- knows what became of the call. What it says of the tokens themselves stays in the vault.
CREATE TYPE refresh_state AS ENUM ('idle', 'refreshing', 'suspect');
ALTER TABLE account
    ADD COLUMN refresh_state refresh_state NOT NULL DEFAULT 'idle',
    ADD COLUMN refresh_call uuid, -- the call that a new pair is awaited from
    ADD COLUMN refresh_due_at timestamptz NOT NULL DEFAULT ledger_now() + interval '1 day', -- when its access is looked after next
    ADD COLUMN refresh_wait interval NOT NULL DEFAULT interval '10 minutes', -- the last one after a failure that nothing but people mends
    ADD COLUMN refresh_asked_at timestamptz, -- a person asked while a job was there already, which may have been past heeding it
    ADD COLUMN refreshed_at timestamptz, -- when its last pair came
    ADD COLUMN renewable boolean NOT NULL DEFAULT false, -- something to renew it with is kept
    ADD COLUMN renewable_until timestamptz, -- when that ends, where the network says so
    ADD COLUMN data_access_expires_at timestamptz, -- Meta stops giving data then, whatever the token does
    ADD COLUMN missing_scopes text[] NOT NULL DEFAULT '{}', -- what publishing needs and the grant lacks
    ADD CONSTRAINT account_refresh_call CHECK ((refresh_state = 'idle') = (refresh_call IS NULL));
UPDATE account SET refresh_due_at = ledger_now();
-- What an earlier connection left behind opens nothing any more.
DELETE FROM vault.token t USING account a WHERE a.id = t.account_id AND t.generation <> a.token_generation;
UPDATE account SET renewable = true
WHERE EXISTS (SELECT FROM vault.token t WHERE t.account_id = account.id AND t.field = 'refresh'
                AND t.generation = account.token_generation);
-- Of a refresh token nobody has said yet when it ends; it is as old as what came with it.
UPDATE vault.token t SET expires_at = NULL, issued_at = access.issued_at
FROM vault.token access
WHERE t.field = 'refresh' AND access.account_id = t.account_id AND access.field = 'access'
  AND access.generation = t.generation;

CREATE INDEX account_refresh_asked ON account (refresh_asked_at) WHERE refresh_asked_at IS NOT NULL;
CREATE INDEX account_refresh_due ON account (refresh_due_at) WHERE state IN ('active', 'paused');
-- An account's posts rest and go back to work together.
CREATE INDEX publish_job_of_account ON job (account_id) WHERE kind = 'publish';
-- One job an account, so that one worker at a time holds its refresh; and one call open, whatever happens.
CREATE UNIQUE INDEX one_refresh_job ON job (account_id) WHERE kind = 'token_refresh';
CREATE INDEX remote_call_refresh_over ON remote_call (finished_at) WHERE kind = 'refresh' AND verdict IS NOT NULL;
CREATE UNIQUE INDEX one_open_refresh ON remote_call (account_id) WHERE kind = 'refresh' AND verdict IS NULL;
