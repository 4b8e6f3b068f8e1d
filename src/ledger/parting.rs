//! Disconnecting accounts: wished at the door or told by a network, carried out by a job of its own. The account rests from
//! the wish on; its token goes last, in the statement that records how.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs::{
    connections::{Farewell, Logged, Parting, Partings},
    contract::{Job, JobError},
    desk::Account as Named,
    disconnect::Disconnect,
    forgetting::Revocation,
    hint::Hint,
};
use secrecy::SecretString;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Claim, KeyRing, Ledger, LedgerError,
    accounts::{Account, By, lock_accounts},
    audit::{self, Action, Entry},
    claims::interval,
    deletions::META,
    grants,
    idempotency::{Answer, Asked, Once},
    telling::until_heard,
    vault::VaultError,
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
        let actor = self.who().actor;
        let due = sqlx::query!(
            r#"WITH it AS (
                   UPDATE account
                   SET state = 'reconnect', state_reason = $3, disconnected_at = ledger_now(), disconnected_by = $4,
                       disconnected_how = $5, parting = 'asked'
                   WHERE id = $1 AND workspace_id = $2 AND state NOT IN ('frozen', 'erased') AND parting IS NULL
                   RETURNING id, workspace_id),
               rested AS (
                   -- an epoch is left out for what is told here: whoever holds the job may tell of its own
                   UPDATE job SET standing = 'paused', epoch = job.epoch + 2
                   FROM it WHERE job.account_id = it.id AND job.kind = 'publish'
                     -- what was committed is still asked about
                     AND NOT EXISTS (SELECT FROM publication p WHERE p.id = job.publication_id
                                       AND p.state = 'waiting' AND p.handle_state = 'spent')
                   RETURNING job.id, job.publication_id, job.epoch),
               told AS (
                   INSERT INTO attempt (job_id, publication_id, epoch, started_at, outcome, reason)
                   SELECT id, publication_id, epoch - 1, ledger_now(), 'paused', $3 FROM rested)
               INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
               SELECT $6, $7, workspace_id, id, ledger_now(), jsonb_build_object('account_id', id) FROM it
               ON CONFLICT (account_id) WHERE kind = 'disconnect' DO UPDATE
               SET run_at = ledger_now(), epoch = job.epoch + 1
               RETURNING id, run_at"#,
            wish.account_id,
            wish.workspace_id,
            BY_STAFF,
            actor.id(),
            By::of(actor).word(),
            Uuid::now_v7(),
            Disconnect::KIND,
        )
        .fetch_optional(&mut *tx)
        .await?;
        let hint = |id, run_at| Hint {
            kind: Disconnect::KIND.into(),
            workspace_id: wish.workspace_id,
            job_id: id,
            run_at,
        };
        let due = due.map(|row| hint(row.id, row.run_at));
        if due.is_some() {
            self.note_parting(&mut tx, wish.workspace_id, wish.account_id).await?;
        }
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
    /// are, and told again it changes nothing more. Returns the jobs that may run now.
    ///
    /// # Errors
    /// The ledger is away; nothing was taken in.
    pub async fn access_removed(
        &self,
        whose: Whose<'_>,
        at: Option<DateTime<Utc>>,
    ) -> Result<Vec<Hint>, LedgerError> {
        self.kept_by_day(|| self.access_removed_once(whose, at)).await
    }

    async fn access_removed_once(
        &self,
        whose: Whose<'_>,
        at: Option<DateTime<Utc>>,
    ) -> Result<Vec<Hint>, LedgerError> {
        let (tiktok, meta) = match whose {
            Whose::Tiktok(id) => (Some(id), None),
            Whose::Meta(id) => (None, Some(id)),
        };
        let mut tx = self.pool.begin().await?;
        let rows = sqlx::query!(
            r#"WITH it AS (
                   UPDATE account
                   SET state = 'reconnect', state_reason = $3, disconnected_at = ledger_now(), disconnected_how = 'network',
                       parting = 'asked'
                   WHERE (platform = 'tiktok' AND external_id = $1 OR platform = ANY ($5) AND subject_id = $2)
                     AND state NOT IN ('frozen', 'erased') AND parting IS NULL
                     -- networks tell their time in whole seconds
                     AND date_trunc('second', connected_at) <= coalesce($4, ledger_now())
                   RETURNING id, workspace_id),
               rested AS (
                   UPDATE job SET standing = 'paused', epoch = job.epoch + 2
                   FROM it WHERE job.account_id = it.id AND job.kind = 'publish'
                     AND NOT EXISTS (SELECT FROM publication p WHERE p.id = job.publication_id
                                       AND p.state = 'waiting' AND p.handle_state = 'spent')
                   RETURNING job.id, job.publication_id, job.epoch),
               told AS (
                   INSERT INTO attempt (job_id, publication_id, epoch, started_at, outcome, reason)
                   SELECT id, publication_id, epoch - 1, ledger_now(), 'paused', $3 FROM rested)
               INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
               SELECT gen_random_uuid(), $6, workspace_id, id, ledger_now(), jsonb_build_object('account_id', id) FROM it
               ON CONFLICT (account_id) WHERE kind = 'disconnect' DO UPDATE
               SET run_at = ledger_now(), epoch = job.epoch + 1
               RETURNING id, workspace_id, account_id AS "account_id!", run_at"#,
            tiktok,
            meta,
            BY_OWNER,
            at,
            &META.map(str::to_owned),
            Disconnect::KIND,
        )
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            self.note_parting(&mut tx, row.workspace_id, row.account_id).await?;
        }
        tx.commit().await?;
        let hint = |id, workspace_id, run_at| Hint {
            kind: Disconnect::KIND.into(),
            workspace_id,
            job_id: id,
            run_at,
        };
        Ok(rows.into_iter().map(|row| hint(row.id, row.workspace_id, row.run_at)).collect())
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

    /// Shreds an account's access in the statement that records how it was parted from it. Nothing happens where the account
    /// was connected anew meanwhile, or parted before.
    async fn part(
        &self,
        account: Uuid,
        asked_at: DateTime<Utc>,
        call: Option<Uuid>,
        how: Farewell,
    ) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"WITH parted AS (
                   UPDATE account
                   SET parting = $4::text::parting_state, token_generation = token_generation + 1, token_expires_at = NULL,
                       renewable = false, renewable_until = NULL, data_access_expires_at = NULL, missing_scopes = '{}',
                       refresh_state = 'idle', refresh_call = NULL
                   WHERE id = $1 AND parting = 'asked' AND disconnected_at = $2
                   RETURNING id),
               shredded AS (DELETE FROM vault.token t USING parted WHERE t.account_id = parted.id)
               UPDATE remote_call c
               SET verdict = CASE WHEN c.call_id = $3 THEN 'ok' ELSE 'ambiguous' END::call_verdict,
                   finished_at = ledger_now()
               FROM parted WHERE c.account_id = parted.id AND c.kind IN ('revoke', 'refresh') AND c.verdict IS NULL"#,
            account,
            asked_at,
            call,
            how.word(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Accounts that are disconnected, as the holder of one claim may touch them.
pub struct ClaimedPartings<'a> {
    ledger: &'a Ledger,
    ring: &'a KeyRing,
    claim: Claim,
}

