//! The ledger's statements, each with the guard it has in SQL. That one statement is one step is shown by the
//! model of claims, which takes them apart.
//!
//! The states that a move leaves and enters come from [`Move::from`] and [`Move::to`], as they do in the SQL.

use super::{
    flaw::Flaw,
    holder::{Reply, Request, Seen},
    network::SLIDES,
    world::{
        Absent, CallRow, ClaimRow, Family, JobRow, Phase, Quarantine, Row, Rule, Ruled, Setting, Worker,
        World,
    },
};
use crate::{
    desk::NotArmed,
    machine::{HandleState, Move, State},
};

impl CallRow {
    /// As the index `one_effective_commit` has it.
    pub fn blocks(self) -> bool {
        match self.verdict {
            None | Some(Ruled::Ok | Ruled::Ambiguous | Ruled::ResolvedYes) => true,
            Some(Ruled::DefiniteNo | Ruled::Unsent | Ruled::ResolvedNo) => false,
        }
    }

    /// Not judged, or in doubt.
    pub fn unresolved(self) -> bool {
        matches!(self.verdict, None | Some(Ruled::Ambiguous))
    }

    /// The network, or its sender, has said that it came to nothing.
    pub fn refused(self) -> bool {
        matches!(self.verdict, Some(Ruled::DefiniteNo | Ruled::Unsent))
    }

    fn unjudged(self) -> bool {
        matches!(self.verdict, None | Some(Ruled::Ok | Ruled::Ambiguous))
    }

    /// What evidence makes of it; a call that was judged keeps its verdict.
    fn evidenced(&mut self, set: &Setting) {
        self.verdict = match self.verdict {
            None => Some(Ruled::Ok),
            Some(Ruled::Ambiguous) => Some(Ruled::ResolvedYes),
            Some(_) if set.has(Flaw::EvidenceCounted) => Some(Ruled::ResolvedYes),
            judged => judged,
        };
    }
}

impl World {
    /// Whether this worker holds the claim.
    pub fn holds(&self, worker: usize) -> bool {
        self.claim.is_some_and(|claim| claim.by == Some(worker))
    }

    /// What an attempt knows now; it goes on from here, and forgets all before a look.
    pub fn answer(&mut self, worker: usize, reply: Reply) {
        if let Worker::At(script, waits) = &mut self.workers[worker] {
            if matches!(reply, Reply::Stands(_)) {
                script.clear();
            }
            script.push(reply);
            *waits = false;
        }
    }

    /// The publication as `Ledger::publication` reads it.
    pub fn seen(&self, set: &Setting) -> Seen {
        Seen {
            state: self.row.state,
            version: self.row.version,
            handle: self.row.handle,
            named: self.row.named,
            made_of: self.row.made_of,
            wished: self.row.wished,
            phase: self.phase,
            armed: self.handle_armed(),
            refused: self.handle_refused(set),
            open: self.open_commit(),
            old: self.row.old,
            sent: self.guarded(set),
            late: self.row.late,
            given_up: self.row.given_up,
            album: set.family == Family::Album,
            parts: self.row.parts,
            slides: self.row.slides,
            known: self.row.known,
        }
    }

    /// Its handle was committed, other than to be told no, and is not dead: it may become public yet.
    pub fn alive(&self) -> bool {
        self.handle_armed() && self.row.handle != HandleState::Dead
    }

    /// The same, as far as the protocol heeds it.
    pub fn guarded(&self, set: &Setting) -> bool {
        self.alive() && !set.has(Flaw::HonouredAlive)
    }

    /// Whether the handle was ever armed, but for a definite no.
    pub fn handle_armed(&self) -> bool {
        let armed = |call: &CallRow| call.handle == self.row.named && !call.refused();
        self.row.named.is_some() && self.calls.iter().any(armed)
    }

