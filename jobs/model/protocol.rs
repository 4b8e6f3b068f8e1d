//! The publishing protocol as a model: two workers, reconcilers, a reaper with its sweeps, people, and a
//! network that may do anything but break its word.

use stateright::{Model, Property};

use super::{
    choices::{of_doubter, of_house, of_network, of_people, of_time, of_worker},
    holder::{End, Glance, Reply, Request, Said, Taken},
    network::{Landing, Look, Making, Packet, Role, Stands, Taking, Thing},
    properties,
    pull::Looker,
    reconciler::{Doubter, Unread},
    world::{Family, Phase, Rule, Setting, Worker, World},
};
use crate::contract::Verdict;

/// One step of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A worker claims the job; `false`: the answer is lost.
    Claim(usize, bool),
    /// A worker's statement; `false`: the answer is lost.
    Write(usize, bool),
    /// Armed, and found too late to send.
    ArmLate(usize),
    /// The network makes a handle.
    Make(usize, Making),
    /// A worker reads a handle.
    Read(usize, Look),
    /// The network is asked to take a handle back.
    TakeBack(usize, Taking),
    /// A commit request leaves.
    Send(usize),
    /// It does not, and the worker knows.
    NotSent(usize),
    /// A commit request lands; `true`: and comes again.
    Land(usize, Landing, bool),
    /// A commit request is gone for good.
    Drop(usize),
    /// A worker waits for an answer no longer.
    Timeout(usize),
    /// An attempt is broken off, to end so.
    Interrupt(usize, Verdict),
    /// A worker settles; `false`: the answer is lost.
    Settle(usize, bool),
    /// `kill -9`.
    Crash(usize),
    /// The claim's lease or deadline ends; its holder lives, and may not know.
    LeaseEnds,
    /// The reaper.
    Reap,
    /// The sweep by state.
    Mend,
    /// A worker gives up a claim that it does not work on.
    Stray(usize),
    /// The sweep honours a wish.
    SweepCancelled,
    /// The sweep holds what is late.
    SweepLate,
    /// The sweep holds what is given up and nobody can see.
    SweepUnseen,
    /// A reconciler takes up the doubt.
    Doubt(usize),
    /// It reads the publication, where it does so in a statement of its own.
    Open(usize),
    /// It asks the network.
    Ask(usize, Look),
    /// It writes its ruling.
    CarryOut(usize),
    /// It is killed.
    Forget(usize),
    /// The network gets on with a handle.
    Becomes(usize, Stands),
    /// The network comes for the files of this handle.
    Fetch(usize),
    /// The quarantine ends.
    QuarantineEnds,
    /// Reads are far enough apart.
    SettlePasses,
    /// No evidence for long.
    LimitPasses,
    /// No network carries out any more what was sent.
    LateLimitPasses,
    /// The post's time.
    Time(Phase),
    /// Somebody wishes it cancelled.
    Cancel,
    /// Somebody changes it.
    Edit,
    /// The account is frozen.
    Freeze,
    /// Staff decide about what is held.
    StaffDecide,
    /// Somebody tries again.
    Retry,
}

impl Model for Setting {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for worker in 0..world.workers.len() {
            of_worker(self, world, worker, actions);
        }
        for packet in 0..world.wire.len() {
            self.of_packet(world, packet, actions);
        }
        for doubter in 0..world.doubters.len() {
            of_doubter(world, doubter, actions);
        }
        of_network(self, world, actions);
        of_house(world, actions);
        of_time(world, actions);
        of_people(world, actions);
        // to try what cannot be is right, and slow
        actions.retain(|action| world.faults > 0 || !action.needs_fault());
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.take(self, action)?;
        let next = next.canonical();
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}

