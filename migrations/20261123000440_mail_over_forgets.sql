-- A letter that is over says nothing any more, whoever ends it: a process of before empties `body` alone.
CREATE FUNCTION forget_what_mail_said() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.body := NULL;
    NEW.sealed := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER mail_over_forgets BEFORE UPDATE OF try_at ON mail
    FOR EACH ROW WHEN (NEW.try_at IS NULL) EXECUTE FUNCTION forget_what_mail_said();

UPDATE mail SET sealed = NULL WHERE try_at IS NULL AND sealed IS NOT NULL;
