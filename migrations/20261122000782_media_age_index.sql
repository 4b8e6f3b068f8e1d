-- For the walk over all files, oldest first, that finds those which no post uses; and for asking whether one does.
CREATE INDEX media_age ON media (created_at, id);
CREATE INDEX post_media_by_media ON post_media (media_id);
