//! Publishing one post on one account: prepare, arm, commit, confirm.
//!
//! Delivered at least once, in effect once. Every step first reads where the publication stands, asks
//! [`machine::next`] what that means, and does only that. Nothing is remembered between steps but what the
//! ledger holds, so a run may end at any point and the next one goes on from there.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    contract::{Class, Closing, Done, Failure, Job, JobError},
    desk::{Armed, Call, Content, Desk, Effects, Handle, KeepHandle, Network, NotArmed, Publication},
    fp,
    gate::{Errand, Visit},
    machine::{self, Answer, HandleState, Move, Public, Sight, Step, Withdrawal},
    renewals::{Asked, Mend},
    ruling::look_in,
};

/// More steps than one run can need; a run that takes them all is handed back.
const MOST_STEPS: usize = 16;
/// The wait for another publication of the same account to be committed.
const ACCOUNT_BUSY_WAIT: Duration = Duration::from_secs(1);
/// One read of a network.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The payload: which publication.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Publish {
    /// The publication to bring out.
    pub publication_id: Uuid,
}

impl Job for Publish {
    const KIND: &'static str = "publish";
    const LIMIT: Duration = Duration::from_mins(5);

    async fn run(&self, desk: &Desk<'_>) -> Result<Done, JobError> {
        for _ in 0..MOST_STEPS {
            let it = desk.effects()?.look().await?;
            let step = machine::next(&it.standing, it.now);
            match take(step, &it, desk).await {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => {}
                Err(JobError::Unauthorised(failure)) => return mended(failure, &it, desk).await,
                Err(error) => return Err(error),
            }
        }
        Err(JobError::Infrastructure(format!("publication {} did not settle", self.publication_id)))
    }
}

/// Takes one step; `None` is: look again.
async fn take(step: Step, it: &Publication, desk: &Desk<'_>) -> Result<Option<Done>, JobError> {
    match step {
        Step::Close(_) | Step::Renew if it.refused_at.is_some() => {
            match At::open(it, desk, Errand::Look).await {
                Ok(at) => at.leave_refused(step).await,
                Err(error) => not_now(desk, error),
            }
        }
        Step::End => Ok(Some(Done::nothing())),
        Step::Close(closing) => Ok(Some(Done::Closed(closing))),
        Step::WaitUntil(until) => Ok(Some(Done::Waiting { until, reason: "waiting for its time".into() })),
        Step::Rest(until) => Ok(Some(Done::Waiting { until, reason: "the network asked for a rest".into() })),
        Step::Lose => {
            let why = "the worker that was sending it is gone";
            Err(JobError::Unknown(Failure::new(Class::Unknown, "claim_gone", why)))
        }
        Step::Restart => desk.effects()?.step(Move::Unprepare, None).await.map(|()| None),
        Step::Reuse => desk.effects()?.step(Move::Reuse, Some(HandleState::Ready)).await.map(|()| None),
        Step::Renew => desk.effects()?.step(Move::Renew, None).await.map(|()| None),
        Step::Prepare => At::open(it, desk, Errand::Prepare).await?.prepare().await,
        Step::Commit => At::open(it, desk, Errand::Commit).await?.commit().await,
        Step::Withdraw => match At::open(it, desk, Errand::Commit).await {
            Ok(at) => at.withdraw().await,
            Err(error) => not_now(desk, error),
        },
        Step::Observe => match At::open(it, desk, Errand::Look).await {
            Ok(at) => at.observe().await,
            Err(error) => unseen(it, desk, error).map(Some),
        },
    }
}

/// Access that a refresh mends is waited for; else the account rests until its owner has mended it.
async fn mended(failure: Failure, it: &Publication, desk: &Desk<'_>) -> Result<Done, JobError> {
    let renewing = desk.networks.of(&it.account.platform).and_then(Network::renewing);
    let (Some(renewing), Some(renewals)) = (renewing, desk.renewals) else {
        return Err(JobError::Unauthorised(failure));
    };
    match renewing.mend(&failure) {
        Mend::Owner => {}
        Mend::Disconnect => renewals.refused(it.account.id, it.generation, &failure, true).await?,
        Mend::Refresh => match renewals.ask(it.account.id, it.generation).await? {
            Asked::Changed => {
                let reason = "its access was renewed meanwhile".into();
                return Ok(Done::Waiting { until: desk.clock.now(), reason });
            }
            Asked::UnderWay => return Ok(until_renewed(it, desk)),
            Asked::Vain => {}
        },
    }
    Err(JobError::Unauthorised(failure))
}

