-- Where a look goes on that was broken off, in the words of whoever took it.
ALTER TABLE metric_plan ADD COLUMN resume text;
