//! What holds in every state, and what is reached, lest the model say nothing.

use stateright::Property;

use super::{
    network::{SLIDES, Stands},
    world::{CallRow, Family, Rule, Ruled, Setting, Worker, World},
};
use crate::machine::State;

/// S1.
pub const ONE_EFFECT: &str = "S1 at most one public effect";
/// S4.
pub const NO_DENIAL: &str = "S4 what is called cancelled, failed or too late never becomes public";
/// I1.
pub const ONE_OPEN_CALL: &str = "I1 at most one open, doubtful or effective commit call";
/// I2.
pub const EARLIER_PROVED: &str = "I2 a commit call follows only calls proved to have failed";
/// I3.
pub const LOGGED: &str = "I3 every commit request was logged before";
/// I4.
pub const ABSORBING: &str = "I4 published is absorbing";
/// I5.
pub const CLAIMED: &str = "I5 no authority write without its claim";
/// I6.
pub const HEARD: &str = "I6 evidence is taken from anyone";
/// I6.
pub const IDEMPOTENT: &str = "I6 evidence told twice is evidence told once";
/// I7.
pub const QUARANTINED: &str = "I7 absence is ruled only after the quarantine";
/// I7.
pub const READ_TWICE: &str = "I7 absence is ruled on two reads of this commit, apart";
/// I8.
pub const HANDLES_DEAD: &str = "I8 a second handle is armed only when the first can have no effect";
/// I9.
pub const UNFROZEN: &str = "I9 nothing is armed for a frozen account";
/// I10.
pub const NEXT_LOOK: &str = "I10 what is unknown has a next look";
/// I10.
pub const HAS_JOB: &str = "I10 what needs a job has one";
/// I11.
pub const CURRENT: &str = "I11 what becomes public is the current version";
/// I8, of what is made of parts.
pub const WHOLE: &str = "I8 slides are put together when all are ready, and none is committed";
/// I11.
pub const KEPT: &str = "I11 what was promised cancelled does not become public";

/// The properties of this setting. What is reached takes more than one fault, or a person.
pub fn of(set: &Setting) -> Vec<Property<Setting>> {
    let mut all = always();
    all.push(Property::sometimes("published is reached", |_, world: &World| {
        world.settled_as(State::Published)
    }));
    if set.people.cancel || set.people.freeze {
        all.push(Property::sometimes("cancelled is reached", |_, world: &World| {
            world.settled_as(State::Cancelled)
        }));
    }
    if set.faults > 1 {
        all.extend(reached());
    }
    match set.family {
        Family::Album => all.extend(put_together()),
        Family::Pull => all.extend(fenced()),
        Family::SingleUse | Family::Upload | Family::OneShot => {}
    }
    if set.faults > 1 && matches!(set.family, Family::SingleUse | Family::Upload) {
        all.extend(proved());
    }
    all
}

fn always() -> Vec<Property<Setting>> {
    vec![
        Property::always(ONE_EFFECT, |_, world: &World| world.effects <= 1),
        Property::always(NO_DENIAL, |_, world: &World| !world.denies_what_is_live()),
        Property::always(ONE_OPEN_CALL, |_, world: &World| {
            world.calls.iter().filter(|call| call.blocks()).count() <= 1
        }),
        Property::always(EARLIER_PROVED, |_, world: &World| {
            let earlier = world.calls.len().saturating_sub(1);
            world.calls[..earlier].iter().all(|call| !call.blocks())
        }),
        Property::always(ABSORBING, |_, world: &World| {
            !world.past.published || world.row.state == State::Published
        }),
        Property::always(NEXT_LOOK, |_, world: &World| {
            world.row.state != State::Unknown || world.row.looked_at
        }),
        Property::always(HAS_JOB, |_, world: &World| {
            !State::WITH_JOB.contains(&world.row.state) || world.job.is_some()
        }),
        Property::always(HANDLES_DEAD, |set: &Setting, world: &World| world.only_last_handle_lives(set)),
        Property::always(LOGGED, |_, world: &World| world.past.keeps(Rule::Logged)),
        Property::always(CLAIMED, |_, world: &World| world.past.keeps(Rule::Claimed)),
        Property::always(HEARD, |_, world: &World| world.past.keeps(Rule::Heard)),
        Property::always(IDEMPOTENT, |_, world: &World| world.past.keeps(Rule::Idempotent)),
        Property::always(QUARANTINED, |_, world: &World| world.past.keeps(Rule::Quarantined)),
        Property::always(READ_TWICE, |_, world: &World| world.past.keeps(Rule::ReadTwice)),
        Property::always(UNFROZEN, |_, world: &World| world.past.keeps(Rule::Unfrozen)),
        Property::always(CURRENT, |_, world: &World| world.past.keeps(Rule::Current)),
        Property::always(KEPT, |_, world: &World| world.past.keeps(Rule::Kept)),
        Property::always(WHOLE, |_, world: &World| world.past.keeps(Rule::Whole)),
    ]
}

