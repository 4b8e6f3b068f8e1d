//! Keeping one account's access alive: renewing it at its half life, and asking its network daily what is left of it.
//!
//! There is one such job an account at a time. Each step first reads where the access stands, asks [`tokens::next`] what
//! that means, and does only that: a run may end at any point, and the next one goes on from there. A refresh token
//! that is used twice may cost the whole grant, so a call is logged before it is sent, and what it brings is
//! kept before it is used.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    contract::{Class, Done, Failure, Job, JobError, Retry, Verdict},
    desk::{Call, Desk, Network},
    fp,
    gate::Visit,
    renewals::{Access, Begun, Mend, Renewal, Renewals, Renewing, is_of_access},
    tokens::{self, Step, Turn, Wish},
};

/// More steps than one run can need; a run that takes them all is handed back.
const MOST_STEPS: usize = 8;
/// The wait of whoever lost the race for a refresh.
const LOST_RACE: Duration = Duration::from_millis(200);
/// One look at a network.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The payload: whose access, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenRefresh {
    /// The account.
    pub account_id: Uuid,
    /// A publication was refused, or would be.
    #[serde(default)]
    pub needed: bool,
    /// A person asked for it.
    #[serde(default)]
    pub asked: bool,
}

impl Job for TokenRefresh {
    const KIND: &'static str = "token_refresh";
    const RETRY: Retry = Retry { attempts: 12, ..Retry::STANDARD };

    async fn run(&self, desk: &Desk<'_>) -> Result<Done, JobError> {
        let renewals = desk.renewals()?;
        let done = self.see_to_it(desk, renewals).await;
        if done.as_ref().is_err_and(|error| error.verdict() == Verdict::Fail) {
            renewals.put_off(self.account_id).await?;
        }
        done
    }
}

impl TokenRefresh {
    async fn see_to_it(&self, desk: &Desk<'_>, renewals: &dyn Renewals) -> Result<Done, JobError> {
        let (mut wish, mut renewed) = (self.wish(), false);
        for _ in 0..MOST_STEPS {
            let Some(it) = renewals.look(self.account_id).await? else { return Ok(Done::nothing()) };
            let step = match tokens::next(&it.standing, wish, it.now) {
                // what was just renewed is looked at, however soon it ends: another pair would be no better
                Step::Send(Turn::Begin) if renewed => Step::Examine,
                step => step,
            };
            match step {
                Step::End => return Ok(Done::nothing()),
                Step::WaitUntil(until) => {
                    let reason = "a worker that is gone may still save what it was given".into();
                    return Ok(Done::Waiting { until, reason });
                }
                Step::Doubt => renewals.doubt(&it, None).await?,
                Step::Send(turn) => match At::open(&it, desk, renewals)?.send(turn).await? {
                    Sent::Renewed | Sent::Outrun => (wish, renewed) = (Wish::Routine, true),
                    Sent::Bare => renewed = true,
                    Sent::End(done) => return Ok(done),
                },
                Step::Examine => match At::open(&it, desk, renewals)?.examine(renewed).await? {
                    None => wish = Wish::Renewal,
                    Some(done) => return Ok(done),
                },
            }
        }
        Err(JobError::Infrastructure(format!("the access of account {} did not settle", self.account_id)))
    }

    fn wish(&self) -> Wish {
        match (self.asked, self.needed) {
            (true, _) => Wish::Person,
            (false, true) => Wish::Renewal,
            (false, false) => Wish::Routine,
        }
    }
}

/// What a call led to.
enum Sent {
    /// There is a new pair, which this brought.
    Renewed,
    /// Somebody else was first.
    Outrun,
    /// Nothing renews it any more; what there is may be good.
    Bare,
    /// The job is over, or waits.
    End(Done),
}

/// An account's access at its network.
struct At<'a> {
    it: &'a Access,
    desk: &'a Desk<'a>,
    renewals: &'a dyn Renewals,
    network: &'a dyn Network,
    renewing: Option<&'a dyn Renewing>,
}

impl<'a> At<'a> {
    fn open(it: &'a Access, desk: &'a Desk<'a>, renewals: &'a dyn Renewals) -> Result<Self, JobError> {
        let platform = &it.account.platform;
        let network = desk.network(platform).map_err(JobError::Unavailable)?;
        Ok(Self { it, desk, renewals, network, renewing: network.renewing() })
    }

    async fn enter(&self, calls: u32) -> Result<(), JobError> {
        let (network, account) = (self.it.account.platform.as_str(), self.it.account.id);
        let allowance = self.network.allowance();
        self.desk.gate.enter(Visit { network, account, allowance, calls, comes_back: true }).await
    }

    fn call<'c>(&'c self, id: Option<Uuid>, token: &'c secrecy::SecretString, timeout: Duration) -> Call<'c> {
        let (media, gate) = (self.desk.media, self.desk.gate);
        Call { id, account: &self.it.account.external_id, token, media, gate, timeout }
    }

