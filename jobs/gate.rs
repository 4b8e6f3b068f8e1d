//! The way to a network: who may go there now, and what is noticed on the way.
//!
//! A step that calls a network asks the gate before its first call, and never between the intent to commit and the
//! request. Networks tell it what their answers let on besides: that they are unwell, or want to be left alone.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::contract::JobError;

/// What a step does at a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Makes a handle.
    Prepare,
    /// Looks at the handle, commits it, and asks where the post is to be found.
    Commit,
    /// Looks.
    Look,
}

/// So many calls in any span of this length, and never more; a step that takes more calls than may follow each other at
/// once passes it by the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub calls: u32,
    /// The span.
    pub per: Duration,
}

impl Rate {
    /// How many may follow each other at once: about a sixth of them.
    pub fn depth(self) -> u32 {
        1 + self.calls / 6
    }

    /// How long one takes to come back. What may go at once is kept back from the rest of the span, so that a full
    /// bucket and what comes back meanwhile are together no more than the rate.
    pub fn gap(self) -> Duration {
        self.per / (self.calls + 1).saturating_sub(self.depth()).max(1)
    }
}

/// What a network lets us do, as `worker.toml` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The app whose limits its calls count against; networks may share one.
    pub app: &'static str,
    /// Of all accounts of the app together, if there is a limit; the same for all networks of the app.
    pub app_rate: Option<Rate>,
    /// Of one workspace.
    pub workspace_rate: Option<Rate>,
    /// Of one account.
    pub account_rate: Option<Rate>,
}

/// Who wants to go where, and what for.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// The network, as a platform's name.
    pub network: &'a str,
    /// On behalf of this account.
    pub account: Uuid,
    /// What the network lets us do.
    pub allowance: Allowance,
    /// How many calls it takes that count against the rates.
    pub calls: u32,
    /// Where it is sent away it comes back when it was told to, and not before.
    pub comes_back: bool,
}

/// Whom a network wants to be left alone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// All of the app's accounts.
    App,
    /// The account of the call.
    Account,
}

/// What an answer lets on besides what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The network answers, be it with a no.
    Well,
    /// It does not, or says that it is broken.
    Ill,
    /// It wants to be left alone for so long.
    Rest(Lane, Duration),
    /// It wants to be left alone by the app and does not say for how long: this at first, longer if that was too
    /// short.
    Strike(Duration),
    /// So many percent of a limit are used.
    Used(Lane, u8),
}

/// The way to the networks, for one attempt.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Lets a step go to a network.
    ///
    /// # Errors
    /// `Throttled` until it may ask again, which spends no attempt; `Infrastructure` where the ledger is away.
    async fn enter(&self, visit: Visit<'_>) -> Result<(), JobError>;

    /// Takes note of what an answer let on. Returns at once.
    fn notice(&self, notice: Notice);
}

/// A gate that stands open, for calls outside of any job.
#[derive(Debug, Clone, Copy)]
pub struct Open;

#[async_trait]
impl Gate for Open {
    async fn enter(&self, _: Visit<'_>) -> Result<(), JobError> {
        Ok(())
    }

    fn notice(&self, _: Notice) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many calls a bucket lets through at most in any span of the rate, asked without a pause.
    fn most_in_a_span(rate: Rate) -> usize {
        let (gap, depth) = (rate.gap().as_secs_f64(), f64::from(rate.depth()));
        let step = gap / 16.0;
        let (mut level, mut at, mut taken) = (depth, 0.0, Vec::new());
        while at < 4.0 * rate.per.as_secs_f64() {
            while level >= 1.0 {
                level -= 1.0;
                taken.push(at);
            }
            level = f64::min(depth, level + step / gap);
            at += step;
        }
        let within = |from: &f64| {
            taken.iter().filter(|at| *at >= from && **at < from + rate.per.as_secs_f64() - step).count()
        };
        taken.iter().map(within).max().unwrap_or_default()
    }

    #[test]
    fn a_full_bucket_and_what_comes_back_meanwhile_never_pass_the_rate() {
        for calls in [1, 2, 5, 6, 7, 20, 60, 200] {
            let rate = Rate { calls, per: Duration::from_mins(1) };
            let most = most_in_a_span(rate);
            assert!(most <= calls as usize, "{most} calls where {calls} are allowed");
            assert!(most * 3 >= calls as usize * 2, "{most} calls of {calls}: too little of it is used");
        }
    }
}
