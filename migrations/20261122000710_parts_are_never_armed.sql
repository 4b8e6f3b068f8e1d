-- A handle that holds only the parts of a post, such as the slides of a carousel that are still being processed,
-- cannot be committed: nothing goes out with less than was approved.
ALTER TABLE publication ADD CONSTRAINT parts_are_never_armed CHECK (handle_kind IS DISTINCT FROM 'parts' OR state <> 'armed');
