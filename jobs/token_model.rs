//! The refresh of a token that rotates, checked in every order of everything that may happen: two workers, a ledger,
//! an owner who connects the account anew, and a network that punishes reuse by ending the whole grant.
//!
//! What is decided here is decided by [`tokens::next`], [`tokens::after`] and the phases of [`Turn`], as in production.
//! A *fault* is a crash, a lease that ends while its worker lives on, a lost answer, a 500, or a save whose answer is
//! lost. Nothing is said about clocks: a worker that lost its lease may wake at any time.

use chrono::DateTime;
use stateright::{Model, Property};

use crate::{
    model::check::{broken_in, holds},
    preflight::AccountState,
    tokens::{self, Phase, Said, Standing, Step, Turn, Wish},
};

/// What may be planted, to show that it would be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Flaw {
    /// A refresh begins although another is under way.
    ManyFlights,
    /// A lost answer counts as a no.
    LostIsNo,
    /// A pair is saved over whatever generation stands there.
    SaveUnguarded,
    /// The account is given up although its generation has grown.
    GiveUpUnguarded,
    /// Only the holder of the claim may save.
    EvidenceFenced,
}

#[derive(Debug, Clone)]
struct Tokens {
    faults: u8,
    people: u8,
    flaw: Option<Flaw>,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wire {
    Logged,
    OnWay,
    Answered(Said, u8),
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Call {
    wire: Wire,
    token: u8,
    generation: u8,
    judged: Option<Said>,
}

/// Where a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Idle,
    /// It has looked and is about to do this.
    Decided(Step2),
    /// It waits for the answer to this call.
    Sent(u8),
    /// It has the answer, and what it brought.
    Heard(u8, Said, u8),
}

/// A step as something that can be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step2 {
    Doubt,
    Send(Turn),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Worker {
    epoch: u8,
    generation: u8,
    at: At,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    generation: u8,
    phase: Phase,
    current: Option<u8>,
    stored: u8,
    reconnect: bool,
    calls: Vec<Call>,
    /// The worker that holds the job, and the epoch.
    claim: Option<usize>,
    epoch: u8,
    workers: [Worker; 2],
    /// The token the network takes; none: the grant has ended.
    taken: Option<u8>,
    tokens: u8,
    /// A token of this grant or an older one.
    grant_from: u8,
    /// Presented twice, the earlier call being neither judged nor in doubt.
    reused_blindly: bool,
    /// A save that a person's new grant was lost by.
    overwrote: bool,
    /// A pair that the account still waited for was not taken.
    wasted: bool,
    renewed: u8,
    faults: u8,
    people: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Claim(usize),
    Look(usize),
    Act(usize),
    /// The network carries a call out.
    Carry(u8),
    /// The worker gets its answer.
    Hear(usize),
    /// It gets none, though the call may still be carried out.
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
const ONE_OPEN: &str = "one call is open at a time";
const WON_IS_KEPT: &str = "a pair that came is kept, whoever holds the claim";

impl Tokens {
    fn new(faults: u8, people: u8) -> Self {
        Self { faults, people, flaw: None }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn holds_claim(world: &World, w: usize) -> bool {
        world.claim == Some(w) && world.workers[w].epoch == world.epoch
    }

    fn standing(world: &World) -> Standing {
        let open = world.current.is_some_and(|call| world.calls[usize::from(call)].judged.is_none());
        Standing {
            state: if world.reconnect { AccountState::Reconnect } else { AccountState::Active },
            phase: world.phase,
            // no clocks: whoever is gone has had its time
            open_until: open.then_some(DateTime::UNIX_EPOCH),
            // one generation is renewed, and then another
            renew_from: (world.renewed < 2).then_some(DateTime::UNIX_EPOCH),
            renewable: true,
        }
    }

    fn look(world: &mut World, w: usize) -> bool {
        let step = tokens::next(&Self::standing(world), Wish::Routine, DateTime::UNIX_EPOCH);
        let worker = &mut world.workers[w];
        worker.generation = world.generation;
        match step {
            Step::Doubt => worker.at = At::Decided(Step2::Doubt),
            Step::Send(turn) => worker.at = At::Decided(Step2::Send(turn)),
            Step::End | Step::Examine | Step::WaitUntil(_) => world.claim = None,
        }
        true
    }

    /// The fenced writes before a call.
    fn act(&self, world: &mut World, w: usize, step: Step2) {
        let worker = world.workers[w];
        let fenced = Self::holds_claim(world, w);
        world.workers[w].at = At::Idle;
        match step {
            Step2::Doubt => {
                if fenced && worker.generation == world.generation {
                    self.judge(world, world.current, Said::Unknown);
                }
            }
            Step2::Send(turn) => {
                let alone = turn.from().contains(&world.phase) || self.has(Flaw::ManyFlights);
                let owned = fenced || self.has(Flaw::ManyFlights);
                if owned && alone && worker.generation == world.generation && !world.reconnect {
                    let id = u8::try_from(world.calls.len()).expect("a few");
                    world.phase = turn.to(world.phase);
                    world.current = Some(id);
                    let (token, generation) = (world.stored, world.generation);
                    world.calls.push(Call { wire: Wire::Logged, token, generation, judged: None });
                    world.workers[w].at = At::Sent(id);
                }
            }
        }
    }

    /// Closes a call and takes the turn that follows.
    fn judge(&self, world: &mut World, call: Option<u8>, said: Said) {
        let Some(call) = call else { return };
        let turn = tokens::after(said);
        world.calls[usize::from(call)].judged = Some(said);
        if turn.from().contains(&world.phase) && world.current == Some(call) {
            world.phase = turn.to(world.phase);
            if world.phase == Phase::Idle {
                world.current = None;
            }
        }
    }

    fn carry(world: &mut World, id: u8) {
        let call = world.calls[usize::from(id)];
        let answer = if world.taken == Some(call.token) {
            world.tokens += 1;
            world.taken = Some(world.tokens);
            (Said::Yes, world.tokens)
        } else {
            // a token of an older grant says nothing of this one
            if call.token >= world.grant_from {
                world.taken = None;
            }
            (Said::Dead, 0)
        };
        world.calls[usize::from(id)].wire = Wire::Answered(answer.0, answer.1);
    }

    /// What an answer leads to in the ledger; false where the write did not stand.
    fn write(&self, world: &mut World, w: usize, (call, said, pair): (u8, Said, u8)) {
        let worker = world.workers[w];
        let fenced = Self::holds_claim(world, w);
        let same = worker.generation == world.generation;
        match tokens::after(said) {
            Turn::Save => {
                let judged = world.calls[usize::from(call)].judged;
                let its = world.current == Some(call) || judged == Some(Said::Unknown);
                let guarded = same && its && Turn::Save.from().contains(&world.phase);
                let allowed = if self.has(Flaw::EvidenceFenced) { guarded && fenced } else { guarded };
                world.wasted |= guarded && !allowed;
                if allowed || self.has(Flaw::SaveUnguarded) {
                    world.overwrote |= !same && pair < world.grant_from;
                    world.calls[usize::from(call)].judged = Some(Said::Yes);
                    world.generation += 1;
                    world.stored = pair;
                    world.phase = Phase::Idle;
                    world.current = None;
                    world.renewed += 1;
                }
            }
            Turn::GiveUp => {
                if fenced && ((same && world.current == Some(call)) || self.has(Flaw::GiveUpUnguarded)) {
                    self.judge(world, Some(call), said);
                    world.reconnect = true;
                }
            }
            Turn::Spare | Turn::Doubt => {
                if fenced && same {
                    self.judge(world, Some(call), said);
                }
            }
            Turn::Begin | Turn::Try => {}
        }
        world.workers[w].at = At::Idle;
    }
}

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
            if matches!(call.wire, Wire::Logged | Wire::OnWay) {
                actions.push(Action::Carry(n));
                if faulty {
                    actions.push(Action::Refuse(n));
                }
            }
        }
        // a worker that died holds its claim until its lease ends; that of a living one ends by a fault
        if let Some(w) = world.claim
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
                if let (Step2::Send(Turn::Begin | Turn::Try), At::Sent(id)) = (step, world.workers[w].at) {
                    let token = world.calls[usize::from(id)].token;
                    world.reused_blindly |= world.calls[..usize::from(id)].iter().any(|earlier| {
                        earlier.token == token && !matches!(earlier.judged, Some(Said::No | Said::Unknown))
                    });
                }
            }
            Action::Carry(id) => Self::carry(&mut world, id),
            Action::Refuse(id) => {
                world.faults -= 1;
                world.calls[usize::from(id)].wire = Wire::Answered(Said::No, 0);
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
                if world.calls[usize::from(id)].wire == Wire::Logged {
                    world.calls[usize::from(id)].wire = Wire::OnWay;
                }
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
    ] {
        let found = broken_in(&Tokens { flaw: Some(flaw), ..Tokens::new(2, people) }, rule);
        println!("planted {flaw:?}: {rule}: broken in {found:?} steps");
        assert!(found.is_some(), "{flaw:?} was not found");
    }
}
