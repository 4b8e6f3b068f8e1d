//! Deleting everything that is known of a person, with a clock that the law has set.
//!
//! There is one such job a request at a time. Each step first reads where the request stands, asks [`erasure::next`] what
//! that means, and does only that: a run may end at any point, and the next one goes on from there. Whatever is
//! destroyed was written down before as about to be, and every step may be done twice.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    contract::{Class, Done, Failure, Job, JobError, Retry},
    desk::{Call, Desk},
    erasing,
    erasure::{self, Stage, Step, Turn},
    forgetting::{Answered, Deletion, Forgetting, Grant, Purged, Revocation, Revoking},
    fp,
    gate::Visit,
    unseen,
};

/// One request to a network.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The payload: which request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeletionJob {
    /// The request.
    pub request_id: Uuid,
}

impl Job for DeletionJob {
    const KIND: &'static str = "deletion";
    const RETRY: Retry = Retry { attempts: 12, ..Retry::STANDARD };
    const LIMIT: Duration = Duration::from_mins(5);

    async fn run(&self, desk: &Desk<'_>) -> Result<Done, JobError> {
        let forgetting = desk.forgetting()?;
        let begun = desk.clock.monotonic();
        let mut tried = None;
        // well before its time is up, so that nothing is ever cut off in the middle
        while desk.clock.monotonic().saturating_sub(begun) < desk.limits.attempt / 2 {
            let Some(it) = forgetting.look(self.request_id).await? else { return Ok(Done::nothing()) };
            // once a stage: a store that is away is not asked at every step
            let stage = Some(it.standing.stage);
            if std::mem::replace(&mut tried, stage) != stage {
                At { it: &it, desk, forgetting }.keep_if_can().await?;
            }
            match erasure::next(&it.standing, it.now) {
                Step::End => {
                    return Ok(Done::Finished { output: json!({ "deleted": it.id }), then: vec![] });
                }
                Step::WaitUntil(until) => {
                    let reason = format!("{} goes on then", it.standing.stage.word());
                    return Ok(Done::Waiting { until, reason });
                }
                step => At { it: &it, desk, forgetting }.take(step).await?,
            }
        }
        Ok(Done::Waiting { until: desk.clock.now(), reason: "there is more to delete".into() })
    }
}

/// A request at one moment.
struct At<'a> {
    it: &'a Deletion,
    desk: &'a Desk<'a>,
    forgetting: &'a dyn Forgetting,
}

