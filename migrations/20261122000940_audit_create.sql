-- Who did what to which object, when and from where. Rows are only ever added. Whoever does something writes its row in
-- the same transaction; a worker chains the rows afterwards, in one order, each link by a hash over the one before, so
-- that nobody waits for anybody to be audited.
CREATE TABLE audit (
    id           uuid PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT ledger_now(),
    actor        text NOT NULL CONSTRAINT audit_actor CHECK (actor IN ('person', 'key', 'operator', 'system', 'nobody')),
    actor_id     uuid, -- of a person or a key
    action       text NOT NULL CONSTRAINT audit_action_length CHECK (length(action) BETWEEN 1 AND 60),
    object       text NOT NULL CONSTRAINT audit_object_length CHECK (length(object) BETWEEN 1 AND 60),
    object_id    text NOT NULL CONSTRAINT audit_object_id_length CHECK (length(object_id) <= 300),
    workspace_id uuid, -- no reference: what is written here outlives what it is about
    origin       bytea, -- of where the request came from: SHA-256 over the salt and the address in audit_address
    detail       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_by_workspace ON audit (workspace_id, at DESC);
CREATE INDEX audit_by_actor ON audit (actor_id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_by_person ON audit (object_id) WHERE object = 'person';
CREATE INDEX audit_by_age ON audit (at);

-- Where a request came from, as the door saw it. It is told apart from the row, which stays for ever: what tells of a
-- person goes when they ask, and with the salt gone nobody finds the address from what is chained.
CREATE TABLE audit_address (
    audit_id uuid PRIMARY KEY REFERENCES audit ON DELETE CASCADE,
    salt     bytea NOT NULL CONSTRAINT audit_address_salt_length CHECK (octet_length(salt) = 16),
    address  text NOT NULL
);

-- The rows that no link holds yet. Found by this and not by "later than the last", for what began earlier may commit later.
CREATE TABLE audit_waiting (
    audit_id uuid PRIMARY KEY REFERENCES audit
);

-- The chain. `hash` is SHA-256 over the hash before it, the number and every column of the row.
CREATE TABLE audit_link (
    seq      bigint PRIMARY KEY CONSTRAINT audit_link_seq CHECK (seq > 0),
    audit_id uuid NOT NULL CONSTRAINT audit_link_audit_id_key UNIQUE REFERENCES audit,
    hash     bytea NOT NULL CONSTRAINT audit_link_hash_length CHECK (octet_length(hash) = 32)
);

-- How long the chain is and how it ends: the last rows cannot go unnoticed.
CREATE TABLE audit_head (
    one  boolean PRIMARY KEY DEFAULT true CONSTRAINT audit_head_one CHECK (one),
    seq  bigint NOT NULL,
    hash bytea NOT NULL CONSTRAINT audit_head_hash_length CHECK (octet_length(hash) = 32)
);
INSERT INTO audit_head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE FUNCTION audit_await() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_waiting (audit_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_await AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_await();

-- Holds for every role, the owner's too; and where one role serves, it is all there is.
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: it is only ever added to', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_link_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_link
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_stays BEFORE INSERT OR DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

CREATE FUNCTION audit_head_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq <= OLD.seq THEN
        RAISE EXCEPTION 'the chain only grows' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_head_grows BEFORE UPDATE ON audit_head FOR EACH ROW EXECUTE FUNCTION audit_head_grows();

-- Besides: web writes rows and chains none of them; no process may change one.
DO $$
DECLARE
    web    text := current_database() || '_web';
    worker text := current_database() || '_worker';
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = web) THEN
        EXECUTE format('REVOKE UPDATE, DELETE ON audit, audit_address, audit_link, audit_head, audit_waiting FROM %I', web);
        EXECUTE format('REVOKE INSERT ON audit_link, audit_head FROM %I', web);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = worker) THEN
        EXECUTE format('REVOKE UPDATE, DELETE ON audit, audit_link FROM %I', worker);
        EXECUTE format('REVOKE UPDATE ON audit_address FROM %I', worker);
        EXECUTE format('REVOKE INSERT, DELETE ON audit_head FROM %I', worker);
    END IF;
END $$;
