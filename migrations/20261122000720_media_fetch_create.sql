-- What a network that pulls its files has fetched from our own origin: the row is committed before the first byte
-- leaves. Addresses that were revoked and have no row here can have brought nothing into the world.
CREATE TABLE media_fetch (
    call_id  uuid NOT NULL REFERENCES remote_call ON DELETE CASCADE,
    position smallint NOT NULL,
    fetches  integer NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL DEFAULT ledger_now(),
    last_at  timestamptz NOT NULL DEFAULT ledger_now(),
    PRIMARY KEY (call_id, position)
);
