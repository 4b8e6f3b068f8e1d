-- What a publication says, as a digest of its words, its link as it was written and its files by content: so that a
-- repetition is found without reading what the account has published. Written once, beside a table that is moved often.
CREATE TABLE publication_content (
    publication_id uuid PRIMARY KEY REFERENCES publication ON DELETE CASCADE,
    account_id     uuid NOT NULL,
    digest         bytea NOT NULL
);
CREATE INDEX publication_content_by_account ON publication_content (account_id, digest);

CREATE FUNCTION content_digest(caption text, link text, files uuid[]) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to(jsonb_build_array(caption, link, (
               -- by content: the same file may have been uploaded twice
               SELECT jsonb_agg(encode(m.sha256, 'hex') ORDER BY f.n)
               FROM unnest(files) WITH ORDINALITY AS f (id, n) JOIN media m ON m.id = f.id))::text, 'UTF8'))
$$;

-- The post that says the same to the same account nearest to a time, not further from it than a span; but not the
-- one named, and none that does not go out.
CREATE FUNCTION said_before(account uuid, words bytea, due timestamptz, span interval, but uuid)
RETURNS TABLE (post_id uuid, at timestamptz) LANGUAGE sql STABLE AS $$
    SELECT p.post_id, coalesce(p.published_at, p.scheduled_for)
    FROM publication_content c JOIN publication p ON p.id = c.publication_id
    WHERE c.account_id = account AND c.digest = words AND p.post_id IS DISTINCT FROM but
      AND p.state NOT IN ('cancelled', 'failed')
      AND coalesce(p.published_at, p.scheduled_for) > due - span
      AND coalesce(p.published_at, p.scheduled_for) < due + span
    ORDER BY abs(extract(epoch FROM coalesce(p.published_at, p.scheduled_for) - due)) LIMIT 1
$$;

INSERT INTO publication_content (publication_id, account_id, digest)
SELECT p.id, p.account_id, content_digest(coalesce(p.caption, post.caption), post.link, ARRAY(
           SELECT pm.media_id FROM post_media pm WHERE pm.post_id = p.post_id ORDER BY pm.position))
FROM publication p JOIN post ON post.id = p.post_id
WHERE p.scheduled_for > ledger_now() - interval '30 days';
