//! The refresh of a token that rotates, checked in every order of everything that may happen: two workers, a ledger,
//! an owner who connects the account anew, and a network that punishes reuse by ending the whole grant.
//!
//! What is decided here is decided by [`next`](crate::tokens::next), [`after`](crate::tokens::after) and the phases of [`Turn`], as in production.
//! A *fault* is a crash, a lease that ends while its worker lives on, a lost answer, a 500, or a save whose answer is
//! lost. Nothing is said about clocks: a worker that lost its lease may wake at any time. But a lease outlasts the call
//! that was begun under it, and a call that was given up on is not carried out any more.

mod world;

use stateright::{Model, Property};

use self::world::{At, Call, Flaw, Plan, Tokens, Wire, Worker, World};
use crate::{
    model::check::{broken_in, holds},
    tokens::{Phase, Said, Turn},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Claim(usize),
    Look(usize),
    Act(usize),
    /// What is logged is sent.
    Send(usize),
    /// The network carries a call out.
    Carry(u8),
    /// The worker gets its answer.
    Hear(usize),
    /// It gets none: the call is lost, or its answer.
    Lose(usize),
    /// The call is refused before anything is done.
    Refuse(u8),
    Write(usize),
    /// The write stands, and its answer is lost: it is written again.
    WriteTwice(usize),
    Crash(usize),
    /// The lease ends; its worker goes on, or is dead already.
    Expire,
    Connect,
}

const NO_BLIND_REUSE: &str = "no token is used twice unless the first call is in doubt";
const NOT_LOST_FOR_NOTHING: &str = "without a fault no account is lost";
const DEAD_WHEN_GIVEN_UP: &str = "an account that is given up has a dead token";
const PERSON_STANDS: &str = "what a person connected is not overwritten";
const NOT_ENDED_BY_US: &str = "we never end a grant ourselves";
const ONE_OPEN: &str = "one call is open at a time";
const WON_IS_KEPT: &str = "a pair that came is kept, whoever holds the claim";

