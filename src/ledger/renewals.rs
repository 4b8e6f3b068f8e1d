//! What is kept of accounts' access while it is renewed, bound to one claim; and whose turn it is.
//!
//! Authority is fenced by the claim, as of publications. A new pair is evidence: it is taken from whoever brings it, as
//! long as the account still waits for it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use jobs::{
    contract::{Failure, JobError},
    desk::Account,
    preflight::AccountState,
    renewals::{Access, Asked, Begun, Grant, Pair, Renewals},
    tokens::{self, Phase, Standing, Turn},
};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    Claim, KeyRing, Ledger, LedgerError,
    claims::interval,
    data_keys::Sealing,
    flight::Flight,
    pair::{Sealed, Whole},
    rest::Refused,
    vault::VaultError,
    workers::OPENS,
};

/// What was renewed so lately and is refused all the same is not mended by another renewal.
pub(super) const AS_NEW: Duration = Duration::from_mins(2);

/// The words of phases.
pub(super) fn words(phases: &[Phase]) -> Vec<String> {
    phases.iter().map(|phase| phase.word().to_owned()).collect()
}

/// The access of accounts, as the holder of one claim may touch it.
pub struct ClaimedRenewals<'a> {
    ledger: &'a Ledger,
    ring: &'a KeyRing,
    claim: Claim,
    flight: &'a Flight,
    /// A worker of an earlier version lived when the last call was begun: asked with that, so that nothing has to be read
    /// between a network's answer and the next generation.
    older: AtomicBool,
}

impl<'a> ClaimedRenewals<'a> {
    /// What the holder of `claim` may do; `flight` says when it must not be dropped.
    pub fn new(ledger: &'a Ledger, ring: &'a KeyRing, claim: Claim, flight: &'a Flight) -> Self {
        Self { ledger, ring, claim, flight, older: AtomicBool::new(false) }
    }

    async fn open(&self, account: Uuid, field: &str) -> Result<SecretString, JobError> {
        let opened = self.ledger.open_field(self.ring, account, field).await;
        opened.map(|(token, _)| token).map_err(VaultError::into_job_error)
    }

    /// A pair with what stays as it is in the place of what did not come. Where both came nothing is read: nothing but
    /// the save lies between a network's answer and the next generation.
    async fn whole(&self, it: &Access, pair: Pair) -> Result<Whole, JobError> {
        let stays = pair.access.is_none();
        Ok(Whole {
            access: match pair.access {
                Some(access) => access,
                None => self.open(it.account.id, "access").await?,
            },
            refresh: match pair.refresh {
                Some(refresh) => refresh,
                None => self.open(it.account.id, "refresh").await?,
            },
            stays,
            ends_at: it.ends_at.filter(|_| stays),
            access_life: pair.access_life,
            refresh_life: pair.refresh_life,
            missing: pair.missing,
        })
    }
}

