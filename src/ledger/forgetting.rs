//! Requests for deletion as the holder of one claim carries them out. Every write is fenced by the claim and names the
//! stage that it leaves; whatever is destroyed was written down before as about to be.

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use jobs::{
    contract::{Class, Failure, JobError},
    desk::Account,
    erasure::{Stage, Standing, Turn},
    forgetting::{Answered, Deletion, Doomed, Forgetting, Grant, Keepsake, Purged, Revocation},
    unseen::{Draft, Fate},
};
use uuid::Uuid;

use super::{
    Claim, KeyRing, Ledger, LedgerError, claims::interval, deletions, grants, keyring::KeyError, purge,
    receipts, shredding, stages, tombstones,
};

/// The wait before a network is asked about a grant again: twice as long each time, up to the last.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(2);
const ASK_MOST: TimeDelta = TimeDelta::minutes(5);

/// The clocks of a request, from `worker.toml`.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// How long what is open is waited for before the grants are taken back.
    pub drain: Duration,
    /// When the tokens go, whatever the networks say.
    pub shred: Duration,
    /// The most rows of one statement.
    pub batch: i64,
}

/// The requests that the holder of one claim may touch.
pub struct ClaimedForgetting<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) ring: &'a KeyRing,
    pub(super) claim: Claim,
    pub(super) clocks: Clocks,
}

impl<'a> ClaimedForgetting<'a> {
    /// What the holder of `claim` may do.
    pub fn new(ledger: &'a Ledger, ring: &'a KeyRing, claim: Claim, clocks: Clocks) -> Self {
        Self { ledger, ring, claim, clocks }
    }
}

/// How long until a network is asked again that was asked in vain so often.
pub(super) fn ask_again(attempts: u32) -> TimeDelta {
    ASK_AGAIN.checked_mul(1 << attempts.min(10)).unwrap_or(ASK_MOST).min(ASK_MOST)
}