    /// Whether the handle was sent, to be told a definite no, and is not dead.
    fn handle_refused(&self, set: &Setting) -> bool {
        let no = |call: &CallRow| call.handle == self.row.named && call.verdict == Some(Ruled::DefiniteNo);
        let alive = self.row.named.is_some() && self.row.handle != HandleState::Dead;
        alive && self.calls.iter().any(no) && !set.has(Flaw::RefusalBelieved)
    }

    /// The commit call that is not judged, or was taken.
    pub fn open_commit(&self) -> Option<u8> {
        let found = self.calls.iter().position(|call| call.unjudged())?;
        u8::try_from(found).ok()
    }

    /// The statement of this request, whose answer is returned.
    pub fn write(&mut self, set: &Setting, worker: usize, request: Request) -> Reply {
        match request {
            Request::Look => Reply::Stands(self.seen(set)),
            Request::Step(step, handle) => self.step(set, worker, step, handle),
            Request::LogPrepare => self.log_prepare(set, worker),
            Request::Keep => self.keep(worker),
            Request::KeepSlides(slides) => self.keep_slides(worker, slides),
            Request::PreparedSlides(slides) => self.prepared_slides(set, worker, slides),
            Request::Name(call) => self.keep_name(call),
            Request::Close(handle) => self.vouched(handle),
            Request::Prepared(handle, building) => self.prepared(set, worker, handle, building),
            Request::Unprepared => self.close(set, worker, Move::Unprepare, None, None),
            Request::Arm => self.arm(set, worker),
            Request::Unsent(call) => {
                self.close(set, worker, Move::Unsent, Some(call), Some(HandleState::Ready))
            }
            Request::Heard(call) => self.heard(set, call),
            Request::Seen(call) => self.published(set, Some(worker), call),
            Request::Accepted(call) => self.accepted(set, worker, call),
            Request::Refused(call, dead) => {
                let handle = if dead { HandleState::Dead } else { HandleState::Ready };
                self.close(set, worker, Move::Refuse, Some(call), Some(handle))
            }
            Request::Rejected => self.rejected(set, worker),
            Request::LogWithdraw => self.log_withdraw(worker),
            Request::Withdrawn => self.withdrawn(set, worker),
            Request::Make
            | Request::MakeSlide
            | Request::MakeAlbum(_)
            | Request::Inspect(_)
            | Request::Commit(..)
            | Request::Withdraw(_)
            | Request::End(_) => {
                unreachable!("{request:?} is no statement")
            }
        }
    }

    /// Every authority write: reads its claim, names the states it leaves, and says whether a row moved.
    pub fn moves(&mut self, set: &Setting, worker: usize, step: Move) -> bool {
        let named = step.from().contains(&self.row.state) || set.has(Flaw::StateUnnamed);
        let fenced = self.holds(worker) || set.has(Flaw::FenceDropped);
        if !(named && fenced) {
            return false;
        }
        if !self.holds(worker) {
            self.past.breaks(Rule::Claimed);
        }
        self.row.state = step.to();
        true
    }

    fn step(&mut self, set: &Setting, worker: usize, step: Move, handle: Option<HandleState>) -> Reply {
        if !self.moves(set, worker, step) {
            return Reply::Fenced;
        }
        self.row.handle = handle.unwrap_or(self.row.handle);
        Reply::Done
    }

    fn log_prepare(&mut self, set: &Setting, worker: usize) -> Reply {
        let replaceable = self.row.handle == HandleState::Dead || !self.handle_armed();
        if !replaceable
            || self.row.wished
            || self.looked_version(worker) != Some(self.row.version)
            || !self.moves(set, worker, Move::Prepare)
        {
            return Reply::Fenced;
        }
        let (parts, slides, known) = (false, [None; SLIDES], false);
        self.row =
            Row { handle: HandleState::None, named: None, made_of: None, parts, slides, known, ..self.row };
        Reply::Done
    }

    /// The version that its last look showed: what is prepared is what was read.
    pub fn looked_version(&self, worker: usize) -> Option<u8> {
        self.looked(worker).map(|seen| seen.version)
    }

