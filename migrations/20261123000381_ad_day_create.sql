-- What a network said of an object of ads on one day, each time that it said something else than before: rows are only ever
-- added, and the one that was captured last counts. Numbers are the texts that the network wrote, null for a gap; what they
-- are of stands beside them.
CREATE TABLE ad_day (
    captured_at timestamptz NOT NULL,
    object      integer NOT NULL CONSTRAINT ad_day_object REFERENCES ad_object ON DELETE CASCADE,
    day         date NOT NULL,         -- in the ad account's own time zone
    currency    text,                  -- of every sum of money; null: the network did not say
    attribution text,                  -- by which results were counted; null: the network did not say
    numbers     jsonb NOT NULL,
    CONSTRAINT ad_day_key PRIMARY KEY (object, day, captured_at)
);
