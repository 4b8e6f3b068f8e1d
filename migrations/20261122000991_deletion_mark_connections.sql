-- Connections on their way name people and accounts too.
ALTER TABLE deletion_mark
    DROP CONSTRAINT deletion_mark_kind_known,
    ADD CONSTRAINT deletion_mark_kind_known CHECK (
        kind IN ('account', 'person', 'publication', 'post', 'media', 'upload', 'job', 'connection'));
