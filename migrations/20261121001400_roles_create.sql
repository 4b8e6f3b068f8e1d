-- The narrower roles that the processes switch to: `<database>_web` cannot see a token, `<database>_worker`
-- cannot change the schema. Named after the database, because roles belong to the whole server. Where the
-- owner may not create roles, one role serves.
DO $$
DECLARE
    web    text := current_database() || '_web';
    worker text := current_database() || '_worker';
    role   text;
BEGIN
    FOREACH role IN ARRAY ARRAY[web, worker] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
        EXECUTE format('GRANT %I TO %I', role, current_user);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %I', role);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', role);
        EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO %I', role);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO %I', role);
    END LOOP;
    IF to_regclass('_sqlx_migrations') IS NOT NULL THEN
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON _sqlx_migrations FROM %I, %I', web, worker);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA vault TO %I', worker);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA vault TO %I', worker);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA vault GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', worker);
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'this role may not create roles: one role serves web and worker';
END $$;
