-- What a draft is made of stays at its network when the draft goes: whoever takes it back has to know it by then.
ALTER TABLE orphan_handle ADD COLUMN handle_detail jsonb NOT NULL DEFAULT '{}';
