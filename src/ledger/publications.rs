//! A publication as its holder and its reconciler see it, and the evidence that it is public.

use jobs::{
    comment::UNDER,
    desk::{Account, Content, File, Handle, Publication},
    machine::{HandleState, Move, Public, Standing, State},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Ledger, LedgerError, posts::failure};

#[derive(Deserialize)]
struct FileRow {
    key: String,
    content_type: String,
    bytes: u64,
    width: u32,
}

impl Ledger {
    /// A publication with what would be sent, as it stands now.
    ///
    /// # Errors
    /// The ledger is away, or there is no such publication.
    pub async fn publication(&self, id: Uuid) -> Result<Publication, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT p.state::text AS "state!", p.version, p.handle_state::text AS "handle_state!", p.handle_version,
                      p.scheduled_for, p.latest_at, p.given_up,
                      p.cancel_requested_at IS NOT NULL OR a.frozen_at IS NOT NULL AS "cancel_wished!",
                      p.handle_kind, p.handle_id, p.handle_detail, p.surface, p.options,
                      coalesce(p.caption, post.caption) AS "caption!", coalesce(p.link, post.link) AS link, p.parent_id,
                      (SELECT parent.public_id FROM publication parent WHERE parent.id = p.parent_id) AS under,
                      a.id AS account_id, a.platform, a.external_id, a.resting_until, a.token_generation,
                      EXISTS (SELECT FROM remote_call c WHERE c.publication_id = p.id AND c.kind = 'commit'
                                AND c.handle_id = p.handle_id AND c.verdict IS DISTINCT FROM 'definite_no') AS "handle_armed!",
                      (SELECT max(c.started_at) FROM remote_call c WHERE c.publication_id = p.id) AS last_call_at,
                      (SELECT max(c.started_at) FROM remote_call c WHERE c.publication_id = p.id AND c.kind = 'commit'
                         AND c.handle_id = p.handle_id AND c.verdict IS DISTINCT FROM 'definite_no') AS sent_at,
                      first_commit.at AS first_commit_at,
                      (SELECT max(c.started_at) FROM remote_call c WHERE c.publication_id = p.id AND c.kind = 'commit'
                         AND c.handle_id = p.handle_id AND c.verdict = 'definite_no' AND NOT c.unsent) AS refused_at,
                      (SELECT c.call_id FROM remote_call c WHERE c.publication_id = p.id AND c.kind = 'commit'
                         AND (c.verdict IS NULL OR c.verdict IN ('ok', 'ambiguous'))) AS open_commit,
                      -- only what was committed is ever looked for among others
                      ARRAY(SELECT o.public_id FROM publication o
                            WHERE o.account_id = p.account_id AND o.id <> p.id AND o.public_id IS NOT NULL
                              AND o.published_at > first_commit.at - interval '1 hour') AS "taken!: Vec<String>",
                      first_commit.at IS NOT NULL AND EXISTS (
                          SELECT FROM publication o JOIN post op ON op.id = o.post_id
                          WHERE o.account_id = p.account_id AND o.id <> p.id AND o.public_id IS NULL
                            AND o.state IN ('armed', 'unknown', 'waiting', 'published', 'held')
                            -- clocks may be apart: what was public well before that is no candidate
                            AND (o.published_at IS NULL OR o.published_at > first_commit.at - interval '5 minutes')
                            -- a story shows no words
                            AND ((p.surface = 'story' AND o.surface = 'story')
                                 OR btrim(coalesce(o.caption, op.caption), E' \t\r\n')
                                    = btrim(coalesce(p.caption, post.caption), E' \t\r\n'))
                            AND EXISTS (SELECT FROM remote_call c WHERE c.publication_id = o.id AND c.kind = 'commit'
                                          AND (c.verdict IS NULL OR c.verdict IN ('ok', 'ambiguous', 'resolved_yes')))) AS "twin!",
                      (SELECT jsonb_agg(jsonb_build_object('key', m.object_key, 'content_type', m.type, 'bytes', m.bytes,
                                                           'width', m.width)
                                        ORDER BY pm.position)
                       FROM post_media pm JOIN media m ON m.id = pm.media_id
                       -- a comment shows nothing of its post's
                       WHERE pm.post_id = p.post_id AND p.parent_id IS NULL) AS media,
                      ledger_now() AS "now!"
               FROM publication p JOIN post ON post.id = p.post_id JOIN account a ON a.id = p.account_id
               -- of an earlier handle the network has proved that it came to nothing
               CROSS JOIN LATERAL (
                   SELECT min(c.started_at) AS at FROM remote_call c
                   WHERE c.publication_id = p.id AND c.kind = 'commit' AND c.handle_id = p.handle_id) first_commit
               WHERE p.id = $1"#,
            id,
        )
        .fetch_one(&self.pool)
        .await?;
        let standing = Standing {
            state: readable(&row.state, State::parse)?,
            version: row.version,
            handle: readable(&row.handle_state, HandleState::parse)?,
            handle_version: row.handle_version,
            // whoever prepares knows how long ahead
            prepare_from: row.scheduled_for.min(row.now),
            scheduled_for: row.scheduled_for,
            latest_at: row.latest_at,
            cancel_wished: row.cancel_wished,
            resting_until: row.resting_until,
            given_up: row.given_up.map(failure),
            sent: false,
        };
        let handle_state = standing.handle;
        let sent_at = row.sent_at.filter(|_| handle_state != HandleState::Dead);
        let standing = Standing { sent: sent_at.is_some(), ..standing };
        let handle = row.handle_kind.zip(row.handle_id);
        Ok(Publication {
            id,
            generation: row.token_generation,
            account: Account { id: row.account_id, platform: row.platform, external_id: row.external_id },
            standing,
            handle: handle.map(|(kind, id)| Handle { kind, id, detail: row.handle_detail }),
            handle_armed: row.handle_armed,
            refused_at: row.refused_at.filter(|_| handle_state != HandleState::Dead),
            last_call_at: row.last_call_at,
            sent_at,
            open_commit: row.open_commit,
            content: Content {
                surface: row.surface,
                caption: row.caption,
                link: row.link.filter(|_| row.parent_id.is_none()),
                media: files(row.media)?,
                options: match row.parent_id {
                    Some(_) => json!({ UNDER: row.under }),
                    None => row.options,
                },
                not_before: row.first_commit_at.unwrap_or(row.now),
                taken: row.taken,
                twin: row.twin,
            },
            now: row.now,
        })
    }

    /// What is known of a public effect.
    ///
    /// # Errors
    /// The ledger is away, or there is no such publication.
    pub async fn public(&self, id: Uuid) -> Result<Public, LedgerError> {
        let row = sqlx::query!("SELECT public_id, public_url FROM publication WHERE id = $1", id);
        let row = row.fetch_one(&self.pool).await?;
        Ok(Public { id: row.public_id, url: row.public_url })
    }

    /// Records the network's word that a commit took effect. A call that was judged keeps its verdict.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn heard(&self, id: Uuid, call: Uuid, public: &Public) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"UPDATE remote_call
               SET verdict = CASE WHEN verdict IS NULL THEN 'ok' ELSE 'resolved_yes' END::call_verdict,
                   finished_at = coalesce(finished_at, ledger_now()),
                   remote_ids = jsonb_build_object('public_id', $3::text)
               WHERE call_id = $2 AND publication_id = $1 AND kind = 'commit' AND (verdict IS NULL OR verdict = 'ambiguous')"#,
            id,
            call,
            public.id,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// T9: records evidence that a publication is public. Needs no claim, and may be told any number of times. An id
    /// that another publication is known by is left out: that it is public does not rest on it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn seen(&self, id: Uuid, call: Option<Uuid>, public: &Public) -> Result<(), LedgerError> {
        match self.record(id, call, public, true).await {
            Err(LedgerError::Refused { constraint }) if constraint == "publication_public_key" => {
                tracing::error!(publication = %id, "its id at the network is another publication's already");
                self.record(id, call, &Public::default(), false).await
            }
            recorded => recorded,
        }
    }

    /// The same for a post that was found by its looks: the evidence is its id, and that must be nobody else's.
    ///
    /// # Errors
    /// The ledger is away, or another publication has been found to be this post.
    pub async fn found(&self, id: Uuid, call: Option<Uuid>, public: &Public) -> Result<(), LedgerError> {
        self.record(id, call, public, true).await
    }

    async fn record(
        &self,
        id: Uuid,
        call: Option<Uuid>,
        public: &Public,
        named: bool,
    ) -> Result<(), LedgerError> {
        let before = sqlx::query_scalar!(
            r#"WITH prior AS (SELECT id, state FROM publication WHERE id = $1 FOR UPDATE),
               judged AS (
                   -- a call that was judged keeps its verdict
                   UPDATE remote_call
                   SET verdict = CASE WHEN verdict IS NULL THEN 'ok' ELSE 'resolved_yes' END::call_verdict,
                       finished_at = coalesce(finished_at, ledger_now()),
                       remote_ids = coalesce(remote_ids, jsonb_build_object('public_id', $3::text))
                   WHERE publication_id = $1 AND kind = 'commit' AND (call_id = $2 OR $2 IS NULL)
                     AND (verdict IS NULL OR verdict = 'ambiguous'))
               UPDATE publication p
               SET state = $5::text::publication_state, public_id = coalesce(public_id, $3, (
                       SELECT c.remote_ids ->> 'public_id' FROM remote_call c
                       WHERE c.publication_id = p.id AND c.kind = 'commit' AND c.verdict IN ('ok', 'resolved_yes')
                         AND $6 LIMIT 1)), public_url = coalesce(public_url, $4),
                   published_at = coalesce(published_at, ledger_now()), handle_state = CASE WHEN handle_id IS NULL THEN 'none' ELSE 'spent' END::handle_state,
                   error = NULL, hold_reason = NULL, given_up = NULL,
                   -- what it is called and where it is to be found may be told later; asked for ever more rarely, for a day
                   next_check_at = CASE WHEN coalesce(public_id, $3) IS NULL OR coalesce(public_url, $4) IS NULL
                                        THEN ledger_now() + interval '5 seconds' END,
                   updated_at = ledger_now()
               FROM prior WHERE p.id = prior.id
               RETURNING prior.state::text AS "state!""#,
            id,
            call,
            public.id,
            public.url,
            Move::Publish.to().word(),
            named,
        )
        .fetch_one(&self.pool)
        .await?;
        if matches!(State::parse(&before), Some(State::Failed | State::Cancelled)) {
            metrics::counter!("postroom_alarm_total", "alarm" => "A1").increment(1);
            tracing::error!(publication = %id, before, "alarm A1: a publication that was given up is public");
        }
        Ok(())
    }
}

/// A word of the ledger as this build knows it.
fn readable<T>(word: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, LedgerError> {
    parse(word)
        .ok_or_else(|| LedgerError::Unreadable(format!("the word {word:?}, which this build does not know")))
}

fn files(rows: Option<Value>) -> Result<Vec<File>, LedgerError> {
    let rows: Vec<FileRow> = match rows {
        None => Vec::new(),
        Some(rows) => serde_json::from_value(rows)
            .map_err(|e| LedgerError::Unreadable(format!("media it cannot name: {e}")))?,
    };
    Ok(rows
        .into_iter()
        .map(|row| File { key: row.key, content_type: row.content_type, bytes: row.bytes, width: row.width })
        .collect())
}
