//! A desk that answers from a script, for the code that publishes.

use std::{
    future::pending,
    pin::pin,
    sync::{Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    holder::{End, Reply, Request, Said, Seen, Slides, Taken, failure},
    slides::{ALBUM, slides_of},
    world::{Phase, at},
};
use crate::{
    contract::{Class, Closing, Done, Failure, Job, JobError},
    desk::{
        Account, Armed, Call, Clock, Content, Desk, Effects, Handle, KeepHandle, Limits, Media, Network,
        Networks, NotArmed, Publication, Readiness, Vault,
    },
    gate::{Allowance, Errand},
    machine::{Answer, HandleState, Move, Public, Sight, Standing, Withdrawal},
    publish::Publish,
    surface::Surface,
};

/// Runs it with these answers, and gives what it asks next.
pub fn replay(script: &[Reply]) -> Request {
    let desk = Replay { script, progress: Mutex::new((0, None)) };
    let limits = Limits {
        attempt: Duration::from_mins(5),
        commit_timeout: Duration::from_secs(15),
        send_within: Duration::from_secs(2),
        look_least: Duration::from_secs(1),
        look_most: Duration::from_mins(1),
        evidence_limit: Duration::from_hours(24),
        late_limit: Duration::from_hours(24),
    };
    let whole = Desk { effects: Some(&desk), limits, ..Desk::bare(&desk) };
    let job = Publish { publication_id: Uuid::nil() };
    let run = pin!(job.run(&whole));
    match run.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Request::End(ended(done)),
        Poll::Pending => desk.lock().1.expect("it waits for nothing but an answer"),
    }
}

fn ended(done: Result<Done, JobError>) -> End {
    match done {
        Ok(Done::Finished { .. }) => End::Finished,
        Ok(Done::Waiting { .. }) => End::Waiting,
        Ok(Done::Closed(Closing::Cancelled)) => End::Closed(Move::Cancel),
        Ok(Done::Closed(Closing::TooLate)) => End::Closed(Move::Expire),
        Ok(Done::Closed(Closing::NotProvable(_))) => End::Closed(Move::Hold),
        Ok(Done::Closed(Closing::GivenUp(_))) => End::Closed(Move::Fail),
        Err(error) => End::Failed(error.verdict()),
    }
}

/// A desk that answers from a script, and stops where the script ends.
pub struct Replay<'a> {
    script: &'a [Reply],
    progress: Mutex<(usize, Option<Request>)>,
}

impl Replay<'_> {
    fn lock(&self) -> MutexGuard<'_, (usize, Option<Request>)> {
        self.progress.lock().expect("nobody panics while holding it")
    }

    fn next(&self, request: Request) -> Option<Reply> {
        let mut progress = self.lock();
        let reply = self.script.get(progress.0).copied();
        progress.0 += 1;
        progress.1 = Some(request);
        reply
    }

    /// Asks, and waits where the script does not say more.
    pub async fn asks(&self, request: Request) -> Reply {
        match self.next(request) {
            Some(reply) => reply,
            None => pending().await,
        }
    }

    async fn writes(&self, request: Request) -> Result<(), JobError> {
        match self.asks(request).await {
            Reply::Done => Ok(()),
            other => Err(refusal(other)),
        }
    }
}

/// The errors that the ledger's statements answer.
fn refusal(reply: Reply) -> JobError {
    match reply {
        Reply::Fenced => JobError::Fenced,
        Reply::Away => JobError::Infrastructure(String::new()),
        other => unreachable!("{other:?} is no answer of the ledger"),
    }
}

fn id(call: u8) -> Uuid {
    Uuid::from_u128(u128::from(call))
}

fn index(id: Uuid) -> u8 {
    u8::try_from(id.as_u128()).expect("it was made of one")
}

/// A handle of this name.
pub fn handle(named: u8) -> Handle {
    Handle { kind: String::new(), id: named.to_string(), detail: Value::Null }
}

/// A handle with its slides; `parts`: they are not put together.
pub fn handle_of(named: u8, parts: bool, slides: Slides) -> Handle {
    let kind = if parts { Handle::PARTS.to_owned() } else { String::new() };
    Handle { kind, detail: json!(slides), ..handle(named) }
}

fn named(handle: &Handle) -> u8 {
    handle.id.parse().expect("it was made of a number")
}

