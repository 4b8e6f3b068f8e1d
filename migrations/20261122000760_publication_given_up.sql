-- What a publication is given up with. Where it was sent, it ends only when its handle is dead.
ALTER TABLE publication ADD COLUMN given_up jsonb; -- {class, code, message}

-- Whether a handle was committed within that span, other than to be told a definite no: what was sent then may still be
-- carried out, unless the handle is dead.
CREATE FUNCTION was_sent(whose uuid, handle text, span interval) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM remote_call c
                   WHERE c.publication_id = whose AND c.kind = 'commit' AND c.handle_id = handle
                     AND c.verdict IS DISTINCT FROM 'definite_no' AND c.started_at > ledger_now() - span)
$$;
