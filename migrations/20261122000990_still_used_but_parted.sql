-- Whether the grant of an account that is being erased is also that of another one, which is not: the same person's at
-- the same network, connected before or since. An account that was disconnected needs none any more.
CREATE OR REPLACE FUNCTION still_used(whose uuid, of_meta text[]) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM account a JOIN account o ON o.id <> a.id
        WHERE a.id = whose AND o.deletion_id IS NULL AND o.state NOT IN ('frozen', 'erased') AND o.parting IS NULL
          AND (o.platform = a.platform AND o.external_id = a.external_id
               OR o.subject_id = a.subject_id
                  AND (o.platform = a.platform OR o.platform = ANY (of_meta) AND a.platform = ANY (of_meta))))
$$;
