-- When a publication is checked next: a day, an hour and five minutes before its time. Null after the last, and for
-- what goes out at once, which then costs no line of the index.
ALTER TABLE publication ADD COLUMN check_at timestamptz;
CREATE INDEX publication_to_check ON publication (check_at) WHERE check_at IS NOT NULL;

CREATE FUNCTION next_check(scheduled_for timestamptz, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN scheduled_for - interval '24 hours' > at THEN scheduled_for - interval '24 hours'
        WHEN scheduled_for - interval '1 hour' > at THEN scheduled_for - interval '1 hour'
        WHEN scheduled_for - interval '5 minutes' > at THEN scheduled_for - interval '5 minutes'
    END
$$;

-- Whoever moves a publication to another time moves its checks.
CREATE FUNCTION move_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.check_at := next_check(NEW.scheduled_for, ledger_now());
    RETURN NEW;
END $$;
CREATE TRIGGER publication_moves_its_check BEFORE UPDATE OF scheduled_for ON publication
    FOR EACH ROW WHEN (NEW.scheduled_for IS DISTINCT FROM OLD.scheduled_for) EXECUTE FUNCTION move_check();

UPDATE publication SET check_at = next_check(scheduled_for, ledger_now())
WHERE state NOT IN ('published', 'failed', 'cancelled', 'held');