impl World {
    fn take(&mut self, set: &Setting, action: Action) -> Option<()> {
        match action {
            Action::Claim(worker, heard) => self.take_claim(worker, heard),
            Action::Write(worker, heard) => self.take_write(set, worker, heard),
            Action::ArmLate(worker) => self.arm_late(set, worker),
            Action::Make(worker, making) => self.make(worker, making),
            Action::Read(worker, look) => self.read(set, worker, look),
            Action::TakeBack(worker, taking) => self.take_back(set, worker, taking),
            Action::Send(worker) => self.send(worker),
            Action::NotSent(worker) => self.fault().map(|()| self.goes_on(worker, Reply::Said(Said::Unsent))),
            Action::Land(packet, landing, twice) => self.land(set, packet, landing, twice),
            Action::Drop(packet) => {
                self.wire.remove(packet);
                Some(())
            }
            Action::Timeout(worker) => self.timeout(worker),
            Action::Interrupt(worker, verdict) => self.interrupt(worker, verdict),
            Action::Settle(worker, heard) => self.settle(set, worker, heard),
            Action::Crash(worker) => self.crash(worker),
            Action::LeaseEnds => self.lease_ends(),
            Action::Reap => self.reap(set),
            Action::Mend => self.mend(set),
            Action::Stray(worker) => self.release_stray(worker),
            Action::SweepCancelled => self.sweep_cancelled(set),
            Action::SweepLate => self.sweep_late(set),
            Action::SweepUnseen => self.sweep_unseen(),
            Action::Doubt(doubter) => self.doubt(set, doubter),
            Action::Open(doubter) => self.open_doubt(doubter),
            Action::Ask(doubter, look) => self.ask_network(set, doubter, look),
            Action::CarryOut(doubter) => self.carry_out(set, doubter),
            Action::Forget(doubter) => self.fault().map(|()| self.doubters[doubter] = Doubter::Idle),
            Action::Becomes(handle, stands) => self.becomes(handle, stands),
            Action::Fetch(handle) => self.fetch(set, handle),
            Action::QuarantineEnds => self.quarantine_ends(),
            Action::SettlePasses => self.settle_passes(),
            Action::LimitPasses => self.limit_passes(),
            Action::LateLimitPasses => self.late_limit_passes(),
            Action::Time(to) => self.time_passes(to),
            Action::Cancel => self.cancel(),
            Action::Edit => self.edit(),
            Action::Freeze => self.freeze(),
            Action::StaffDecide => self.staff_decide(set),
            Action::Retry => self.retry(),
        }
    }

    fn take_claim(&mut self, worker: usize, heard: bool) -> Option<()> {
        self.claim(worker)?;
        if heard {
            self.workers[worker] = Worker::At(Vec::new(), false);
            Some(())
        } else {
            self.fault()
        }
    }

    /// Evidence is told until it is heard; of anything else the attempt learns that the ledger was away.
    fn take_write(&mut self, set: &Setting, worker: usize, heard: bool) -> Option<()> {
        let request = self.request(worker)?;
        let reply = self.write(set, worker, request);
        if heard {
            self.goes_on(worker, reply);
            return Some(());
        }
        self.fault()?;
        if !matches!(request, Request::Seen(_) | Request::Heard(_)) {
            self.goes_on(worker, Reply::Away);
        }
        Some(())
    }

    fn arm_late(&mut self, set: &Setting, worker: usize) -> Option<()> {
        self.fault()?;
        let Reply::Armed(call, _) = self.write(set, worker, Request::Arm) else { return None };
        self.goes_on(worker, Reply::Armed(call, true));
        Some(())
    }

    /// The attempt has its answer; if that was the last, it is settled next.
    pub fn goes_on(&mut self, worker: usize, reply: Reply) {
        self.answer(worker, reply);
        if let Some(Request::End(end)) = self.request(worker) {
            self.workers[worker] = Worker::Settling(end, 0);
        }
    }

    fn make(&mut self, worker: usize, making: Making) -> Option<()> {
        let stands = match making {
            Making::Ready => Stands::Ready,
            Making::Building => Stands::Building,
            Making::Failed => {
                self.goes_on(worker, Reply::NotMade);
                return self.fault();
            }
        };
        let role = match self.request(worker)? {
            Request::MakeSlide => Role::Slide,
            Request::MakeAlbum(slides) if self.may_be_put_together(slides) => Role::Album(slides),
            // of slides that are gone nothing is made
            Request::MakeAlbum(_) => {
                self.goes_on(worker, Reply::NotMade);
                return Some(());
            }
            _ => Role::Whole,
        };
        let version = self.looked_version(worker)?;
        let handle = u8::try_from(self.things.len()).expect("there are few");
        self.things.push(Thing { stands, version, role });
        let made = Reply::Made(handle, making == Making::Building);
        self.goes_on(worker, if role == Role::Slide { Reply::Slide(handle) } else { made });
        Some(())
    }

    fn read(&mut self, set: &Setting, worker: usize, look: Look) -> Option<()> {
        let Some(Request::Inspect(handle)) = self.request(worker) else { return None };
        let seen = match set.family {
            Family::Pull => self.looks_at_pull(handle, self.looker(worker)?, look)?,
            Family::Album if self.hastily_ready(set, handle) => Ok(Glance::Ready),
            Family::SingleUse | Family::Upload | Family::OneShot | Family::Album => {
                self.looks(Some(handle), look)?
            }
        };
        self.goes_on(worker, seen.map_or(Reply::NoSight, Reply::Sight));
        Some(())
    }

