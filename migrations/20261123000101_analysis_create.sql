-- Help that somebody asked for, and what came of it. It is shown to people, and nothing of it goes out of itself.
CREATE TYPE analysis_state AS ENUM (
    'waiting', 'done', 'refused', 'cut', 'invalid', 'over_budget', 'quota', 'withheld', 'failed');

CREATE TABLE analysis (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace,
    kind         text NOT NULL CONSTRAINT analysis_kind_word CHECK (kind ~ '^[a-z][a-z_]{1,39}$'),
    state        analysis_state NOT NULL DEFAULT 'waiting',
    language     text NOT NULL CONSTRAINT analysis_language_known CHECK (language IN ('en', 'he')),
    platforms    text[] NOT NULL,
    brief        text NOT NULL CONSTRAINT analysis_brief_length CHECK (length(brief) <= 5000),
    prompt       text,                           -- name and version
    model        text,
    cached       boolean NOT NULL DEFAULT false, -- what was answered before was given again
    result       jsonb,
    error        jsonb,
    created_by   uuid NOT NULL,                  -- the person or the key that asked
    created_at   timestamptz NOT NULL DEFAULT ledger_now(),
    ended_at     timestamptz,
    CONSTRAINT analysis_ends CHECK ((state = 'waiting') = (ended_at IS NULL)),
    CONSTRAINT analysis_has_its_result CHECK ((state = 'done') = (result IS NOT NULL))
);
CREATE INDEX analysis_by_workspace ON analysis (workspace_id, id);
CREATE INDEX analysis_age ON analysis (ended_at) WHERE ended_at IS NOT NULL;

-- The files it is about. It does not keep them: a file that no post uses goes as it would.
CREATE TABLE analysis_media (
    analysis_id uuid NOT NULL REFERENCES analysis ON DELETE CASCADE,
    position    smallint NOT NULL,
    media_id    uuid NOT NULL REFERENCES media ON DELETE CASCADE,
    PRIMARY KEY (analysis_id, position)
);
CREATE INDEX analysis_media_by_media ON analysis_media (media_id);

-- One job an analysis, so that one worker at a time holds it.
CREATE UNIQUE INDEX one_analysis_job ON job ((payload ->> 'analysis_id')) WHERE kind = 'ai_analysis';