impl Model for Tokens {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let worker = Worker { epoch: 0, generation: 0, at: At::Idle };
        vec![World {
            generation: 0,
            phase: Phase::Idle,
            current: None,
            stored: 0,
            reconnect: false,
            calls: Vec::new(),
            claim: None,
            epoch: 0,
            workers: [worker; 2],
            taken: Some(0),
            tokens: 0,
            grant_from: 0,
            reused_blindly: false,
            ended: false,
            saved_late: false,
            overwrote: false,
            wasted: false,
            renewed: 0,
            faults: self.faults,
            people: self.people,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let faulty = world.faults > 0;
        for (w, worker) in world.workers.iter().enumerate() {
            match worker.at {
                At::Idle if world.claim.is_none() => actions.push(Action::Claim(w)),
                At::Idle if Self::holds_claim(world, w) => actions.push(Action::Look(w)),
                At::Idle => {}
                At::Decided(_) => actions.push(Action::Act(w)),
                At::Logged(_) => actions.push(Action::Send(w)),
                At::Sent(call) => match world.calls[usize::from(call)].wire {
                    Wire::Answered(..) => actions.push(Action::Hear(w)),
                    Wire::Logged | Wire::OnWay | Wire::Gone => {}
                },
                At::Heard(..) => {
                    actions.push(Action::Write(w));
                    if faulty {
                        actions.push(Action::WriteTwice(w));
                    }
                }
            }
            if faulty && worker.at != At::Idle {
                actions.push(Action::Crash(w));
            }
            if faulty && matches!(worker.at, At::Sent(_)) {
                actions.push(Action::Lose(w));
            }
        }
        for (n, call) in world.calls.iter().enumerate() {
            let n = u8::try_from(n).expect("a few");
            if call.wire == Wire::OnWay {
                actions.push(Action::Carry(n));
                if faulty {
                    actions.push(Action::Refuse(n));
                }
            }
        }
        // a worker that died holds its claim until its lease ends; that of a living one ends by a fault. It was good for as
        // long as a call may take when that was logged, and what is sent is sent at once
        let on_way = world.calls.iter().any(|call| call.wire == Wire::OnWay);
        if let Some(w) = world.claim
            && !on_way
            && (faulty || !Self::holds_claim(world, w))
        {
            actions.push(Action::Expire);
        }
        if world.people > 0 {
            actions.push(Action::Connect);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Claim(w) => {
                world.claim = Some(w);
                world.workers[w].epoch = world.epoch;
            }
            Action::Look(w) => {
                Self::look(&mut world, w);
            }
            Action::Act(w) => {
                let At::Decided(step) = world.workers[w].at else { return None };
                self.act(&mut world, w, step);
                if let (Plan::Send(Turn::Begin | Turn::Try), At::Logged(id)) = (step, world.workers[w].at) {
                    let token = world.calls[usize::from(id)].token;
                    let blind = |it: &Call| match it.judged {
                        None | Some(Said::Yes | Said::Dead) => true,
                        Some(Said::No) => !it.refused,
                        Some(Said::Unknown) => false,
                    };
                    let earlier = &world.calls[..usize::from(id)];
                    world.reused_blindly |= earlier.iter().any(|it| it.token == token && blind(it));
                }
            }
            Action::Send(w) => {
                let At::Logged(id) = world.workers[w].at else { return None };
                self.send(&mut world, w, id);
            }
            Action::Carry(id) => Self::carry(&mut world, id),
            Action::Refuse(id) => {
                world.faults -= 1;
                let call = &mut world.calls[usize::from(id)];
                (call.wire, call.refused) = (Wire::Answered(Said::No, 0), true);
            }
            Action::Hear(w) => {
                let At::Sent(id) = world.workers[w].at else { return None };
                let Wire::Answered(said, pair) = world.calls[usize::from(id)].wire else { return None };
                world.calls[usize::from(id)].wire = Wire::Gone;
                world.workers[w].at = At::Heard(id, said, pair);
            }
            Action::Lose(w) => {
                let At::Sent(id) = world.workers[w].at else { return None };
                world.faults -= 1;
                // its time limit is as long as a network may take: nothing is carried out after it
                world.calls[usize::from(id)].wire = Wire::Gone;
                let said = if self.has(Flaw::LostIsNo) { Said::No } else { Said::Unknown };
                world.workers[w].at = At::Heard(id, said, 0);
            }
            Action::Write(w) | Action::WriteTwice(w) => {
                let At::Heard(call, said, pair) = world.workers[w].at else { return None };
                self.write(&mut world, w, (call, said, pair));
                if matches!(action, Action::WriteTwice(_)) {
                    world.faults -= 1;
                    world.workers[w].at = At::Heard(call, said, pair);
                }
            }
            Action::Crash(w) => {
                world.faults -= 1;
                world.workers[w].at = At::Idle;
                // what it had begun is gone with it; its claim stands until its lease ends
                world.workers[w].epoch = u8::MAX;
            }
            Action::Expire => {
                let w = world.claim?;
                if Self::holds_claim(&world, w) {
                    world.faults -= 1;
                }
                world.claim = None;
                world.epoch += 1;
            }
            Action::Connect => {
                world.people -= 1;
                world.tokens += 1;
                world.grant_from = world.tokens;
                (world.stored, world.taken) = (world.tokens, Some(world.tokens));
                world.generation += 1;
                (world.phase, world.current, world.reconnect) = (Phase::Idle, None, false);
                world.saved_late = false;
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_BLIND_REUSE, |_, world: &World| !world.reused_blindly),
            Property::always(NOT_LOST_FOR_NOTHING, |model: &Self, world: &World| {
                !world.reconnect || world.faults < model.faults
            }),
            Property::always(DEAD_WHEN_GIVEN_UP, |_, world: &World| {
                !world.reconnect || world.taken != Some(world.stored)
            }),
            Property::always(PERSON_STANDS, |_, world: &World| !world.overwrote),
            Property::always(NOT_ENDED_BY_US, |_, world: &World| !world.ended),
            Property::always(ONE_OPEN, |_, world: &World| {
                let open = |call: &&Call| call.judged.is_none() && call.generation == world.generation;
                world.calls.iter().filter(open).count() <= 1
            }),
            Property::always(WON_IS_KEPT, |_, world: &World| !world.wasted),
            Property::sometimes("a pair is renewed twice", |_, world: &World| world.renewed == 2),
            Property::sometimes("an account is given up", |_, world: &World| world.reconnect),
            Property::sometimes("a late answer wins", |_, world: &World| {
                world.renewed > 0 && world.calls.iter().any(|call| call.judged == Some(Said::Unknown))
            }),
        ]
    }
}

#[test]
fn a_token_that_rotates_is_used_once_whatever_happens() {
    holds("token refresh", Tokens::new(2, 0));
    holds("token refresh, connected anew", Tokens::new(2, 1));
}

#[test]
fn a_fault_planted_in_the_refresh_is_found() {
    for (flaw, people, rule) in [
        (Flaw::ManyFlights, 0, NO_BLIND_REUSE),
        (Flaw::LostIsNo, 0, NO_BLIND_REUSE),
        (Flaw::SaveUnguarded, 1, PERSON_STANDS),
        (Flaw::GiveUpUnguarded, 1, DEAD_WHEN_GIVEN_UP),
        (Flaw::EvidenceFenced, 0, WON_IS_KEPT),
        (Flaw::GivenUpIsOver, 0, WON_IS_KEPT),
        (Flaw::SentLate, 0, NOT_ENDED_BY_US),
    ] {
        let found = broken_in(&Tokens { flaw: Some(flaw), ..Tokens::new(2, people) }, rule);
        println!("planted {flaw:?}: {rule}: broken in {found:?} steps");
        assert!(found.is_some(), "{flaw:?} was not found");
    }
}
