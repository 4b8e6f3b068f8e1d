//! Taking back what a network keeps of somebody and nobody ever saw: drafts, and what they are made of. That is done before
//! the access is given up, for nobody can do it afterwards; what could not be done is told.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    contract::{Class, Failure, JobError},
    desk::{Account, Call, Desk, Handle, Network},
    forgetting::Forgetting,
    fp,
    gate::Visit,
    lost::{self, Lost},
    machine::{Sight, Withdrawal},
    removal::{Presence, Removal},
};

/// One request to a network.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A look, another one where that shows nothing, with one at the account, and the request.
const CALLS: u32 = 4;

/// Something that a network may keep unseen.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Whose.
    pub account: Account,
    /// What the network calls it.
    pub handle: Handle,
}

impl Draft {
    /// The kind of what a draft was made of, and that stays when the draft goes.
    pub const PART: &'static str = "part_of_draft";
    /// The kind of what may be there and lost its name on the way here: it is looked for by the calls that made it, which
    /// stand in the detail.
    pub const LOST: &'static str = "lost_draft";

    fn is_part(&self) -> bool {
        self.handle.kind == Self::PART
    }

    fn is_lost(&self) -> bool {
        self.handle.kind == Self::LOST
    }

    /// Whether nobody has to take it back.
    fn passes(&self, network: &dyn Network) -> bool {
        if self.is_lost() {
            // where nothing is listed nothing lingers
            !network.lists_unseen()
        } else {
            !self.is_part() && !network.lingers(&self.handle)
        }
    }
}

/// What has become of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It is public, or ends by itself: there is nothing to take back.
    Passing,
    /// It is gone. What it was made of stays unless that is taken back too: each by the network's id.
    Gone(Vec<String>),
    /// What it had lost the name of is known now, and taken back by itself. None: nothing of the kind is there.
    Found(Vec<Handle>),
    /// It stays, however often the network is asked.
    Left(Failure),
    /// It is tried again.
    NotYet(Failure),
}

/// Takes back what is due of a request. One that is not taken back keeps none of the others.
///
/// # Errors
/// The claim is gone, or our own house is away.
pub async fn take_back(desk: &Desk<'_>, forgetting: &dyn Forgetting, request: Uuid) -> Result<(), JobError> {
    for draft in forgetting.drafts(request).await? {
        let (call, fate) = At { desk, forgetting, request, draft: &draft }.take_back().await?;
        fp!(AfterDraftAnswer);
        forgetting.draft_done(request, &draft, call, &fate).await?;
    }
    Ok(())
}

struct At<'a> {
    desk: &'a Desk<'a>,
    forgetting: &'a dyn Forgetting,
    request: Uuid,
    draft: &'a Draft,
}

impl At<'_> {
    /// What became of it, and by which call.
    async fn take_back(&self) -> Result<(Option<Uuid>, Fate), JobError> {
        let (desk, draft) = (self.desk, self.draft);
        let (platform, account) = (draft.account.platform.as_str(), draft.account.id);
        let network = match desk.network(platform) {
            Ok(network) => network,
            Err(off) => return Ok((None, Fate::NotYet(off))),
        };
        if draft.passes(network) {
            return Ok((None, Fate::Passing));
        }
        let allowance = network.allowance();
        let visit = Visit { network: platform, account, allowance, calls: CALLS, comes_back: true };
        if let Err(error) = desk.gate.enter(visit).await {
            return kept_from(error);
        }
        let token = match desk.vault.access_token(account).await {
            Ok(token) => token,
            Err(error) => return kept_from(error),
        };
        let call = |id: Option<Uuid>| Call {
            id,
            account: &draft.account.external_id,
            token: &token,
            media: desk.media,
            gate: desk.gate,
            timeout: CALL_TIMEOUT,
        };
        if draft.is_lost() {
            return Ok((None, sought(network, &call(None), draft).await));
        }
        if let Some(fate) = seen(network, &call(None), draft).await {
            return Ok((None, fate));
        }
        let id = self.forgetting.log_draft(self.request, draft, CALL_TIMEOUT).await?;
        fp!(AfterDraftLogged);
        let fate = if draft.is_part() {
            remove(network, &call(Some(id)), &call(None), &draft.handle.id).await
        } else {
            withdraw(network, &call(Some(id)), &draft.handle).await
        };
        Ok((Some(id), fate))
    }
}

