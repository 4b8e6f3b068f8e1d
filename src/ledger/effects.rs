//! The write-ahead log of what is done at networks, bound to one claim.
//!
//! Authority is fenced: each statement reads its claim's row `FOR SHARE`, names the states it leaves and
//! counts its rows. Evidence is not: a positive answer is a fact, whoever brings it.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use jobs::{
    contract::{Class, Failure, JobError},
    desk::{Armed, Clock, Effects, Handle, NotArmed, Publication, Readiness},
    machine::{HandleState, Move, Public},
};
use uuid::Uuid;

use super::{
    Claim, Ledger, LedgerError,
    claims::interval,
    settle::{kept, words},
    telling::until_heard,
};

/// The effects of one claimed publication.
pub struct ClaimedEffects<'a> {
    pub(super) ledger: &'a Ledger,
    clock: &'a dyn Clock,
    pub(super) claim: Claim,
    pub(super) publication_id: Uuid,
    limits: ArmLimits,
    /// The version that the last look showed: what is prepared is what was read.
    seen_version: AtomicI64,
    /// Likewise of the account's tokens: what is sent is sent with the one that stands.
    seen_generation: AtomicI64,
}

/// What arming rests on.
#[derive(Debug, Clone, Copy)]
pub struct ArmLimits {
    /// One commit call; the worker's lease must last at least as long.
    pub commit_timeout: Duration,
    /// From arming until nothing sent then can still be on its way.
    pub quarantine: Duration,
    /// The access token must last at least as long.
    pub token_life: Duration,
    /// How long before its time a post is made ready.
    pub prepare_ahead: Duration,
}

impl From<LedgerError> for JobError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Away(_) | LedgerError::Undecided(_) => Self::Infrastructure(error.to_string()),
            // what fails for good must not be tried for nothing, and for ever
            LedgerError::Refused { .. } | LedgerError::Broken(_) | LedgerError::Unreadable(_) => {
                Self::Unavailable(Failure::new(Class::Transient, "ledger", error.to_string()))
            }
        }
    }
}

impl<'a> ClaimedEffects<'a> {
    /// The effects of the publication that `claim` holds.
    pub fn new(
        ledger: &'a Ledger,
        clock: &'a dyn Clock,
        claim: Claim,
        publication_id: Uuid,
        limits: ArmLimits,
    ) -> Self {
        let (seen_version, seen_generation) = (AtomicI64::new(0), AtomicI64::new(0));
        Self { ledger, clock, claim, publication_id, limits, seen_version, seen_generation }
    }

    pub(super) fn fenced(rows: u64) -> Result<(), JobError> {
        if rows == 0 { Err(JobError::Fenced) } else { Ok(()) }
    }
}

