-- As before, but a look that does not come back when it is told takes nobody's moment, and of two who looked after a
-- broken network the later one's word counts.
DROP FUNCTION enter_network(text, text, uuid, integer, interval[], integer[], interval);

-- Lets a step go to a network, or says why not and when to ask again: the app rests, the network is broken, or one
-- of its buckets is empty. gaps and depths are those of the app's, the workspace's and the account's bucket: how long
-- one call takes to come back, and how many may go at once; a gap that is null is no limit.
--
-- Who is sent away for want of a call gets a moment of its own, behind those that were sent away before, so that
-- they come back one by one; who does not come back when told gets none. The moment reserves nothing; the bucket
-- alone decides. probe is what the one who looks after a broken network is known by.
CREATE FUNCTION enter_network(
    its_network text, its_app text, its_account uuid, calls integer, gaps interval[], depths integer[], probing interval,
    comes_back boolean)
RETURNS TABLE (cause text, ends_at timestamptz, probe timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
    moment  timestamptz := ledger_now();
    ends    timestamptz;
    lanes   text[];
    full_at timestamptz;
    free_at timestamptz;
    short   integer;
    looks   timestamptz;
BEGIN
    SELECT r.ends_at INTO ends FROM app_rest r WHERE r.app = its_app AND r.ends_at > moment;
    IF FOUND THEN
        RETURN QUERY SELECT 'app_rest', ends, NULL::timestamptz;
        RETURN;
    END IF;

    SELECT b.open_until INTO ends FROM breaker b WHERE b.network = its_network;
    IF FOUND THEN
        -- of all who ask, the row lets one look
        UPDATE breaker b SET probe_until = moment + probing
        WHERE b.network = its_network AND b.open_until <= moment AND (b.probe_until IS NULL OR b.probe_until <= moment);
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'breaker', greatest(ends, moment), NULL::timestamptz;
            RETURN;
        END IF;
        looks := moment + probing;
    END IF;

    IF calls > 0 AND coalesce(gaps[1], gaps[2], gaps[3]) IS NOT NULL THEN
        -- losing the last moments of it in a crash gives away less than waiting for the disk costs
        PERFORM set_config('synchronous_commit', 'off', true);
        SELECT ARRAY['app/' || its_app, its_network || '/w/' || a.workspace_id, its_network || '/a/' || a.id] INTO lanes
        FROM account a WHERE a.id = its_account;
        ends := moment;
        FOR n IN 1..3 LOOP -- in this order for all: two who enter cannot deadlock
            CONTINUE WHEN gaps[n] IS NULL;
            SELECT b.full_at INTO full_at FROM network_bucket b WHERE b.lane = lanes[n] FOR UPDATE;
            IF NOT FOUND THEN
                INSERT INTO network_bucket AS b (lane, full_at, promised) VALUES (lanes[n], moment, moment)
                ON CONFLICT (lane) DO UPDATE SET full_at = b.full_at -- somebody was faster, and is waited for
                RETURNING b.full_at INTO full_at;
            END IF;
            free_at := greatest(full_at, moment) + gaps[n] * (calls - greatest(depths[n], calls));
            IF free_at > ends THEN
                ends := free_at;
                short := n;
            END IF;
        END LOOP;

        IF short IS NOT NULL THEN
            IF comes_back THEN
                INSERT INTO network_bucket AS b (lane, full_at, promised)
                VALUES (lanes[greatest(short, 2)], moment, ends)
                ON CONFLICT (lane) DO UPDATE
                -- not too far ahead: those before may never come, and then it is worth asking sooner
                SET promised = least(greatest(ends, b.promised + gaps[short] * calls), moment + interval '10 minutes')
                RETURNING b.promised INTO ends;
            END IF;
            IF looks IS NOT NULL THEN
                UPDATE breaker b SET probe_until = NULL WHERE b.network = its_network;
            END IF;
            RETURN QUERY SELECT (ARRAY['app_rate', 'workspace_rate', 'account_rate'])[short], ends, NULL::timestamptz;
            RETURN;
        END IF;

        UPDATE network_bucket b
        SET full_at = greatest(b.full_at, moment) + x.gap * calls,
            -- nobody can have been waiting at a full one
            promised = CASE WHEN b.full_at <= moment THEN moment ELSE b.promised END
        FROM unnest(lanes, gaps) AS x (lane, gap) WHERE b.lane = x.lane AND x.gap IS NOT NULL;
    END IF;
    RETURN QUERY SELECT NULL::text, NULL::timestamptz, looks;
END $$;
