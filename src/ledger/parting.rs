//! Disconnecting accounts: wished at the door or told by a network. The account rests from the wish on; what carries it out
//! is `partings`' business.

use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure, Job},
    disconnect::Disconnect,
    hint::Hint,
};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    accounts::{Account, By, lock_accounts},
    audit::{self, Action, Entry},
    deletions::META,
    idempotency::{Answer, Asked, Once},
    settle::kept,
};

/// What people read of an account, and of its posts, from then on.
const BY_STAFF: &str = "the account was disconnected";
const BY_OWNER: &str = "the account was disconnected: its owner has taken the access away at the network";

/// A wish to disconnect an account.
#[derive(Clone, Copy)]
pub struct Disconnecting<'a> {
    /// Whose it must be.
    pub workspace_id: Uuid,
    /// It.
    pub account_id: Uuid,
    /// The key it came with.
    pub asked: Option<&'a Asked>,
    /// What it is answered with.
    pub answer: fn(&Account) -> Answer,
}

/// An account whose disconnection was wished, now or before.
#[derive(Debug)]
pub struct Disconnected {
    /// As it is now.
    pub account: Account,
    /// The job, if it was wished now.
    pub due: Option<Hint>,
}

/// Why it is not disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undisconnected {
    /// There is none of that id, or it is somebody else's.
    Missing,
    /// Its data is being deleted, and its access with it.
    Deleting,
}