/// A renewal takes a moment, or as long as the network is away: it is waited for as long again as it was already.
fn until_renewed(it: &Publication, desk: &Desk<'_>) -> Done {
    let (now, standing) = (it.now, &it.standing);
    let since = if now >= standing.scheduled_for { standing.scheduled_for } else { standing.prepare_from };
    look_after(desk, (now - since).to_std().unwrap_or_default(), "its access is being renewed")
}

/// A publication at its network, with its token open.
struct At<'a> {
    it: &'a Publication,
    desk: &'a Desk<'a>,
    effects: &'a dyn Effects,
    network: &'a dyn Network,
    token: SecretString,
}

impl<'a> At<'a> {
    /// Asks the gate first: what may not go there now opens no token.
    async fn open(it: &'a Publication, desk: &'a Desk<'a>, errand: Errand) -> Result<Self, JobError> {
        let platform = &it.account.platform;
        let network = desk.network(platform).map_err(JobError::Unavailable)?;
        let calls = network.counts(errand, &it.content);
        let (account, allowance) = (it.account.id, network.allowance());
        desk.gate.enter(Visit { network: platform, account, allowance, calls, comes_back: true }).await?;
        let token = desk.vault.access_token(it.account.id).await?;
        Ok(Self { it, desk, effects: desk.effects()?, network, token })
    }