impl Seen {
    fn publication(self) -> Publication {
        let now = at(self.phase.second());
        let age = if self.old { TimeDelta::hours(25) } else { TimeDelta::zero() };
        let standing = Standing {
            state: self.state,
            version: i64::from(self.version),
            handle: self.handle,
            handle_version: self.made_of.map(i64::from),
            prepare_from: at(0),
            scheduled_for: at(Phase::SCHEDULED_FOR),
            latest_at: at(Phase::LATEST_AT),
            cancel_wished: self.wished,
            resting_until: None,
            given_up: self.given_up.then(|| failure(Class::Permanent)),
            sent: self.sent,
        };
        let sent_ago = if self.late { TimeDelta::hours(25) } else { TimeDelta::zero() };
        let account = Account { id: Uuid::nil(), platform: String::new(), external_id: String::new() };
        let content = Content {
            surface: if self.album { ALBUM.into() } else { String::new() },
            caption: String::new(),
            link: None,
            media: Vec::new(),
            options: Value::Null,
            not_before: now,
            taken: Vec::new(),
            twin: false,
        };
        Publication {
            id: Uuid::nil(),
            account,
            generation: 1,
            standing,
            handle: self.named.map(|named| handle_of(named, self.parts, self.slides)),
            handle_armed: self.armed,
            refused_at: self.refused.then_some(now),
            last_call_at: Some(now - age),
            sent_at: self.sent.then(|| now - sent_ago),
            open_commit: self.open.map(id),
            content,
            now,
        }
    }
}

#[async_trait]
impl Effects for Replay<'_> {
    async fn look(&self) -> Result<Publication, JobError> {
        match self.asks(Request::Look).await {
            Reply::Stands(seen) => Ok(seen.publication()),
            other => Err(refusal(other)),
        }
    }

    async fn step(&self, step: Move, handle: Option<HandleState>) -> Result<(), JobError> {
        self.writes(Request::Step(step, handle)).await
    }

    async fn prepare(&self, _limit: Duration) -> Result<Uuid, JobError> {
        self.writes(Request::LogPrepare).await.map(|()| Uuid::nil())
    }

    async fn keep(&self, handle: &Handle) -> Result<(), JobError> {
        let request = if handle.is_parts() { Request::KeepSlides(slides_of(handle)) } else { Request::Keep };
        self.writes(request).await
    }

    async fn prepared(&self, _call: Uuid, handle: &Handle, ready: Readiness) -> Result<(), JobError> {
        if handle.is_parts() {
            return self.writes(Request::PreparedSlides(slides_of(handle))).await;
        }
        self.writes(Request::Prepared(named(handle), ready == Readiness::Building)).await
    }

    async fn unprepared(&self, _call: Uuid, _failure: &Failure) -> Result<(), JobError> {
        self.writes(Request::Unprepared).await
    }

    async fn arm(&self) -> Result<Result<Armed, NotArmed>, JobError> {
        match self.asks(Request::Arm).await {
            Reply::Armed(call, true) => Ok(Ok(Armed { call: id(call), at: Duration::ZERO })),
            Reply::Armed(call, false) => Ok(Ok(Armed { call: id(call), at: self.monotonic() })),
            Reply::NotArmed(why) => Ok(Err(why)),
            other => Err(refusal(other)),
        }
    }

    async fn unsent(&self, call: Uuid, _failure: &Failure) -> Result<(), JobError> {
        self.writes(Request::Unsent(index(call))).await
    }

    async fn heard(&self, call: Uuid, _public: &Public) -> Result<(), JobError> {
        self.writes(Request::Heard(index(call))).await
    }

    async fn seen(&self, call: Option<Uuid>, _public: &Public) -> Result<(), JobError> {
        self.writes(Request::Seen(call.map(index))).await
    }

    async fn accepted(&self, call: Uuid) -> Result<(), JobError> {
        self.writes(Request::Accepted(index(call))).await
    }

    async fn refused(&self, call: Uuid, _failure: &Failure, handle_dead: bool) -> Result<(), JobError> {
        self.writes(Request::Refused(index(call), handle_dead)).await
    }

    async fn rejected(&self, _failure: &Failure) -> Result<(), JobError> {
        self.writes(Request::Rejected).await
    }

    async fn withdraw(&self, _limit: Duration) -> Result<Uuid, JobError> {
        self.writes(Request::LogWithdraw).await.map(|()| Uuid::nil())
    }

    async fn withdrawn(&self, _call: Option<Uuid>) -> Result<(), JobError> {
        self.writes(Request::Withdrawn).await
    }

    /// What became of such a call decides nothing.
    async fn not_withdrawn(&self, _call: Uuid, _failure: &Failure, _certainly: bool) -> Result<(), JobError> {
        Ok(())
    }
}