#[async_trait]
impl Forgetting for ClaimedForgetting<'_> {
    async fn look(&self, request: Uuid) -> Result<Option<Deletion>, JobError> {
        let row = sqlx::query!(
            r#"SELECT r.stage::text AS "stage!", coalesce(r.restored_at, r.received_at) AS "counted_from!",
                      r.stone_at IS NOT NULL AS "kept!", ledger_now() AS "now!",
                      (SELECT min(d.next_at) FROM deletion_account d
                       WHERE d.request_id = r.id AND d.revocation = 'open') AS ask_at,
                      least(
                          (SELECT min(f.next_at) FROM deletion_draft f
                           WHERE f.request_id = r.id AND f.outcome = 'open'),
                          -- who comes too late with one files it after all was written down
                          (SELECT min(o.created_at) FROM orphan_handle o JOIN deletion_account d ON d.account_id = o.account_id
                           WHERE d.request_id = r.id AND r.stage = 'revoking'
                             AND NOT EXISTS (SELECT FROM deletion_draft f
                                             WHERE f.request_id = r.id AND f.handle_kind = o.handle_kind
                                               AND f.handle_id = o.handle_id))) AS unseen_at,
                      greatest(
                          (SELECT max(coalesce(p.quarantine_until, ledger_now()))
                           FROM publication p JOIN deletion_account d ON d.account_id = p.account_id
                           WHERE d.request_id = r.id
                             AND (p.state = 'armed' OR p.state = 'unknown' AND p.quarantine_until > ledger_now())),
                          -- a pair that is on its way is the one to be taken back
                          (SELECT max(c.deadline_at)
                           FROM remote_call c JOIN deletion_account d ON d.account_id = c.account_id
                           WHERE d.request_id = r.id AND c.kind = 'refresh' AND c.verdict IS NULL
                             AND c.deadline_at > ledger_now())) AS wire_until,
                      EXISTS (SELECT FROM publication p JOIN deletion_account d ON d.account_id = p.account_id
                              WHERE d.request_id = r.id
                                AND p.state NOT IN ('published', 'failed', 'cancelled', 'held'))
                      -- what somebody's dialog gave goes back by its own job, which needs the row
                      OR EXISTS (SELECT FROM deletion_mark m JOIN connection c ON c.person_id = m.id
                                 WHERE m.request_id = r.id AND m.kind = 'person' AND c.parting = 'asked') AS "open!"
               FROM deletion_request r WHERE r.id = $1"#,
            request,
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let Some(row) = row else { return Ok(None) };
        let unreadable = || LedgerError::Unreadable(format!("the deletion's stage {}", row.stage));
        let by = |span: Duration| row.counted_from + TimeDelta::from_std(span).unwrap_or(TimeDelta::days(1));
        Ok(Some(Deletion {
            id: request,
            standing: Standing {
                stage: Stage::parse(&row.stage).ok_or_else(unreadable)?,
                wire_until: row.wire_until,
                open: row.open,
                unseen_at: row.unseen_at,
                ask_at: row.ask_at,
                drain_by: by(self.clocks.drain),
                shred_by: by(self.clocks.shred),
            },
            kept: row.kept,
            now: row.now,
        }))
    }

    async fn turn(&self, request: Uuid, turn: Turn) -> Result<(), JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        if !stages::go_on(&mut tx, request, turn).await? {
            return Err(JobError::Fenced);
        }
        stages::follow(&mut tx, request, turn).await?;
        tx.commit().await.map_err(LedgerError::from)?;
        tracing::info!(%request, stage = turn.to().word(), "a deletion goes on");
        if turn == Turn::Forgot {
            metrics::counter!("postroom_deletions_done_total").increment(1);
        }
        Ok(())
    }

    async fn drafts(&self, request: Uuid) -> Result<Vec<Draft>, JobError> {
        self.due_drafts(request).await
    }

    async fn log_draft(&self, request: Uuid, draft: &Draft, limit: Duration) -> Result<Uuid, JobError> {
        self.log_call_for(request, draft, limit).await
    }

    async fn draft_done(
        &self,
        request: Uuid,
        draft: &Draft,
        call: Option<Uuid>,
        fate: &Fate,
    ) -> Result<(), JobError> {
        self.note_draft(request, draft, call, fate).await
    }

    async fn grants(&self, request: Uuid) -> Result<Vec<Grant>, JobError> {
        let rows = sqlx::query!(
            r#"SELECT d.account_id, d.platform, d.attempts, coalesce(a.external_id, '') AS "external_id!", a.subject_id,
                      a.id IS NOT NULL AS "there!", still_used(a.id, $2) AS "superseded!"
               FROM deletion_account d LEFT JOIN account a ON a.id = d.account_id
               WHERE d.request_id = $1 AND d.revocation = 'open' AND d.next_at <= ledger_now()
               ORDER BY d.next_at LIMIT 16"#,
            request,
            &deletions::META.map(str::to_owned),
        )
        .fetch_all(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let mut grants = Vec::new();
        for row in rows {
            let (tokens, unopened) = if row.there {
                self.ledger.keys_of_grant(self.ring, row.account_id, &row.platform).await?
            } else {
                (Vec::new(), None)
            };
            grants.push(Grant {
                account: Account { id: row.account_id, platform: row.platform, external_id: row.external_id },
                subject: row.subject_id,
                tokens,
                unopened: unopened.map(|error| not_opened(&error)),
                superseded: row.superseded,
                attempts: u32::try_from(row.attempts).unwrap_or_default(),
            });
        }
        Ok(grants)
    }

    async fn ask(&self, request: Uuid, account: Uuid, limit: Duration) -> Result<Uuid, JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        // whoever connects with the same person's grant goes before or after this
        grants::lock_of(&mut tx, account).await?;
        let call = sqlx::query_scalar!(
            r#"INSERT INTO remote_call (call_id, account_id, job_id, epoch, worker_inc, kind, deadline_at)
               SELECT $3, a.id, $4, $5, $6, 'revoke', ledger_now() + $7
               FROM deletion_account d JOIN account a ON a.id = d.account_id
               WHERE d.request_id = $1 AND d.account_id = $2 AND d.revocation = 'open'
                 -- I9: no grant is taken back while something is on the wire that needs it
                 AND NOT EXISTS (SELECT FROM publication p WHERE p.account_id = a.id AND p.state = 'armed')
                 AND NOT still_used(a.id, $8)
               RETURNING call_id"#,
            request,
            account,
            Uuid::now_v7(),
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            interval(limit),
            &deletions::META.map(str::to_owned),
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        call.ok_or(JobError::Fenced)
    }

    async fn answered(&self, request: Uuid, grant: &Grant, answer: &Answered) -> Result<(), JobError> {
        let (state, failure) = said(answer);
        let mut tx = self.ledger.fenced(self.claim).await?;
        if let Answered::Network(calls) = answer {
            for (call, said) in calls {
                grants::close_call(&mut tx, *call, said).await?;
            }
        }
        sqlx::query!(
            r#"UPDATE deletion_account
               SET revocation = $3::text::revocation_state, attempts = attempts + 1, code = $4, answered_at = ledger_now(),
                   next_at = ledger_now() + $5
               WHERE request_id = $1 AND account_id = $2 AND revocation = 'open'"#,
            request,
            grant.account.id,
            state,
            failure.map(|failure| failure.code.as_str()),
            interval(ask_again(grant.attempts).to_std().unwrap_or_default()),
        )
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        sqlx::query!(
            "UPDATE deletion_request SET moved_at = ledger_now() WHERE id = $1 AND $2 <> 'open'",
            request,
            state,
        )
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        if let Some(failure) = failure.filter(|_| state == "open") {
            tracing::warn!(%request, account = %grant.account.id, %failure, "a grant is not taken back yet");
        }
        Ok(())
    }

    async fn keepsakes(&self, request: Uuid) -> Result<Vec<Keepsake>, JobError> {
        Ok(self.ledger.keepsakes(request).await?)
    }

    async fn kept(&self, request: Uuid) -> Result<bool, JobError> {
        // whoever holds the claim keeps these before the person is told, and nobody else destroys the tokens meanwhile
        let kept = sqlx::query!(
            "UPDATE deletion_request SET stone_at = ledger_now() WHERE id = $1 AND stage NOT IN ('forgetting', 'done')",
            request,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Ok(kept.rows_affected() == 1)
    }

    fn recipient_at(&self, request: Uuid) -> String {
        tombstones::recipient_key(request)
    }

    async fn keys_to_keep(&self) -> Result<Vec<(String, Keepsake)>, JobError> {
        receipts::keys_to_keep(self).await
    }

    async fn key_kept(&self, key: &str) -> Result<(), JobError> {
        Ok(self.ledger.receipt_key_kept(key).await?)
    }

    async fn shred(&self, request: Uuid) -> Result<(), JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        let accounts = sqlx::query_scalar!(
            r#"SELECT d.account_id FROM deletion_account d JOIN deletion_request r ON r.id = d.request_id
               WHERE r.id = $1 AND r.stage = 'shredding' ORDER BY d.account_id"#,
            request,
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        shredding::shred(&mut tx, request, &accounts).await?;
        sqlx::query!(
            "UPDATE account SET state = 'erased', renewable = false WHERE id = ANY ($1) AND deletion_id IS NOT NULL",
            &accounts,
        )
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(())
    }

    async fn purge(&self, request: Uuid) -> Result<Purged, JobError> {
        purge::batch(self, request).await
    }

    async fn doomed(&self, request: Uuid) -> Result<Vec<Doomed>, JobError> {
        Ok(self.ledger.doomed(request).await?)
    }

    async fn erased(&self, request: Uuid, keys: &[String], traces: u64) -> Result<(), JobError> {
        purge::erased(self, request, keys, traces).await
    }

    async fn not_erased(&self, request: Uuid, key: &str) -> Result<(), JobError> {
        purge::not_erased(self, request, key).await
    }

    async fn gone(&self, request: Uuid, after: &str) -> Result<Vec<String>, JobError> {
        Ok(self.ledger.gone_files(request, after).await?)
    }

    async fn left(&self, request: Uuid) -> Result<u64, JobError> {
        Ok(self.ledger.left(request).await?)
    }

    async fn certify(&self, request: Uuid) -> Result<(), JobError> {
        receipts::certify(self, request).await
    }

    async fn tell(&self, request: Uuid) -> Result<(), JobError> {
        self.write_letter(request).await
    }

    async fn forget(&self, request: Uuid) -> Result<(), JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        sqlx::query!(
            r#"WITH it AS (
                   UPDATE deletion_request SET recipient = NULL, reason = NULL, asked_by = NULL
                   WHERE id = $1 AND stage = 'forgetting' RETURNING id),
               -- our own ids of people and connections stay: by them it is done again after a restore
               unmarked AS (
                   DELETE FROM deletion_mark m USING it WHERE m.request_id = it.id AND m.kind NOT IN ('account', 'person')),
               drafts AS (DELETE FROM deletion_draft f USING it WHERE f.request_id = it.id)
               DELETE FROM deletion_object o USING it WHERE o.request_id = it.id"#,
            request,
        )
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(())
    }
}

