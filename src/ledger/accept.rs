//! T1: a post, its publications and their jobs, in one transaction with the answer they were taken with.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use jobs::{comment, contract::Job, hint::Hint, preflight::Finding, publish::Publish, surface::PostKind};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    accounts::{self, Account},
    claims::interval,
    comments,
    idempotency::{self, Answer, Asked, Before},
    media::{self, Media},
    posts::{Post, Publication},
    repeats::{self, Twin},
};

/// What a post asks the ledger about before it can be judged.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose post it is.
    pub workspace_id: Uuid,
    /// The key it carries, if any.
    pub asked: Option<Asked>,
    /// The accounts it names.
    pub account_ids: Vec<Uuid>,
    /// The files it names.
    pub media_ids: Vec<Uuid>,
    /// Somebody else has to approve it before anything is done for it.
    pub waits: bool,
}

/// What the ledger knows, true until the transaction ends.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The ledger's time.
    pub now: DateTime<Utc>,
    /// The accounts named that are the workspace's, locked against being paused or frozen.
    pub accounts: Vec<Account>,
    /// The files named that are the workspace's.
    pub media: Vec<Media>,
    /// The parameters that the workspace adds to links, as they were written.
    pub link_template: Option<String>,
    /// The post's id, if it has one or gets one.
    pub post_id: Option<Uuid>,
}

/// A post that was judged good.
#[derive(Debug, Clone)]
pub struct NewPost {
    /// The person or the API key that asked.
    pub created_by: Uuid,
    /// The kind asked for.
    pub kind: PostKind,
    /// The words.
    pub caption: String,
    /// A web address to show.
    pub link: Option<String>,
    /// The files, in order.
    pub media_ids: Vec<Uuid>,
    /// When, as it was written; `None` is as soon as possible.
    pub written: Option<Written>,
    /// When, as an instant.
    pub scheduled_for: DateTime<Utc>,
    /// Past `scheduled_for` plus this it is held.
    pub latest_after: Duration,
    /// How long before its time it is made ready.
    pub prepare_ahead: Duration,
    /// Another post that says the same not further away than this is warned of.
    pub repeat_within: Duration,
    /// Where to.
    pub targets: Vec<NewTarget>,
}

/// A time as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Wall time.
    pub wall_time: NaiveDateTime,
    /// An IANA name, or an offset.
    pub time_zone: String,
    /// `earlier` or `later`, where the wall time happens twice.
    pub fold: Option<&'static str>,
}

/// One intended public effect.
#[derive(Debug, Clone)]
pub struct NewTarget {
    /// The account.
    pub account_id: Uuid,
    /// Its network.
    pub platform: String,
    /// `text`, `photo` and the like.
    pub surface: &'static str,
    /// This account's own words; `None` is the post's.
    pub caption: Option<String>,
    /// The link as this account's followers get it; `None` is the post's.
    pub link: Option<String>,
    /// What the author chose for this network.
    pub options: Value,
}

impl NewTarget {
    /// What is to be said under it.
    fn first_comment(&self) -> Option<String> {
        comments::asked(&self.options).map(str::to_owned)
    }

    /// The comment that is to stand under it.
    fn comment(&self, parent: Uuid, id: Uuid, scheduled_for: DateTime<Utc>) -> Option<Publication> {
        Some(Publication {
            id,
            parent_id: Some(parent),
            surface: comment::SURFACE.name.to_owned(),
            caption: Some(self.first_comment()?),
            options: json!({}),
            ..Publication::scheduled(self, scheduled_for)
        })
    }
}

/// What came of a post.
#[derive(Debug)]
pub enum Accepted<R> {
    /// It is committed.
    New {
        /// The post.
        post: Box<Post>,
        /// The answer that is kept for its key.
        answer: Answer,
        /// Its jobs that may run now.
        due: Vec<Hint>,
    },
    /// The same write was answered before.
    Before(Answer),
    /// The key was used for another write.
    KeyReused,
    /// It was judged bad; nothing was written.
    Refused(R),
}