/// What keeps one from being asked for keeps none of the others, unless it is our own house.
fn kept_from(error: JobError) -> Result<(Option<Uuid>, Fate), JobError> {
    match error {
        JobError::Fenced | JobError::Infrastructure(_) => Err(error),
        JobError::Unauthorised(failure) | JobError::Refused(failure) | JobError::Malformed(failure) => {
            Ok((None, Fate::Left(failure)))
        }
        JobError::Unavailable(failure) | JobError::Unknown(failure) | JobError::Throttled(failure, _) => {
            Ok((None, Fate::NotYet(failure)))
        }
    }
}

/// Whether it is tried again after that.
fn judged(failure: Failure) -> Fate {
    match failure.class {
        Class::Auth | Class::Permission | Class::Permanent => Fate::Left(failure),
        Class::Rate | Class::Transient | Class::Unknown => Fate::NotYet(failure),
    }
}

/// Looks for what lost its name.
async fn sought(network: &dyn Network, call: &Call<'_>, draft: &Draft) -> Fate {
    let calls: Vec<Lost> = match serde_json::from_value(draft.handle.detail.clone()) {
        Ok(calls) => calls,
        Err(error) => return Fate::Left(Failure::new(Class::Permanent, "unreadable", error.to_string())),
    };
    let Some(since) = lost::earliest(&calls) else { return Fate::Found(Vec::new()) };
    match network.unseen(call, since).await {
        Ok(unseen) => {
            let ours = unseen.into_iter().filter(|it| lost::is_lost(it, &calls));
            Fate::Found(ours.map(|it| it.handle).collect())
        }
        Err(failure) => judged(failure),
    }
}

/// What a look decides already: what somebody has made public by hand is not ours to remove, and of what is not there while
/// its account is, nothing is left. What a draft was made of is public nowhere, or the draft would not have gone.
async fn seen(network: &dyn Network, call: &Call<'_>, draft: &Draft) -> Option<Fate> {
    if draft.is_part() {
        return None;
    }
    match network.inspect(call, &draft.handle, false).await {
        Ok(Sight::Ready | Sight::Building) => None,
        Ok(Sight::Public(_)) => Some(Fate::Passing),
        Ok(Sight::Dead(_)) => Some(Fate::Gone(network.made_of(&draft.handle))),
        Ok(Sight::Processing) => {
            let why = "the network works on it";
            Some(Fate::NotYet(Failure::new(Class::Transient, "processing", why)))
        }
        Err(failure) => match network.presence(call, &draft.handle.id).await {
            Ok(Presence::Absent) => Some(Fate::Gone(network.made_of(&draft.handle))),
            Ok(Presence::There) | Err(_) => Some(judged(failure)),
        },
    }
}

async fn withdraw(network: &dyn Network, call: &Call<'_>, handle: &Handle) -> Fate {
    match network.withdraw(call, handle).await {
        Ok(Withdrawal::Withdrawn) => Fate::Gone(network.made_of(handle)),
        Ok(Withdrawal::TooLate(_)) => Fate::Passing,
        Ok(Withdrawal::Cannot(failure)) => Fate::Left(failure),
        Err(failure) => judged(failure),
    }
}

async fn remove(network: &dyn Network, call: &Call<'_>, read: &Call<'_>, id: &str) -> Fate {
    match network.take_down(call, id).await {
        Removal::Gone => Fate::Gone(Vec::new()),
        Removal::Missing(failure) => match network.presence(read, id).await {
            Ok(Presence::Absent) => Fate::Gone(Vec::new()),
            Ok(Presence::There) | Err(_) => Fate::NotYet(failure),
        },
        Removal::Refused(failure) => Fate::Left(failure),
        Removal::NotNow(failure) | Removal::Unknown(failure) => Fate::NotYet(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(class: Class) -> Failure {
        Failure::new(class, "1", "no")
    }

    #[test]
    fn what_is_refused_is_left_and_who_is_away_is_asked_again() {
        for (class, left) in [
            (Class::Auth, true),
            (Class::Permission, true),
            (Class::Permanent, true),
            (Class::Rate, false),
            (Class::Transient, false),
            (Class::Unknown, false),
        ] {
            let expected = if left { Fate::Left(failure(class)) } else { Fate::NotYet(failure(class)) };
            assert_eq!(judged(failure(class)), expected);
        }
    }

    #[test]
    fn only_our_own_house_keeps_all_the_others() {
        for error in [JobError::Fenced, JobError::Infrastructure("away".into())] {
            assert!(kept_from(error).is_err());
        }
        for error in [
            JobError::Unavailable(failure(Class::Transient)),
            JobError::Unauthorised(failure(Class::Auth)),
            JobError::Throttled(failure(Class::Rate), Duration::ZERO),
        ] {
            assert!(kept_from(error).is_ok_and(|(call, fate)| call.is_none() && fate != Fate::Passing));
        }
    }
}
