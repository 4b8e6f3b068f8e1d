-- What an account has lately published: none of it can be what another publication is looked for as.
CREATE INDEX publication_published ON publication (account_id, published_at) WHERE public_id IS NOT NULL;
