//! Disconnecting an account: its access is taken back at its network, and shredded here in the step that records it. What a
//! dialog gave that nobody went on with goes the same way.
//!
//! Taking back needs the token, so the token goes last; and taking back twice takes back once, so a call whose answer
//! was lost is simply made again. What the network could not be brought to say within a day is shredded all the same.

use std::time::Duration;

use chrono::TimeDelta;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    connections::{Ended, Farewell, Logged, Parting, Partings},
    contract::{Class, Done, Job, JobError, Retry},
    desk::{Call, Desk, Network, off},
    forgetting::{Revocation, Revoking},
    fp,
    gate::Visit,
};

/// One request to a network.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// For so long what was sent and is not public yet, or is being renewed, is waited for.
const PATIENCE: TimeDelta = TimeDelta::minutes(2);
/// How often that is looked at.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(2);
/// How often it is looked whether somebody is through with connecting.
const COMING_AGAIN: TimeDelta = TimeDelta::minutes(1);
/// From then on the token is shredded whatever the network says: it is gone within a day of the wish.
const SHRED_AFTER: TimeDelta = TimeDelta::hours(23);

/// The payload: whose access.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Disconnect {
    /// That of an account.
    Account {
        /// The account.
        account_id: Uuid,
    },
    /// What a dialog gave that nobody went on with.
    Connection {
        /// The connection.
        connection_id: Uuid,
    },
}

impl Job for Disconnect {
    const KIND: &'static str = "disconnect";
    const RETRY: Retry = Retry {
        base: Duration::from_secs(2),
        cap: Duration::from_mins(5),
        attempts: 2_000,
        within: Duration::from_hours(72),
    };

    async fn run(&self, desk: &Desk<'_>) -> Result<Done, JobError> {
        let ledger = desk.partings()?;
        let of = match *self {
            Self::Account { account_id } => Ended::Account(account_id),
            Self::Connection { connection_id } => Ended::Connection(connection_id),
        };
        let Some(it) = ledger.look(of).await? else { return Ok(Done::nothing()) };
        if it.told {
            return part(ledger, &it, None, Farewell::Told).await;
        }
        if it.wire || it.busy && it.now < it.asked_at + PATIENCE {
            return Ok(on_its_way(&it));
        }
        match revoke(&it, desk, ledger).await {
            Err(error) if it.now >= it.asked_at + SHRED_AFTER && is_of_the_network(&error) => {
                part(ledger, &it, None, Farewell::Unproved).await
            }
            Err(error) => Err(patient(error)),
            Ok(done) => Ok(done),
        }
    }
}

/// It is looked at again in a moment.
fn on_its_way(it: &Parting) -> Done {
    let reason = "what is on its way to the network is waited for".into();
    Done::Waiting { until: it.now + LOOK_AGAIN, reason }
}

/// Whether the network, and not our own house, is what stands in the way.
fn is_of_the_network(error: &JobError) -> bool {
    match error {
        JobError::Unavailable(_)
        | JobError::Throttled(..)
        | JobError::Unauthorised(_)
        | JobError::Unknown(_)
        | JobError::Refused(_) => true,
        JobError::Infrastructure(_) | JobError::Malformed(_) | JobError::Fenced => false,
    }
}

/// Nothing ends the wish before its time, and nothing of it rests the account.
fn patient(error: JobError) -> JobError {
    match error {
        JobError::Unauthorised(failure) | JobError::Unknown(failure) | JobError::Refused(failure) => {
            JobError::Unavailable(failure)
        }
        JobError::Unavailable(_)
        | JobError::Infrastructure(_)
        | JobError::Throttled(..)
        | JobError::Malformed(_)
        | JobError::Fenced => error,
    }
}

async fn part(
    ledger: &dyn Partings,
    it: &Parting,
    call: Option<Uuid>,
    how: Farewell,
) -> Result<Done, JobError> {
    ledger.part(it, call, how).await?;
    fp!(AfterParted);
    Ok(Done::Finished { output: json!({ "access": how.word() }), then: vec![] })
}

