//! What people do, and the passing of the post's own time.

use super::{
    flaw::Flaw,
    holder::Request,
    network::Stands,
    world::{ClaimRow, Family, Phase, Quarantine, Ruled, Setting, Worker, World},
};
use crate::{
    control::{self, Decide, Stand, Word},
    machine::{HandleState, Move, State},
};

impl World {
    /// T17's wish. Where something was armed it is kept and answered with 409; elsewhere it is a promise.
    pub fn cancel(&mut self) -> Option<()> {
        let over =
            matches!(self.row.state, State::Published | State::Failed | State::Cancelled | State::Held);
        if !std::mem::take(&mut self.people.cancel) || over {
            return None;
        }
        self.row.wished = true;
        self.past.promised = !self.row.commits() && !self.alive();
        Some(())
    }

    /// Changes what would be sent, where nothing that was armed may still become public.
    pub fn edit(&mut self) -> Option<()> {
        let open = matches!(
            self.row.state,
            State::Scheduled | State::Preparing | State::Prepared | State::Waiting | State::RetryWait
        );
        let fixed = self.row.commits() || (self.handle_armed() && self.row.handle != HandleState::Dead);
        if !std::mem::take(&mut self.people.edit) || !open || fixed {
            return None;
        }
        self.row.version += 1;
        Some(())
    }

    /// A deletion freezes the account, and wishes everything on it cancelled.
    pub fn freeze(&mut self) -> Option<()> {
        if !std::mem::take(&mut self.people.freeze) {
            return None;
        }
        self.frozen = true;
        self.row.wished = true;
        Some(())
    }

    /// T18: staff look, and say what they see.
    pub fn staff_decide(&mut self, set: &Setting) -> Option<()> {
        let processing = self.things.iter().any(|thing| thing.stands == Stands::Processing);
        let quarantined = self.row.quarantine == Quarantine::Running || processing;
        let word = Word { published: self.effects > 0, quarantined, heard: false };
        let Decide::Now(step) = control::decide(&self.stand(), word) else { return None };
        if !self.people.staff || self.approval_waits(set) {
            return None;
        }
        if step == Move::Attest {
            self.published(set, None, self.open_commit());
            return Some(());
        }
        self.row.state = step.to();
        self.past.decided = true;
        for call in self.calls.iter_mut().filter(|call| call.blocks()) {
            call.verdict = Some(Ruled::ResolvedNo);
        }
        if set.family == Family::OneShot && self.row.named.is_some() {
            self.row.handle = HandleState::Dead; // where the network gives no read, a person's word stands for it
        }
        Some(())
    }

    /// The publication as `ledger::control::stand` reads it.
    fn stand(&self) -> Stand {
        Stand {
            state: self.row.state,
            committed: self.row.committed(),
            commit_open: self.calls.iter().any(|call| call.blocks()),
            claimed: self.claim.is_some(),
            wished: self.row.wished,
            alive: self.alive(),
        }
    }

    /// R1, the one residual: on a surface without a proof of absence, a sender that is only paused may outlast a
    /// person's approval. It is excluded here, and shown to be the only one by `Flaw::ApprovedDuringPause`.
    fn approval_waits(&self, set: &Setting) -> bool {
        set.family == Family::OneShot && !set.has(Flaw::ApprovedDuringPause) && self.sender_left()
    }

    fn sender_left(&self) -> bool {
        let about_to = |worker| matches!(self.request(worker), Some(Request::Commit(..)));
        !self.wire.is_empty() || (0..self.workers.len()).any(about_to)
    }

    /// T21: people try again what failed, or was too late.
    pub fn retry(&mut self) -> Option<()> {
        let late = self.row.state == State::Held && !self.calls.iter().any(|call| call.blocks());
        let may = (self.row.state == State::Failed || late) && !self.row.wished;
        if !may || !std::mem::take(&mut self.people.staff) {
            return None;
        }
        self.row.state = State::RetryWait;
        self.row.given_up = false;
        self.past.too_late = false;
        self.phase = Phase::Due;
        self.insert_job();
        Some(())
    }

    /// Its time has come; later, it has passed.
    pub fn time_passes(&mut self, to: Phase) -> Option<()> {
        let next = match (self.phase, to) {
            (Phase::Early, Phase::Due) => true,
            (Phase::Due, Phase::Late) => std::mem::take(&mut self.people.schedule),
            (Phase::Early | Phase::Due | Phase::Late, Phase::Early | Phase::Due | Phase::Late) => false,
        };
        next.then(|| self.phase = to)
    }

    /// A process is killed: what it had in mind is gone, what it sent is not.
    pub fn crash(&mut self, worker: usize) -> Option<()> {
        if self.workers[worker] == Worker::Idle && !self.holds(worker) {
            return None;
        }
        self.fault()?;
        if let Some(claim) = self.claim.as_mut().filter(|claim| claim.by == Some(worker)) {
            *claim = ClaimRow { by: None, expired: true };
        }
        self.forgets(worker);
        self.workers[worker] = Worker::Idle;
        Some(())
    }

    /// Nobody waits any more for what this worker sent.
    pub fn forgets(&mut self, worker: usize) {
        for packet in self.wire.iter_mut().filter(|packet| packet.from == Some(worker)) {
            packet.from = None;
        }
    }
}