#[async_trait]
impl Effects for ClaimedEffects<'_> {
    async fn look(&self) -> Result<Publication, JobError> {
        let mut it = self.ledger.publication(self.publication_id).await?;
        self.seen_version.store(it.standing.version, Ordering::Relaxed);
        self.seen_generation.store(it.generation, Ordering::Relaxed);
        let ahead = chrono::TimeDelta::from_std(self.limits.prepare_ahead).unwrap_or(chrono::TimeDelta::MAX);
        if let Some(from) = it.standing.scheduled_for.checked_sub_signed(ahead) {
            it.standing.prepare_from = from;
        }
        Ok(it)
    }

    async fn step(&self, step: Move, handle: Option<HandleState>) -> Result<(), JobError> {
        let rows = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               moved AS (
                   UPDATE publication
                   SET state = $6::text::publication_state, updated_at = ledger_now(),
                       handle_state = coalesce($7::text::handle_state, handle_state)
                   WHERE id = $4 AND state = ANY($5::text[]::publication_state[]) AND EXISTS (SELECT FROM fence)
                   RETURNING id, state)
               -- a prepare call that nobody answers for any more led nowhere we know of
               , closed AS (
                   UPDATE remote_call c SET verdict = 'ambiguous', finished_at = ledger_now()
                   FROM moved WHERE moved.state = 'scheduled' AND c.publication_id = moved.id
                     AND c.kind = 'prepare' AND c.verdict IS NULL)
               SELECT id FROM moved"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            &words(step.from()),
            step.to().word(),
            handle.map(HandleState::word),
        )
        .fetch_all(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Self::fenced(rows.len() as u64)
    }

    async fn prepare(&self, limit: Duration) -> Result<Uuid, JobError> {
        let rows = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               -- a handle that was never armed may simply be left behind
               orphaned AS (
                   INSERT INTO orphan_handle (account_id, handle_kind, handle_id, handle_detail)
                   SELECT account_id, handle_kind, handle_id, handle_detail FROM publication
                   WHERE id = $4 AND handle_id IS NOT NULL AND handle_state <> 'dead' AND EXISTS (SELECT FROM fence)
                   ON CONFLICT DO NOTHING),
               moved AS (
                   UPDATE publication
                   SET state = $6::text::publication_state, handle_kind = NULL, handle_id = NULL, handle_state = 'none',
                       handle_version = NULL, handle_detail = '{}', updated_at = ledger_now()
                   WHERE id = $4 AND state = ANY($5::text[]::publication_state[]) AND version = $7
                     AND cancel_requested_at IS NULL AND EXISTS (SELECT FROM fence)
                     AND NOT waits_for_approval(post_id)
                     -- what was armed is replaced only once the network has proved it dead
                     AND (handle_state = 'dead' OR NOT EXISTS (
                         SELECT FROM remote_call c WHERE c.publication_id = publication.id AND c.kind = 'commit'
                           AND c.handle_id = publication.handle_id AND c.verdict IS DISTINCT FROM 'definite_no'))
                   RETURNING id, account_id)
               INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, deadline_at)
               SELECT $8, id, account_id, $1, $2, $3, 'prepare', ledger_now() + $9 FROM moved
               RETURNING call_id"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            &words(Move::Prepare.from()),
            Move::Prepare.to().word(),
            self.seen_version.load(Ordering::Relaxed),
            Uuid::now_v7(),
            interval(limit),
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        rows.map(|row| row.call_id).ok_or(JobError::Fenced)
    }

    async fn keep(&self, handle: &Handle) -> Result<(), JobError> {
        let rows = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               -- what an earlier call had left behind is gone on with
               adopted AS (
                   DELETE FROM orphan_handle WHERE handle_kind = $5 AND handle_id = $6 AND EXISTS (SELECT FROM fence))
               UPDATE publication
               SET handle_kind = $5, handle_id = $6, handle_detail = $7, handle_state = 'building'
               WHERE id = $4 AND state = 'preparing' AND EXISTS (SELECT FROM fence)"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            handle.kind,
            handle.id,
            handle.detail,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        if rows.rows_affected() == 0 {
            self.orphan(handle).await?;
        }
        Self::fenced(rows.rows_affected())
    }

    async fn prepared(&self, call: Uuid, handle: &Handle, ready: Readiness) -> Result<(), JobError> {
        let (step, state) = match ready {
            Readiness::Ready => (Move::Prepared, HandleState::Ready),
            Readiness::Building => (Move::Build, HandleState::Building),
        };
        let rows = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               moved AS (
                   UPDATE publication
                   SET state = $6::text::publication_state, handle_kind = $7, handle_id = $8, handle_detail = $9,
                       handle_state = $10::text::handle_state, handle_version = $11, error = NULL, updated_at = ledger_now()
                   WHERE id = $4 AND state = ANY($5::text[]::publication_state[]) AND EXISTS (SELECT FROM fence)
                   RETURNING id)
               UPDATE remote_call SET verdict = 'ok', finished_at = ledger_now(), handle_id = $8
               FROM moved WHERE call_id = $12"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            &words(step.from()),
            step.to().word(),
            handle.kind,
            handle.id,
            handle.detail,
            state.word(),
            self.seen_version.load(Ordering::Relaxed),
            call,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        if rows.rows_affected() == 0 {
            self.orphan(handle).await?;
        }
        Self::fenced(rows.rows_affected())
    }

    async fn unprepared(&self, call: Uuid, failure: &Failure) -> Result<(), JobError> {
        self.close(call, Move::Unprepare, "ambiguous", failure, None).await
    }

    async fn arm(&self) -> Result<Result<Armed, NotArmed>, JobError> {
        // before the statement, as the quarantine is counted: a sleep in between must not look like no time
        let asked = self.clock.monotonic();
        match self.try_arm().await {
            Ok(Some(call)) => Ok(Ok(Armed { call, at: asked })),
            Ok(None) => self.why_not_armed().await.map(Err),
            Err(LedgerError::Refused { constraint }) => match constraint.as_str() {
                "one_armed_per_account" => Ok(Err(NotArmed::AccountBusy)),
                "one_effective_commit" => Ok(Err(NotArmed::CommitOpen)),
                other => Err(JobError::Infrastructure(format!("arming was refused by {other}"))),
            },
            Err(error) => Err(error.into()),
        }
    }

    async fn unsent(&self, call: Uuid, failure: &Failure) -> Result<(), JobError> {
        self.close(call, Move::Unsent, "definite_no", failure, Some(HandleState::Ready)).await
    }

    async fn heard(&self, call: Uuid, public: &Public) -> Result<(), JobError> {
        let (ledger, id, public) = (self.ledger.clone(), self.publication_id, public.clone());
        let telling = until_heard(move || {
            let (ledger, public) = (ledger.clone(), public.clone());
            async move { ledger.heard(id, call, &public).await }
        });
        Ok(telling.await?)
    }

    async fn seen(&self, call: Option<Uuid>, public: &Public) -> Result<(), JobError> {
        let (ledger, id, public) = (self.ledger.clone(), self.publication_id, public.clone());
        let telling = until_heard(move || {
            let (ledger, public) = (ledger.clone(), public.clone());
            async move { ledger.seen(id, call, &public).await }
        });
        Ok(telling.await?)
    }

    async fn accepted(&self, call: Uuid) -> Result<(), JobError> {
        let rows = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               moved AS (
                   UPDATE publication
                   SET state = $6::text::publication_state, handle_state = 'spent', updated_at = ledger_now()
                   WHERE id = $4 AND state = ANY($5::text[]::publication_state[]) AND EXISTS (SELECT FROM fence)
                   RETURNING id)
               UPDATE remote_call SET verdict = 'ok', finished_at = ledger_now() FROM moved WHERE call_id = $7"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            &words(Move::Accept.from()),
            Move::Accept.to().word(),
            call,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Self::fenced(rows.rows_affected())
    }

    async fn refused(&self, call: Uuid, failure: &Failure, handle_dead: bool) -> Result<(), JobError> {
        let handle = if handle_dead { HandleState::Dead } else { HandleState::Ready };
        self.close(call, Move::Refuse, "definite_no", failure, Some(handle)).await
    }

    async fn rejected(&self, failure: &Failure) -> Result<(), JobError> {
        let rows = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               moved AS (
                   UPDATE publication
                   SET state = $6::text::publication_state, handle_state = 'dead', error = $7, updated_at = ledger_now()
                   WHERE id = $4 AND state = ANY($5::text[]::publication_state[]) AND EXISTS (SELECT FROM fence)
                   RETURNING id),
               judged AS (
                   UPDATE remote_call c SET verdict = 'resolved_no' FROM moved
                   WHERE c.publication_id = moved.id AND c.kind = 'commit' AND c.verdict IN ('ok', 'ambiguous'))
               SELECT id FROM moved"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            &words(Move::Reject.from()),
            Move::Reject.to().word(),
            kept(failure),
        )
        .fetch_all(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Self::fenced(rows.len() as u64)
    }

    async fn withdraw(&self, limit: Duration) -> Result<Uuid, JobError> {
        self.log_withdrawal(limit).await
    }

    async fn withdrawn(&self, call: Option<Uuid>) -> Result<(), JobError> {
        self.bury_handle(call).await
    }

    async fn not_withdrawn(&self, call: Uuid, failure: &Failure, certainly: bool) -> Result<(), JobError> {
        self.leave_handle(call, failure, certainly).await
    }
}

