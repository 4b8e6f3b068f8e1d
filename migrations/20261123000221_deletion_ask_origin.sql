-- How somebody asked whose address is proved by a link: on the public page, or by a mail.
ALTER TABLE deletion_ask ADD COLUMN origin deletion_origin NOT NULL DEFAULT 'page'
    CONSTRAINT deletion_ask_origin_known CHECK (origin IN ('page', 'mail'));