    fn call(&self, id: Option<Uuid>, timeout: Duration) -> Call<'_> {
        Call {
            id,
            account: &self.it.account.external_id,
            token: &self.token,
            media: self.desk.media,
            gate: self.desk.gate,
            timeout,
        }
    }

    fn handle(&self) -> Result<&Handle, JobError> {
        let missing =
            || Failure::new(Class::Permanent, "handle_missing", "it stands as prepared and has no handle");
        self.it.handle.as_ref().ok_or_else(|| JobError::Malformed(missing()))
    }

    /// The content, with what is made of a file that the network does not take in place of it.
    async fn rendered(&self) -> Result<Content, Failure> {
        let mut content = self.it.content.clone();
        let platform = &self.it.account.platform;
        let Some(surface) = self.desk.networks.surface(platform, &content.surface) else {
            return Ok(content);
        };
        for file in &mut content.media {
            if let Some(to) = surface.rendition(&file.content_type, file.bytes, file.width) {
                *file = self.desk.media.rendition(file, &to).await?;
            }
        }
        Ok(content)
    }

    /// What a commit sends. What is ready at the network does not wait for the store, and what is made of a file is
    /// made before the handle is verified, so that nothing comes between that and the intent.
    async fn to_send(&self, handle: &Handle) -> Result<Content, Failure> {
        if self.network.sends_files(handle) { self.rendered().await } else { Ok(self.it.content.clone()) }
    }

    async fn prepare(&self) -> Result<Option<Done>, JobError> {
        let effects = self.effects;
        let limit = self.desk.limits.attempt;
        let id = effects.prepare(limit).await?;
        fp!(AfterPrepareLogged);
        let call = self.call(Some(id), limit);
        let earlier = self.it.handle.as_ref().filter(|_| self.it.standing.handle != HandleState::Dead);
        let made = match self.rendered().await {
            Ok(content) => self.network.prepare(&call, &content, &Keep { effects, earlier }).await,
            Err(failure) => Err(failure),
        };
        fp!(AfterPrepareAnswer);
        match made {
            Ok((handle, readiness)) => effects.prepared(id, &handle, readiness).await?,
            Err(failure) => {
                effects.unprepared(id, &failure).await?;
                return Err(repeatable(failure).into_error());
            }
        }
        fp!(AfterPrepared);
        Ok(None)
    }

    /// Verifies the handle, makes the intent durable, sends.
    async fn commit(&self) -> Result<Option<Done>, JobError> {
        let handle = self.handle()?;
        if handle.is_parts() {
            return self.effects.step(Move::Renew, None).await.map(|()| None);
        }
        let content = self.to_send(handle).await.map_err(|failure| repeatable(failure).into_error())?;
        match self.inspect(handle).await? {
            Sight::Ready => {}
            Sight::Public(public) => return self.published(None, public).await.map(Some),
            Sight::Building | Sight::Processing => {
                return Ok(Some(look_later(self.it, self.desk, "the network still works on it")));
            }
            Sight::Dead(failure) => {
                self.effects.step(Move::Renew, Some(HandleState::Dead)).await?;
                return Err(repeatable(failure).into_error());
            }
        }
        match self.effects.arm().await? {
            Ok(armed) => self.send(handle, &content, armed).await.map(Some),
            Err(why) => self.not_armed(why),
        }
    }

    fn not_armed(&self, why: NotArmed) -> Result<Option<Done>, JobError> {
        match why {
            NotArmed::Changed => Ok(None),
            NotArmed::AccountBusy => {
                let until = self.it.now + ACCOUNT_BUSY_WAIT;
                Ok(Some(Done::Waiting { until, reason: "another post of this account is being sent".into() }))
            }
            NotArmed::AccountInactive => Err(JobError::Unauthorised(Failure::new(
                Class::Auth,
                "account_inactive",
                "the account is paused or has to be connected again",
            ))),
            NotArmed::TokenShort => Err(JobError::Unauthorised(Failure::new(
                Class::Auth,
                "token_ends",
                "the access token ends too soon to send anything with it",
            ))),
            NotArmed::LeaseShort => Err(JobError::Infrastructure("this worker's lease ends too soon".into())),
            NotArmed::CommitOpen => {
                let why = "an earlier attempt to send it is not accounted for";
                Err(JobError::Infrastructure(why.into()))
            }
        }
    }

    async fn send(&self, handle: &Handle, content: &Content, armed: Armed) -> Result<Done, JobError> {
        fp!(AfterArm);
        let limits = &self.desk.limits;
        let slow = self.desk.clock.monotonic().saturating_sub(armed.at) > limits.send_within;
        if slow || !(self.desk.leased)() {
            let why =
                if slow { "too long between the intent and the request" } else { "the lease ends too soon" };
            let late = Failure::new(Class::Transient, "send_too_late", why);
            self.effects.unsent(armed.call, &late).await?;
            return Err(JobError::Infrastructure(late.message));
        }
        fp!(BeforeCommitSend);
        let call = self.call(Some(armed.call), limits.commit_timeout);
        let answer = self.network.commit(&call, handle, content).await;
        fp!(AfterCommitAnswer);
        self.answered(armed.call, answer).await
    }

    async fn answered(&self, call: Uuid, answer: Answer) -> Result<Done, JobError> {
        let effects = self.effects;
        match answer {
            Answer::Published(public) => self.published(Some(call), public).await,
            Answer::Accepted => {
                effects.accepted(call).await?;
                Ok(look_after(self.desk, Duration::ZERO, "the network carries it out"))
            }
            Answer::Refused { failure, handle_dead } => {
                effects.refused(call, &failure, handle_dead).await?;
                Err(failure.into_error())
            }
            Answer::Unsent(failure) => {
                effects.unsent(call, &failure).await?;
                Err(JobError::Unavailable(failure))
            }
            Answer::Unknown(failure) => Err(JobError::Unknown(failure)),
        }
    }

    /// Looks how far the network is with what it was given.
    async fn observe(&self) -> Result<Option<Done>, JobError> {
        let committed = self.it.standing.handle == HandleState::Spent;
        let handle = self.handle()?;
        match self.inspect(handle).await {
            Ok(Sight::Public(public)) => self.published(self.it.open_commit, public).await.map(Some),
            Ok(Sight::Ready) if !committed && handle.is_parts() => {
                self.effects.step(Move::Assemble, None).await.map(|()| None)
            }
            Ok(Sight::Ready) if !committed => {
                self.effects.step(Move::Ready, Some(HandleState::Ready)).await.map(|()| None)
            }
            Ok(Sight::Dead(failure)) => {
                self.effects.rejected(&failure).await?;
                Err(repeatable(failure).into_error())
            }
            Ok(Sight::Building | Sight::Processing | Sight::Ready) => {
                Ok(Some(patience(self.it, self.desk, "the network still works on it")))
            }
            Err(JobError::Unauthorised(failure)) if !committed => Err(JobError::Unauthorised(failure)),
            // observed on with the next token, where there will be one
            Err(JobError::Unauthorised(failure)) => match mended(failure, self.it, self.desk).await {
                Ok(_) | Err(JobError::Unauthorised(_)) => {
                    Ok(Some(patience(self.it, self.desk, "its access is refused")))
                }
                Err(error) => Err(error),
            },
            Err(error) => Ok(Some(patience(self.it, self.desk, &error.to_string()))),
        }
    }

    /// It goes no further; but what was sent may be carried out late. The handle is to be dead before anything is
    /// promised: taken back, dead as a read shows, or, where nothing can be taken back, seen without an effect so long
    /// after it was sent that no network carries it out any more. What is still on its way by then, or cannot even be
    /// seen, is for a person to decide.
    async fn withdraw(&self) -> Result<Option<Done>, JobError> {
        let (handle, late) = (self.handle()?, self.sent_before(1));
        let taken_back = self.network.takes_back(handle);
        match self.inspect(handle).await {
            Ok(Sight::Public(public)) => self.published(None, public).await.map(Some),
            Ok(Sight::Dead(_)) => self.effects.withdrawn(None).await.map(|()| None),
            Ok(Sight::Ready) if late && !taken_back => self.effects.withdrawn(None).await.map(|()| None),
            Ok(Sight::Building | Sight::Processing) if late => {
                Ok(Some(not_provable("the network still works on what was sent before it was given up")))
            }
            Ok(Sight::Building | Sight::Ready | Sight::Processing) if taken_back => self.take_back().await,
            Ok(Sight::Building | Sight::Ready | Sight::Processing) => {
                let why = "what was sent may still take effect, and the network takes nothing back";
                Ok(Some(look_later(self.it, self.desk, why)))
            }
            Err(error) if late => Ok(Some(not_provable(&error.to_string()))),
            Err(JobError::Unauthorised(failure)) => Err(JobError::Unauthorised(failure)),
            Err(error) => Ok(Some(look_later(self.it, self.desk, &error.to_string()))),
        }
    }

    /// Whether it was sent so many times the late limit ago, or longer.
    fn sent_before(&self, times: u32) -> bool {
        let limit = self.desk.limits.late_limit * times;
        self.it.sent_at.is_none_or(|at| at + limit <= self.it.now)
    }

    /// Gives up a handle that was sent and refused. Before that its own state is read once: a no that came after the
    /// effect is found out. What is wanted otherwise now waits for that read; what goes no further waits for it only
    /// as long as a network may take to carry out what it was sent.
    async fn leave_refused(&self, step: Step) -> Result<Option<Done>, JobError> {
        let limit = self.desk.limits.late_limit;
        let late = self.it.refused_at.is_none_or(|at| at + limit <= self.it.now);
        let seen = self.inspect(self.handle()?).await;
        match (step, seen) {
            (_, Ok(Sight::Public(public))) => self.published(None, public).await.map(Some),
            (Step::Close(closing), Ok(Sight::Dead(_) | Sight::Ready | Sight::Building)) => {
                Ok(Some(Done::Closed(closing)))
            }
            (Step::Close(closing), Ok(Sight::Processing) | Err(_)) if late => Ok(Some(Done::Closed(closing))),
            (_, Ok(Sight::Dead(_))) => {
                self.effects.step(Move::Renew, Some(HandleState::Dead)).await.map(|()| None)
            }
            (_, Ok(Sight::Ready | Sight::Building)) => {
                self.effects.step(Move::Renew, None).await.map(|()| None)
            }
            (_, Ok(Sight::Processing)) => {
                Ok(Some(look_later(self.it, self.desk, "the network carries out what it had refused")))
            }
            (
                _,
                Err(error @ (JobError::Unauthorised(_) | JobError::Infrastructure(_) | JobError::Fenced)),
            ) => Err(error),
            (_, Err(error)) => Ok(Some(look_later(self.it, self.desk, &error.to_string()))),
        }
    }

    /// Asks the network to take the handle back. Where it never does, a person decides in the end.
    async fn take_back(&self) -> Result<Option<Done>, JobError> {
        let (handle, effects, desk) = (self.handle()?, self.effects, self.desk);
        let asked = desk.clock.monotonic();
        let id = effects.withdraw(READ_TIMEOUT).await?;
        if desk.clock.monotonic().saturating_sub(asked) > desk.limits.send_within {
            let late = Failure::new(Class::Transient, "send_too_late", "too long before the request");
            effects.not_withdrawn(id, &late, true).await?;
            return Err(JobError::Infrastructure(late.message));
        }
        let call = self.call(Some(id), READ_TIMEOUT);
        let (failure, certainly) = match self.network.withdraw(&call, handle).await {
            Ok(Withdrawal::Withdrawn) => {
                fp!(AfterWithdrawn);
                return effects.withdrawn(Some(id)).await.map(|()| None);
            }
            Ok(Withdrawal::TooLate(public)) => {
                let too_late = Failure::new(Class::Permanent, "public", "it is public already");
                effects.not_withdrawn(id, &too_late, true).await?;
                return self.published(None, public).await.map(Some);
            }
            Ok(Withdrawal::Cannot(failure)) => (failure, true),
            Err(failure) => (failure, false),
        };
        effects.not_withdrawn(id, &failure, certainly).await?;
        if self.sent_before(2) {
            return Ok(Some(not_provable(&failure.message)));
        }
        Ok(Some(look_later(self.it, desk, &failure.message)))
    }

    async fn inspect(&self, handle: &Handle) -> Result<Sight, JobError> {
        let call = self.call(None, READ_TIMEOUT);
        let armed = self.it.handle_armed || self.it.refused_at.is_some();
        let seen = self.network.inspect(&call, handle, armed).await;
        seen.map_err(|failure| repeatable(failure).into_error())
    }

    /// Records the network's word at once; asks where the post is to be found, which may fail without harm; then
    /// calls it published, so that nobody sees it published without its address.
    async fn published(&self, call: Option<Uuid>, public: Public) -> Result<Done, JobError> {
        if let Some(call) = call {
            self.effects.heard(call, &public).await?;
        }
        let handle = self.handle()?;
        let read = self.call(None, READ_TIMEOUT);
        // one that looks like it may have been sent since this look: who has time names what has no name yet
        let content = Content { twin: true, ..self.it.content.clone() };
        let described = match self.network.describe(&read, handle, &content, public.clone()).await {
            Ok(described) => described,
            Err(_) => public,
        };
        self.effects.seen(call, &described).await?;
        fp!(AfterSeen);
        Ok(Done::Finished {
            output: json!({ "public_id": described.id, "public_url": described.url }),
            then: vec![],
        })
    }
}

