-- A publication may stand under another one of its account: the first comment under a post. It is one of its own, with
-- its own effect key, and goes out after its post and never before.
ALTER TABLE publication ADD COLUMN parent_id uuid REFERENCES publication ON DELETE CASCADE;
CREATE INDEX publication_by_parent ON publication (parent_id) WHERE parent_id IS NOT NULL;

-- Whether nothing is to be done about a publication yet, for what it stands under is not public, or nobody knows as what.
CREATE FUNCTION waits_for_parent(parent uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT parent IS NOT NULL AND NOT EXISTS (
        SELECT FROM publication p WHERE p.id = parent AND p.state = 'published' AND p.public_id IS NOT NULL)
$$;

-- What becomes of a post becomes of its comment, in the same transaction, whoever brings it about: it is held and
-- cancelled with the post, comes back with it where that is tried again, and gets its time and its job when the post
-- is public and the network has named it.
CREATE FUNCTION follow_parent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IS DISTINCT FROM OLD.state THEN
        IF NEW.state = 'published' THEN
            UPDATE publication c
            SET state = 'scheduled', scheduled_for = ledger_now(), latest_at = ledger_now() + post.latest_after,
                error = NULL, hold_reason = NULL, updated_at = ledger_now()
            FROM post
            WHERE c.parent_id = NEW.id AND post.id = c.post_id
              AND (c.state = 'scheduled' OR c.state = 'held' AND c.error ->> 'code' = 'parent_held');
        ELSIF NEW.state = 'held' THEN
            UPDATE publication c
            SET state = 'held', hold_reason = 'the post that it belongs to is held; it goes out after that',
                error = jsonb_build_object('class', 'permanent', 'code', 'parent_held',
                                           'message', 'the post that it belongs to is held; it goes out after that'),
                updated_at = ledger_now()
            WHERE c.parent_id = NEW.id AND c.state = 'scheduled';
        ELSIF NEW.state IN ('failed', 'cancelled') THEN
            UPDATE publication c
            SET state = 'cancelled', hold_reason = NULL,
                error = jsonb_build_object('class', 'permanent', 'code', 'parent_' || NEW.state::text,
                                           'message', 'the post that it belongs to ' || CASE NEW.state
                                               WHEN 'failed' THEN 'did not go out' ELSE 'was cancelled' END),
                updated_at = ledger_now()
            WHERE c.parent_id = NEW.id
              AND (c.state = 'scheduled' OR c.state = 'held' AND c.error ->> 'code' = 'parent_held');
        ELSIF OLD.state IN ('failed', 'held') THEN
            UPDATE publication c
            SET state = 'scheduled', error = NULL, hold_reason = NULL, scheduled_for = NEW.scheduled_for,
                latest_at = NEW.latest_at, updated_at = ledger_now()
            WHERE c.parent_id = NEW.id AND c.error ->> 'code' IN ('parent_failed', 'parent_held')
              AND c.state IN ('cancelled', 'held');
        END IF;
    END IF;
    IF NEW.state = 'published' AND NEW.public_id IS NOT NULL THEN
        INSERT INTO job (id, kind, workspace_id, account_id, publication_id, run_at, payload)
        SELECT gen_random_uuid(), 'publish', c.workspace_id, c.account_id, c.id, ledger_now(),
               jsonb_build_object('publication_id', c.id)
        FROM publication c WHERE c.parent_id = NEW.id AND c.state = 'scheduled'
        ON CONFLICT (publication_id) WHERE kind = 'publish' DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER publication_takes_its_comment_along AFTER UPDATE OF state, public_id ON publication
    FOR EACH ROW WHEN (NEW.options ? 'first_comment' AND (NEW.state IS DISTINCT FROM OLD.state
                                                          OR NEW.public_id IS DISTINCT FROM OLD.public_id))
    EXECUTE FUNCTION follow_parent();

-- A comment has no files and no time of its own: nothing of it is checked before.
DROP TRIGGER publication_moves_its_check ON publication;
CREATE TRIGGER publication_moves_its_check BEFORE UPDATE OF scheduled_for ON publication
    FOR EACH ROW WHEN (NEW.scheduled_for IS DISTINCT FROM OLD.scheduled_for AND NEW.parent_id IS NULL)
    EXECUTE FUNCTION move_check();
