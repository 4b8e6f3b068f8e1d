//! Wishes to take down what is public: asked at the door, carried out by a job of their own (`removals`), kept beside the
//! publication.

use chrono::{DateTime, Utc};
use jobs::{
    contract::{Failure, Job},
    hint::Hint,
    machine::State,
    take_down::TakeDown,
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry},
    control,
    idempotency::{Answer, Asked, Once},
    posts::{self, Publication, failure},
    settle::kept,
};

/// What is said besides where a request was sent whose answer is not known.
const IN_DOUBT: &str = "; a request was sent whose answer is not known, so look whether the post is there";

/// What became of such a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenDown {
    /// `asked`, `gone` or `refused`.
    pub state: TakeDownState,
    /// When it was wished.
    pub asked_at: DateTime<Utc>,
    /// What was written with it.
    pub reason: Option<String>,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it was refused.
    pub why: Option<Failure>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeDownState {
    /// The network is being asked.
    Asked,
    /// The post is gone.
    Gone,
    /// The post is not taken down, for a reason.
    Refused,
}

impl TakeDownState {
    const ALL: &'static [Self] = &[Self::Asked, Self::Gone, Self::Refused];

    /// The API's and the ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Gone => "gone",
            Self::Refused => "refused",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.word() == word)
    }
}

impl TakenDown {
    /// Reads a row that was joined to its publication; `None`: nobody ever wished it.
    pub(super) fn read(
        state: Option<String>,
        asked_at: Option<DateTime<Utc>>,
        reason: Option<String>,
        ended_at: Option<DateTime<Utc>>,
        why: Option<Value>,
    ) -> Result<Option<Self>, LedgerError> {
        let Some((word, asked_at)) = state.zip(asked_at) else { return Ok(None) };
        let state = TakeDownState::parse(&word)
            .ok_or_else(|| LedgerError::Unreadable(format!("the state {word} of a wish to take down")))?;
        Ok(Some(Self { state, asked_at, reason, ended_at, why: why.map(failure) }))
    }
}

/// A wish as it comes to the door.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// Whose the publication must be.
    pub workspace_id: Uuid,
    /// The publication.
    pub publication_id: Uuid,
    /// Who wishes it.
    pub asked_by: Uuid,
    /// What was written with it.
    pub reason: Option<&'a str>,
    /// The key it came with.
    pub asked: Option<&'a Asked>,
    /// What it is answered with.
    pub answer: fn(&Publication) -> Answer,
}

/// A publication whose take-down was asked for, now or before.
#[derive(Debug)]
pub struct AskedFor {
    /// As it is now.
    pub publication: Publication,
    /// The job, if it was asked for now.
    pub due: Option<Hint>,
}

/// Why nothing is taken down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untaken {
    /// There is nothing of that id, or it is somebody else's.
    Missing,
    /// It is not public: its state, in the API's word.
    NotPublic(&'static str),
    /// The network has no way, or is off: why, and where the post is to be found.
    ByHand(String, Option<String>),
    /// Its account cannot be used: its state.
    Account(String),
    /// Nobody knows what the network calls it.
    Nameless,
}

