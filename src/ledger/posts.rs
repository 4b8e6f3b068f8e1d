//! Posts and their publications, read for the API and the console.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, NaiveDateTime, Utc};
use jobs::{
    contract::{Class, Failure},
    machine::State,
    preflight::Finding,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    accept::NewTarget,
    approval::{self, Approval},
    take_down::TakenDown,
};

/// Counting stops here, so that the list's page stays quick.
pub const COUNTED: i64 = 10_000;

/// What staff wrote, and what became of it.
#[derive(Debug, Clone)]
pub struct Post {
    /// Its id.
    pub id: Uuid,
    /// `post`, `reel`, `story`, `carousel`.
    pub kind: String,
    /// The words.
    pub caption: String,
    /// A web address to show.
    pub link: Option<String>,
    /// The files, in order.
    pub media_ids: Vec<Uuid>,
    /// When, as it was written; `None` is as soon as possible.
    pub wall_time: Option<NaiveDateTime>,
    /// An IANA name, or an offset.
    pub time_zone: Option<String>,
    /// `earlier` or `later`.
    pub fold: Option<String>,
    /// When, as an instant.
    pub scheduled_for: DateTime<Utc>,
    /// Past `scheduled_for` plus this it is held.
    pub latest_after: Duration,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// One for each account.
    pub publications: Vec<Publication>,
    /// Where it stands, if somebody has to approve it. Not told of a post that was accepted just now.
    pub approval: Option<Approval>,
}

impl Post {
    /// The first of the API's words, in their order, that any publication has. Comments say for themselves how they
    /// fare: a post that is public must not look as if it had failed, or somebody sends it again.
    pub fn shown(&self) -> &'static str {
        let posts = || self.publications.iter().filter(|it| it.parent_id.is_none());
        let has = |word: &&&str| posts().any(|it| it.state.shown() == **word);
        State::SHOWN.iter().find(has).copied().unwrap_or("cancelled")
    }

    /// Whether it waits for somebody to approve it.
    pub fn unapproved(&self) -> bool {
        let open =
            |it: &Publication| !matches!(it.state, State::Published | State::Failed | State::Cancelled);
        self.approval.as_ref().is_some_and(|approval| approval.waits) && self.publications.iter().any(open)
    }

    /// Whether it is a comment whose post is not public yet, or has no name yet.
    pub fn waits(&self, it: &Publication) -> bool {
        let ready = |other: &Publication| other.state == State::Published && other.remote_id.is_some();
        let ahead = |other: &Publication| Some(other.id) == it.parent_id && !ready(other);
        it.parent_id.is_some() && self.publications.iter().any(ahead)
    }
}

/// A post on one account.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Its id.
    pub id: Uuid,
    /// The account.
    pub account_id: Uuid,
    /// The account's network.
    pub platform: String,
    /// `text`, `photo` and the like.
    pub surface: String,
    /// The publication that it stands under, of the same account: it is a comment.
    pub parent_id: Option<Uuid>,
    /// This account's own words; `None` is the post's.
    pub caption: Option<String>,
    /// The link as this account's followers get it; `None` is the post's.
    pub link: Option<String>,
    /// What the author chose for this network.
    pub options: Value,
    /// Where it stands.
    pub state: State,
    /// Attempts begun; waiting for the network's own work is none.
    pub attempts: i64,
    /// When it is due.
    pub scheduled_for: DateTime<Utc>,
    /// When it became public.
    pub published_at: Option<DateTime<Utc>>,
    /// Where it is to be seen.
    pub permalink: Option<String>,
    /// The network's id.
    pub remote_id: Option<String>,
    /// What went wrong last.
    pub failure: Option<Failure>,
    /// Why a person decides.
    pub hold_reason: Option<String>,
    /// When somebody wished it cancelled.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// What the latest check before its time found.
    pub findings: Vec<Finding>,
    /// What became of a wish to take it down.
    pub taken_down: Option<TakenDown>,
}

