-- What happens is written down for those who want to hear of it in the transaction in which it happens, with a job for
-- each address: no crash loses it and no hint is needed for it, and whatever brings it about need not know of this.
CREATE FUNCTION tell_webhooks(
    its_workspace uuid, its_type text, its_post uuid, its_publication uuid, its_account uuid, its_request uuid)
RETURNS void LANGUAGE sql VOLATILE AS $$
    WITH wanted AS MATERIALIZED (
        SELECT w.id FROM webhook w
        WHERE w.workspace_id = its_workspace AND w.state = 'active' AND its_type = ANY (w.events)
        ORDER BY w.id -- one order for all
        -- one that is removed at this moment is passed over, and fails nothing
        FOR KEY SHARE),
    happened AS (
        INSERT INTO event (id, workspace_id, type, post_id, publication_id, account_id, request_id)
        SELECT gen_random_uuid(), its_workspace, its_type, its_post, its_publication, its_account, its_request
        WHERE EXISTS (SELECT FROM wanted)
        RETURNING id),
    told AS (
        INSERT INTO delivery (id, event_id, webhook_id, job_id)
        SELECT gen_random_uuid(), happened.id, wanted.id, gen_random_uuid() FROM happened CROSS JOIN wanted
        RETURNING id, job_id)
    INSERT INTO job (id, kind, workspace_id, run_at, payload)
    SELECT told.job_id, 'webhook', its_workspace, ledger_now(), jsonb_build_object('delivery_id', told.id) FROM told
$$;

-- Of posts: a comment says for itself how it fares, and a post that is public must not look as if it had failed.
CREATE FUNCTION tell_of_publication() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_webhooks(NEW.workspace_id, 'post.' || NEW.state::text, NEW.post_id, NEW.id, NEW.account_id, NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER publication_tells_webhooks AFTER UPDATE OF state ON publication
    FOR EACH ROW WHEN (NEW.state IS DISTINCT FROM OLD.state AND NEW.state IN ('published', 'failed', 'held')
                       AND NEW.parent_id IS NULL)
    EXECUTE FUNCTION tell_of_publication();

-- Of accounts that somebody has to connect again: not of those that somebody here has disconnected.
CREATE FUNCTION tell_of_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_webhooks(NEW.workspace_id, 'account.reconnect', NULL, NULL, NEW.id, NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER account_tells_webhooks AFTER UPDATE OF state ON account
    FOR EACH ROW WHEN (NEW.state IS DISTINCT FROM OLD.state AND NEW.state = 'reconnect'
                       AND coalesce(NEW.disconnected_how, 'network') = 'network')
    EXECUTE FUNCTION tell_of_account();

-- Of deletions that are done, to each workspace that something was deleted in, and to the one whose staff asked for it.
CREATE FUNCTION tell_of_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_webhooks(concerned.workspace_id, 'deletion.completed', NULL, NULL, NULL, NEW.id)
    FROM (SELECT d.workspace_id FROM deletion_account d WHERE d.request_id = NEW.id
          UNION SELECT NEW.workspace_id WHERE NEW.workspace_id IS NOT NULL) AS concerned;
    RETURN NULL;
END $$;
CREATE TRIGGER deletion_request_tells_webhooks AFTER UPDATE OF stage ON deletion_request
    FOR EACH ROW WHEN (NEW.stage IS DISTINCT FROM OLD.stage AND NEW.stage = 'done')
    EXECUTE FUNCTION tell_of_deletion();