impl Ledger {
    /// Whether the workspace has such a publication.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn knows_publication(&self, workspace_id: Uuid, id: Uuid) -> Result<bool, LedgerError> {
        let found = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM publication WHERE workspace_id = $1 AND id = $2) AS "found!""#,
            workspace_id,
            id,
        );
        Ok(found.fetch_one(&self.pool).await?)
    }

    /// Asks for a publication to be taken down. `allows` says by platform and surface why its network cannot. Who asks
    /// for what was asked for already gets the same; what was refused is asked for anew.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn ask_take_down(
        &self,
        asking: &Asking<'_>,
        allows: impl Fn(&str, &str) -> Result<(), String> + Send + Sync,
    ) -> Result<Once<Result<AskedFor, Untaken>>, LedgerError> {
        self.patiently(|| self.ask_once(asking, &allows)).await
    }

    async fn ask_once(
        &self,
        asking: &Asking<'_>,
        allows: impl Fn(&str, &str) -> Result<(), String> + Send,
    ) -> Result<Once<Result<AskedFor, Untaken>>, LedgerError> {
        let mut tx = match self.begin_once(asking.asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        let Some(row) = look(&mut tx, asking).await? else {
            return Ok(Once::Done(Err(Untaken::Missing)));
        };
        let due = match row.judge(allows)? {
            Judged::Anew => {
                audit::record(&mut tx, &self.wished(asking)).await?;
                Some(insert(&mut tx, asking).await?)
            }
            Judged::Before => None,
            Judged::Not(why) => return Ok(Once::Done(Err(why))),
        };
        let post = posts::select(&mut tx, asking.workspace_id, row.post_id).await?;
        let its = |it: &Publication| it.id == asking.publication_id;
        let publication = post.and_then(|post| post.publications.into_iter().find(its));
        let publication = publication
            .ok_or_else(|| LedgerError::Unreadable("no publication where one was locked".into()))?;
        self.commit_once(tx, asking.asked, Some(&(asking.answer)(&publication))).await?;
        Ok(Once::Done(Ok(AskedFor { publication, due })))
    }

    fn wished(&self, asking: &Asking<'_>) -> Entry<'static> {
        Entry {
            who: self.who(),
            action: Action::TakeDownAsked,
            object: "publication",
            object_id: asking.publication_id.to_string(),
            workspace_id: Some(asking.workspace_id),
            detail: json!({}),
        }
    }
}

/// What the door decides by.
struct Row {
    post_id: Uuid,
    state: String,
    platform: String,
    surface: String,
    account: String,
    public_id: Option<String>,
    public_url: Option<String>,
    being_named: bool,
    wish: Option<String>,
}

enum Judged {
    Anew,
    Before,
    Not(Untaken),
}

impl Row {
    fn judge(&self, allows: impl Fn(&str, &str) -> Result<(), String>) -> Result<Judged, LedgerError> {
        let state = State::parse(&self.state)
            .ok_or_else(|| LedgerError::Unreadable(format!("the publication state {}", self.state)))?;
        if state != State::Published {
            return Ok(Judged::Not(Untaken::NotPublic(state.shown())));
        }
        match self.wish.as_deref().and_then(TakeDownState::parse) {
            Some(TakeDownState::Asked | TakeDownState::Gone) => return Ok(Judged::Before),
            Some(TakeDownState::Refused) | None => {}
        }
        if let Err(why) = allows(&self.platform, &self.surface) {
            return Ok(Judged::Not(Untaken::ByHand(why, self.public_url.clone())));
        }
        if self.account != "active" {
            return Ok(Judged::Not(Untaken::Account(self.account.clone())));
        }
        let nameless = self.public_id.is_none() && !self.being_named;
        Ok(if nameless { Judged::Not(Untaken::Nameless) } else { Judged::Anew })
    }
}

/// Locks the account and then the publication, as arming does.
async fn look(tx: &mut PgConnection, asking: &Asking<'_>) -> Result<Option<Row>, LedgerError> {
    sqlx::query!(
        "SELECT id FROM account WHERE id = (SELECT account_id FROM publication WHERE workspace_id = $1 AND id = $2) FOR SHARE",
        asking.workspace_id,
        asking.publication_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    // two who ask at once: the second waits, and in a statement of its own sees what the first has written
    sqlx::query!(
        "SELECT id FROM publication WHERE workspace_id = $1 AND id = $2 FOR UPDATE",
        asking.workspace_id,
        asking.publication_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let row = sqlx::query_as!(
        Row,
        r#"SELECT p.post_id, p.state::text AS "state!", a.platform, p.surface, p.public_id, p.public_url,
                  CASE WHEN a.frozen_at IS NULL THEN a.state ELSE 'frozen' END::text AS "account!",
                  p.next_check_at IS NOT NULL AS "being_named!", t.state::text AS "wish?"
           FROM publication p JOIN account a ON a.id = p.account_id LEFT JOIN take_down t ON t.publication_id = p.id
           WHERE p.workspace_id = $1 AND p.id = $2"#,
        asking.workspace_id,
        asking.publication_id,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row)
}

/// Writes the wish and its job.
async fn insert(tx: &mut PgConnection, asking: &Asking<'_>) -> Result<Hint, LedgerError> {
    let job = sqlx::query!(
        "INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
         SELECT $2, $3, workspace_id, account_id, ledger_now(), $4 FROM publication WHERE id = $1
         RETURNING id, workspace_id, run_at",
        asking.publication_id,
        Uuid::now_v7(),
        TakeDown::KIND,
        json!({ "publication_id": asking.publication_id }),
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO take_down (publication_id, job_id, asked_by, reason) VALUES ($1, $2, $3, $4)
         ON CONFLICT (publication_id) DO UPDATE
         SET state = 'asked', job_id = excluded.job_id, asked_by = excluded.asked_by, asked_at = ledger_now(),
             reason = excluded.reason, ended_at = NULL, why = NULL
         WHERE take_down.state = 'refused'",
        asking.publication_id,
        job.id,
        asking.asked_by,
        asking.reason,
    )
    .execute(&mut *tx)
    .await?;
    spare_comment(tx, asking.publication_id).await?;
    let kind = TakeDown::KIND.to_owned();
    Ok(Hint { kind, workspace_id: job.workspace_id, job_id: job.id, run_at: job.run_at })
}

/// The first comment under it that is still to come is cancelled, or taken back where that can still be done.
async fn spare_comment(tx: &mut PgConnection, under: Uuid) -> Result<(), LedgerError> {
    let comments = sqlx::query_scalar!("SELECT id FROM publication WHERE parent_id = $1", under)
        .fetch_all(&mut *tx)
        .await?;
    for comment in comments {
        // what is public or over stays as it is, and goes with its post
        if let Err(refusal) = control::cancel_publication(tx, comment).await? {
            tracing::debug!(publication = %comment, %refusal, "a comment stays as it is while its post is taken down");
        }
    }
    Ok(())
}

/// The wishes whose jobs have ended otherwise than well are refused, in the transaction that ends the jobs.
pub(super) async fn refuse(tx: &mut PgConnection, jobs: &[Uuid], why: &Failure) -> Result<(), LedgerError> {
    let doubtful = Failure { message: format!("{}{IN_DOUBT}", why.message), ..why.clone() };
    sqlx::query!(
        r#"UPDATE take_down t
           SET state = 'refused', ended_at = ledger_now(),
               why = CASE WHEN EXISTS (
                   SELECT FROM remote_call c JOIN publication p ON p.id = c.publication_id
                   WHERE p.id = t.publication_id AND c.kind = 'discard' AND c.handle_id = p.public_id
                     AND (c.verdict IS NULL OR c.verdict = 'ambiguous')) THEN $3::jsonb ELSE $2::jsonb END
           WHERE t.job_id = ANY($1) AND t.state = 'asked'"#,
        jobs,
        kept(why),
        kept(&doubtful),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What was refused is asked for again, by whoever tries its job again as another one.
pub(super) async fn ask_again(tx: &mut PgConnection, before: Uuid, job: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE take_down SET state = 'asked', job_id = $2, asked_at = ledger_now(), ended_at = NULL, why = NULL
         WHERE job_id = $1 AND state = 'refused'",
        before,
        job,
    )
    .execute(tx)
    .await?;
    Ok(())
}
