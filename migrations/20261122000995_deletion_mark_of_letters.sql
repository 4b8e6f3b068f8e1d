-- A request covers letters to people on the staff too, and invitations of who has not joined yet.
ALTER TABLE deletion_mark
    DROP CONSTRAINT deletion_mark_kind_known,
    ADD CONSTRAINT deletion_mark_kind_known CHECK (
        kind IN ('account', 'person', 'publication', 'post', 'media', 'upload', 'job', 'connection',
                 'invitation', 'mail'));
