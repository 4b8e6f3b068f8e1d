//! Accounts that are disconnected, as the holder of one claim takes their access back: a call is logged before it is sent,
//! and the token goes last, in the statement that records how.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs::{
    connections::{Ended, Farewell, Logged, Parting, Partings},
    contract::{Job, JobError},
    desk::Account,
    disconnect::Disconnect,
    forgetting::Revocation,
};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    Claim, KeyRing, Ledger, LedgerError, claims::interval, deletions::META, grants, telling::until_heard,
    vault::VaultError,
};

impl Ledger {
    /// Gives its job back to each account whose access is to be taken back and that has none; returns how many there were.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn mend_partings(&self) -> Result<u64, LedgerError> {
        let made = sqlx::query!(
            r#"INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
               SELECT gen_random_uuid(), $1, a.workspace_id, a.id, ledger_now(), jsonb_build_object('account_id', a.id)
               FROM account a
               -- what is being deleted is parted from its access by that
               WHERE a.parting = 'asked' AND a.state NOT IN ('frozen', 'erased')
                 AND NOT EXISTS (SELECT FROM job j WHERE j.account_id = a.id AND j.kind = 'disconnect')
               ON CONFLICT DO NOTHING"#,
            Disconnect::KIND,
        )
        .execute(&self.pool)
        .await?;
        Ok(made.rows_affected())
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

/// Accounts that are disconnected, and dialogs that were left, as the holder of one claim may touch them.
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
    async fn look(&self, of: Ended) -> Result<Option<Parting>, JobError> {
        let account = match of {
            Ended::Account(account) => account,
            Ended::Connection(connection) => return Ok(self.ledger.left_dialog(connection).await?),
        };
        let row = sqlx::query!(
            r#"SELECT a.id, a.platform, a.external_id, a.subject_id, a.disconnected_at AS "asked_at!",
                      a.disconnected_how = 'network' AS "told!", ledger_now() AS "now!",
                      EXISTS (SELECT FROM publication p
                              WHERE p.account_id = a.id
                                AND (p.state = 'armed' OR p.state = 'unknown' AND p.quarantine_until > ledger_now()))
                          AS "wire!",
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
            of,
            account: Account { id: row.id, platform: row.platform, external_id: row.external_id },
            subject_id: row.subject_id,
            told: row.told,
            wire: row.wire,
            busy: row.busy,
            asked_at: row.asked_at,
            now: row.now,
        }))
    }

    async fn learn(&self, it: &Parting, subject: &str) -> Result<(), JobError> {
        match it.of {
            // who granted an account's access is known when it is connected
            Ended::Account(_) => Ok(()),
            Ended::Connection(connection) => Ok(self.ledger.learn_granter(connection, subject).await?),
        }
    }

    async fn tokens(&self, it: &Parting) -> Result<Vec<SecretString>, JobError> {
        if let Ended::Connection(connection) = it.of {
            let opened = self.ledger.tokens_of_dialog(self.ring, connection).await;
            return opened.map_err(VaultError::into_job_error);
        }
        let opened = self.ledger.tokens_of_grant(self.ring, it.account.id, &it.account.platform).await;
        opened.map_err(VaultError::into_job_error)
    }

    async fn log(&self, it: &Parting, limit: Duration) -> Result<Logged, JobError> {
        if let Ended::Connection(_) = it.of {
            return self.ledger.log_giving_back(self.claim, it, limit).await;
        }
        let mut tx = self.ledger.pool.begin().await.map_err(LedgerError::from)?;
        grants::lock_of(&mut tx, it.account.id).await?;
        let row = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               it AS MATERIALIZED (
                   SELECT id, workspace_id, platform, external_id, subject_id FROM account
                   WHERE id = $4 AND parting = 'asked' AND disconnected_at = $5 AND EXISTS (SELECT FROM fence) FOR SHARE),
               shared AS MATERIALIZED (
                   SELECT false AS coming FROM it JOIN account o ON o.id <> it.id
                   WHERE o.parting IS NULL AND o.state IN ('active', 'paused', 'reconnect')
                     AND (o.platform = it.platform AND o.external_id = it.external_id
                          OR it.platform = ANY ($8) AND o.platform = ANY ($8)
                             AND (o.subject_id = it.subject_id
                                  -- who granted it nobody wrote down: it may be the same person
                                  OR o.workspace_id = it.workspace_id AND (o.subject_id IS NULL OR it.subject_id IS NULL)))
                   UNION ALL
                   SELECT true FROM it JOIN connection c
                     ON c.subject_id = it.subject_id
                        AND (c.platform = it.platform OR c.platform = ANY ($8) AND it.platform = ANY ($8))
                     OR c.chosen @> ARRAY[it.platform || '/' || it.external_id]
                   WHERE c.ended_at IS NULL AND c.expires_at > ledger_now()),
               -- I9: of whichever of its accounts, nothing is on the wire that needs the grant
               wire AS MATERIALIZED (
                   SELECT 1 AS one FROM it
                   JOIN account o ON o.platform = it.platform AND o.external_id = it.external_id
                     OR o.platform = ANY ($8) AND it.platform = ANY ($8) AND o.subject_id = it.subject_id
                   JOIN publication p ON p.account_id = o.id
                   WHERE p.state = 'armed' OR p.state = 'unknown' AND p.quarantine_until > ledger_now()),
               logged AS (
                   INSERT INTO remote_call (call_id, account_id, job_id, epoch, worker_inc, kind, deadline_at)
                   SELECT $6, id, $1, $2, $3, 'revoke', ledger_now() + $7
                   FROM it WHERE NOT EXISTS (SELECT FROM shared) AND NOT EXISTS (SELECT FROM wire)
                   RETURNING call_id)
               SELECT (SELECT call_id FROM logged) AS call_id, (SELECT bool_and(coming) FROM shared) AS coming FROM it"#,
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
        Ok(match (row.call_id, row.coming) {
            (Some(call), _) => Logged::Call(call),
            (None, Some(false)) => Logged::Shared,
            (None, Some(true)) => Logged::Coming,
            // nobody else rests on it: what is in the way is on the wire
            (None, None) => Logged::Wire,
        })
    }

    async fn part(&self, it: &Parting, call: Option<Uuid>, how: Farewell) -> Result<(), JobError> {
        let (ledger, of, asked_at) = (self.ledger.clone(), it.of, it.asked_at);
        tracing::info!(?of, how = how.word(), "parted from its access");
        let tell = move || {
            let ledger = ledger.clone();
            async move {
                match of {
                    Ended::Account(account) => ledger.part(account, asked_at, call, how).await,
                    Ended::Connection(connection) => ledger.give_back(connection, call, how).await,
                }
            }
        };
        Ok(until_heard(tell).await?)
    }

    async fn not_revoked(&self, call: Uuid, said: &Revocation) -> Result<(), JobError> {
        let mut connection = self.ledger.pool.acquire().await.map_err(LedgerError::from)?;
        grants::close_call(&mut connection, call, said).await?;
        Ok(())
    }
}
