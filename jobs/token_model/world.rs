//! What the ledger and the network hold, and what each write makes of it.

use chrono::DateTime;

use crate::{
    preflight::AccountState,
    tokens::{self, Phase, Said, Standing, Step, Turn, Wish},
};

/// What may be planted, to show that it would be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
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
    /// A pair is not taken any more once the account was given up.
    GivenUpIsOver,
    /// Nobody looks whether its lease still holds before it sends what it has logged.
    SentLate,
}

#[derive(Debug, Clone)]
pub struct Tokens {
    pub faults: u8,
    pub people: u8,
    pub flaw: Option<Flaw>,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    Logged,
    OnWay,
    Answered(Said, u8),
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Call {
    pub wire: Wire,
    pub token: u8,
    pub generation: u8,
    pub judged: Option<Said>,
    /// The network has certainly done nothing.
    pub refused: bool,
}

/// Where a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    Idle,
    /// It has looked and is about to do this.
    Decided(Plan),
    /// Its call is logged and about to be sent.
    Logged(u8),
    /// It waits for the answer to this call.
    Sent(u8),
    /// It has the answer, and what it brought.
    Heard(u8, Said, u8),
}

/// A step as something that can be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plan {
    Doubt,
    Send(Turn),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    pub epoch: u8,
    pub generation: u8,
    pub at: At,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that happened")]
pub struct World {
    pub generation: u8,
    pub phase: Phase,
    pub current: Option<u8>,
    pub stored: u8,
    pub reconnect: bool,
    pub calls: Vec<Call>,
    /// The worker that holds the job, and the epoch.
    pub claim: Option<usize>,
    pub epoch: u8,
    pub workers: [Worker; 2],
    /// The token the network takes; none: the grant has ended.
    pub taken: Option<u8>,
    pub tokens: u8,
    /// The first token of this grant.
    pub grant_from: u8,
    /// Presented twice, the earlier call being neither judged nor in doubt.
    pub reused_blindly: bool,
    /// A token of ours that was spent has ended the grant of the one that is kept.
    pub ended: bool,
    /// What is kept was saved by somebody whose claim was gone: another may have been using the old one by then.
    pub saved_late: bool,
    /// A save that a person's new grant was lost by.
    pub overwrote: bool,
    /// A pair of the generation that stands was not taken.
    pub wasted: bool,
    pub renewed: u8,
    pub faults: u8,
    pub people: u8,
}

impl Tokens {
    pub fn new(faults: u8, people: u8) -> Self {
        Self { faults, people, flaw: None }
    }

    pub fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub fn holds_claim(world: &World, w: usize) -> bool {
        world.claim == Some(w) && world.workers[w].epoch == world.epoch
    }

    pub fn standing(world: &World) -> Standing {
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

    pub fn look(world: &mut World, w: usize) -> bool {
        let step = tokens::next(&Self::standing(world), Wish::Routine, DateTime::UNIX_EPOCH);
        let worker = &mut world.workers[w];
        worker.generation = world.generation;
        match step {
            Step::Doubt => worker.at = At::Decided(Plan::Doubt),
            Step::Send(turn) => worker.at = At::Decided(Plan::Send(turn)),
            Step::End | Step::Examine | Step::WaitUntil(_) => world.claim = None,
        }
        true
    }

    /// The fenced writes before a call.
    pub fn act(&self, world: &mut World, w: usize, step: Plan) {
        let worker = world.workers[w];
        let fenced = Self::holds_claim(world, w);
        world.workers[w].at = At::Idle;
        match step {
            Plan::Doubt => {
                if fenced && worker.generation == world.generation {
                    Self::judge(world, world.current, Said::Unknown);
                }
            }
            Plan::Send(turn) => {
                let alone = turn.from().contains(&world.phase) || self.has(Flaw::ManyFlights);
                let owned = fenced || self.has(Flaw::ManyFlights);
                if owned && alone && worker.generation == world.generation && !world.reconnect {
                    let id = u8::try_from(world.calls.len()).expect("a few");
                    world.phase = turn.to(world.phase);
                    world.current = Some(id);
                    let (token, generation) = (world.stored, world.generation);
                    world.calls.push(Call {
                        wire: Wire::Logged,
                        token,
                        generation,
                        judged: None,
                        refused: false,
                    });
                    world.workers[w].at = At::Logged(id);
                }
            }
        }
    }

    /// Sends what is logged, if the lease still holds. What is not sent is spared, which is fenced: where the claim is
    /// gone, whoever has it now sees an open call.
    pub fn send(&self, world: &mut World, w: usize, call: u8) {
        if Self::holds_claim(world, w) || self.has(Flaw::SentLate) {
            world.calls[usize::from(call)].wire = Wire::OnWay;
            world.workers[w].at = At::Sent(call);
        } else {
            world.calls[usize::from(call)].wire = Wire::Gone;
            world.workers[w].at = At::Idle;
        }
    }

    /// Closes a call and takes the turn that follows.
    pub fn judge(world: &mut World, call: Option<u8>, said: Said) {
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

    pub fn carry(world: &mut World, id: u8) {
        let call = world.calls[usize::from(id)];
        let answer = if world.taken == Some(call.token) {
            world.tokens += 1;
            world.taken = Some(world.tokens);
            (Said::Yes, world.tokens)
        } else {
            // a token of an older grant says nothing of this one
            if call.token >= world.grant_from {
                world.ended |= world.taken == Some(world.stored) && !world.saved_late;
                world.taken = None;
            }
            (Said::Dead, 0)
        };
        world.calls[usize::from(id)].wire = Wire::Answered(answer.0, answer.1);
    }

    /// What an answer leads to in the ledger; false where the write did not stand.
    pub fn write(&self, world: &mut World, w: usize, (call, said, pair): (u8, Said, u8)) {
        let worker = world.workers[w];
        let fenced = Self::holds_claim(world, w);
        let same = worker.generation == world.generation;
        match tokens::after(said) {
            Turn::Save => {
                let judged = world.calls[usize::from(call)].judged;
                let its = world.current == Some(call) || judged == Some(Said::Unknown);
                let taken = same && its;
                let guarded = taken && Turn::Save.from().contains(&world.phase);
                let guarded = guarded && !(self.has(Flaw::GivenUpIsOver) && world.reconnect);
                let allowed = if self.has(Flaw::EvidenceFenced) { guarded && fenced } else { guarded };
                world.wasted |= taken && !allowed;
                if allowed || self.has(Flaw::SaveUnguarded) {
                    world.overwrote |= !same && pair < world.grant_from;
                    world.calls[usize::from(call)].judged = Some(Said::Yes);
                    world.generation += 1;
                    world.stored = pair;
                    world.saved_late = !fenced;
                    world.phase = Phase::Idle;
                    world.current = None;
                    world.reconnect = false;
                    world.renewed += 1;
                }
            }
            Turn::GiveUp => {
                if fenced && ((same && world.current == Some(call)) || self.has(Flaw::GiveUpUnguarded)) {
                    Self::judge(world, Some(call), said);
                    world.reconnect = true;
                }
            }
            Turn::Spare | Turn::Doubt => {
                if fenced && same {
                    Self::judge(world, Some(call), said);
                }
            }
            Turn::Begin | Turn::Try => {}
        }
        world.workers[w].at = At::Idle;
    }
}