/// Nothing is lost by going there later; such a wait spends no attempt.
fn not_now(desk: &Desk<'_>, error: JobError) -> Result<Option<Done>, JobError> {
    match error {
        JobError::Throttled(failure, wait) => {
            Ok(Some(Done::Waiting { until: desk.clock.now() + wait, reason: failure.message }))
        }
        error => Err(error),
    }
}

/// What was committed is only observed: where nobody can go and look, the job waits on as for the network, and a
/// person decides in the end. That the gate is closed, the token does not open or the network is switched off says
/// nothing of what was sent.
fn unseen(it: &Publication, desk: &Desk<'_>, error: JobError) -> Result<Done, JobError> {
    if it.standing.handle != HandleState::Spent {
        return Err(error);
    }
    match error {
        JobError::Infrastructure(_) | JobError::Fenced => Err(error),
        JobError::Throttled(failure, wait) => {
            let patience = patience(it, desk, &failure.message);
            let free = desk.clock.now() + wait;
            Ok(match patience {
                Done::Waiting { until, reason } => Done::Waiting { until: until.max(free), reason },
                Done::Finished { .. } | Done::Closed(_) => patience,
            })
        }
        JobError::Unavailable(_)
        | JobError::Unauthorised(_)
        | JobError::Unknown(_)
        | JobError::Refused(_)
        | JobError::Malformed(_) => Ok(patience(it, desk, &error.to_string())),
    }
}