#[async_trait]
impl Renewals for ClaimedRenewals<'_> {
    async fn look(&self, account: Uuid) -> Result<Option<Access>, JobError> {
        let row = sqlx::query!(
            r#"SELECT a.id, a.workspace_id, a.platform, a.external_id, a.state::text AS "state!", a.token_generation,
                      a.refresh_state::text AS "phase!", a.renewable, a.token_expires_at,
                      coalesce(a.refreshed_at < a.connected_at, true) AS "new!",
                      access.issued_at AS "issued_at?", refresh.issued_at AS "refresh_issued_at?",
                      refresh.expires_at AS "refresh_expires_at?",
                      c.deadline_at AS "open_until?", ledger_now() AS "now!"
               FROM account a
               LEFT JOIN vault.token access ON access.account_id = a.id AND access.field = 'access'
               LEFT JOIN vault.token refresh ON refresh.account_id = a.id AND refresh.field = 'refresh'
               LEFT JOIN remote_call c ON c.call_id = a.refresh_call AND c.verdict IS NULL
               -- nothing renews what is to be taken back
               WHERE a.id = $1 AND a.parting IS NULL"#,
            account,
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let Some(row) = row else { return Ok(None) };
        let unreadable = |what: &str| LedgerError::Unreadable(format!("the account state {what}"));
        // an access token that stayed as it was when the other was renewed is not changed by another renewal
        let stayed = row.issued_at.is_none_or(|at| row.refresh_issued_at.is_some_and(|other| at < other));
        let access = (row.issued_at.unwrap_or(row.now), row.token_expires_at.filter(|_| !stayed));
        let new = tokens::renew_new_from(access.0, [access.1, row.refresh_expires_at]);
        let refresh = (row.refresh_issued_at.unwrap_or(row.now), row.refresh_expires_at);
        Ok(Some(Access {
            account: Account { id: row.id, platform: row.platform, external_id: row.external_id },
            workspace_id: row.workspace_id,
            generation: row.token_generation,
            ends_at: row.token_expires_at,
            standing: Standing {
                state: AccountState::parse(&row.state).ok_or_else(|| unreadable(&row.state))?,
                phase: Phase::parse(&row.phase).ok_or_else(|| unreadable(&row.phase))?,
                open_until: row.open_until,
                renew_from: tokens::renew_from(&[access, refresh])
                    .or(row.new.then_some(new))
                    .filter(|_| row.renewable),
                renewable: row.renewable,
            },
            now: row.now,
        }))
    }

    async fn refresh_token(&self, it: &Access) -> Result<SecretString, JobError> {
        self.open(it.account.id, "refresh").await
    }

    async fn begin(&self, it: &Access, turn: Turn, limit: Duration) -> Result<Option<Begun>, JobError> {
        self.flight.may_begin()?;
        let row = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               moved AS (
                   UPDATE account SET refresh_state = $6::text::refresh_state, refresh_call = $7
                   WHERE id = $4 AND token_generation = $8 AND refresh_state = ANY ($5::text[]::refresh_state[])
                     -- nothing renews what is to be taken back
                     AND state NOT IN ('frozen', 'erased') AND parting IS NULL AND EXISTS (SELECT FROM fence)
                     -- nobody else may take it up while this call can still be on its way
                     AND EXISTS (SELECT FROM worker WHERE inc = $3 AND lease_until >= ledger_now() + $9)
                   RETURNING id)
               INSERT INTO remote_call (call_id, account_id, job_id, epoch, worker_inc, kind, deadline_at)
               SELECT $7, id, $1, $2, $3, 'refresh', ledger_now() + $9 FROM moved
               RETURNING call_id, started_at,
                         EXISTS (SELECT FROM worker WHERE lease_until > ledger_now() AND opens < $10) AS "older!""#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            it.account.id,
            &words(turn.from()),
            turn.to(it.standing.phase).word(),
            Uuid::now_v7(),
            it.generation,
            interval(limit),
            OPENS,
        )
        .fetch_optional(&self.ledger.pool)
        .await;
        match row.map_err(LedgerError::from) {
            Ok(row) => Ok(row.map(|row| {
                self.flight.begin();
                self.older.store(row.older, Ordering::Relaxed);
                Begun { call: row.call_id, at: row.started_at }
            })),
            Err(LedgerError::Refused { constraint }) if constraint == "one_open_refresh" => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn doubt(&self, it: &Access, own: Option<(Uuid, &Failure)>) -> Result<(), JobError> {
        let _landing = self.flight.landing();
        let rows = sqlx::query_scalar!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               moved AS (
                   UPDATE account SET refresh_state = 'suspect'
                   WHERE id = $4 AND token_generation = $5 AND refresh_state = ANY ($6::text[]::refresh_state[])
                     AND ($7::uuid IS NULL OR refresh_call = $7) AND EXISTS (SELECT FROM fence)
                   RETURNING refresh_call),
               closed AS (
                   UPDATE remote_call c
                   SET verdict = 'ambiguous', finished_at = ledger_now(), remote_code = $8, remote_message = $9
                   FROM moved WHERE c.call_id = moved.refresh_call AND c.verdict IS NULL)
               SELECT refresh_call FROM moved"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            it.account.id,
            it.generation,
            &words(Turn::Doubt.from()),
            own.map(|(call, _)| call),
            own.map(|(_, failure)| failure.code.as_str()),
            own.map(|(_, failure)| failure.message.as_str()),
        )
        .fetch_all(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        // where nothing moved, the next look sees what was first
        tracing::info!(account = %it.account.id, moved = rows.len(), "nobody knows what became of a refresh");
        Ok(())
    }

    async fn save(&self, it: &Access, begun: Begun, pair: Pair) -> Result<bool, JobError> {
        let _landing = self.flight.landing();
        let sealing = Sealing::new(self.ring, self.older.load(Ordering::Relaxed));
        let sealed = Sealed::of(it, begun, self.whole(it, pair).await?, &sealing);
        let ledger = self.ledger.clone();
        // on a task of its own: whatever ends this attempt must not take the only copy with it
        let saving = tokio::spawn(async move { ledger.keep_pair_surely(&sealed).await });
        let won = saving.await.map_err(|error| JobError::Infrastructure(error.to_string()))??;
        tracing::info!(account = %it.account.id, generation = it.generation + 1, won, "access was renewed");
        Ok(won)
    }

    async fn spare(&self, it: &Access, call: Uuid, failure: &Failure) -> Result<(), JobError> {
        let _landing = self.flight.landing();
        sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               moved AS (
                   UPDATE account
                   SET refresh_state = $6::text::refresh_state,
                       refresh_call = CASE WHEN $6 = 'idle' THEN NULL ELSE refresh_call END
                   WHERE id = $4 AND refresh_call = $5 AND EXISTS (SELECT FROM fence)
                   RETURNING id)
               UPDATE remote_call c
               SET verdict = 'definite_no', finished_at = ledger_now(), remote_code = $7, remote_message = $8
               FROM moved WHERE c.call_id = $5"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            it.account.id,
            call,
            // begun from `SUSPECT`, it is in doubt still
            Turn::Spare
                .to(if it.standing.phase == Phase::Idle { Phase::Refreshing } else { it.standing.phase })
                .word(),
            failure.code,
            failure.message,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Ok(())
    }

    async fn give_up(&self, it: &Access, call: Uuid, failure: &Failure) -> Result<bool, JobError> {
        let _landing = self.flight.landing();
        let rows = sqlx::query_scalar!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               broken AS (
                   UPDATE account
                   SET refresh_state = 'idle', refresh_call = NULL, refresh_asked_at = NULL, state = 'reconnect',
                       -- whoever disconnected it has said why it rests
                       state_reason = CASE WHEN parting IS NULL THEN $8 ELSE state_reason END
                   WHERE id = $4 AND refresh_call = $5 AND token_generation = $6 AND state NOT IN ('frozen', 'erased')
                     AND EXISTS (SELECT FROM fence)
                   RETURNING id, parting),
               closed AS (
                   UPDATE remote_call c
                   SET verdict = 'definite_no', finished_at = ledger_now(), remote_code = $7, remote_message = $8
                   WHERE c.call_id = $5 AND c.verdict IS NULL AND EXISTS (SELECT FROM fence)),
               rested AS (
                   UPDATE job SET standing = 'paused', epoch = job.epoch + 1
                   FROM broken WHERE job.account_id = broken.id AND job.kind = 'publish' AND job.standing = 'active'
                     AND NOT EXISTS (SELECT FROM publication p WHERE p.id = job.publication_id
                                       AND p.state = 'waiting' AND p.handle_state = 'spent'))
               SELECT id FROM broken WHERE parting IS NULL"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            it.account.id,
            call,
            it.generation,
            failure.code,
            failure.message,
        )
        .fetch_all(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        if !rows.is_empty() {
            tracing::warn!(account = %it.account.id, %failure, "an account has to be connected again");
            metrics::counter!("postroom_accounts_disconnected_total").increment(1);
        }
        Ok(!rows.is_empty())
    }

    async fn leave_bare(&self, it: &Access, call: Uuid, failure: &Failure) -> Result<(), JobError> {
        let _landing = self.flight.landing();
        self.ledger.leave_bare(self.claim, it, call, failure).await?;
        Ok(())
    }

    async fn examined(&self, it: &Access, grant: Option<&Grant>) -> Result<(), JobError> {
        let due_at = tokens::look_again(it.standing.renew_from, it.now);
        sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               seen AS (
                   UPDATE account
                   SET refresh_due_at = $6, refresh_wait = DEFAULT,
                       refresh_asked_at = CASE WHEN refresh_asked_at > $11 THEN refresh_asked_at END,
                       token_expires_at = CASE WHEN $7 THEN $8 ELSE token_expires_at END,
                       data_access_expires_at = CASE WHEN $7 THEN $9 ELSE data_access_expires_at END,
                       missing_scopes = CASE WHEN $7 THEN $10 ELSE missing_scopes END,
                       -- only the network's word mends what its owner was told to mend
                       state = CASE WHEN $7 AND state = 'reconnect' THEN 'active' ELSE state END,
                       state_reason = CASE WHEN $7 AND state = 'reconnect' THEN NULL ELSE state_reason END
                   WHERE id = $4 AND parting IS NULL AND token_generation = $5 AND EXISTS (SELECT FROM fence)
                   RETURNING id, state)
               UPDATE job SET standing = 'active', epoch = job.epoch + 1
               FROM seen WHERE job.account_id = seen.id AND job.kind = 'publish' AND job.standing = 'paused'
                 AND seen.state = 'active'"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            it.account.id,
            it.generation,
            due_at,
            grant.is_some(),
            grant.and_then(|grant| grant.expires_at),
            grant.and_then(|grant| grant.data_access_expires_at),
            &grant.map(|grant| grant.missing.clone()).unwrap_or_default(),
            it.now,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Ok(())
    }

    async fn refused(
        &self,
        account: Uuid,
        seen: i64,
        failure: &Failure,
        purge: bool,
    ) -> Result<(), JobError> {
        let refused = Refused { account, seen: Some(seen), reason: &failure.message, purge };
        Ok(self.ledger.rest_account(self.claim, &refused).await?)
    }

    async fn put_off(&self, account: Uuid) -> Result<(), JobError> {
        Ok(self.ledger.put_renewal_off(self.claim, account).await?)
    }

    async fn ask(&self, account: Uuid, seen: i64) -> Result<Asked, JobError> {
        let row = sqlx::query!(
            r#"WITH it AS (
                   SELECT a.id, a.workspace_id, a.state = 'active' AND a.renewable AS renewable,
                          a.token_generation <> $7 AS changed,
                          coalesce(a.refreshed_at > ledger_now() - $6::interval, false) AS as_new
                   FROM account a JOIN claim c ON c.job_id = $1 AND c.epoch = $2 AND c.worker_inc = $3
                   WHERE a.id = $4),
               asked AS (
                   INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
                   SELECT $5, 'token_refresh', workspace_id, id, ledger_now(),
                          jsonb_build_object('account_id', id, 'needed', true)
                   FROM it WHERE renewable AND NOT changed AND NOT as_new
                   ON CONFLICT DO NOTHING)
               SELECT renewable AS "renewable!", changed AS "changed!", as_new AS "as_new!" FROM it"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            account,
            Uuid::now_v7(),
            interval(AS_NEW),
            seen,
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let row = row.ok_or(JobError::Fenced)?;
        Ok(match (row.changed, row.renewable && !row.as_new) {
            (true, _) => Asked::Changed,
            (false, true) => Asked::UnderWay,
            (false, false) => Asked::Vain,
        })
    }
}
