-- What a receipt says of the keys that were destroyed: how many, and how many tokens had none of their own.
ALTER TABLE deletion_request
    ADD COLUMN keys_shredded integer NOT NULL DEFAULT 0,
    ADD COLUMN tokens_without_key integer NOT NULL DEFAULT 0;