impl At<'_> {
    async fn take(&self, step: Step) -> Result<(), JobError> {
        let (forgetting, id) = (self.forgetting, self.it.id);
        match step {
            Step::End | Step::WaitUntil(_) => Ok(()),
            Step::Turn(turn) => {
                forgetting.turn(id, turn).await?;
                fp!(AfterDeletionTurn);
                Ok(())
            }
            Step::TakeBack => unseen::take_back(self.desk, forgetting, id).await,
            Step::Ask => self.ask_all().await,
            Step::Shred => {
                forgetting.shred(id).await?;
                fp!(AfterShredded);
                // before anything is destroyed that a restore from a backup would bring back for good
                if !self.it.kept {
                    self.keep().await?;
                }
                forgetting.turn(id, Turn::Shredded).await
            }
            Step::Purge => self.purge().await,
            Step::Verify => self.verify().await,
            Step::Tell => {
                forgetting.tell(id).await?;
                fp!(AfterTold);
                forgetting.turn(id, Turn::Told).await
            }
            Step::Forget => {
                // outside first: what the ledger has forgotten nobody would look for there
                self.desk.media.erase(&forgetting.recipient_at(id)).await.map_err(store)?;
                fp!(AfterRecipientErased);
                forgetting.forget(id).await?;
                fp!(AfterForgotten);
                forgetting.turn(id, Turn::Forgot).await
            }
        }
    }

    /// Keeps outside of the ledger what a restore needs, where whoever accepted the request could not, and once more when its
    /// tokens are gone. No token is kept for a store that is away: it has to be there later, and is complained about then.
    async fn keep_if_can(&self) -> Result<(), JobError> {
        if self.it.kept || self.it.standing.stage >= Stage::Forgetting {
            return Ok(());
        }
        match self.keep().await {
            Ok(()) | Err(JobError::Unavailable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn keep(&self) -> Result<(), JobError> {
        for keepsake in self.forgetting.keepsakes(self.it.id).await? {
            keepsake.keep(self.desk.media).await.map_err(store)?;
        }
        fp!(AfterStoneLaid);
        if !self.forgetting.kept(self.it.id).await? {
            // another worker has come to the end since: nobody would look for the address there any more
            self.desk.media.erase(&self.forgetting.recipient_at(self.it.id)).await.map_err(store)?;
        }
        Ok(())
    }

    /// What verifies the receipt is kept where it outlives the ledger, before anything is signed with it.
    async fn keep_keys(&self) -> Result<(), JobError> {
        for (key, keepsake) in self.forgetting.keys_to_keep().await? {
            keepsake.keep(self.desk.media).await.map_err(store)?;
            self.forgetting.key_kept(&key).await?;
        }
        Ok(())
    }

    /// One network that is away keeps no other grant from being taken back.
    async fn ask_all(&self) -> Result<(), JobError> {
        for grant in self.forgetting.grants(self.it.id).await? {
            let answer = self.ask(&grant).await?;
            fp!(AfterRevokeAnswer);
            self.forgetting.answered(self.it.id, &grant, &answer).await?;
        }
        Ok(())
    }

    async fn ask(&self, grant: &Grant) -> Result<Answered, JobError> {
        if grant.superseded {
            return Ok(Answered::Superseded);
        }
        if grant.tokens.is_empty() && grant.unopened.is_none() {
            return Ok(Answered::Nothing);
        }
        let platform = grant.account.platform.as_str();
        let network = match self.desk.network(platform) {
            Ok(network) => network,
            Err(failure) => return Ok(Answered::Unasked(failure)),
        };
        let Some(revoking) = network.revoking() else { return Ok(Answered::Nothing) };
        let tokens = match keys_of(grant, revoking) {
            Ok(tokens) => tokens,
            Err(answer) => return Ok(answer),
        };
        let mut said = Vec::new();
        for token in &tokens {
            match self.enter(grant, network.allowance(), revoking).await {
                Ok(()) => {}
                Err(error @ (JobError::Fenced | JobError::Infrastructure(_))) => return Err(error),
                Err(other) if said.is_empty() => return Ok(Answered::Unasked(other.failure())),
                Err(_) => break,
            }
            let (id, revocation) = self.ask_by(grant, revoking, token).await?;
            let taken_back = revocation == Revocation::Revoked;
            said.push((id, revocation));
            if taken_back {
                break;
            }
        }
        // one that does not open yet may be the one that is alive
        let waits = grant.unopened.as_ref().filter(|failure| failure.class == Class::Transient);
        if let Some(failure) = waits.filter(|_| !said.iter().any(|(_, it)| *it == Revocation::Revoked)) {
            said.push((Uuid::nil(), Revocation::Not(failure.clone())));
        }
        Ok(Answered::Network(said))
    }

    async fn ask_by(
        &self,
        grant: &Grant,
        revoking: &dyn Revoking,
        token: &SecretString,
    ) -> Result<(Uuid, Revocation), JobError> {
        let id = self.forgetting.ask(self.it.id, grant.account.id, CALL_TIMEOUT).await?;
        fp!(AfterRevokeLogged);
        let call = Call {
            id: Some(id),
            account: &grant.account.external_id,
            token,
            media: self.desk.media,
            gate: self.desk.gate,
            timeout: CALL_TIMEOUT,
        };
        Ok((id, revoking.revoke(&call, grant.subject.as_deref()).await))
    }

    async fn enter(
        &self,
        grant: &Grant,
        allowance: crate::gate::Allowance,
        revoking: &dyn Revoking,
    ) -> Result<(), JobError> {
        let (network, account) = (grant.account.platform.as_str(), grant.account.id);
        let calls = revoking.calls();
        self.desk.gate.enter(Visit { network, account, allowance, calls, comes_back: true }).await
    }

    async fn purge(&self) -> Result<(), JobError> {
        let (forgetting, id) = (self.forgetting, self.it.id);
        match forgetting.purge(id).await? {
            Purged::More => {
                fp!(AfterPurgeBatch);
                Ok(())
            }
            Purged::Files => self.erase().await,
            Purged::All => forgetting.turn(id, Turn::Purged).await,
        }
    }

    /// A file that is erased twice is erased; only then it counts as such. One that the store does not erase keeps no
    /// other from being erased.
    async fn erase(&self) -> Result<(), JobError> {
        let (mut keys, mut traces, mut refused) = (Vec::new(), 0, None);
        let doomed = self.forgetting.doomed(self.it.id).await?;
        let erased = erasing::erase(self.desk.media, &doomed).await;
        for (doomed, found) in doomed.into_iter().zip(erased) {
            match found {
                Ok(found) => {
                    traces += found;
                    keys.push(doomed.key);
                }
                Err(failure) => {
                    self.forgetting.not_erased(self.it.id, &doomed.key).await?;
                    refused = Some(failure);
                }
            }
        }
        fp!(AfterFilesErased);
        match refused {
            Some(failure) if keys.is_empty() => Err(store(failure)),
            Some(_) | None => self.forgetting.erased(self.it.id, &keys, traces).await,
        }
    }

    async fn verify(&self) -> Result<(), JobError> {
        let (forgetting, id) = (self.forgetting, self.it.id);
        let left = forgetting.left(id).await? + self.files_left().await?;
        if left > 0 {
            return forgetting.turn(id, Turn::Found).await;
        }
        // by now also that its tokens are gone: a restore destroys them at once
        if !self.it.kept {
            self.keep().await?;
        }
        self.keep_keys().await?;
        fp!(AfterVerified);
        forgetting.certify(id).await
    }

    async fn files_left(&self) -> Result<u64, JobError> {
        let (mut left, mut after) = (0, String::new());
        loop {
            let keys = self.forgetting.gone(self.it.id, &after).await?;
            let Some(last) = keys.last() else { return Ok(left) };
            left += erasing::left(self.desk.media, &keys).await.map_err(store)?;
            after.clone_from(last);
        }
    }
}

/// What a grant is taken back by. Where none of it opens, the app may do it, at a network that knows people by themselves;
/// elsewhere a key may come back into the ring in time.
fn keys_of(grant: &Grant, revoking: &dyn Revoking) -> Result<Vec<SecretString>, Answered> {
    match &grant.unopened {
        Some(_) if grant.tokens.is_empty() && revoking.knows_people() && grant.subject.is_some() => {
            Ok(vec![SecretString::from("")])
        }
        Some(failure) if grant.tokens.is_empty() && failure.class == Class::Transient => {
            Err(Answered::Unasked(failure.clone()))
        }
        Some(_) if grant.tokens.is_empty() => Err(Answered::Nothing),
        Some(_) | None => Ok(grant.tokens.clone()),
    }
}

/// The store is away: this goes on later.
fn store(failure: Failure) -> JobError {
    JobError::Unavailable(Failure { class: Class::Transient, ..failure })
}