    /// What its last look showed.
    pub fn looked(&self, worker: usize) -> Option<Seen> {
        self.script(worker)
            .iter()
            .find_map(|reply| if let Reply::Stands(seen) = reply { Some(*seen) } else { None })
    }

    fn script(&self, worker: usize) -> &[Reply] {
        match &self.workers[worker] {
            Worker::At(script, _) => script,
            Worker::Idle | Worker::Settling(..) => &[],
        }
    }

    fn keep(&mut self, worker: usize) -> Reply {
        let made = self.made(worker);
        if !self.holds(worker) || self.row.state != State::Preparing {
            return Reply::Fenced;
        }
        self.row = Row { named: made, handle: HandleState::Building, ..self.row };
        Reply::Done
    }

    fn made(&self, worker: usize) -> Option<u8> {
        self.script(worker)
            .iter()
            .find_map(|reply| if let Reply::Made(handle, _) = reply { Some(*handle) } else { None })
    }

    fn prepared(&mut self, set: &Setting, worker: usize, handle: u8, building: bool) -> Reply {
        let (step, state) = if building {
            (Move::Build, HandleState::Building)
        } else {
            (Move::Prepared, HandleState::Ready)
        };
        if !self.moves(set, worker, step) {
            return Reply::Fenced;
        }
        let made_of = self.looked_version(worker);
        let slides = self.slides_in(handle);
        self.row = Row { named: Some(handle), handle: state, made_of, parts: false, slides, ..self.row };
        Reply::Done
    }

    fn close(
        &mut self,
        set: &Setting,
        worker: usize,
        step: Move,
        call: Option<u8>,
        handle: Option<HandleState>,
    ) -> Reply {
        if !self.moves(set, worker, step) {
            return Reply::Fenced;
        }
        self.row.handle = handle.unwrap_or(self.row.handle);
        if let Some(row) = call.and_then(|call| self.calls.get_mut(usize::from(call))) {
            row.verdict = Some(if step == Move::Unsent { Ruled::Unsent } else { Ruled::DefiniteNo });
        }
        Reply::Done
    }

    /// T7, one guarded statement.
    fn arm(&mut self, set: &Setting, worker: usize) -> Reply {
        let willing = !self.frozen || set.has(Flaw::FreezeUnseen);
        let wanted = self.row.made_of == Some(self.row.version) || set.has(Flaw::VersionUnseen);
        let unwished = !self.row.wished || set.has(Flaw::WishUnseen) || set.has(Flaw::FreezeUnseen);
        let leased = self.claim.is_some_and(|claim| !claim.expired) || set.has(Flaw::FenceDropped);
        let alone = !self.calls.iter().any(|call| call.blocks()) || set.has(Flaw::CallLeftOpen);
        let ready = self.row.handle == HandleState::Ready && self.phase == Phase::Due;
        if !(willing && wanted && unwished && leased && alone && ready && self.moves(set, worker, Move::Arm))
        {
            return self.why_not_armed(worker);
        }
        let call = u8::try_from(self.calls.len()).expect("there are few");
        self.armed(set);
        Reply::Armed(call, false)
    }

    fn armed(&mut self, set: &Setting) {
        if set.has(Flaw::SendUnlogged) {
            self.row.state = State::Prepared; // it is rolled back, and the sender does not hear of it
            return;
        }
        if self.frozen {
            self.past.breaks(Rule::Unfrozen);
        }
        self.past.reads = 0;
        self.calls.push(CallRow { handle: self.row.named, verdict: None, revoked: false, fetched: false });
        self.row =
            Row { quarantine: Quarantine::Running, absent: Absent::No, old: false, late: false, ..self.row };
    }

    fn why_not_armed(&self, worker: usize) -> Reply {
        let leased = self.claim.is_some_and(|claim| !claim.expired);
        match (self.holds(worker), leased, !self.frozen, self.calls.iter().any(|call| call.blocks())) {
            (false, _, _, _) => Reply::Fenced,
            (true, false, _, _) => Reply::NotArmed(NotArmed::LeaseShort),
            (true, true, false, _) => Reply::NotArmed(NotArmed::AccountInactive),
            (true, true, true, true) => Reply::NotArmed(NotArmed::CommitOpen),
            (true, true, true, false) => Reply::NotArmed(NotArmed::Changed),
        }
    }

