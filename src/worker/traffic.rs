//! The gate to the networks. Rests, rates and breakers are the ledger's, for all workers alike; how a network answers
//! each worker counts for itself, and tells the ledger when it finds it broken.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure, JobError},
    desk::Clock,
    gate::{Gate, Lane, Notice, Visit},
};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Worker,
    usage::{Usage, Whose},
    window::{Counts, Window},
};
use crate::{
    config::TrafficSettings,
    ledger::{LedgerError, traffic::Entry},
};

/// Notices that may wait to be written; what is lost of them is noticed again.
const WAITING: usize = 1024;
/// The least wait of whoever is sent away: asking sooner is asking for nothing.
const LEAST_WAIT: Duration = Duration::from_millis(10);
/// A probe that is not answered for within this is somebody else's. Longer than any one call takes, as a rule.
const PROBING: Duration = Duration::from_secs(45);

/// The causes for which jobs are sent away at the gate, besides those the ledger has words for.
const RETRY_BUDGET: &str = "retry_budget";
const NEAR_LIMIT: &str = "near_limit";
const CAUSES: [&str; 7] =
    ["app_rest", "breaker", "app_rate", "workspace_rate", "account_rate", RETRY_BUDGET, NEAR_LIMIT];

/// The word under which a snooze is counted: the gate's, or that the network itself asked for it.
pub(super) fn cause(failure: &Failure) -> &'static str {
    CAUSES.into_iter().find(|cause| failure.code == *cause).unwrap_or("network")
}

/// What is to be written to the ledger.
#[derive(Debug)]
enum Told {
    Rest { app: &'static str, rest: Duration },
    Strike { app: &'static str, first: Duration },
    Alone { account: Uuid, rest: Duration },
    Broken { network: String },
    Probed { network: String, probe: DateTime<Utc>, well: bool },
    Unprobed { network: String, probe: DateTime<Utc> },
}

/// How the networks have lately answered this worker.
pub(super) struct Traffic {
    windows: Mutex<HashMap<String, Window>>,
    usage: Usage,
    told: mpsc::Sender<Told>,
}

/// What is noticed on the way to the networks and waits to be written.
pub(super) struct Notices(mpsc::Receiver<Told>);

impl Traffic {
    pub fn new() -> (Self, Notices) {
        let (told, notices) = mpsc::channel(WAITING);
        (Self { windows: Mutex::default(), usage: Usage::default(), told }, Notices(notices))
    }

    fn tell(&self, told: Told) {
        if let Err(lost) = self.told.try_send(told) {
            tracing::warn!(%lost, "what a network let on could not be noted");
        }
    }

    fn with<T>(&self, network: &str, settings: &TrafficSettings, work: impl FnOnce(&mut Window) -> T) -> T {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(network) {
            return work(window);
        }
        work(windows.entry(network.to_owned()).or_insert_with(|| Window::new(settings.window)))
    }
}

/// Writes what is noticed, until the worker stops.
pub(super) async fn run(worker: Arc<Worker>, mut notices: Notices) {
    loop {
        let told = tokio::select! {
            () = worker.stop.cancelled() => return,
            told = notices.0.recv() => told,
        };
        let Some(told) = told else { return };
        if let Err(error) = worker.in_time(worker.note(&told)).await {
            tracing::warn!(%error, ?told, "what a network let on could not be written");
        }
    }
}

impl Worker {
    /// The gate of one attempt; `again` is of one that is not its job's first.
    pub(super) fn gate(&self, again: bool) -> AttemptGate<'_> {
        self.gate_for(again, false)
    }

    /// The gate of a look that anything else goes before.
    pub(super) fn last_gate(&self) -> AttemptGate<'_> {
        self.gate_for(true, true)
    }

