-- The one clock that decides what is due, late or dead. A connection may shift it with
-- `-c postroom.clock_shift=3600s`: tests move time that way, and no setting of the product does.
CREATE FUNCTION ledger_now() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN statement_timestamp() + coalesce(nullif(current_setting('postroom.clock_shift', true), ''), '0')::interval;