    fn heard(&mut self, set: &Setting, call: u8) -> Reply {
        if let Some(row) = self.calls.get_mut(usize::from(call)) {
            row.evidenced(set);
        }
        Reply::Done
    }

    /// T9: evidence. `worker`: who brings it, if it is a claim's holder, or once was.
    pub fn published(&mut self, set: &Setting, worker: Option<usize>, call: Option<u8>) -> Reply {
        let refused = set.has(Flaw::EvidenceFenced) && worker.is_some_and(|worker| !self.holds(worker));
        if !refused {
            self.record(set, call);
            let once = self.clone();
            self.record(set, call);
            if *self != once {
                self.past.breaks(Rule::Idempotent);
            }
        }
        if self.row.state != State::Published {
            self.past.breaks(Rule::Heard);
        }
        Reply::Done
    }

    fn record(&mut self, set: &Setting, call: Option<u8>) {
        for (n, row) in self.calls.iter_mut().enumerate() {
            if call.is_none_or(|call| usize::from(call) == n) {
                row.evidenced(set);
            }
        }
        let handle = if self.row.named.is_some() { HandleState::Spent } else { HandleState::None };
        let row = Row { state: Move::Publish.to(), handle, looked_at: false, ..self.row };
        self.row = Row { given_up: false, late: false, ..row };
        self.past.published = true;
    }

    fn accepted(&mut self, set: &Setting, worker: usize, call: u8) -> Reply {
        if !self.moves(set, worker, Move::Accept) {
            return Reply::Fenced;
        }
        self.row.handle = HandleState::Spent;
        if let Some(row) = self.calls.get_mut(usize::from(call)) {
            row.verdict = Some(Ruled::Ok);
        }
        Reply::Done
    }

    fn rejected(&mut self, set: &Setting, worker: usize) -> Reply {
        if !self.moves(set, worker, Move::Reject) {
            return Reply::Fenced;
        }
        self.row.handle = HandleState::Dead;
        for call in &mut self.calls {
            if matches!(call.verdict, Some(Ruled::Ok | Ruled::Ambiguous)) {
                call.verdict = Some(Ruled::ResolvedNo);
            }
        }
        Reply::Done
    }

    fn log_withdraw(&self, worker: usize) -> Reply {
        let may = Move::Withdraw.from().contains(&self.row.state) && !self.row.committed();
        if self.holds(worker) && may { Reply::Done } else { Reply::Fenced }
    }

    fn withdrawn(&mut self, set: &Setting, worker: usize) -> Reply {
        if self.row.committed() || !self.moves(set, worker, Move::Withdraw) {
            return Reply::Fenced;
        }
        self.row.handle = HandleState::Dead;
        self.row.late = false;
        Reply::Done
    }

    /// The open commit calls are in doubt from now on, and the row has a next look.
    pub fn doubt_commits(&mut self, set: &Setting) {
        for call in &mut self.calls {
            call.verdict = call.verdict.or(Some(Ruled::Ambiguous));
        }
        self.row.absent = Absent::No;
        self.row.looked_at = !set.has(Flaw::NoNextLook);
    }

    /// Gives the row a job, unless it has one.
    pub fn insert_job(&mut self) {
        self.job.get_or_insert(JobRow::FRESH);
    }

    /// Claims the job, if there is one and nobody holds it.
    pub fn claim(&mut self, worker: usize) -> Option<()> {
        let free = self.claim.is_none() && self.job.is_some_and(|job| !job.paused);
        let idle = self.workers[worker] == Worker::Idle;
        (free && idle).then(|| self.claim = Some(ClaimRow { by: Some(worker), expired: false }))
    }
}