#[async_trait]
impl Network for Replay<'_> {
    fn allowance(&self) -> Allowance {
        Allowance { app: "", app_rate: None, workspace_rate: None, account_rate: None }
    }

    fn counts(&self, _errand: Errand, _content: &Content) -> u32 {
        1
    }

    async fn prepare(
        &self,
        _call: &Call<'_>,
        content: &Content,
        keep: &dyn KeepHandle,
    ) -> Result<(Handle, Readiness), Failure> {
        if content.surface == ALBUM {
            return self.album(keep).await;
        }
        match self.asks(Request::Make).await {
            Reply::Made(made, true) => {
                keep.keep(&handle(made)).await?;
                Ok((handle(made), Readiness::Building))
            }
            Reply::Made(made, false) => Ok((handle(made), Readiness::Ready)),
            Reply::NotMade => Err(failure(Class::Transient)),
            other => unreachable!("{other:?} is no answer to a prepare call"),
        }
    }

    async fn inspect(&self, _call: &Call<'_>, handle: &Handle, armed: bool) -> Result<Sight, Failure> {
        if handle.is_parts() {
            return self.together(slides_of(handle)).await;
        }
        match self.glance(named(handle)).await? {
            Sight::Ready if !armed => self.together(slides_of(handle)).await,
            sight => Ok(sight),
        }
    }

    async fn commit(&self, call: &Call<'_>, handle: &Handle, _content: &Content) -> Answer {
        let call = call.id.map(index).expect("a commit names its row of the log");
        match self.asks(Request::Commit(call, named(handle))).await {
            Reply::Said(Said::Named) => self.named(call).await,
            Reply::Said(Said::NoIfUnfetched(forever)) => self.refused_unfetched(handle, forever).await,
            Reply::Said(said) => said.answer(),
            other => unreachable!("{other:?} is no answer to a commit"),
        }
    }

    fn takes_back(&self, _handle: &Handle) -> bool {
        true
    }

    async fn withdraw(&self, _call: &Call<'_>, handle: &Handle) -> Result<Withdrawal, Failure> {
        match self.asks(Request::Withdraw(named(handle))).await {
            Reply::Taken(Taken::Back) => Ok(Withdrawal::Withdrawn),
            Reply::Taken(Taken::TooLate) => Ok(Withdrawal::TooLate(Public::default())),
            Reply::Taken(Taken::Not) => Ok(Withdrawal::Cannot(failure(Class::Permanent))),
            Reply::Taken(Taken::Unclear) => Err(failure(Class::Transient)),
            other => unreachable!("{other:?} is no answer to that"),
        }
    }

    /// Where it is to be found decides nothing.
    async fn describe(
        &self,
        _call: &Call<'_>,
        _handle: &Handle,
        _content: &Content,
        known: Public,
    ) -> Result<Public, Failure> {
        Ok(known)
    }

    async fn check(&self, _call: &Call<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Networks for Replay<'_> {
    fn of(&self, _platform: &str) -> Option<&dyn Network> {
        Some(self)
    }

    fn surface(&self, _platform: &str, _surface: &str) -> Option<&'static Surface> {
        None
    }
}

#[async_trait]
impl Vault for Replay<'_> {
    async fn access_token(&self, _account_id: Uuid) -> Result<SecretString, JobError> {
        Ok(SecretString::from(String::new()))
    }
}

impl Clock for Replay<'_> {
    fn now(&self) -> DateTime<Utc> {
        at(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_mins(1)
    }
}

#[async_trait]
impl Media for Replay<'_> {
    async fn address(&self, _key: &str) -> Result<String, Failure> {
        Err(failure(Class::Permanent))
    }

    async fn read(&self, _key: &str, _start: u64, _end: u64) -> Result<Vec<u8>, Failure> {
        Err(failure(Class::Permanent))
    }

    async fn size(&self, _key: &str) -> Result<Option<u64>, Failure> {
        Err(failure(Class::Permanent))
    }

    async fn store(&self, _key: &str, _content_type: &str, _path: &std::path::Path) -> Result<(), Failure> {
        Err(failure(Class::Permanent))
    }

    async fn remove(&self, _key: &str) -> Result<(), Failure> {
        Err(failure(Class::Permanent))
    }
}
