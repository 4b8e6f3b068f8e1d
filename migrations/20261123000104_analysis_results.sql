-- What a post, or an account in a month, has come to is put in words too. What networks have counted leaves only for a
-- workspace that says so itself.
ALTER TABLE analysis_policy ADD COLUMN numbers boolean;

-- What they are about: it goes with it.
ALTER TABLE analysis
    ADD COLUMN post_id    uuid REFERENCES post ON DELETE CASCADE,
    ADD COLUMN account_id uuid REFERENCES account ON DELETE CASCADE,
    ADD COLUMN month      date, -- its first day
    ADD CONSTRAINT analysis_month_of_account CHECK ((account_id IS NULL) = (month IS NULL)),
    ADD CONSTRAINT analysis_results_of_one CHECK (
        num_nonnulls(post_id, account_id) = CASE kind WHEN 'results' THEN 1 ELSE 0 END);
CREATE INDEX analysis_by_post ON analysis (post_id) WHERE post_id IS NOT NULL;
CREATE INDEX analysis_by_account ON analysis (account_id) WHERE account_id IS NOT NULL;
