-- What ended badly is listed by workspace, too: without this a quiet one's list walks through everybody's.
CREATE INDEX job_history_ended_of_workspace ON job_history (workspace_id, id) WHERE outcome <> 'done';
