-- A comment waits also while its post is being taken down or is gone: it is not sent under what somebody wants away.
CREATE OR REPLACE FUNCTION waits_for_parent(parent uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT parent IS NOT NULL AND NOT EXISTS (
        SELECT FROM publication p
        WHERE p.id = parent AND p.state = 'published' AND p.public_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM take_down t WHERE t.publication_id = p.id AND t.state IN ('asked', 'gone')))
$$;
