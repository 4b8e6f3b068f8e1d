//! Taking a published post down, where its network allows that.
//!
//! Removing something twice removes it once, so a request whose answer was lost is simply made again. What the network
//! does not know any more then is gone if a read shows that, and if we had asked for it: a failure to read it proves
//! nothing. The publication stays published; what became of the wish is kept beside it.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    contract::{Class, Done, Failure, Job, JobError},
    desk::{Call, Desk, Network},
    fp,
    gate::Visit,
    removal::{Presence, Removal, Wish},
};

/// One request to a network.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The payload: which publication.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TakeDown {
    /// The publication whose post is to go.
    pub publication_id: Uuid,
}

impl Job for TakeDown {
    const KIND: &'static str = "take_down";

    async fn run(&self, desk: &Desk<'_>) -> Result<Done, JobError> {
        let wish = desk.take_downs()?.look(self.publication_id).await?;
        if !wish.open {
            return Ok(Done::nothing());
        }
        if let Some(until) = wish.resting_until {
            return Ok(Done::Waiting { until, reason: "the network asked for a rest".into() });
        }
        let done = match At::open(self.publication_id, &wish, desk).await {
            Ok(at) => at.take_down().await,
            Err(error) => Err(error),
        };
        done.map_err(refused_for_good)
    }
}

/// Whoever mends an access asks again afterwards: nothing is taken down days after somebody wished it.
fn refused_for_good(error: JobError) -> JobError {
    match error {
        JobError::Unauthorised(failure) => JobError::Refused(failure),
        // no network is asked to prove anything about a wish: it is simply asked again
        JobError::Unknown(failure) => JobError::Unavailable(failure),
        JobError::Unavailable(_)
        | JobError::Infrastructure(_)
        | JobError::Throttled(..)
        | JobError::Refused(_)
        | JobError::Malformed(_)
        | JobError::Fenced => error,
    }
}

/// Something public at its network, with the token open.
struct At<'a> {
    publication: Uuid,
    wish: &'a Wish,
    remote_id: &'a str,
    desk: &'a Desk<'a>,
    network: &'a dyn Network,
    token: SecretString,
}

impl<'a> At<'a> {
    /// Asks the gate before the token is opened.
    async fn open(publication: Uuid, wish: &'a Wish, desk: &'a Desk<'a>) -> Result<Self, JobError> {
        let platform = &wish.account.platform;
        if !wish.account_active {
            let why = "the account has to be connected again before anything is taken down there";
            return Err(JobError::Refused(Failure::new(Class::Auth, "account_inactive", why)));
        }
        let network = desk.network(platform).map_err(JobError::Unavailable)?;
        // it is asked for by who asks where the post is to be found
        let remote_id = wish.remote_id.as_deref().ok_or_else(|| {
            let why = "the network has not said yet what it calls the post";
            JobError::Unavailable(Failure::new(Class::Transient, "nameless", why))
        })?;
        let (account, allowance) = (wish.account.id, network.allowance());
        let calls = network.take_down_calls();
        desk.gate.enter(Visit { network: platform, account, allowance, calls, comes_back: true }).await?;
        let token = desk.vault.access_token(account).await?;
        Ok(Self { publication, wish, remote_id, desk, network, token })
    }

    fn call(&self, id: Option<Uuid>) -> Call<'_> {
        Call {
            id,
            account: &self.wish.account.external_id,
            token: &self.token,
            media: self.desk.media,
            gate: self.desk.gate,
            timeout: CALL_TIMEOUT,
        }
    }

    /// Writes the request down, sends it, and keeps what came of it.
    async fn take_down(&self) -> Result<Done, JobError> {
        let (ledger, desk) = (self.desk.take_downs()?, self.desk);
        let asked = desk.clock.monotonic();
        let id = ledger.log(self.publication, CALL_TIMEOUT).await?;
        fp!(AfterTakeDownLogged);
        if desk.clock.monotonic().saturating_sub(asked) > desk.limits.send_within {
            let late = Failure::new(Class::Transient, "send_too_late", "too long before the request");
            ledger.not_gone(id, &late, true).await?;
            return Err(JobError::Infrastructure(late.message));
        }
        let answer = self.network.take_down(&self.call(Some(id)), self.remote_id).await;
        fp!(AfterTakeDownAnswer);
        match answer {
            Removal::Gone => ledger.gone(self.publication, Some(id)).await.map(|()| Done::nothing()),
            Removal::Missing(failure) => {
                ledger.not_gone(id, &failure, true).await?;
                self.missing(failure).await
            }
            Removal::Refused(failure) => {
                ledger.not_gone(id, &failure, true).await?;
                Err(JobError::Refused(failure))
            }
            // a network that is overloaded says so also of what it has carried out
            Removal::NotNow(failure) => {
                ledger.not_gone(id, &failure, false).await?;
                Err(failure.into_error())
            }
            Removal::Unknown(failure) => {
                ledger.not_gone(id, &failure, false).await?;
                Err(JobError::Unavailable(Failure { class: Class::Transient, ..failure }))
            }
        }
    }

    /// The network knows no such post. It is gone if we had asked for that before, and if a read shows it.
    async fn missing(&self, said: Failure) -> Result<Done, JobError> {
        let seen = self.network.presence(&self.call(None), self.remote_id).await;
        match seen.map_err(Failure::into_error)? {
            Presence::Absent if self.wish.in_doubt => {
                self.desk.take_downs()?.gone(self.publication, None).await.map(|()| Done::nothing())
            }
            Presence::Absent => {
                let why = "the network knows no such post of this account any more: somebody has removed it there \
                           before, or the account may not see it. Open its address to be sure";
                Err(JobError::Refused(Failure { message: why.to_owned(), ..said }))
            }
            Presence::There => {
                let why = format!(
                    "the post is there, and the network does not let it be removed: {}",
                    said.message
                );
                let class = Class::Permission;
                Err(JobError::Refused(Failure { message: why, class, ..said }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_that_somebody_has_to_mend_ends_the_wish_and_says_who() {
        let failure = Failure::new(Class::Permission, "10", "a permission is missing");
        let ended = refused_for_good(JobError::Unauthorised(failure));
        assert!(matches!(ended, JobError::Refused(_)), "{ended}");
        assert_eq!(ended.failure().who_acts(), "owner");
    }

    #[test]
    fn an_answer_that_was_lost_is_never_left_to_the_reconciler() {
        let lost = JobError::Unknown(Failure::new(Class::Unknown, "timeout", "no answer"));
        assert!(matches!(refused_for_good(lost), JobError::Unavailable(_)));
    }
}
