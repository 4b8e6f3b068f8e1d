//! Who may do what next.

use super::{
    holder::Request,
    network::{Look, Making, Packet, Role, Stands, Taking},
    protocol::Action,
    reconciler::Doubter,
    world::{Absent, Family, People, Phase, Quarantine, Setting, Worker, World},
};
use crate::{contract::Verdict, machine::State};

const LOOKS: [Look; 4] = [Look::Prompt, Look::Lags, Look::Lies, Look::Fails];

/// What a worker may do, and what may happen to it.
pub fn of_worker(set: &Setting, world: &World, worker: usize, actions: &mut Vec<Action>) {
    match (&world.workers[worker], world.request(worker)) {
        (Worker::Idle, _) => {
            actions.extend([true, false].map(|heard| Action::Claim(worker, heard)));
            actions.push(Action::Stray(worker));
        }
        (Worker::Settling(..), _) => {
            actions.extend([true, false].map(|heard| Action::Settle(worker, heard)));
        }
        (Worker::At(_, true), _) => actions.push(Action::Timeout(worker)),
        (Worker::At(_, false), Some(request)) => of_request(set, worker, request, actions),
        (Worker::At(_, false), None) => unreachable!("it always asks for something"),
    }
    if matches!(world.workers[worker], Worker::At(..)) {
        actions.extend([Verdict::Retry, Verdict::Release].map(|end| Action::Interrupt(worker, end)));
    }
    actions.push(Action::Crash(worker));
}

impl Setting {
    /// What may become of a request on its way.
    pub fn of_packet(self, world: &World, packet: usize, actions: &mut Vec<Action>) {
        let Packet { handle, from, .. } = world.wire[packet];
        let stands = world.things[usize::from(handle)].stands;
        for landing in self.landings(stands) {
            actions.push(Action::Land(packet, landing, false));
            // nobody can prevent what a network does twice with one request of a kind that nothing makes single; and a
            // network that has said no to a request does not carry it out later
            let single = !matches!(self.family, Family::OneShot | Family::Pull);
            if single && !landing.said.is_definite_no() {
                actions.push(Action::Land(packet, landing, true));
            }
        }
        if from.is_none() {
            actions.push(Action::Drop(packet));
        }
    }
}

fn of_request(set: &Setting, worker: usize, request: Request, actions: &mut Vec<Action>) {
    match request {
        // a name of our own
        Request::Make if set.family == Family::Pull => {
            actions.extend([Making::Ready, Making::Failed].map(|it| Action::Make(worker, it)));
        }
        Request::Make | Request::MakeSlide | Request::MakeAlbum(_) => {
            actions
                .extend([Making::Ready, Making::Building, Making::Failed].map(|it| Action::Make(worker, it)));
        }
        Request::Inspect(_) => actions.extend(LOOKS.map(|look| Action::Read(worker, look))),
        Request::Commit(..) => actions.extend([Action::Send(worker), Action::NotSent(worker)]),
        Request::Withdraw(_) => {
            let all = [Taking::Takes, Taking::Refuses, Taking::TakesUnheard, Taking::Fails];
            actions.extend(all.map(|taking| Action::TakeBack(worker, taking)));
        }
        Request::End(_) => unreachable!("an attempt that ends is settled at once"),
        Request::Arm => {
            actions.extend([true, false].map(|heard| Action::Write(worker, heard)));
            actions.push(Action::ArmLate(worker));
        }
        // a look whose answer is lost is an attempt broken off
        Request::Look => actions.push(Action::Write(worker, true)),
        Request::Step(..)
        | Request::LogPrepare
        | Request::Keep
        | Request::KeepSlides(_)
        | Request::PreparedSlides(_)
        | Request::Name(_)
        | Request::Close(_)
        | Request::Prepared(..)
        | Request::Unprepared
        | Request::Unsent(_)
        | Request::Heard(_)
        | Request::Seen(_)
        | Request::Accepted(_)
        | Request::Refused(..)
        | Request::LogWithdraw
        | Request::Withdrawn
        | Request::Rejected => actions.extend([true, false].map(|heard| Action::Write(worker, heard))),
    }
}