/// Waits on, until no evidence has come for so long that a person must decide.
fn patience(it: &Publication, desk: &Desk<'_>, why: &str) -> Done {
    let committed = it.standing.handle == HandleState::Spent;
    if committed && age(it) > desk.limits.evidence_limit {
        return not_provable(why);
    }
    look_later(it, desk, why)
}

/// A person decides.
fn not_provable(why: &str) -> Done {
    Done::Closed(Closing::NotProvable(why.into()))
}

fn look_later(it: &Publication, desk: &Desk<'_>, why: &str) -> Done {
    look_after(desk, age(it), why)
}

fn look_after(desk: &Desk<'_>, age: Duration, why: &str) -> Done {
    let limits = &desk.limits;
    let age = chrono::TimeDelta::from_std(age).unwrap_or_default();
    let wait = look_in(age, limits.look_least, limits.look_most);
    Done::Waiting { until: desk.clock.now() + wait, reason: why.into() }
}

/// How long ago the network was last told to do something about it.
fn age(it: &Publication) -> Duration {
    (it.now - it.last_call_at.unwrap_or(it.now)).to_std().unwrap_or_default()
}

/// Before a commit nothing is visible, so a doubtful answer may simply be asked again.
fn repeatable(mut failure: Failure) -> Failure {
    if failure.class == Class::Unknown {
        failure.class = Class::Transient;
    }
    failure
}

struct Keep<'a> {
    effects: &'a dyn Effects,
    earlier: Option<&'a Handle>,
}

#[async_trait]
impl KeepHandle for Keep<'_> {
    async fn keep(&self, handle: &Handle) -> Result<(), Failure> {
        self.effects
            .keep(handle)
            .await
            .map_err(|error| Failure::new(Class::Transient, "claim_lost", error.to_string()))
    }

    fn earlier(&self) -> Option<&Handle> {
        self.earlier
    }
}