/// What is said of a token that does not open: the key of one may come back into the ring.
fn not_opened(error: &KeyError) -> Failure {
    match error {
        KeyError::UnknownKey(_) => {
            let failure = Failure::new(Class::Transient, "key_ring", error.to_string());
            Failure { operator: true, ..failure }
        }
        KeyError::Entry(..) | KeyError::DoesNotOpen | KeyError::Shredded => {
            Failure::new(Class::Permanent, "does_not_open", error.to_string())
        }
    }
}

/// What became of the grant, and what was said about it.
fn said(answer: &Answered) -> (&'static str, Option<&Failure>) {
    match answer {
        Answered::Network(calls) => match Revocation::of_all(calls) {
            Some(Revocation::Revoked) => ("revoked", None),
            Some(Revocation::Already(failure)) => ("already", Some(failure)),
            Some(Revocation::Not(failure)) => ("open", Some(failure)),
            None => ("open", None),
        },
        Answered::Nothing => ("nothing", None),
        Answered::Superseded => ("superseded", None),
        Answered::Unasked(failure) => ("open", Some(failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_that_is_taken_back_is_enough_and_none_that_was_not_is_passed_over() {
        let failure = || Failure::new(jobs::contract::Class::Auth, "190", "no");
        let (dead, away) = (Revocation::Already(failure()), Revocation::Not(failure()));
        let state = |all: &[&Revocation]| {
            said(&Answered::Network(all.iter().map(|it| (Uuid::nil(), (*it).clone())).collect())).0
        };
        assert_eq!(state(&[&dead, &Revocation::Revoked]), "revoked");
        assert_eq!(state(&[&dead, &dead]), "already");
        assert_eq!(state(&[&dead, &away]), "open");
        assert_eq!(state(&[&away, &Revocation::Revoked]), "revoked");
        assert_eq!(state(&[]), "open");
    }

    #[test]
    fn a_network_that_is_away_is_asked_ever_more_seldom_up_to_a_bound() {
        assert_eq!(ask_again(0), ASK_AGAIN);
        assert_eq!(ask_again(1), ASK_AGAIN * 2);
        assert!((0..40).all(|n| ask_again(n) <= ASK_MOST && ask_again(n) <= ask_again(n + 1)));
    }
}