/// What is reached with slides.
fn put_together() -> Vec<Property<Setting>> {
    vec![
        Property::sometimes("slides wait until they are ready", |_, world: &World| {
            world.row.state == State::Waiting && world.row.parts
        }),
        Property::sometimes("slides of an earlier call are put together", |_, world: &World| {
            world.job.is_some_and(|job| job.crashes > 0)
                && world.settled_or_armed()
                && world.slides_made() == SLIDES
        }),
        Property::sometimes("a slide that is dead is made anew", |_, world: &World| {
            world.row.state == State::Published && world.slides_made() > SLIDES
        }),
    ]
}

/// What is reached where the network fetches by itself.
fn fenced() -> Vec<Property<Setting>> {
    vec![
        Property::sometimes("the network comes for files whose addresses are closed", |_, world: &World| {
            world.past.fetched_too_late && world.row.state == State::Published
        }),
        Property::sometimes("what was never fetched gets other addresses", |_, world: &World| {
            world.calls.windows(2).any(|pair| pair[0].handle != pair[1].handle && pair[0].revoked)
        }),
    ]
}

/// What is reached with two faults.
fn reached() -> Vec<Property<Setting>> {
    vec![
        Property::sometimes("held is reached", |_, world: &World| world.settled_as(State::Held)),
        Property::sometimes("failed is reached", |_, world: &World| world.settled_as(State::Failed)),
        Property::sometimes("published after a crash is reached", |_, world: &World| {
            world.row.state == State::Published && world.job.is_some_and(|job| job.crashes > 0)
        }),
        Property::sometimes("two workers are at work, one of them fenced off", |_, world: &World| {
            world.claim.is_some_and(|claim| claim.by.is_some())
                && world.workers.iter().all(|worker| matches!(worker, Worker::At(..)))
        }),
        Property::sometimes("a request lands after its quarantine", |_, world: &World| {
            world.past.landed_late
        }),
    ]
}

/// What is reached where the network proves absence.
fn proved() -> Vec<Property<Setting>> {
    vec![
        Property::sometimes("one handle is committed again after proof of absence", |_, world: &World| {
            let again = |pair: &[CallRow]| pair[0].handle == pair[1].handle;
            let judged = |pair: &[CallRow]| pair[0].verdict == Some(Ruled::ResolvedNo);
            world.calls.windows(2).any(|pair| again(pair) && judged(pair))
        }),
        Property::sometimes("a dead handle is replaced", |_, world: &World| {
            world.calls.windows(2).any(|pair| pair[0].handle != pair[1].handle)
        }),
    ]
}

impl World {
    /// Given up, and live, although no read has lied; where a person has said so, it is that person's word.
    fn denies_what_is_live(&self) -> bool {
        let too_late = self.row.state == State::Held && self.past.too_late;
        let given_up = matches!(self.row.state, State::Failed | State::Cancelled) || too_late;
        given_up && self.effects > 0 && !self.past.lied && !self.past.decided
    }

    /// The last call's handle is the only one that may still become public: of every other one, the network has
    /// said that it is dead, or a definite no to each commit of it. Where a person's word stands for the network's
    /// (R1), the old handle may live.
    fn only_last_handle_lives(&self, set: &Setting) -> bool {
        let Some(last) = self.calls.last().filter(|_| set.family != Family::OneShot) else { return true };
        let dead = |handle: u8| {
            let fenced = set.family == Family::Pull && self.never_fetched(handle);
            fenced || matches!(self.things[usize::from(handle)].stands, Stands::Dead(_))
        };
        let proved =
            |call: &CallRow| call.handle == last.handle || call.refused() || call.handle.is_some_and(dead);
        self.calls.iter().all(proved)
    }

    fn settled_as(&self, state: State) -> bool {
        self.row.state == state && self.claim.is_none() && self.job.is_none()
    }

    fn settled_or_armed(&self) -> bool {
        matches!(self.row.state, State::Published | State::Armed)
    }

    /// Terminal, or a person's.
    pub fn settled(&self) -> bool {
        matches!(self.row.state, State::Published | State::Failed | State::Cancelled | State::Held)
    }
}
