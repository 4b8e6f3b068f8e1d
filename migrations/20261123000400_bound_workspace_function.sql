-- What row security goes by. A process that works in one workspace says which: `SET app.workspace`, for its transaction or
-- until it gives the connection back. Unbound, it sees everything, as sign-in, keys and public pages need it; the owner of
-- the tables is bound by nothing, nor is a backup that it makes.
CREATE FUNCTION bound_workspace() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('app.workspace', true), '')::uuid;

-- Puts row security on a table, with the rule that a row has to meet to be seen, changed or added; every table that tells of
-- a workspace is given one. A rule asks by `(SELECT bound_workspace())`, which is looked up once a statement and not once a
-- row, and is written with `coalesce` or `CASE` rather than `OR`: the planner then reckons that half of the rows meet it, and
-- goes on by the indexes that the statement's own conditions name. Those it may use before the rule where their operators
-- leak nothing (ids, texts, times, numbers do not), and never where they may (`lower`, `->>`).
--
-- The workers' role has a rule of its own, which is always met: the planner then drops both.
CREATE FUNCTION keep_apart(its_table regclass, rule text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    worker text := current_database() || '_worker';
BEGIN
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = its_table) THEN
        RETURN; -- done already, by a migration that was broken off later
    END IF;
    EXECUTE format('CREATE POLICY of_workspace ON %s USING (%s)', its_table, rule);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = worker) THEN
        EXECUTE format('CREATE POLICY of_worker ON %s TO %I USING (true)', its_table, worker);
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', its_table);
END $$;
REVOKE EXECUTE ON FUNCTION keep_apart(regclass, text) FROM PUBLIC;

-- Whether something belongs to another workspace than the bound one. For the rules of what is added in one statement with
-- what it hangs on, which does not see that yet: what is nowhere yet is not elsewhere. As the owner, who sees all.
CREATE FUNCTION post_is_elsewhere(whose uuid) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM post p WHERE p.id = whose AND p.workspace_id <> bound_workspace());
END $$;

CREATE FUNCTION publication_is_elsewhere(whose uuid) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM publication p WHERE p.id = whose AND p.workspace_id <> bound_workspace());
END $$;

CREATE FUNCTION analysis_is_elsewhere(whose uuid) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM analysis a WHERE a.id = whose AND a.workspace_id <> bound_workspace());
END $$;
