-- Who follows an account, by kinds of people: one row for each way of telling them apart and each look. What was not told is
-- kept as that, with whether it was for too few followers.
CREATE TABLE snapshot_spread (
    captured_at timestamptz NOT NULL,
    object      integer NOT NULL CONSTRAINT snapshot_spread_object REFERENCES metric_plan ON DELETE CASCADE,
    metric      smallint NOT NULL,     -- its number in the catalogue, which knows what it is told along
    said        text NOT NULL CONSTRAINT snapshot_spread_said CHECK (said IN ('kinds', 'too_few', 'nothing')),
    kinds       jsonb,                 -- how many of each kind
    CONSTRAINT snapshot_spread_key PRIMARY KEY (object, metric, captured_at),
    CONSTRAINT snapshot_spread_kinds CHECK ((said = 'kinds') = (kinds IS NOT NULL))
);
