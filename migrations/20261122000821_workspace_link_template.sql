-- The parameters that are added to the links of a workspace's posts, such as utm_source={platform}. Null: none.
ALTER TABLE workspace ADD COLUMN link_template text
    CONSTRAINT workspace_link_template_length CHECK (length(link_template) BETWEEN 1 AND 1000);
