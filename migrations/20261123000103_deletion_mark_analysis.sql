-- What was asked of a provider of AI for a network in a workspace goes with the connections to it; answers that are given
-- again to a repeated request are found by its id.
ALTER TABLE deletion_mark
    DROP CONSTRAINT deletion_mark_kind_known,
    ADD CONSTRAINT deletion_mark_kind_known CHECK (
        kind IN ('account', 'person', 'publication', 'post', 'media', 'upload', 'job', 'connection',
                 'invitation', 'mail', 'analysis'));