impl ClaimedEffects<'_> {
    /// A handle that came too late for its claim: to be swept at the network, unless it is in use.
    async fn orphan(&self, handle: &Handle) -> Result<(), JobError> {
        sqlx::query!(
            r#"INSERT INTO orphan_handle (account_id, handle_kind, handle_id, handle_detail)
               SELECT account_id, $2, $3, $4::jsonb FROM publication WHERE id = $1 ON CONFLICT DO NOTHING"#,
            self.publication_id,
            handle.kind,
            handle.id,
            handle.detail,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Ok(())
    }

    /// Closes a call that had no effect, with the move that follows from it.
    async fn close(
        &self,
        call: Uuid,
        step: Move,
        verdict: &str,
        failure: &Failure,
        handle: Option<HandleState>,
    ) -> Result<(), JobError> {
        let rows = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               moved AS (
                   UPDATE publication
                   SET state = $6::text::publication_state, error = $7, updated_at = ledger_now(),
                       handle_state = coalesce($8::text::handle_state, handle_state)
                   WHERE id = $4 AND state = ANY($5::text[]::publication_state[]) AND EXISTS (SELECT FROM fence)
                   RETURNING id)
               UPDATE remote_call
               SET verdict = $9::text::call_verdict, finished_at = ledger_now(), remote_code = $10, remote_message = $11,
                   unsent = $13
               FROM moved WHERE call_id = $12"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            &words(step.from()),
            step.to().word(),
            kept(failure),
            handle.map(HandleState::word),
            verdict,
            failure.code,
            failure.message,
            call,
            step == Move::Unsent,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Self::fenced(rows.rows_affected())
    }

    /// T7 in one statement that commits by itself, at once.
    async fn try_arm(&self) -> Result<Option<Uuid>, LedgerError> {
        let row = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               -- the lock rules out that a freeze and this intent both see the other undone
               willing AS MATERIALIZED (
                   SELECT a.id FROM account a JOIN publication p ON p.account_id = a.id
                   WHERE p.id = $4 AND a.state = 'active' AND a.frozen_at IS NULL
                     AND (a.resting_until IS NULL OR a.resting_until <= ledger_now())
                     AND (a.token_expires_at IS NULL OR a.token_expires_at >= ledger_now() + $7)
                     -- a token that was renewed since it was opened is dead
                     AND a.token_generation = $11
                   FOR SHARE OF a),
               moved AS (
                   UPDATE publication
                   SET state = $6::text::publication_state, armed_at = ledger_now(), quarantine_until = ledger_now() + $8,
                       absent_since = NULL, updated_at = ledger_now()
                   WHERE id = $4 AND state = ANY($5::text[]::publication_state[])
                     AND EXISTS (SELECT FROM fence) AND EXISTS (SELECT FROM willing)
                     AND EXISTS (SELECT FROM worker WHERE inc = $3 AND lease_until >= ledger_now() + $9)
                     AND handle_state = 'ready' AND handle_version = version AND cancel_requested_at IS NULL
                     AND scheduled_for <= ledger_now() AND ledger_now() <= latest_at
                     AND NOT waits_for_parent(parent_id) AND NOT waits_for_approval(post_id)
                     -- no other handle of it may still become public
                     AND NOT EXISTS (
                         SELECT FROM remote_call c WHERE c.publication_id = publication.id AND c.kind = 'commit'
                           AND (c.verdict IS NULL OR c.verdict IN ('ok', 'ambiguous', 'resolved_yes')))
                   RETURNING id, account_id, handle_id)
               INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, handle_id, deadline_at)
               SELECT $10, id, account_id, $1, $2, $3, 'commit', handle_id, ledger_now() + $9 FROM moved
               RETURNING call_id"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            &words(Move::Arm.from()),
            Move::Arm.to().word(),
            interval(self.limits.token_life),
            interval(self.limits.quarantine),
            interval(self.limits.commit_timeout),
            Uuid::now_v7(),
            self.seen_generation.load(Ordering::Relaxed),
        )
        .fetch_optional(&self.ledger.pool)
        .await?;
        Ok(row.map(|row| row.call_id))
    }

    /// Reads which of the conditions of arming did not hold.
    async fn why_not_armed(&self) -> Result<NotArmed, JobError> {
        let row = sqlx::query!(
            r#"SELECT EXISTS (SELECT FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3) AS "claimed!",
                      EXISTS (SELECT FROM worker WHERE inc = $3 AND lease_until >= ledger_now() + $5) AS "leased!",
                      a.state = 'active' AND a.frozen_at IS NULL AS "active!",
                      a.token_expires_at IS NULL OR a.token_expires_at >= ledger_now() + $6 AS "token!",
                      EXISTS (SELECT FROM remote_call c WHERE c.publication_id = p.id AND c.kind = 'commit'
                                AND (c.verdict IS NULL OR c.verdict IN ('ok', 'ambiguous', 'resolved_yes'))) AS "open!",
                      waits_for_approval(p.post_id) AS "unapproved!"
               FROM publication p JOIN account a ON a.id = p.account_id WHERE p.id = $4"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            interval(self.limits.commit_timeout),
            interval(self.limits.token_life),
        )
        .fetch_one(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        match (row.claimed && !row.unapproved, row.leased, row.active, row.token, row.open) {
            // nobody may go on with what somebody has to approve first: its job waits, whoever had it
            (false, _, _, _, _) => Err(JobError::Fenced),
            (true, false, _, _, _) => Ok(NotArmed::LeaseShort),
            (true, true, false, _, _) => Ok(NotArmed::AccountInactive),
            (true, true, true, false, _) => Ok(NotArmed::TokenShort),
            (true, true, true, true, true) => Ok(NotArmed::CommitOpen),
            (true, true, true, true, false) => Ok(NotArmed::Changed),
        }
    }
}