impl Ledger {
    /// What is true now of what a post names. Nothing is written, and nothing stays locked.
    pub async fn survey(&self, question: &Question) -> Result<Facts, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let (facts, _) = facts(&mut tx, question).await?;
        tx.rollback().await?;
        Ok(facts)
    }

    /// Accepts a post: judges it by what is true now, writes it, commits. A commit whose answer was lost is asked
    /// after; only where that is not answered either, it stays open whether the post exists, and its key tells.
    pub async fn accept<R>(
        &self,
        question: &Question,
        judge: impl Fn(&Facts) -> Result<NewPost, R> + Send + Sync,
        answer: impl Fn(&Post) -> Answer + Send + Sync,
    ) -> Result<Accepted<R>, LedgerError> {
        self.patiently(|| self.accept_once(question, &judge, &answer)).await
    }

    async fn accept_once<R>(
        &self,
        question: &Question,
        judge: impl Fn(&Facts) -> Result<NewPost, R> + Send,
        answer: impl Fn(&Post) -> Answer + Send,
    ) -> Result<Accepted<R>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        if let Some(asked) = &question.asked {
            match idempotency::take(&mut tx, asked).await? {
                Before::Nothing => {}
                Before::Answered(answer) => return Ok(Accepted::Before(answer)),
                Before::Other => return Ok(Accepted::KeyReused),
            }
        }
        let (mut facts, xid) = facts(&mut tx, question).await?;
        let id = *facts.post_id.insert(Uuid::now_v7());
        let new = match judge(&facts) {
            Ok(new) => new,
            Err(refusal) => return Ok(Accepted::Refused(refusal)),
        };
        let rows = Rows::of(id, question, new, facts.now);
        let twins = rows.insert(&mut tx, facts.now).await?;
        let due = rows.due(facts.now);
        let mut post = rows.into_post(facts.now);
        warn_of(&mut tx, &mut post, &twins, &facts).await?;
        let answer = answer(&post);
        if let Some(asked) = &question.asked {
            idempotency::keep(&mut tx, asked, &answer).await?;
        }
        self.commit(tx, &xid).await?;
        Ok(Accepted::New { post: Box::new(post), answer, due })
    }
}

/// What is true, and the transaction's id by which its fate can be asked for.
async fn facts(connection: &mut PgConnection, question: &Question) -> Result<(Facts, String), LedgerError> {
    let accounts = accounts::lock_accounts(connection, question.workspace_id, &question.account_ids).await?;
    let media = if question.media_ids.is_empty() {
        Vec::new()
    } else {
        media::lock(connection, question.workspace_id, &question.media_ids).await?
    };
    // After the locks: a post that waited for one is judged by the time at which it got it.
    let known = sqlx::query!(
        r#"SELECT ledger_now() AS "now!", pg_current_xact_id()::text AS "xid!",
                  (SELECT link_template FROM workspace WHERE id = $1) AS link_template"#,
        question.workspace_id,
    )
    .fetch_one(connection)
    .await?;
    let link_template = known.link_template;
    Ok((Facts { now: known.now, accounts, media, link_template, post_id: None }, known.xid))
}

/// Keeps with the post, and shows in its answer, which of its publications say what another post says.
async fn warn_of(
    tx: &mut PgConnection,
    post: &mut Post,
    twins: &[Twin],
    facts: &Facts,
) -> Result<(), LedgerError> {
    let mut warnings = HashMap::new();
    for it in post.publications.iter_mut().filter(|it| it.parent_id.is_none()) {
        if let Some(twin) = twins.iter().find(|twin| twin.account_id == it.account_id) {
            let finding: Finding = twin.finding(facts);
            it.findings.push(finding.clone());
            warnings.insert(it.id, Some(finding));
        }
    }
    if warnings.is_empty() { Ok(()) } else { repeats::warn(tx, &warnings).await }
}

/// A post with the ids its rows get.
struct Rows {
    id: Uuid,
    workspace_id: Uuid,
    waits: bool,
    new: NewPost,
    latest_at: DateTime<Utc>,
    run_at: DateTime<Utc>,
    publications: Vec<Uuid>,
    /// Of each target's first comment, if it asks for one.
    comments: Vec<Uuid>,
    jobs: Vec<Uuid>,
}

impl Rows {
    fn of(id: Uuid, question: &Question, new: NewPost, now: DateTime<Utc>) -> Self {
        let span = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        let later = new.scheduled_for.checked_add_signed(span(new.latest_after));
        let ahead = new.scheduled_for.checked_sub_signed(span(new.prepare_ahead));
        let fresh = || new.targets.iter().map(|_| Uuid::now_v7()).collect();
        Self {
            id,
            workspace_id: question.workspace_id,
            waits: question.waits,
            latest_at: later.unwrap_or(DateTime::<Utc>::MAX_UTC),
            run_at: ahead.map_or(now, |at| at.max(now)),
            publications: fresh(),
            comments: fresh(),
            jobs: fresh(),
            new,
        }
    }

