-- What a call can cost at most counts until it is settled, and what it did cost from then on: one column says both.
ALTER TABLE analysis_call DROP COLUMN reserved_micros;
