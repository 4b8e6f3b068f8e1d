-- What came out in a workspace within a span, whatever the number of its accounts: the dashboard counts it day by day.
CREATE INDEX publication_published_of_workspace ON publication (workspace_id, published_at) WHERE published_at IS NOT NULL;
