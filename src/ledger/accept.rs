//! T1: a post, its publications and their jobs, in one transaction with the answer they were taken with.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use jobs::{contract::Job, hint::Hint, machine::State, publish::Publish, surface::PostKind};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    accounts::{self, Account},
    idempotency::{self, Answer, Asked, Before},
    media::{self, Media},
    posts::{Post, Publication},
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
    /// What the author chose for this network.
    pub options: Value,
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
        let (facts, xid) = facts(&mut tx, question).await?;
        let new = match judge(&facts) {
            Ok(new) => new,
            Err(refusal) => return Ok(Accepted::Refused(refusal)),
        };
        let rows = Rows::of(question.workspace_id, new, facts.now);
        rows.insert(&mut tx, facts.now).await?;
        let due = rows.due(facts.now);
        let post = rows.into_post(facts.now);
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
    let known = sqlx::query!(r#"SELECT ledger_now() AS "now!", pg_current_xact_id()::text AS "xid!""#)
        .fetch_one(connection)
        .await?;
    Ok((Facts { now: known.now, accounts, media }, known.xid))
}

/// A post with the ids its rows get.
struct Rows {
    id: Uuid,
    workspace_id: Uuid,
    new: NewPost,
    latest_at: DateTime<Utc>,
    run_at: DateTime<Utc>,
    publications: Vec<Uuid>,
    jobs: Vec<Uuid>,
}

impl Rows {
    fn of(workspace_id: Uuid, new: NewPost, now: DateTime<Utc>) -> Self {
        let span = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        let later = new.scheduled_for.checked_add_signed(span(new.latest_after));
        let ahead = new.scheduled_for.checked_sub_signed(span(new.prepare_ahead));
        let fresh = || new.targets.iter().map(|_| Uuid::now_v7()).collect();
        Self {
            id: Uuid::now_v7(),
            workspace_id,
            latest_at: later.unwrap_or(DateTime::<Utc>::MAX_UTC),
            run_at: ahead.map_or(now, |at| at.max(now)),
            publications: fresh(),
            jobs: fresh(),
            new,
        }
    }

    /// All rows in one statement: one round trip, and no part without the others.
    async fn insert(&self, connection: &mut PgConnection, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let new = &self.new;
        let written = new.written.as_ref();
        let accounts: Vec<Uuid> = new.targets.iter().map(|target| target.account_id).collect();
        let surfaces: Vec<String> = new.targets.iter().map(|target| target.surface.to_owned()).collect();
        let captions: Vec<Option<String>> = new.targets.iter().map(|target| target.caption.clone()).collect();
        let options: Vec<Value> = new.targets.iter().map(|target| target.options.clone()).collect();
        let payloads: Vec<Value> =
            self.publications.iter().map(|id| json!({ "publication_id": id })).collect();
        sqlx::query!(
            "WITH the_post AS (
                 INSERT INTO post (id, workspace_id, kind, caption, link, wall_time, time_zone, fold, scheduled_for,
                                   latest_after, created_by, created_at)
                 VALUES ($1, $2, $3::text::post_kind, $4, $5, $6, $7, $8, $9, make_interval(secs => $10), $11, $24)),
             the_files AS (
                 INSERT INTO post_media (post_id, position, media_id)
                 SELECT $1, n - 1, id FROM unnest($12::uuid[]) WITH ORDINALITY AS file (id, n)),
             the_publications AS (
                 INSERT INTO publication (id, workspace_id, account_id, post_id, surface, caption, options, state,
                                          scheduled_for, latest_at, check_at)
                 SELECT t.id, $2, t.account, $1, t.surface, t.caption, t.options, 'scheduled', $9, $13,
                        next_check($9, $24)
                 FROM unnest($14::uuid[], $15::uuid[], $16::text[], $17::text[], $18::jsonb[])
                      AS t (id, account, surface, caption, options))
             INSERT INTO job (id, kind, ver, workspace_id, account_id, publication_id, run_at, payload)
             SELECT t.id, $19, $20, $2, t.account, t.publication, $21, t.payload
             FROM unnest($22::uuid[], $15::uuid[], $14::uuid[], $23::jsonb[]) AS t (id, account, publication, payload)",
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
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    fn due(&self, now: DateTime<Utc>) -> Vec<Hint> {
        let hint = |job_id: &Uuid| Hint {
            kind: Publish::KIND.to_owned(),
            workspace_id: self.workspace_id,
            job_id: *job_id,
            run_at: self.run_at,
        };
        if self.run_at > now { Vec::new() } else { self.jobs.iter().map(hint).collect() }
    }

    fn into_post(self, now: DateTime<Utc>) -> Post {
        let Self { id, new, publications, .. } = self;
        let scheduled_for = new.scheduled_for;
        let publication = |(id, target): (Uuid, NewTarget)| Publication {
            id,
            account_id: target.account_id,
            platform: target.platform,
            surface: target.surface.to_owned(),
            caption: target.caption,
            options: target.options,
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
        };
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
            publications: publications.into_iter().zip(new.targets).map(publication).collect(),
        }
    }
}