    /// Everything that can fail without a call comes before the call is logged.
    async fn send(&self, turn: Turn) -> Result<Sent, JobError> {
        let Some(renewing) = self.renewing else { return Ok(Sent::End(Done::nothing())) };
        let refresh = match self.renewals.refresh_token(self.it).await {
            Err(JobError::Unauthorised(failure)) => {
                return self.refused(&failure, false).await.map(Sent::End);
            }
            other => other?,
        };
        self.enter(renewing.calls()).await?;
        let limit = self.desk.limits.commit_timeout;
        // before the statement: a sleep in between must not look like no time
        let asked = self.desk.clock.monotonic();
        let Some(begun) = self.renewals.begin(self.it, turn, limit).await? else {
            let until = self.desk.clock.now() + LOST_RACE;
            let reason = "somebody else renews it, or this worker's lease ends too soon".into();
            return Ok(Sent::End(Done::Waiting { until, reason }));
        };
        fp!(AfterRefreshLogged);
        if let Some(late) = self.too_late(asked) {
            self.renewals.spare(self.it, begun.call, &late).await?;
            return Err(JobError::Infrastructure(late.message));
        }
        let renewal = renewing.renew(&self.call(Some(begun.call), &refresh, limit)).await;
        fp!(AfterRefreshAnswer);
        self.answered(begun, renewal).await
    }

    /// Whoever has slept may not be alone with it any more: a token that another has used meanwhile ends the grant.
    fn too_late(&self, asked: Duration) -> Option<Failure> {
        let slow = self.desk.clock.monotonic().saturating_sub(asked) > self.desk.limits.send_within;
        let why = match (slow, (self.desk.leased)()) {
            (true, _) => "too long between the intent and the request",
            (false, false) => "the lease ends too soon",
            (false, true) => return None,
        };
        Some(Failure::new(Class::Transient, "send_too_late", why))
    }

    async fn answered(&self, begun: Begun, renewal: Renewal) -> Result<Sent, JobError> {
        let (it, renewals) = (self.it, self.renewals);
        match renewal {
            Renewal::Renewed(pair) => {
                let won = renewals.save(it, begun, pair).await?;
                fp!(AfterRefreshSaved);
                Ok(if won { Sent::Renewed } else { Sent::Outrun })
            }
            Renewal::Dead(failure) if self.renewing.is_some_and(Renewing::outlives) => {
                renewals.leave_bare(it, begun.call, &failure).await?;
                Ok(Sent::Bare)
            }
            Renewal::Dead(failure) => {
                let gave_up = renewals.give_up(it, begun.call, &failure).await?;
                Ok(if gave_up { Sent::End(broken(&failure)) } else { Sent::Outrun })
            }
            Renewal::Refused(failure) => {
                renewals.spare(it, begun.call, &failure).await?;
                Err(put_off(failure))
            }
            Renewal::Unknown(failure) => {
                renewals.doubt(it, Some((begun.call, &failure))).await?;
                Err(JobError::Unavailable(failure))
            }
        }
    }

    /// Asks the network what is left of the access; none: only a refresh mends it.
    async fn examine(&self, renewed: bool) -> Result<Option<Done>, JobError> {
        let token = match self.desk.vault.access_token(self.it.account.id).await {
            Err(JobError::Unauthorised(failure)) => return self.refused(&failure, false).await.map(Some),
            other => other?,
        };
        let Some(renewing) = self.renewing else {
            self.renewals.examined(self.it, None).await?;
            return Ok(Some(Done::nothing()));
        };
        self.enter(renewing.calls()).await?;
        match renewing.examine(&self.call(None, &token, READ_TIMEOUT)).await {
            Ok(grant) => {
                self.renewals.examined(self.it, grant.as_ref()).await?;
                let output = json!({ "missing_scopes": grant.map(|grant| grant.missing) });
                Ok(Some(Done::Finished { output, then: vec![] }))
            }
            Err(failure) if is_of_access(&failure) => match renewing.mend(&failure) {
                Mend::Refresh if self.it.standing.renewable && !renewed => Ok(None),
                Mend::Refresh | Mend::Owner => self.refused(&failure, false).await.map(Some),
                Mend::Disconnect => self.refused(&failure, true).await.map(Some),
            },
            Err(failure) => Err(no_access_lost(failure).into_error()),
        }
    }

    async fn refused(&self, failure: &Failure, purge: bool) -> Result<Done, JobError> {
        self.renewals.refused(self.it.account.id, self.it.generation, failure, purge).await?;
        Ok(broken(failure))
    }
}

/// The owner was told: the job has done what it can.
fn broken(failure: &Failure) -> Done {
    Done::Finished { output: json!({ "reconnect": failure.code, "message": failure.message }), then: vec![] }
}

/// What a renewal that had no effect leads to. That it is to be asked for less often says nothing of the account's posts.
fn put_off(failure: Failure) -> JobError {
    match no_access_lost(failure).into_error() {
        JobError::Throttled(failure, wait) => JobError::Throttled(Failure { rest: None, ..failure }, wait),
        error => error,
    }
}

/// What does not say that the access is broken must not rest the account.
fn no_access_lost(mut failure: Failure) -> Failure {
    match failure.class {
        Class::Auth | Class::Permission | Class::Permanent => failure.class = Class::Permanent,
        Class::Unknown => failure.class = Class::Transient,
        Class::Transient | Class::Rate => {}
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_that_is_throttled_waits_and_rests_nothing_else() {
        let failure = Failure::new(Class::Rate, "429", "less often").resting(Some(Duration::from_secs(7)));
        let JobError::Throttled(failure, wait) = put_off(failure) else { panic!("it waits") };
        assert_eq!((failure.rest, wait), (None, Duration::from_secs(7)));
        let error = put_off(Failure::new(Class::Auth, "401", "no"));
        assert_eq!(error.verdict(), Verdict::Fail, "the account keeps its access: {error}");
    }
}
