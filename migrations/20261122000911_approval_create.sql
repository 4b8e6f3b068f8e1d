-- Posts of people whose posts somebody else has to approve. What is approved is exactly what was looked at: its words,
-- files, accounts, time and version, by their digest. Whoever changes any of it voids the approval, without a word about it.
CREATE TABLE approval (
    post_id     uuid PRIMARY KEY REFERENCES post ON DELETE CASCADE,
    asked_by    uuid,        -- who wrote or changed it last without being allowed to let it go out
    asked_at    timestamptz NOT NULL DEFAULT ledger_now(),
    digest      bytea,       -- of what was approved
    approved_by uuid,        -- the person, or the API key that changed it
    approved_at timestamptz,
    CONSTRAINT approval_is_whole CHECK ((digest IS NULL) = (approved_at IS NULL))
);

-- What a post says and where and when it goes. Times as numbers: how they are written differs between sessions.
CREATE FUNCTION post_digest(the_post uuid) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to(jsonb_build_array(
        p.kind::text, p.caption, p.link, p.time_zone, extract(epoch FROM p.scheduled_for), extract(epoch FROM p.latest_after),
        (SELECT jsonb_agg(m.media_id ORDER BY m.position) FROM post_media m WHERE m.post_id = p.id),
        (SELECT jsonb_agg(jsonb_build_array(o.account_id, o.surface, o.caption, o.link, o.options, o.version) ORDER BY o.id)
         FROM publication o WHERE o.post_id = p.id))::text, 'UTF8'))
    FROM post p WHERE p.id = the_post
$$;

-- Whether nothing may be done for it at a network before somebody approves it.
CREATE FUNCTION waits_for_approval(the_post uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM approval a WHERE a.post_id = the_post AND a.digest IS DISTINCT FROM post_digest(a.post_id))
$$;
