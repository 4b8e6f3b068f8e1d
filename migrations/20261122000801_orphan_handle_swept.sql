-- When an orphan is looked at next. Nobody touches one within its first hour: until then whoever made it may be on the
-- way with it.
ALTER TABLE orphan_handle ADD COLUMN sweep_at timestamptz NOT NULL DEFAULT ledger_now() + interval '1 hour';
CREATE INDEX orphan_handle_due ON orphan_handle (sweep_at);
CREATE INDEX remote_call_committed_handle ON remote_call (handle_id) WHERE kind = 'commit' AND handle_id IS NOT NULL;

-- Whether a handle is somebody's after all: a publication's, that of something public, or a part of what another
-- publication is made of; or it was committed, and what was sent may be carried out. Who comes too late with a handle
-- files it as an orphan although another may have gone on with it.
CREATE FUNCTION is_somebodys(whose uuid, of_kind text, named text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM publication p WHERE p.handle_kind = of_kind AND p.handle_id = named)
        OR EXISTS (SELECT FROM remote_call c
                   WHERE c.handle_id = named AND c.kind = 'commit' AND c.verdict IS DISTINCT FROM 'definite_no')
        OR EXISTS (SELECT FROM publication p
                   WHERE p.account_id = whose
                     AND (p.public_id = named
                          OR p.state NOT IN ('published', 'failed', 'cancelled')
                             AND strpos(p.handle_detail::text, named) > 0))
$$;
