-- A question that the model refused, or whose answer was cut, is not paid for again: why nothing came of it is kept with the
-- call, so that whoever goes on after a crash ends the analysis with the same words.
ALTER TABLE analysis_call ADD COLUMN error jsonb;