impl Publication {
    /// One to this account that nothing was done about yet, and of which nothing is said.
    pub(super) fn scheduled(target: &NewTarget, scheduled_for: DateTime<Utc>) -> Self {
        Self {
            id: Uuid::nil(),
            account_id: target.account_id,
            platform: target.platform.clone(),
            surface: String::new(),
            parent_id: None,
            caption: None,
            link: None,
            options: Value::Null,
            state: State::Scheduled,
            attempts: 0,
            scheduled_for,
            published_at: None,
            permalink: None,
            remote_id: None,
            failure: None,
            hold_reason: None,
            cancel_requested_at: None,
            findings: Vec::new(),
            taken_down: None,
        }
    }
}

/// Which posts.
#[derive(Debug, Clone, Default)]
pub struct PostFilter {
    /// One of the API's words.
    pub state: Option<&'static str>,
    /// Going to this account.
    pub account_id: Option<Uuid>,
    /// Scheduled at or after.
    pub from: Option<DateTime<Utc>>,
    /// Scheduled before.
    pub to: Option<DateTime<Utc>>,
    /// Older than this post.
    pub before: Option<Uuid>,
}

/// Something that happened to a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Of which publication.
    pub publication_id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A request to the network.
    Call {
        /// `prepare`, `commit` and the like.
        kind: String,
        /// When it ended; `None`: it is on its way, or its process is gone.
        ended_at: Option<DateTime<Utc>>,
        /// `ok`, `definite_no`, `ambiguous`, `resolved_yes`, `resolved_no`.
        verdict: Option<String>,
        /// What the network said.
        message: Option<String>,
    },
    /// Somebody has decided about it.
    Verdict {
        /// It is public.
        published: bool,
        /// Why.
        reason: Option<String>,
        /// `person`, `key` or `operator`.
        said_by: String,
        /// What the person is called, if it was one who is still known.
        name: Option<String>,
    },
    /// An attempt ended.
    Attempt {
        /// `waiting`, `retry`, `reaped`, `done` and the like.
        outcome: String,
        /// Why.
        reason: Option<String>,
    },
}

impl Ledger {
    /// The workspace's post of that id.
    pub async fn post(&self, workspace_id: Uuid, id: Uuid) -> Result<Option<Post>, LedgerError> {
        select(&mut *self.pool.acquire().await?, workspace_id, id).await
    }

    /// The workspace's posts, newest first, at most `limit`.
    pub async fn posts(
        &self,
        workspace_id: Uuid,
        filter: &PostFilter,
        limit: i64,
    ) -> Result<Vec<Post>, LedgerError> {
        let (has, lacks) = filter.state.map(state_and_those_before_it).unzip();
        let mut connection = self.pool.acquire().await?;
        let rows = sqlx::query_as!(
            PostRow,
            r#"SELECT id, kind::text AS "kind!", caption, link, wall_time, time_zone, fold, scheduled_for,
                      extract(epoch FROM latest_after)::float8 AS "latest_after!", created_at
               FROM post
               WHERE workspace_id = $1
                 AND ($2::uuid IS NULL OR id < $2)
                 AND ($3::timestamptz IS NULL OR scheduled_for >= $3)
                 AND ($4::timestamptz IS NULL OR scheduled_for < $4)
                 AND ($5::uuid IS NULL
                      OR EXISTS (SELECT FROM publication p WHERE p.post_id = post.id AND p.account_id = $5))
                 -- a post has the first state, in the API's order, that any of its publications has but for comments
                 AND ($6::text[] IS NULL
                      OR EXISTS (SELECT FROM publication p WHERE p.post_id = post.id AND p.parent_id IS NULL
                                   AND p.state = ANY ($6::text[]::publication_state[]))
                         AND NOT EXISTS (SELECT FROM publication p WHERE p.post_id = post.id AND p.parent_id IS NULL
                                           AND p.state = ANY ($7::text[]::publication_state[])))
               ORDER BY id DESC LIMIT $8"#,
            workspace_id,
            filter.before,
            filter.from,
            filter.to,
            filter.account_id,
            has.as_deref(),
            lacks.as_deref(),
            limit,
        )
        .fetch_all(&mut *connection)
        .await?;
        complete(&mut connection, rows).await
    }