async fn revoke(it: &Parting, desk: &Desk<'_>, ledger: &dyn Partings) -> Result<Done, JobError> {
    let platform = &it.account.platform;
    let network = desk.network(platform).map_err(JobError::Unavailable)?;
    let revoking = network.revoking().ok_or_else(|| JobError::Unavailable(off(platform)))?;
    let mut tokens = ledger.tokens(it).await?;
    let Some(it) = granted(it, tokens.first(), desk, network, ledger).await? else {
        return part(ledger, it, None, Farewell::Unproved).await;
    };
    let it = &it;
    if tokens.is_empty() {
        if !revoking.knows_people() || it.subject_id.is_none() {
            return part(ledger, it, None, Farewell::Unproved).await;
        }
        tokens.push(SecretString::from(""));
    }
    let calls = match it.of {
        Ended::Account(_) => revoking.calls(),
        // there is no account whose rate it could count against
        Ended::Connection(_) => 0,
    };
    let (account, allowance) = (it.account.id, network.allowance());
    let mut gone = false;
    for token in &tokens {
        desk.gate.enter(Visit { network: platform, account, allowance, calls, comes_back: true }).await?;
        let call = match ledger.log(it, CALL_TIMEOUT).await? {
            Logged::Shared => return part(ledger, it, None, Farewell::Kept).await,
            Logged::Wire => return Ok(on_its_way(it)),
            Logged::Gone => return part(ledger, it, None, Farewell::Revoked).await,
            Logged::Coming if it.now >= it.asked_at + SHRED_AFTER => {
                return part(ledger, it, None, Farewell::Unproved).await;
            }
            Logged::Coming => {
                let reason = "the same person is connecting accounts".into();
                return Ok(Done::Waiting { until: it.now + COMING_AGAIN, reason });
            }
            Logged::Call(call) => call,
        };
        let said = ask(it, desk, revoking, token, call).await;
        if said == Revocation::Revoked {
            return part(ledger, it, Some(call), Farewell::Revoked).await;
        }
        ledger.not_revoked(call, &said).await?;
        match said {
            Revocation::Not(failure) => return Err(failure.into_error()),
            Revocation::Already(refusal) => gone |= revoking.proves(&refusal),
            Revocation::Revoked => {}
        }
    }
    // no token that is kept was any good any more: what that says of the grant is another matter
    part(ledger, it, None, if gone { Farewell::Revoked } else { Farewell::Unproved }).await
}

/// The same, with who granted it. A dialog may be left before its network has said that, and without it nobody can tell who
/// else rests on the grant. None: it cannot be known.
async fn granted(
    it: &Parting,
    token: Option<&SecretString>,
    desk: &Desk<'_>,
    network: &dyn Network,
    ledger: &dyn Partings,
) -> Result<Option<Parting>, JobError> {
    let known = match it.of {
        Ended::Account(_) => true,
        Ended::Connection(_) => it.subject_id.is_some(),
    };
    if known {
        return Ok(Some(it.clone()));
    }
    let (Some(token), Some(connecting)) = (token, network.connecting()) else { return Ok(None) };
    let (account, allowance, platform) = (it.account.id, network.allowance(), it.account.platform.as_str());
    desk.gate.enter(Visit { network: platform, account, allowance, calls: 0, comes_back: true }).await?;
    let (media, gate) = (desk.media, desk.gate);
    let call = Call { id: None, account: "", token, media, gate, timeout: CALL_TIMEOUT };
    match connecting.person(&call).await {
        Ok(None) => Ok(None),
        Ok(Some(subject)) => {
            ledger.learn(it, &subject).await?;
            Ok(Some(Parting { subject_id: Some(subject), ..it.clone() }))
        }
        Err(failure) => match failure.class {
            // the token is no good, or not ours
            Class::Auth | Class::Permission | Class::Permanent => Ok(None),
            Class::Transient | Class::Rate | Class::Unknown => Err(failure.into_error()),
        },
    }
}

async fn ask(
    it: &Parting,
    desk: &Desk<'_>,
    revoking: &dyn Revoking,
    token: &SecretString,
    call: Uuid,
) -> Revocation {
    fp!(AfterRevokeLogged);
    let (media, gate) = (desk.media, desk.gate);
    let call =
        Call { id: Some(call), account: &it.account.external_id, token, media, gate, timeout: CALL_TIMEOUT };
    let said = revoking.revoke(&call, it.subject_id.as_deref()).await;
    fp!(AfterRevokeAnswer);
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Failure;

    #[test]
    fn a_job_says_whose_access_it_takes_back() {
        let id = Uuid::nil();
        let read = |name: &str| serde_json::from_value::<Disconnect>(json!({ name: id })).expect("it reads");
        assert!(matches!(read("account_id"), Disconnect::Account { account_id } if account_id == id));
        assert!(
            matches!(read("connection_id"), Disconnect::Connection { connection_id } if connection_id == id)
        );
        assert!(serde_json::from_value::<Disconnect>(json!({})).is_err());
    }

    #[test]
    fn nothing_that_a_network_says_ends_the_wish_or_rests_the_account() {
        let failure = || Failure::new(Class::Auth, "190", "no");
        for error in
            [JobError::Unauthorised(failure()), JobError::Refused(failure()), JobError::Unknown(failure())]
        {
            assert!(is_of_the_network(&error));
            assert!(matches!(patient(error), JobError::Unavailable(_)));
        }
        assert!(!is_of_the_network(&JobError::Infrastructure("away".into())));
    }
}