    /// The same of one that stays away where a limit is nearly used up, besides.
    pub(super) fn thrifty_gate(&self) -> AttemptGate<'_> {
        let mut gate = self.last_gate();
        gate.thrifty = true;
        gate
    }

    fn gate_for(&self, again: bool, last: bool) -> AttemptGate<'_> {
        let (at, probing) = (OnceLock::new(), Mutex::default());
        AttemptGate { worker: self, again, last, thrifty: false, at, probing }
    }

    async fn note(&self, told: &Told) -> Result<(), LedgerError> {
        let (ledger, settings) = (&self.parts.duties, &self.parts.settings.traffic);
        match told {
            Told::Rest { app, rest } => {
                tracing::warn!(app, ?rest, "the network wants to be left alone by the app");
                ledger.rest_app(app, *rest).await
            }
            Told::Strike { app, first } => {
                tracing::warn!(app, "the network says that the app calls too often, and not for how long");
                ledger.strike_app(app, *first).await
            }
            Told::Alone { account, rest } => {
                tracing::info!(%account, ?rest, "the network wants to be left alone by an account");
                ledger.leave_alone(*account, *rest).await
            }
            Told::Broken { network } => {
                if ledger.open_breaker(network, settings.open_first).await? {
                    tracing::warn!(network, "the network is broken: nobody goes there for a while");
                }
                self.tell_breakers().await
            }
            Told::Probed { network, probe, well: true } => {
                tracing::info!(network, "the network is well again");
                ledger.close_breaker(network, *probe).await?;
                self.tell_breakers().await
            }
            Told::Probed { network, probe, well: false } => {
                ledger.keep_breaker(network, *probe, settings.open_first, settings.open_most).await
            }
            Told::Unprobed { network, probe } => ledger.leave_probe(network, *probe).await,
        }
    }

    /// Tells the state of every network's breaker: 0 closed, 1 half open, 2 open.
    pub(super) async fn tell_breakers(&self) -> Result<(), LedgerError> {
        let broken = self.parts.duties.breakers().await?;
        let known: Vec<String> = {
            let windows = self.traffic.windows.lock().unwrap_or_else(PoisonError::into_inner);
            windows.keys().cloned().collect()
        };
        for network in
            known.into_iter().filter(|known| broken.iter().all(|breaker| breaker.network != *known))
        {
            metrics::gauge!("postroom_breaker", "network" => network).set(0.0);
        }
        for breaker in broken {
            let state = if breaker.half_open { 1.0 } else { 2.0 };
            metrics::gauge!("postroom_breaker", "network" => breaker.network).set(state);
        }
        Ok(())
    }
}

/// Where an attempt went last.
struct At {
    network: String,
    app: &'static str,
    account: Uuid,
}

/// The gate of one attempt.
pub(super) struct AttemptGate<'a> {
    worker: &'a Worker,
    again: bool,
    /// Anything else goes before.
    last: bool,
    /// It stays away where a limit is nearly used up.
    thrifty: bool,
    at: OnceLock<At>,
    /// Its next answer tells whether a broken network is well again.
    probing: Mutex<Option<DateTime<Utc>>>,
}

impl AttemptGate<'_> {
    fn settings(&self) -> &TrafficSettings {
        &self.worker.parts.settings.traffic
    }

    fn window<T>(&self, network: &str, work: impl FnOnce(&mut Window, Duration) -> T) -> T {
        let now = self.worker.parts.clock.monotonic();
        self.worker.traffic.with(network, self.settings(), |window| work(window, now))
    }

    /// While a network fails widely, what is asked again may be only a small part of what it is asked.
    fn within_budget(&self, network: &str) -> bool {
        let settings = self.settings();
        self.window(network, |window, now| {
            let counts = window.sum(now);
            !self.again
                || !counts.fails(settings.retry_share, settings.least_answers)
                || counts.may_retry(settings.retry_share)
        })
    }

    /// How long it stays away from limits that are nearly used up, by what was heard before it came: what it hears itself is
    /// for it to heed, between one look and the next.
    fn spared(&self, visit: &Visit<'_>) -> Option<Duration> {
        if !self.thrifty || self.at.get().is_some() {
            return None;
        }
        let limits = [Whose::App(visit.allowance.app), Whose::Account(visit.account)];
        let now = self.worker.parts.clock.monotonic();
        self.worker.traffic.usage.rest(&limits, self.worker.pace.usage_rest, now)
    }

    /// Counts a visit that takes place.
    fn visits(&self, network: &str) {
        self.window(network, |window, now| {
            window.count(now, |counts: &mut Counts| {
                *(if self.again { &mut counts.retries } else { &mut counts.firsts }) += 1;
            });
        });
    }

    /// Sends away with a wait, and up to `spread` more: those who wait must not all come back at once.
    fn away(cause: &str, network: &str, wait: Duration, spread: Duration) -> JobError {
        let wait = wait.max(LEAST_WAIT) + spread.mul_f64(rand::random());
        let why = match cause {
            "app_rest" => "the network wants to be left alone by the app",
            "breaker" => "the network is broken at present",
            RETRY_BUDGET => "the network fails often: what is tried again waits for what is new",
            NEAR_LIMIT => "most of what it allows is used; the rest is for what is published",
            "app_rate" => "the app's calls to the network are used up for now",
            "workspace_rate" => "the workspace's calls to the network are used up for now",
            _ => "the account's calls to the network are used up for now",
        };
        JobError::Throttled(Failure::new(Class::Rate, cause, format!("{network}: {why}")), wait)
    }
}