    /// How many of the workspace's newest [`COUNTED`] posts have each of the API's words.
    pub async fn post_counts(&self, workspace_id: Uuid) -> Result<HashMap<String, i64>, LedgerError> {
        let (words, ranks): (Vec<String>, Vec<i32>) = State::ALL
            .iter()
            .filter_map(|state| {
                let rank = State::SHOWN.iter().position(|word| *word == state.shown())?;
                Some((state.word().to_owned(), i32::try_from(rank).ok()?))
            })
            .unzip();
        let rows = sqlx::query!(
            r#"WITH newest AS (SELECT id FROM post WHERE workspace_id = $1 ORDER BY id DESC LIMIT $4),
                    ranked AS (
                        SELECT min(r.rank) AS rank
                        FROM newest JOIN publication p ON p.post_id = newest.id AND p.parent_id IS NULL
                             JOIN unnest($2::text[], $3::int[]) AS r (word, rank) ON r.word = p.state::text
                        GROUP BY newest.id)
               SELECT rank AS "rank!", count(*) AS "count!" FROM ranked GROUP BY rank"#,
            workspace_id,
            &words,
            &ranks,
            COUNTED,
        )
        .fetch_all(&self.pool)
        .await?;
        let word = |rank| usize::try_from(rank).ok().and_then(|at| State::SHOWN.get(at)).copied();
        Ok(rows.into_iter().filter_map(|row| Some((word(row.rank)?.to_owned(), row.count))).collect())
    }