/// Whose word a network gives that access was taken away.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// The TikTok account of this `open_id`.
    Tiktok(&'a str),
    /// What this person granted at Meta, by the app-scoped id.
    Meta(&'a str),
}

impl<'a> Whose<'a> {
    /// The account's id at TikTok, and the person's at Meta.
    const fn ids(self) -> (Option<&'a str>, Option<&'a str>) {
        match self {
            Self::Tiktok(id) => (Some(id), None),
            Self::Meta(id) => (None, Some(id)),
        }
    }
}

impl Ledger {
    /// Disconnects an account, as a deed of whose ledger this is: it rests at once, its posts are told, and a job takes its
    /// access back. Who wishes it again gets the same.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn disconnect(
        &self,
        wish: &Disconnecting<'_>,
    ) -> Result<Once<Result<Disconnected, Undisconnected>>, LedgerError> {
        self.kept_by_day(|| self.disconnect_once(wish)).await
    }

    async fn disconnect_once(
        &self,
        wish: &Disconnecting<'_>,
    ) -> Result<Once<Result<Disconnected, Undisconnected>>, LedgerError> {
        let mut tx = match self.begin_once(wish.asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        end_choices(&mut tx, wish.workspace_id, wish.account_id).await?;
        let actor = self.who().actor;
        let parted = sqlx::query_scalar!(
            r#"UPDATE account
               SET state = 'reconnect', state_reason = $3, disconnected_at = ledger_now(), disconnected_by = $4,
                   disconnected_how = $5, parting = 'asked', refresh_asked_at = NULL
               WHERE id = $1 AND workspace_id = $2 AND state NOT IN ('frozen', 'erased') AND parting IS NULL
               RETURNING id"#,
            wish.account_id,
            wish.workspace_id,
            BY_STAFF,
            actor.id(),
            By::of(actor).word(),
        )
        .fetch_all(&mut *tx)
        .await?;
        let due = self.begin_parting(&mut tx, &parted, BY_STAFF).await?.pop();
        let account = lock_accounts(&mut tx, wish.workspace_id, &[wish.account_id]).await?.pop();
        let done = match account {
            None => Err(Undisconnected::Missing),
            Some(account) if account.parted.is_none() => Err(Undisconnected::Deleting),
            Some(account) => Ok(Disconnected { account, due }),
        };
        let answer = done.as_ref().ok().map(|done| (wish.answer)(&done.account));
        self.commit_once(tx, wish.asked, answer.as_ref()).await?;
        Ok(Once::Done(done))
    }

    /// A network says that access was taken away there, at that time. Accounts that were connected again since stay as they
    /// are, and told again it changes nothing more. Where it does not say when, nobody knows whether they were: then it is
    /// asked what is left of their access. Returns the jobs that may run now.
    ///
    /// # Errors
    /// The ledger is away; nothing was taken in.
    pub async fn access_removed(
        &self,
        whose: Whose<'_>,
        at: Option<DateTime<Utc>>,
    ) -> Result<Vec<Hint>, LedgerError> {
        match at {
            Some(at) => self.kept_by_day(|| self.access_removed_once(whose, at)).await,
            None => self.examine_soon(whose).await.map(|()| Vec::new()),
        }
    }

    /// Brings the turn of these accounts' access forward.
    async fn examine_soon(&self, whose: Whose<'_>) -> Result<(), LedgerError> {
        let (tiktok, meta) = whose.ids();
        sqlx::query!(
            r#"UPDATE account SET refresh_due_at = ledger_now()
               WHERE (platform = 'tiktok' AND external_id = $1 OR platform = ANY ($3) AND subject_id = $2)
                 AND state IN ('active', 'paused') AND parting IS NULL"#,
            tiktok,
            meta,
            &META.map(str::to_owned),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn access_removed_once(
        &self,
        whose: Whose<'_>,
        at: DateTime<Utc>,
    ) -> Result<Vec<Hint>, LedgerError> {
        let (tiktok, meta) = whose.ids();
        let mut tx = self.pool.begin().await?;
        let parted = sqlx::query_scalar!(
            r#"UPDATE account
               SET state = 'reconnect', state_reason = $3, disconnected_at = ledger_now(), disconnected_how = 'network',
                   parting = 'asked', refresh_asked_at = NULL
               WHERE (platform = 'tiktok' AND external_id = $1 OR platform = ANY ($5) AND subject_id = $2)
                 AND state NOT IN ('frozen', 'erased') AND parting IS NULL
                 -- networks tell their time in whole seconds
                 AND date_trunc('second', connected_at) <= $4
               RETURNING id"#,
            tiktok,
            meta,
            BY_OWNER,
            at,
            &META.map(str::to_owned),
        )
        .fetch_all(&mut *tx)
        .await?;
        let due = self.begin_parting(&mut tx, &parted, BY_OWNER).await?;
        tx.commit().await?;
        Ok(due)
    }

    /// Lets the posts of accounts rest that were disconnected in this transaction, has their access taken back, and writes
    /// down whose deed that was.
    async fn begin_parting(
        &self,
        tx: &mut PgConnection,
        accounts: &[Uuid],
        why: &str,
    ) -> Result<Vec<Hint>, LedgerError> {
        sqlx::query!(
            "WITH rested AS (
                 -- an epoch is left out for what is told here: whoever holds the job may tell of its own
                 UPDATE job SET standing = 'paused', epoch = job.epoch + 2
                 WHERE account_id = ANY ($1) AND kind = 'publish'
                   -- what has to be approved first goes on waiting for that
                   AND standing <> 'waits'
                   -- what was committed is still asked about
                   AND NOT EXISTS (SELECT FROM publication p WHERE p.id = job.publication_id
                                     AND p.state = 'waiting' AND p.handle_state = 'spent')
                 RETURNING id, publication_id, epoch)
             INSERT INTO attempt (job_id, publication_id, epoch, started_at, outcome, reason)
             SELECT id, publication_id, epoch - 1, ledger_now(), 'paused', $2 FROM rested",
            accounts,
            why,
        )
        .execute(&mut *tx)
        .await?;
        let jobs = sqlx::query!(
            r#"INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
               SELECT gen_random_uuid(), $2, workspace_id, id, ledger_now(), jsonb_build_object('account_id', id)
               FROM account WHERE id = ANY ($1)
               ON CONFLICT (account_id) WHERE kind = 'disconnect' DO UPDATE
               SET run_at = ledger_now(), epoch = job.epoch + 1
               RETURNING id, workspace_id, account_id AS "account_id!", run_at"#,
            accounts,
            Disconnect::KIND,
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut due = Vec::with_capacity(jobs.len());
        for job in jobs {
            self.note_parting(tx, job.workspace_id, job.account_id).await?;
            due.push(Hint {
                kind: Disconnect::KIND.into(),
                workspace_id: job.workspace_id,
                job_id: job.id,
                run_at: job.run_at,
            });
        }
        Ok(due)
    }

    /// Writes down who parted the account from its access: where a network tells it, somebody who is not known here.
    async fn note_parting(
        &self,
        tx: &mut PgConnection,
        workspace_id: Uuid,
        account: Uuid,
    ) -> Result<(), LedgerError> {
        let entry = Entry {
            who: self.who(),
            action: Action::AccountDisconnected,
            object: "account",
            object_id: account.to_string(),
            workspace_id: Some(workspace_id),
            detail: json!({}),
        };
        audit::record(tx, &entry).await
    }
}

/// Ends what somebody chose to connect before this wish and no worker has connected yet: the later word counts. Whoever
/// connects holds the choice before the account, and so does this.
async fn end_choices(tx: &mut PgConnection, workspace_id: Uuid, account: Uuid) -> Result<(), LedgerError> {
    let why = Failure::new(Class::Permanent, "disconnected", BY_STAFF);
    sqlx::query!(
        // what was chosen from was granted, and is given back
        "UPDATE connection SET state = 'refused', why = $3, ended_at = ledger_now(), parting = 'asked'
         WHERE workspace_id = $1 AND state = 'chosen' AND ended_at IS NULL
           AND chosen @> ARRAY[(SELECT a.platform || '/' || a.external_id FROM account a
                                WHERE a.id = $2 AND a.workspace_id = $1)]",
        workspace_id,
        account,
        kept(&why),
    )
    .execute(tx)
    .await?;
    Ok(())
}
