-- What the history may forget.
CREATE INDEX remote_call_of_grants_over ON remote_call (finished_at)
    WHERE kind IN ('connect', 'revoke') AND verdict IS NOT NULL;