    /// The named zone that the workspace's newest scheduled post was written in.
    pub async fn last_time_zone(&self, workspace_id: Uuid) -> Result<Option<String>, LedgerError> {
        let zone = sqlx::query_scalar!(
            r#"SELECT time_zone AS "zone!"
               -- among the newest only: a workspace that never schedules is not searched through
               FROM (SELECT id, time_zone FROM post WHERE workspace_id = $1 ORDER BY id DESC LIMIT 200) newest
               WHERE time_zone ~ '^[A-Z]' ORDER BY id DESC LIMIT 1"#,
            workspace_id,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(zone)
    }

    /// What happened to the publications of a post that is from `since`, oldest first.
    pub async fn events(
        &self,
        publications: &[Uuid],
        since: DateTime<Utc>,
    ) -> Result<Vec<Event>, LedgerError> {
        let calls = sqlx::query!(
            r#"SELECT publication_id AS "publication_id!", kind::text AS "kind!", started_at, finished_at,
                      verdict::text AS verdict, remote_message
               FROM remote_call WHERE publication_id = ANY ($1) AND kind IN ('prepare', 'commit', 'discard')
               ORDER BY seq"#,
            publications,
        )
        .fetch_all(&self.pool)
        .await?;
        let attempts = sqlx::query!(
            r#"SELECT publication_id AS "publication_id!", ended_at AS "at!", outcome::text AS "outcome!", reason
               -- the time spares the partitions from before the post
               FROM attempt WHERE publication_id = ANY ($1) AND ended_at >= $2
               UNION ALL
               SELECT publication_id, finished_at, outcome::text, reason
               FROM job_history WHERE publication_id = ANY ($1) AND finished_at >= $2
               ORDER BY 2"#,
            publications,
            since,
        )
        .fetch_all(&self.pool)
        .await?;
        let calls = calls.into_iter().map(|row| Event {
            publication_id: row.publication_id,
            at: row.started_at,
            what: Happening::Call {
                kind: row.kind,
                ended_at: row.finished_at,
                verdict: row.verdict,
                message: row.remote_message,
            },
        });
        let attempts = attempts.into_iter().map(|row| Event {
            publication_id: row.publication_id,
            at: row.at,
            what: Happening::Attempt { outcome: row.outcome, reason: row.reason },
        });
        let verdicts = sqlx::query!(
            r#"SELECT v.publication_id, v.decided_at, v.published, v.reason, v.said_by,
                      p.first_name || ' ' || p.last_name AS name
               FROM verdict v LEFT JOIN person p ON p.id = v.person_id
               WHERE v.publication_id = ANY ($1) ORDER BY v.decided_at"#,
            publications,
        )
        .fetch_all(&self.pool)
        .await?;
        let verdicts = verdicts.into_iter().map(|row| Event {
            publication_id: row.publication_id,
            at: row.decided_at,
            what: Happening::Verdict {
                published: row.published,
                reason: row.reason,
                said_by: row.said_by,
                name: row.name,
            },
        });
        let mut events: Vec<Event> = calls.chain(attempts).chain(verdicts).collect();
        events.sort_by_key(|event| event.at);
        Ok(events)
    }
}

/// The workspace's post of that id, as this connection sees it.
pub(super) async fn select(
    connection: &mut PgConnection,
    workspace_id: Uuid,
    id: Uuid,
) -> Result<Option<Post>, LedgerError> {
    let rows = sqlx::query_as!(
        PostRow,
        r#"SELECT id, kind::text AS "kind!", caption, link, wall_time, time_zone, fold, scheduled_for,
                      extract(epoch FROM latest_after)::float8 AS "latest_after!", created_at
               FROM post WHERE workspace_id = $1 AND id = $2"#,
        workspace_id,
        id,
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(complete(connection, rows).await?.pop())
}

/// Fills in files, publications with attempts, and approvals: three statements, however many posts.
async fn complete(connection: &mut PgConnection, rows: Vec<PostRow>) -> Result<Vec<Post>, LedgerError> {
    let Some(since) = rows.iter().map(|row| row.created_at).min() else { return Ok(Vec::new()) };
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut files = files_of(connection, &ids).await?;
    let mut publications = publications_of(connection, &ids, since).await?;
    let mut approvals = approval::of(connection, &ids).await?;
    let post = |row: PostRow| Post {
        approval: approvals.remove(&row.id),
        media_ids: files.remove(&row.id).unwrap_or_default(),
        publications: publications.remove(&row.id).unwrap_or_default(),
        id: row.id,
        kind: row.kind,
        caption: row.caption,
        link: row.link,
        wall_time: row.wall_time,
        time_zone: row.time_zone,
        fold: row.fold,
        scheduled_for: row.scheduled_for,
        latest_after: Duration::try_from_secs_f64(row.latest_after).unwrap_or_default(),
        created_at: row.created_at,
    };
    Ok(rows.into_iter().map(post).collect())
}

async fn files_of(
    connection: &mut PgConnection,
    posts: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Uuid>>, LedgerError> {
    let rows = sqlx::query!(
        "SELECT post_id, media_id FROM post_media WHERE post_id = ANY ($1) ORDER BY post_id, position",
        posts,
    )
    .fetch_all(connection)
    .await?;
    let mut files: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for row in rows {
        files.entry(row.post_id).or_default().push(row.media_id);
    }
    Ok(files)
}

async fn publications_of(
    connection: &mut PgConnection,
    posts: &[Uuid],
    since: DateTime<Utc>,
) -> Result<HashMap<Uuid, Vec<Publication>>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT p.id, p.post_id, p.account_id, a.platform, p.surface, p.parent_id, p.caption, p.link, p.options,
                  p.state::text AS "state!", p.scheduled_for, p.published_at, p.public_url, p.public_id, p.error,
                  p.hold_reason, p.cancel_requested_at,
                  (SELECT k.findings FROM publication_check k WHERE k.publication_id = p.id) AS findings,
                  t.state::text AS "taken_down?", t.asked_at AS "asked_at?", t.reason, t.ended_at, t.why,
                  coalesce(past.n, 0) + coalesce(ended.n, 0) + coalesce(running.n, 0) AS "attempts!"
           FROM publication p
           JOIN account a ON a.id = p.account_id
           LEFT JOIN take_down t ON t.publication_id = p.id
           LEFT JOIN LATERAL (
               SELECT count(*) AS n FROM attempt o
               -- the time spares the partitions from before the post
               WHERE o.publication_id = p.id AND o.ended_at >= $2
                 AND o.outcome NOT IN ('waiting', 'paused', 'released')) past ON true
           LEFT JOIN LATERAL (
               SELECT count(*) AS n FROM job_history h
               WHERE h.publication_id = p.id AND h.finished_at >= $2) ended ON true
           LEFT JOIN LATERAL (
               SELECT count(*) AS n FROM job j JOIN claim c ON c.job_id = j.id
               WHERE j.publication_id = p.id AND j.kind = 'publish') running ON true
           WHERE p.post_id = ANY ($1) ORDER BY p.post_id, p.id"#,
        posts,
        since,
    )
    .fetch_all(connection)
    .await?;
    let mut publications: HashMap<Uuid, Vec<Publication>> = HashMap::new();
    for row in rows {
        let state = State::parse(&row.state)
            .ok_or_else(|| LedgerError::Unreadable(format!("the publication state {}", row.state)))?;
        publications.entry(row.post_id).or_default().push(Publication {
            id: row.id,
            account_id: row.account_id,
            platform: row.platform,
            surface: row.surface,
            parent_id: row.parent_id,
            caption: row.caption,
            link: row.link,
            options: row.options,
            state,
            attempts: row.attempts,
            scheduled_for: row.scheduled_for,
            published_at: row.published_at,
            permalink: row.public_url,
            remote_id: row.public_id,
            failure: row.error.map(failure),
            hold_reason: row.hold_reason,
            cancel_requested_at: row.cancel_requested_at,
            findings: row.findings.as_ref().map(findings).unwrap_or_default(),
            taken_down: TakenDown::read(row.taken_down, row.asked_at, row.reason, row.ended_at, row.why)?,
        });
    }
    Ok(publications)
}

struct PostRow {
    id: Uuid,
    kind: String,
    caption: String,
    link: Option<String>,
    wall_time: Option<NaiveDateTime>,
    time_zone: Option<String>,
    fold: Option<String>,
    scheduled_for: DateTime<Utc>,
    latest_after: f64,
    created_at: DateTime<Utc>,
}

/// The ledger's words behind one of the API's, and behind those that come before it.
fn state_and_those_before_it(shown: &'static str) -> (Vec<String>, Vec<String>) {
    let words = |shown: &str| State::behind(shown).into_iter().map(|state| state.word().to_owned());
    let before = State::SHOWN.iter().take_while(|word| **word != shown);
    (words(shown).collect(), before.flat_map(|word| words(word)).collect())
}

/// Reads what a check found; what another build wrote and this one cannot read is left out.
fn findings(kept: &Value) -> Vec<Finding> {
    let kept = kept.as_array().map_or(&[][..], Vec::as_slice);
    kept.iter().filter_map(|finding| serde_json::from_value(finding.clone()).ok()).collect()
}

/// Reads a failure; one that cannot be read is shown as it stands rather than hidden.
pub(super) fn failure(kept: Value) -> Failure {
    let shown = kept.to_string();
    serde_json::from_value(kept).unwrap_or_else(|_| Failure::new(Class::Unknown, "unreadable", shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_posts_state_excludes_those_that_come_before_it() {
        let (has, lacks) = state_and_those_before_it("preparing");
        assert_eq!(has, ["preparing", "prepared"]);
        assert_eq!(lacks, ["armed", "unknown", "waiting"]);
        assert!(state_and_those_before_it("publishing").1.is_empty());
    }
}