#[async_trait]
impl Gate for AttemptGate<'_> {
    async fn enter(&self, visit: Visit<'_>) -> Result<(), JobError> {
        let (settings, network) = (self.settings(), visit.network);
        if let Some(wait) = self.spared(&visit) {
            return Err(Self::away(NEAR_LIMIT, network, wait, wait / 4));
        }
        self.at.get_or_init(|| At {
            network: network.to_owned(),
            app: visit.allowance.app,
            account: visit.account,
        });
        if !self.within_budget(network) {
            return Err(Self::away(RETRY_BUDGET, network, settings.window / 2, settings.window));
        }
        let ledger = &self.worker.parts.ledger;
        let entry = if self.last {
            ledger.enter_last(&visit, PROBING).await?
        } else {
            ledger.enter(&visit, PROBING).await?
        };
        match entry {
            Entry::Free => {
                self.visits(network);
                Ok(())
            }
            Entry::Probe(until) => {
                self.visits(network);
                *self.probing.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
                Ok(())
            }
            Entry::Refused { cause, ends_at } => {
                let wait = (ends_at - self.worker.parts.clock.now()).to_std().unwrap_or_default();
                let spread = match cause.as_str() {
                    "breaker" => {
                        // what was counted before says nothing of how it will be
                        self.window(network, |window, _| window.clear());
                        settings.open_first.max(wait)
                    }
                    "app_rest" => settings.open_first.max(wait / 4),
                    _ => Duration::ZERO, // each has a moment of its own
                };
                Err(Self::away(&cause, network, wait, spread))
            }
        }
    }

    fn notice(&self, notice: Notice) {
        let Some(At { network, app, account }) = self.at.get() else { return };
        let traffic = &self.worker.traffic;
        match notice {
            Notice::Well | Notice::Ill => self.answered(network, notice == Notice::Well),
            Notice::Rest(Lane::App, rest) => traffic.tell(Told::Rest { app, rest }),
            Notice::Rest(Lane::Account, rest) => traffic.tell(Told::Alone { account: *account, rest }),
            Notice::Strike(first) => traffic.tell(Told::Strike { app, first }),
            Notice::Used(lane, percent) => {
                let whose = match lane {
                    Lane::App => Whose::App(app),
                    Lane::Account => Whose::Account(*account),
                };
                let near = percent >= self.worker.pace.usage_most;
                traffic.usage.heard(whose, near, self.worker.parts.clock.monotonic());
            }
        }
    }
}

/// An attempt that ended before it had an answer lets another look.
impl Drop for AttemptGate<'_> {
    fn drop(&mut self) {
        let probing = self.probing.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(probe), Some(at)) = (probing, self.at.get()) {
            self.worker.traffic.tell(Told::Unprobed { network: at.network.clone(), probe });
        }
    }
}

impl AttemptGate<'_> {
    fn answered(&self, network: &str, well: bool) {
        let (traffic, settings) = (&self.worker.traffic, self.settings());
        let probing = self.probing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(probe) = probing {
            traffic.tell(Told::Probed { network: network.to_owned(), probe, well });
            return;
        }
        let broken = self.window(network, |window, now| {
            window.count(now, |counts| *(if well { &mut counts.well } else { &mut counts.ill }) += 1);
            let broken = !well && window.sum(now).fails(settings.error_share, settings.least_answers);
            if broken {
                window.clear();
            }
            broken
        });
        if broken {
            traffic.tell(Told::Broken { network: network.to_owned() });
        }
    }
}
