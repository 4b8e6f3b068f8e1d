-- What a workspace lets a provider of AI be asked. Where there is no row, or a column is null, worker.toml says it.
CREATE TABLE analysis_policy (
    workspace_id   uuid PRIMARY KEY REFERENCES workspace ON DELETE CASCADE,
    enabled        boolean,
    media          boolean,                     -- whether files go along
    monthly_micros bigint CONSTRAINT analysis_policy_budget_range CHECK (monthly_micros BETWEEN 0 AND 1000000000000),
    brand          text NOT NULL DEFAULT '' CONSTRAINT analysis_policy_brand_length CHECK (length(brand) <= 2000)
);