    /// All rows in one statement: one round trip, and no part without the others. Returns the posts that say the same.
    async fn insert(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<Vec<Twin>, LedgerError> {
        let new = &self.new;
        let written = new.written.as_ref();
        let accounts: Vec<Uuid> = new.targets.iter().map(|target| target.account_id).collect();
        let surfaces: Vec<String> = new.targets.iter().map(|target| target.surface.to_owned()).collect();
        let captions: Vec<Option<String>> = new.targets.iter().map(|target| target.caption.clone()).collect();
        let links: Vec<Option<String>> = new.targets.iter().map(|target| target.link.clone()).collect();
        let words: Vec<Option<String>> = new.targets.iter().map(NewTarget::first_comment).collect();
        let options: Vec<Value> = new.targets.iter().map(|target| target.options.clone()).collect();
        let payloads: Vec<Value> =
            self.publications.iter().map(|id| json!({ "publication_id": id })).collect();
        let twins = sqlx::query_as!(
            Twin,
            r#"WITH the_post AS (
                 INSERT INTO post (id, workspace_id, kind, caption, link, wall_time, time_zone, fold, scheduled_for,
                                   latest_after, created_by, created_at)
                 VALUES ($1, $2, $3::text::post_kind, $4, $5, $6, $7, $8, $9, make_interval(secs => $10), $11, $24)),
             the_files AS (
                 INSERT INTO post_media (post_id, position, media_id)
                 SELECT $1, n - 1, id FROM unnest($12::uuid[]) WITH ORDINALITY AS file (id, n)),
             the_publications AS (
                 INSERT INTO publication (id, workspace_id, account_id, post_id, surface, caption, link, options, state,
                                          scheduled_for, latest_at, check_at)
                 SELECT t.id, $2, t.account, $1, t.surface, t.caption, t.link, t.options, 'scheduled', $9, $13,
                        next_check($9, $24)
                 FROM unnest($14::uuid[], $15::uuid[], $16::text[], $17::text[], $18::jsonb[], $25::text[])
                      AS t (id, account, surface, caption, options, link)),
             the_jobs AS (
                 INSERT INTO job (id, kind, ver, workspace_id, account_id, publication_id, run_at, payload, standing)
                 SELECT t.id, $19, $20, $2, t.account, t.publication, $21, t.payload,
                        CASE WHEN $30 THEN 'waits' ELSE 'active' END::job_standing
                 FROM unnest($22::uuid[], $15::uuid[], $14::uuid[], $23::jsonb[]) AS t (id, account, publication, payload)),
             the_approval AS (INSERT INTO approval (post_id, asked_by) SELECT $1, $11 WHERE $30),
             the_content AS (
                 INSERT INTO publication_content (publication_id, account_id, digest)
                 SELECT t.id, t.account, content_digest(coalesce(t.caption, $4), $5, $12::uuid[])
                 FROM unnest($14::uuid[], $15::uuid[], $17::text[]) AS t (id, account, caption)
                 RETURNING account_id, digest),
             the_comments AS (
                 INSERT INTO publication (id, workspace_id, account_id, post_id, parent_id, surface, caption, state,
                                          scheduled_for, latest_at)
                 SELECT t.id, $2, t.account, $1, t.parent, $27, t.words, 'scheduled', $9, $13
                 FROM unnest($28::uuid[], $15::uuid[], $14::uuid[], $29::text[]) AS t (id, account, parent, words)
                 WHERE t.words IS NOT NULL)
             SELECT t.account_id AS "account_id!", twin.post_id AS "post_id!", twin.at AS "at!"
             FROM the_content t CROSS JOIN LATERAL said_before(t.account_id, t.digest, $9, $26, $1) AS twin"#,
            self.id,
            self.workspace_id,
            new.kind.word(),
            new.caption,
            new.link,
            written.map(|w| w.wall_time),
            written.map(|w| w.time_zone.as_str()),
            written.and_then(|w| w.fold),
            new.scheduled_for,
            new.latest_after.as_secs_f64(),
            new.created_by,
            &new.media_ids,
            self.latest_at,
            &self.publications,
            &accounts,
            &surfaces,
            &captions as &[Option<String>],
            &options,
            Publish::KIND,
            Publish::VERSION,
            self.run_at,
            &self.jobs,
            &payloads,
            now,
            &links as &[Option<String>],
            interval(new.repeat_within),
            comment::SURFACE.name,
            &self.comments,
            &words as &[Option<String>],
            self.waits,
        )
        .fetch_all(connection)
        .await?;
        Ok(twins)
    }

    fn due(&self, now: DateTime<Utc>) -> Vec<Hint> {
        let hint = |job_id: &Uuid| Hint {
            kind: Publish::KIND.to_owned(),
            workspace_id: self.workspace_id,
            job_id: *job_id,
            run_at: self.run_at,
        };
        if self.waits || self.run_at > now { Vec::new() } else { self.jobs.iter().map(hint).collect() }
    }

    fn into_post(self, now: DateTime<Utc>) -> Post {
        let Self { id, new, publications, comments, .. } = self;
        let scheduled_for = new.scheduled_for;
        let said = publications.iter().zip(comments).zip(&new.targets);
        let said = said.filter_map(|((parent, id), target)| target.comment(*parent, id, scheduled_for));
        let comments: Vec<Publication> = said.collect();
        let publication = |(id, target): (Uuid, &NewTarget)| Publication {
            id,
            surface: target.surface.to_owned(),
            caption: target.caption.clone(),
            link: target.link.clone(),
            options: target.options.clone(),
            ..Publication::scheduled(target, scheduled_for)
        };
        let publications =
            publications.into_iter().zip(&new.targets).map(publication).chain(comments).collect();
        Post {
            id,
            kind: new.kind.word().to_owned(),
            caption: new.caption,
            link: new.link,
            media_ids: new.media_ids,
            wall_time: new.written.as_ref().map(|w| w.wall_time),
            time_zone: new.written.as_ref().map(|w| w.time_zone.clone()),
            fold: new.written.as_ref().and_then(|w| w.fold).map(str::to_owned),
            scheduled_for,
            latest_after: new.latest_after,
            created_at: now,
            publications,
            approval: None,
        }
    }
}