    fn looker(&self, worker: usize) -> Option<Looker> {
        self.looked(worker).map(|seen| Looker { known: seen.known, armed: seen.armed, finds: false })
    }

    fn ask_network(&mut self, set: &Setting, doubter: usize, look: Look) -> Option<()> {
        let seen = match (set.family, self.asked_about(doubter)) {
            (Family::Pull, Some((handle, known))) => {
                self.looks_at_pull(handle, Looker { known, armed: true, finds: true }, look)?
            }
            (_, about) => self.looks(about.map(|(handle, _)| handle), look)?,
        };
        self.rule(set, doubter, seen)
    }

    /// What this look shows, or that it failed; `None`: it is no possible one.
    fn looks(&mut self, handle: Option<u8>, look: Look) -> Option<Result<Glance, Unread>> {
        let stands = handle.map(|handle| self.things[usize::from(handle)].stands);
        match (look, stands) {
            (Look::Prompt, Some(stands)) => Some(Ok(stands.prompt())),
            (Look::Prompt, None) => Some(Err(Unread)),
            (Look::Lags, Some(Stands::Public(false))) => Some(Ok(Glance::Ready)),
            (Look::Lies, Some(Stands::Public(_) | Stands::Processing)) => {
                self.fault()?;
                self.past.lied = true;
                Some(Ok(Glance::Ready))
            }
            (Look::Fails, Some(_)) => self.fault().map(|()| Err(Unread)),
            (Look::Lags | Look::Lies | Look::Fails, _) => None,
        }
    }

    fn take_back(&mut self, set: &Setting, worker: usize, taking: Taking) -> Option<()> {
        let Some(Request::Withdraw(handle)) = self.request(worker) else { return None };
        if set.family == Family::Pull {
            let word = match taking {
                Taking::Takes => {
                    self.take_back_pull(handle, Looker { armed: true, ..self.looker(worker)? })?
                }
                Taking::Fails => self.fault().map(|()| Taken::Unclear)?,
                Taking::Refuses | Taking::TakesUnheard => return None,
            };
            self.goes_on(worker, Reply::Taken(word));
            return Some(());
        }
        let thing = &mut self.things[usize::from(handle)];
        let public = matches!(thing.stands, Stands::Public(_));
        let word = match taking {
            Taking::Takes if public => Taken::TooLate,
            Taking::Takes => Taken::Back,
            Taking::Refuses => Taken::Not,
            Taking::TakesUnheard | Taking::Fails => Taken::Unclear,
        };
        let takes = matches!(taking, Taking::Takes | Taking::TakesUnheard);
        if takes && matches!(thing.stands, Stands::Building | Stands::Ready | Stands::Processing) {
            thing.stands = Stands::Dead(false);
        }
        if word == Taken::Unclear {
            self.fault()?;
        }
        self.goes_on(worker, Reply::Taken(word));
        Some(())
    }

    fn send(&mut self, worker: usize) -> Option<()> {
        let Some(Request::Commit(call, handle)) = self.request(worker) else { return None };
        let logged = self.calls.get(usize::from(call)).is_some_and(|row| row.handle == Some(handle));
        if !logged {
            self.past.breaks(Rule::Logged);
        }
        if self.things[usize::from(handle)].role == Role::Slide {
            self.past.breaks(Rule::Whole);
        }
        self.wire.push(Packet { call, handle, from: Some(worker) });
        if let Worker::At(_, waits) = &mut self.workers[worker] {
            *waits = true;
        }
        Some(())
    }

    fn timeout(&mut self, worker: usize) -> Option<()> {
        self.fault()?;
        self.forgets(worker);
        self.goes_on(worker, Reply::Said(Said::Unclear));
        Some(())
    }

    fn interrupt(&mut self, worker: usize, verdict: Verdict) -> Option<()> {
        self.fault()?;
        self.forgets(worker);
        self.workers[worker] = Worker::Settling(End::Failed(verdict), 0);
        Some(())
    }

    fn lease_ends(&mut self) -> Option<()> {
        self.fault()?;
        let claim = self.claim.as_mut().filter(|claim| !claim.expired)?;
        claim.expired = true;
        Some(())
    }

    /// What was taken may become public, nothing else does by itself; to die is a fault.
    fn becomes(&mut self, handle: usize, stands: Stands) -> Option<()> {
        if matches!(stands, Stands::Dead(_)) {
            self.fault()?;
        }
        self.things[handle].stands = stands;
        if matches!(stands, Stands::Public(_)) {
            self.becomes_public(u8::try_from(handle).ok()?);
        }
        Some(())
    }
}
