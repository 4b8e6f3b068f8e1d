-- The sweep for wishes to cancel looks at those alone.
CREATE INDEX publication_wished ON publication (id)
    WHERE cancel_requested_at IS NOT NULL AND state NOT IN ('published', 'failed', 'cancelled', 'held');
