-- What is public belongs to one publication. Where two claim the same, nobody knows whose it is.
UPDATE publication p SET public_id = NULL, public_url = NULL
WHERE p.public_id IS NOT NULL
  AND EXISTS (SELECT FROM publication o
              WHERE o.account_id = p.account_id AND o.public_id = p.public_id AND o.id <> p.id);
CREATE UNIQUE INDEX publication_public_key ON publication (account_id, public_id) WHERE public_id IS NOT NULL;