impl<'a> ClaimedPartings<'a> {
    /// What the holder of `claim` may do.
    pub fn new(ledger: &'a Ledger, ring: &'a KeyRing, claim: Claim) -> Self {
        Self { ledger, ring, claim }
    }
}

#[async_trait]
impl Partings for ClaimedPartings<'_> {
    async fn look(&self, account: Uuid) -> Result<Option<Parting>, JobError> {
        let row = sqlx::query!(
            r#"SELECT a.id, a.platform, a.external_id, a.subject_id, a.disconnected_at AS "asked_at!",
                      a.disconnected_how = 'network' AS "told!", ledger_now() AS "now!",
                      a.refresh_state <> 'idle'
                      OR EXISTS (SELECT FROM publication p
                                 WHERE p.account_id = a.id
                                   AND (p.state IN ('armed', 'unknown') OR p.state = 'waiting' AND p.handle_state = 'spent'))
                          AS "busy!"
               FROM account a
               -- what is being deleted is parted from its access by that
               WHERE a.id = $1 AND a.parting = 'asked' AND a.state NOT IN ('frozen', 'erased')"#,
            account,
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Ok(row.map(|row| Parting {
            account: Named { id: row.id, platform: row.platform, external_id: row.external_id },
            subject_id: row.subject_id,
            told: row.told,
            busy: row.busy,
            asked_at: row.asked_at,
            now: row.now,
        }))
    }

    async fn tokens(&self, it: &Parting) -> Result<Vec<SecretString>, JobError> {
        let opened = self.ledger.tokens_of_grant(self.ring, it.account.id, &it.account.platform).await;
        opened.map_err(VaultError::into_job_error)
    }

    async fn log(&self, it: &Parting, limit: Duration) -> Result<Logged, JobError> {
        let mut tx = self.ledger.pool.begin().await.map_err(LedgerError::from)?;
        if let Some(subject) = &it.subject_id {
            grants::lock(&mut tx, &it.account.platform, subject).await?;
        }
        let row = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               it AS MATERIALIZED (
                   SELECT id, workspace_id, platform, external_id, subject_id FROM account
                   WHERE id = $4 AND parting = 'asked' AND disconnected_at = $5 AND EXISTS (SELECT FROM fence) FOR SHARE),
               shared AS MATERIALIZED (
                   SELECT 1 AS one FROM it JOIN account o ON o.id <> it.id
                   WHERE o.parting IS NULL AND o.state IN ('active', 'paused', 'reconnect')
                     AND (o.platform = it.platform AND o.external_id = it.external_id
                          OR it.platform = ANY ($8) AND o.platform = ANY ($8)
                             AND (o.subject_id = it.subject_id
                                  -- who granted it nobody wrote down: it may be the same person
                                  OR o.workspace_id = it.workspace_id AND (o.subject_id IS NULL OR it.subject_id IS NULL)))
                   UNION ALL
                   SELECT 1 FROM it JOIN connection c ON c.subject_id = it.subject_id
                   WHERE c.ended_at IS NULL AND c.expires_at > ledger_now()
                     AND (c.platform = ANY ($8)) = (it.platform = ANY ($8))),
               logged AS (
                   INSERT INTO remote_call (call_id, account_id, job_id, epoch, worker_inc, kind, deadline_at)
                   SELECT $6, id, $1, $2, $3, 'revoke', ledger_now() + $7 FROM it WHERE NOT EXISTS (SELECT FROM shared)
                   RETURNING call_id)
               SELECT (SELECT call_id FROM logged) AS call_id FROM it"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            it.account.id,
            it.asked_at,
            Uuid::now_v7(),
            interval(limit),
            &META.map(str::to_owned),
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        let row = row.ok_or(JobError::Fenced)?;
        Ok(row.call_id.map_or(Logged::Shared, Logged::Call))
    }

    async fn part(&self, it: &Parting, call: Option<Uuid>, how: Farewell) -> Result<(), JobError> {
        let (ledger, account, asked_at) = (self.ledger.clone(), it.account.id, it.asked_at);
        tracing::info!(%account, how = how.word(), "an account was parted from its access");
        let tell = move || {
            let ledger = ledger.clone();
            async move { ledger.part(account, asked_at, call, how).await }
        };
        Ok(until_heard(tell).await?)
    }

    async fn not_revoked(&self, call: Uuid, said: &Revocation) -> Result<(), JobError> {
        let mut connection = self.ledger.pool.acquire().await.map_err(LedgerError::from)?;
        grants::close_call(&mut connection, call, said).await?;
        Ok(())
    }
}
