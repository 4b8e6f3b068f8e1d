-- Whoever wants to hear of accounts that have to be connected again hears of it when people do: as soon as it is known that a
-- connection will end, and once for each end. Of what has ended already the account's own state tells.
CREATE FUNCTION tell_of_ending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_webhooks(a.workspace_id, 'account.reconnect', NULL, NULL, a.id, NULL)
    FROM account a WHERE a.id = NEW.account_id;
    RETURN NULL;
END $$;
CREATE TRIGGER ending_told_tells_webhooks AFTER INSERT OR UPDATE OF because, ends_at ON ending_told
    FOR EACH ROW WHEN (NEW.because <> 'reconnect')
    EXECUTE FUNCTION tell_of_ending();
