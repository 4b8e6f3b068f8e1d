-- A link to a report of nothing but deleted accounts shows nothing any more, and what stands above it may name them: it goes
-- with the last of them.
ALTER TABLE deletion_mark
    DROP CONSTRAINT deletion_mark_kind_known,
    ADD CONSTRAINT deletion_mark_kind_known CHECK (
        kind IN ('account', 'person', 'publication', 'post', 'media', 'upload', 'job', 'connection',
                 'invitation', 'mail', 'analysis', 'export', 'report'));