/// What the network gets on with.
pub fn of_network(set: &Setting, world: &World, actions: &mut Vec<Action>) {
    for (n, thing) in world.things.iter().enumerate() {
        let asked = matches!(thing.role, Role::Asked(_));
        if asked && thing.stands == Stands::Building {
            actions.push(Action::Fetch(n));
        }
        let next: &[Stands] = match thing.stands {
            Stands::Building if asked => &[Stands::Dead(false)],
            Stands::Building => &[Stands::Ready, Stands::Dead(false), Stands::Dead(true)],
            // a name of our own, of which the network knows nothing
            Stands::Ready if set.family == Family::Pull => &[],
            Stands::Ready => &[Stands::Dead(false)],
            Stands::Processing => &[Stands::Public(false), Stands::Dead(false), Stands::Dead(true)],
            Stands::Public(_) | Stands::Dead(_) => &[],
        };
        actions.extend(next.iter().map(|stands| Action::Becomes(n, *stands)));
    }
}

/// What a reconciler may do.
pub fn of_doubter(world: &World, doubter: usize, actions: &mut Vec<Action>) {
    match world.doubters[doubter] {
        Doubter::Idle => actions.push(Action::Doubt(doubter)),
        Doubter::Opens(_) => actions.push(Action::Open(doubter)),
        Doubter::Asks(_) => actions.extend(LOOKS.map(|look| Action::Ask(doubter, look))),
        Doubter::Writes(..) => actions.push(Action::CarryOut(doubter)),
    }
    if world.doubters[doubter] != Doubter::Idle {
        actions.push(Action::Forget(doubter));
    }
}

/// What the reaper and the sweeps may do.
pub fn of_house(world: &World, actions: &mut Vec<Action>) {
    match world.claim {
        Some(claim) if claim.expired => actions.push(Action::Reap),
        Some(_) => actions.push(Action::LeaseEnds),
        None => {
            actions.extend([Action::Mend, Action::SweepCancelled, Action::SweepLate, Action::SweepUnseen]);
        }
    }
}

/// What passes.
pub fn of_time(world: &World, actions: &mut Vec<Action>) {
    if world.row.quarantine == Quarantine::Running {
        actions.push(Action::QuarantineEnds);
    }
    if world.row.absent == Absent::Once {
        actions.push(Action::SettlePasses);
    }
    if world.row.state == State::Unknown || world.row.committed() {
        actions.push(Action::LimitPasses);
    }
    if world.waits_for_late() {
        actions.push(Action::LateLimitPasses);
    }
    if world.phase == Phase::Early || world.people.schedule {
        actions.extend([Phase::Due, Phase::Late].map(Action::Time));
    }
}

/// What people may do.
pub fn of_people(world: &World, actions: &mut Vec<Action>) {
    let People { cancel, edit, freeze, staff, schedule: _ } = world.people;
    let may = [
        (cancel, Action::Cancel),
        (edit, Action::Edit),
        (freeze, Action::Freeze),
        (staff, Action::StaffDecide),
        (staff, Action::Retry),
    ];
    actions.extend(may.into_iter().filter_map(|(may, action)| may.then_some(action)));
}

impl Action {
    /// Whether it spends a fault, whatever else it does.
    pub fn needs_fault(self) -> bool {
        match self {
            Self::Claim(_, heard) | Self::Write(_, heard) | Self::Settle(_, heard) => !heard,
            Self::Land(_, landing, twice) => landing.fault || twice,
            Self::Make(_, making) => making == Making::Failed,
            Self::TakeBack(_, taking) => matches!(taking, Taking::TakesUnheard | Taking::Fails),
            Self::Read(_, look) | Self::Ask(_, look) => matches!(look, Look::Lies | Look::Fails),
            Self::Becomes(_, stands) => matches!(stands, Stands::Dead(_)),
            Self::ArmLate(_)
            | Self::NotSent(_)
            | Self::Timeout(_)
            | Self::Interrupt(..)
            | Self::Crash(_)
            | Self::LeaseEnds
            | Self::Forget(_) => true,
            Self::Send(_)
            | Self::Fetch(_)
            | Self::Drop(_)
            | Self::Reap
            | Self::Mend
            | Self::Stray(_)
            | Self::SweepCancelled
            | Self::SweepLate
            | Self::SweepUnseen
            | Self::Doubt(_)
            | Self::Open(_)
            | Self::CarryOut(_)
            | Self::QuarantineEnds
            | Self::SettlePasses
            | Self::LimitPasses
            | Self::LateLimitPasses
            | Self::Time(_)
            | Self::Cancel
            | Self::Edit
            | Self::Freeze
            | Self::StaffDecide
            | Self::Retry => false,
        }
    }
}
