//! The deletion of a person's data, checked in every order of everything that may happen: a publication that is being
//! armed, two workers, a network that can be away, a clock that ends the day, and a person who connects the account anew.
//!
//! What is decided here is decided by [`next`] and the stages of [`Turn`], as in production. A *fault* is a crash, a lease
//! that ends while its worker lives on, a lost answer, a refusal, or a row that comes late. A connection that is made in
//! the very moment between a logged revocation and its arrival is not told from the old one by any network; it is left out.

use chrono::{DateTime, TimeDelta};
use stateright::{Model, Property};

use crate::{
    erasure::{Stage, Standing, Step, Turn, next},
    model::check::{broken_in, holds},
};

/// What may be planted, to show that it would be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Flaw {
    /// Whether the account is frozen is looked at before arming, and not in the statement that arms.
    FreezeLookedAt,
    /// What is on the wire is not waited for.
    WireIgnored,
    /// The tokens go before the networks have answered.
    ShredAtOnce,
    /// Rows are removed by the network's name of the account instead of our own id.
    PurgeByName,
    /// What was found left is passed over.
    LeftPassedOver,
    /// The letter is not unique.
    TellTwice,
    /// Only the stage is a fence, and not the claim: two workers are in one stage.
    Unfenced,
}

#[derive(Debug, Clone)]
struct Deleting {
    faults: u8,
    people: u8,
    flaw: Option<Flaw>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Post {
    Scheduled,
    Looked,
    Armed,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Plan {
    Ask,
    Shred,
    Purge,
    Verify,
    Certify,
    Tell,
    Forget,
    Turn(Turn),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Idle,
    Decided(Plan),
    /// The request is logged, and may arrive.
    Asked,
    Heard(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Worker {
    epoch: u8,
    at: At,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    post: Post,
    wire: bool,
    frozen: bool,
    stage: Stage,
    day_over: bool,
    token: bool,
    answered: bool,
    marked: bool,
    rows: u8,
    receipts: u8,
    letters: u8,
    /// The person has connected the account anew.
    newer: bool,
    claim: Option<usize>,
    epoch: u8,
    workers: [Worker; 2],
    armed_late: bool,
    revoked_early: bool,
    shredded_early: bool,
    newer_hurt: bool,
    lied: bool,
    faults: u8,
    people: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    LookAtFreeze,
    Arm,
    Carry,
    Resolve,
    Accept,
    Claim(usize),
    Look(usize),
    Act(usize),
    Answer(usize),
    Refuse(usize),
    Lose(usize),
    Record(usize),
    Crash(usize),
    Expire,
    DayEnds,
    Connect,
    Straggle,
}

const NONE_ARMED: &str = "nothing is armed after the freeze was acknowledged";
const NO_EARLY_REVOKE: &str = "no grant is taken back while something is on the wire, unless the day is over";
const NO_EARLY_SHRED: &str = "no token is destroyed before its grant is answered for, unless the day is over";
const NEWER_STANDS: &str = "what a person connected anew is never touched";
const NO_LIE: &str = "no receipt while anything is left";
const ONCE: &str = "one receipt and one letter";

const EPOCH: DateTime<chrono::Utc> = DateTime::UNIX_EPOCH;

impl Deleting {
    fn new(faults: u8, people: u8) -> Self {
        Self { faults, people, flaw: None }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn holds_claim(&self, world: &World, w: usize) -> bool {
        self.has(Flaw::Unfenced) || (world.claim == Some(w) && world.workers[w].epoch == world.epoch)
    }

    fn standing(&self, world: &World) -> Standing {
        let on_wire = world.post == Post::Armed && !self.has(Flaw::WireIgnored);
        Standing {
            stage: world.stage,
            wire_until: on_wire.then_some(EPOCH),
            open: false,
            unseen_at: None,
            ask_at: (!world.answered).then_some(EPOCH),
            drain_by: EPOCH,
            shred_by: if world.day_over || self.has(Flaw::ShredAtOnce) {
                EPOCH
            } else {
                EPOCH + TimeDelta::days(1)
            },
        }
    }

    fn look(&self, world: &mut World, w: usize) {
        let plan = match next(&self.standing(world), EPOCH) {
            Step::End | Step::WaitUntil(_) | Step::TakeBack => {
                world.claim = None;
                return;
            }
            Step::Ask => Plan::Ask,
            Step::Shred => Plan::Shred,
            Step::Purge => Plan::Purge,
            Step::Verify => Plan::Verify,
            Step::Tell => Plan::Tell,
            Step::Forget => Plan::Forget,
            Step::Turn(turn) => Plan::Turn(turn),
        };
        world.workers[w].at = At::Decided(plan);
    }

    /// What a step writes, where its claim holds; and what comes next without another look.
    fn act(&self, world: &mut World, w: usize, plan: Plan) {
        world.workers[w].at = At::Idle;
        if !self.holds_claim(world, w) {
            return;
        }
        let then = |turn: Turn| At::Decided(Plan::Turn(turn));
        world.workers[w].at = match plan {
            Plan::Ask => self.ask(world),
            Plan::Shred => {
                world.shredded_early |= world.token && !world.answered && !world.day_over;
                world.token = false;
                then(Turn::Shredded)
            }
            Plan::Purge => match (world.marked, world.rows) {
                (false, _) => {
                    world.marked = true;
                    At::Idle
                }
                (true, 0) => then(Turn::Purged),
                (true, _) => {
                    world.rows -= 1;
                    world.newer_hurt |= world.newer && self.has(Flaw::PurgeByName);
                    At::Idle
                }
            },
            Plan::Verify if world.rows > 0 && !self.has(Flaw::LeftPassedOver) => then(Turn::Found),
            Plan::Verify => At::Decided(Plan::Certify),
            Plan::Certify => {
                if world.stage == Turn::Clean.from() || self.has(Flaw::Unfenced) {
                    world.receipts += 1;
                    world.lied |= world.rows > 0 || world.token;
                    world.stage = Turn::Clean.to();
                }
                At::Idle
            }
            Plan::Tell => {
                world.letters = if self.has(Flaw::TellTwice) { world.letters + 1 } else { 1 };
                then(Turn::Told)
            }
            Plan::Forget => then(Turn::Forgot),
            Plan::Turn(turn) => {
                if world.stage == turn.from() {
                    world.stage = turn.to();
                    world.marked &= turn != Turn::Found;
                }
                At::Idle
            }
        };
    }

    /// Logs the request, if nothing is on the wire and nobody else needs the grant.
    fn ask(&self, world: &mut World) -> At {
        if world.newer {
            world.answered = true;
            return At::Idle;
        }
        if world.post == Post::Armed && !self.has(Flaw::WireIgnored) {
            return At::Idle;
        }
        world.revoked_early |= world.wire && !world.day_over;
        At::Asked
    }
}

impl Model for Deleting {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            post: Post::Scheduled,
            wire: false,
            frozen: false,
            stage: Stage::Draining,
            day_over: false,
            token: true,
            answered: false,
            marked: false,
            rows: 2,
            receipts: 0,
            letters: 0,
            newer: false,
            claim: None,
            epoch: 0,
            workers: [Worker { epoch: 0, at: At::Idle }; 2],
            armed_late: false,
            revoked_early: false,
            shredded_early: false,
            newer_hurt: false,
            lied: false,
            faults: self.faults,
            people: self.people,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let faulty = world.faults > 0;
        match world.post {
            Post::Scheduled if self.has(Flaw::FreezeLookedAt) && !world.frozen => {
                actions.push(Action::LookAtFreeze);
            }
            Post::Scheduled if !world.frozen => actions.push(Action::Arm),
            Post::Looked => actions.push(Action::Arm),
            Post::Armed if !world.wire => actions.push(Action::Resolve),
            Post::Scheduled | Post::Armed | Post::Ended => {}
        }
        if world.wire {
            actions.push(Action::Carry);
        }
        if !world.frozen {
            actions.push(Action::Accept);
            return;
        }
        for (w, worker) in world.workers.iter().enumerate() {
            match worker.at {
                At::Idle if world.claim.is_none() && world.stage != Stage::Done => {
                    actions.push(Action::Claim(w));
                }
                At::Idle if world.claim == Some(w) && worker.epoch == world.epoch => {
                    actions.push(Action::Look(w));
                }
                At::Idle => {}
                At::Decided(_) => actions.push(Action::Act(w)),
                At::Asked => {
                    actions.push(Action::Answer(w));
                    if faulty {
                        actions.extend([Action::Refuse(w), Action::Lose(w)]);
                    }
                }
                At::Heard(_) => actions.push(Action::Record(w)),
            }
            if faulty && worker.at != At::Idle {
                actions.push(Action::Crash(w));
            }
        }
        if let Some(w) = world.claim
            && (faulty || world.workers[w].epoch != world.epoch)
        {
            actions.push(Action::Expire);
        }
        if !world.day_over {
            actions.push(Action::DayEnds);
        }
        let asked = world.workers.iter().any(|worker| worker.at == At::Asked);
        if world.people > 0 && !asked {
            actions.push(Action::Connect);
        }
        if faulty && world.stage == Stage::Purging && world.marked {
            actions.push(Action::Straggle);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::LookAtFreeze => world.post = Post::Looked,
            Action::Arm => {
                world.armed_late |= world.frozen;
                (world.post, world.wire) = (Post::Armed, true);
            }
            Action::Carry => world.wire = false,
            Action::Resolve => world.post = Post::Ended,
            Action::Accept => {
                world.frozen = true;
                if world.post == Post::Scheduled {
                    world.post = Post::Ended;
                }
            }
            Action::Claim(w) => {
                world.claim = Some(w);
                world.workers[w].epoch = world.epoch;
            }
            Action::Look(w) => self.look(&mut world, w),
            Action::Act(w) => {
                let At::Decided(plan) = world.workers[w].at else { return None };
                self.act(&mut world, w, plan);
            }
            Action::Answer(w) => world.workers[w].at = At::Heard(true),
            Action::Refuse(w) | Action::Lose(w) => {
                world.faults -= 1;
                world.workers[w].at = At::Heard(false);
            }
            Action::Record(w) => {
                let At::Heard(yes) = world.workers[w].at else { return None };
                world.workers[w].at = At::Idle;
                if self.holds_claim(&world, w) {
                    world.answered |= yes;
                }
            }
            Action::Crash(w) => {
                world.faults -= 1;
                world.workers[w] = Worker { epoch: u8::MAX, at: At::Idle };
            }
            Action::Expire => {
                let w = world.claim?;
                if world.workers[w].epoch == world.epoch {
                    world.faults -= 1;
                }
                world.claim = None;
                world.epoch += 1;
            }
            Action::DayEnds => world.day_over = true,
            Action::Connect => {
                world.people -= 1;
                world.newer = true;
            }
            Action::Straggle => {
                world.faults -= 1;
                world.rows = (world.rows + 1).min(2);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NONE_ARMED, |_, world: &World| !world.armed_late),
            Property::always(NO_EARLY_REVOKE, |_, world: &World| !world.revoked_early),
            Property::always(NO_EARLY_SHRED, |_, world: &World| !world.shredded_early),
            Property::always(NEWER_STANDS, |_, world: &World| !world.newer_hurt),
            Property::always(NO_LIE, |_, world: &World| !world.lied),
            Property::always(ONCE, |_, world: &World| world.receipts <= 1 && world.letters <= 1),
            Property::always("done is done", |_, world: &World| {
                world.stage != Stage::Done || (!world.token && world.receipts == 1 && world.letters == 1)
            }),
            Property::sometimes("it is done", |_, world: &World| world.stage == Stage::Done),
            Property::sometimes("a post that was armed before is waited for", |_, world: &World| {
                world.frozen && world.post == Post::Armed
            }),
            Property::sometimes("the day ends first", |_, world: &World| {
                world.stage == Stage::Done && !world.answered
            }),
        ]
    }
}

#[test]
fn a_deletion_ends_once_with_nothing_left_whatever_happens() {
    holds("deletion", Deleting::new(2, 0));
    holds("deletion, connected anew", Deleting::new(2, 1));
}

#[test]
fn a_fault_planted_in_the_deletion_is_found() {
    for (flaw, people, rule) in [
        (Flaw::FreezeLookedAt, 0, NONE_ARMED),
        (Flaw::WireIgnored, 0, NO_EARLY_REVOKE),
        (Flaw::ShredAtOnce, 0, NO_EARLY_SHRED),
        (Flaw::PurgeByName, 1, NEWER_STANDS),
        (Flaw::LeftPassedOver, 0, NO_LIE),
        (Flaw::TellTwice, 0, ONCE),
        (Flaw::Unfenced, 0, ONCE),
    ] {
        let found = broken_in(&Deleting { flaw: Some(flaw), ..Deleting::new(2, people) }, rule);
        println!("planted {flaw:?}: {rule}: broken in {found:?} steps");
        assert!(found.is_some(), "{flaw:?} was not found");
    }
}
