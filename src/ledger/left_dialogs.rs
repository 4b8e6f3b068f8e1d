//! What a dialog gave that nobody went on with: it is given back at its network by the job that takes back the access of
//! accounts that are disconnected, and stays in the vault until then.

use std::time::Duration;

use jobs::{
    connections::{Ended, Farewell, Logged, Parting},
    contract::{Job, JobError},
    desk::Account,
    disconnect::Disconnect,
};
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Claim, KeyRing, Ledger, LedgerError, claims::interval, connections::row_name, deletions::META, grants,
    keyring::KeyError, vault::VaultError,
};

impl Ledger {
    /// Gives a job to each connection whose grant is to be given back and that has none; returns how many there were. Whoever
    /// disconnects an account of the same person takes the grant back: that is waited for.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn mend_left_dialogs(&self) -> Result<u64, LedgerError> {
        let made = sqlx::query!(
            r#"WITH made AS (
                   INSERT INTO job (id, kind, workspace_id, run_at, payload)
                   SELECT gen_random_uuid(), $1, c.workspace_id, ledger_now(), jsonb_build_object('connection_id', c.id)
                   FROM connection c
                   WHERE c.parting = 'asked'
                     AND NOT EXISTS (SELECT FROM job j WHERE j.id = c.job_id AND j.kind = $1)
                     AND NOT EXISTS (
                         SELECT FROM account o
                         WHERE o.subject_id = c.subject_id AND o.parting = 'asked' AND o.state NOT IN ('frozen', 'erased')
                           AND (o.platform = c.platform OR o.platform = ANY ($2) AND c.platform = ANY ($2)))
                   ON CONFLICT DO NOTHING
                   RETURNING id, (payload ->> 'connection_id')::uuid AS connection_id)
               UPDATE connection c SET job_id = made.id FROM made WHERE c.id = made.connection_id"#,
            Disconnect::KIND,
            &META.map(str::to_owned),
        )
        .execute(&self.pool)
        .await?;
        Ok(made.rows_affected())
    }

    /// Shreds what a dialog gave in the statement that records what became of it.
    pub(super) async fn give_back(
        &self,
        connection: Uuid,
        call: Option<Uuid>,
        how: Farewell,
    ) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"WITH parted AS (
                   UPDATE connection SET parting = $3::text::parting_state WHERE id = $1 AND parting = 'asked'
                   RETURNING id, job_id),
               shredded AS (
                   DELETE FROM vault.connection_secret s USING parted WHERE s.connection_id = parted.id)
               UPDATE remote_call c
               SET verdict = CASE WHEN c.call_id = $2 THEN 'ok' ELSE 'ambiguous' END::call_verdict,
                   finished_at = ledger_now()
               FROM parted
               WHERE c.job_id = parted.job_id AND c.kind = 'revoke' AND c.account_id IS NULL AND c.verdict IS NULL"#,
            connection,
            call,
            how.word(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The connection as whoever gives its grant back sees it; none: there is nothing left to do.
    pub(super) async fn left_dialog(&self, connection: Uuid) -> Result<Option<Parting>, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT id, platform, subject_id, ended_at AS "asked_at!", ledger_now() AS "now!" FROM connection
               WHERE id = $1 AND parting = 'asked'"#,
            connection,
        );
        let row = row.fetch_optional(&self.pool).await?;
        Ok(row.map(|row| Parting {
            of: Ended::Connection(row.id),
            account: Account { id: row.id, platform: row.platform, external_id: String::new() },
            subject_id: row.subject_id,
            told: false,
            wire: false,
            busy: false,
            asked_at: row.asked_at,
            now: row.now,
        }))
    }

    /// What the grant is given back by, one after the other. What is damaged nothing gives back; a key that is not in the
    /// ring may come back to it.
    pub(super) async fn tokens_of_dialog(
        &self,
        ring: &KeyRing,
        connection: Uuid,
    ) -> Result<Vec<SecretString>, VaultError> {
        let sealed = sqlx::query_scalar!(
            "SELECT sealed FROM vault.connection_secret WHERE connection_id = $1 AND field = 'grant'",
            connection,
        );
        let sealed = sealed.fetch_optional(&self.pool).await.map_err(LedgerError::from)?;
        let Some(sealed) = sealed else { return Ok(Vec::new()) };
        let opened = match ring.open(&sealed, &row_name(connection, "grant")) {
            Ok(opened) => opened,
            Err(error @ KeyError::UnknownKey(_)) => return Err(error.into()),
            Err(KeyError::Entry(..) | KeyError::DoesNotOpen | KeyError::Shredded) => return Ok(Vec::new()),
        };
        let whole: Value = serde_json::from_slice(&opened).unwrap_or_default();
        let fields = ["access", "refresh"].into_iter();
        Ok(fields.filter_map(|field| whole[field].as_str().map(SecretString::from)).collect())
    }

    /// Keeps who granted it, where the dialog was left before its network had said so.
    pub(super) async fn learn_granter(&self, connection: Uuid, subject: &str) -> Result<(), LedgerError> {
        sqlx::query!(
            "UPDATE connection SET subject_id = $2 WHERE id = $1 AND parting = 'asked' AND subject_id IS NULL",
            connection,
            subject,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Logs a call that gives the grant back before it is sent, unless something rests on the grant.
    pub(super) async fn log_giving_back(
        &self,
        claim: Claim,
        it: &Parting,
        limit: Duration,
    ) -> Result<Logged, JobError> {
        let mut tx = self.pool.begin().await.map_err(LedgerError::from)?;
        if let Some(subject) = &it.subject_id {
            grants::lock(&mut tx, &it.account.platform, subject).await?;
        }
        let row = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               it AS MATERIALIZED (
                   SELECT id, workspace_id, person_id, platform, subject_id, offers, granted_at FROM connection
                   WHERE id = $4 AND parting = 'asked' AND EXISTS (SELECT FROM fence) FOR SHARE),
               same AS MATERIALIZED (
                   SELECT o.id, o.parting, o.state FROM it JOIN account o
                     ON o.subject_id = it.subject_id
                        AND (o.platform = it.platform OR o.platform = ANY ($7) AND it.platform = ANY ($7))
                     -- elsewhere the account is who granted it
                     OR o.platform = it.platform AND it.platform <> ALL ($7) AND o.external_id = it.subject_id
                     -- who granted it nobody wrote down: it may be the same person
                     OR o.subject_id IS NULL AND o.platform = ANY ($7) AND it.platform = ANY ($7)
                        AND (o.workspace_id = it.workspace_id
                             OR it.offers @> jsonb_build_array(
                                 jsonb_build_object('platform', o.platform, 'external_id', o.external_id)))),
               shared AS MATERIALIZED (
                   SELECT false AS coming FROM same WHERE parting IS NULL AND state IN ('active', 'paused', 'reconnect')
                   UNION ALL
                   -- whoever disconnects it takes the grant back
                   SELECT true FROM same WHERE parting = 'asked' AND state NOT IN ('frozen', 'erased')
                   UNION ALL
                   SELECT true FROM it JOIN connection c
                     ON c.id <> it.id AND (c.subject_id = it.subject_id OR c.person_id = it.person_id)
                        AND (c.platform = it.platform OR c.platform = ANY ($7) AND it.platform = ANY ($7))
                   WHERE c.ended_at IS NULL AND c.expires_at > ledger_now()),
               -- I9: of whichever of its accounts, nothing is on the wire that needs the grant
               wire AS MATERIALIZED (
                   SELECT 1 AS one FROM same JOIN publication p ON p.account_id = same.id
                   WHERE p.state = 'armed' OR p.state = 'unknown' AND p.quarantine_until > ledger_now()),
               gone AS MATERIALIZED (
                   SELECT 1 AS one FROM it, same JOIN remote_call r ON r.account_id = same.id
                   WHERE r.kind = 'revoke' AND r.verdict = 'ok' AND r.remote_code IS NULL AND r.started_at >= it.granted_at),
               logged AS (
                   INSERT INTO remote_call (call_id, job_id, epoch, worker_inc, kind, deadline_at)
                   SELECT $5, $1, $2, $3, 'revoke', ledger_now() + $6 FROM it
                   WHERE NOT EXISTS (SELECT FROM shared) AND NOT EXISTS (SELECT FROM wire) AND NOT EXISTS (SELECT FROM gone)
                   RETURNING call_id)
               SELECT (SELECT call_id FROM logged) AS call_id, (SELECT bool_and(coming) FROM shared) AS coming,
                      EXISTS (SELECT FROM wire) AS "wire!"
               FROM it"#,
            claim.job_id,
            claim.epoch,
            claim.worker_inc,
            it.account.id,
            Uuid::now_v7(),
            interval(limit),
            &META.map(str::to_owned),
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        let row = row.ok_or(JobError::Fenced)?;
        Ok(match (row.call_id, row.coming, row.wire) {
            (Some(call), ..) => Logged::Call(call),
            (None, Some(false), _) => Logged::Shared,
            (None, Some(true), _) => Logged::Coming,
            (None, None, true) => Logged::Wire,
            // nothing is in the way: it has been taken back since, with an account that rested on it
            (None, None, false) => Logged::Gone,
        })
    }
}
