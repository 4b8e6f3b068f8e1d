//! The network: what is true there, what it makes of a request, and how it lies about it.

use super::{
    flaw::Flaw,
    holder::{Glance, Said},
    world::{Family, Quarantine, Rule, Setting, World},
};

/// A handle at the network, and of which version it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thing {
    pub stands: Stands,
    pub version: u8,
    pub role: Role,
}

/// What a handle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The whole post.
    Whole,
    /// A slide, which is never committed.
    Slide,
    /// What these slides were put into.
    Album([u8; SLIDES]),
    /// A post whose files this call has told the network to fetch.
    Asked(u8),
}

/// The slides of an album.
pub const SLIDES: usize = 2;

/// What is true of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stands {
    Building,
    Ready,
    Processing,
    /// `false`: reads do not show it yet.
    Public(bool),
    /// `true`: so is every other of the same content.
    Dead(bool),
}

/// A commit request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packet {
    pub call: u8,
    pub handle: u8,
    /// Who waits for its answer.
    pub from: Option<usize>,
}

/// What the network makes of a commit request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Landing {
    /// What becomes of the handle.
    pub to: Stands,
    /// It makes something public.
    pub effect: bool,
    /// The answer.
    pub said: Said,
    /// It is a fault.
    pub fault: bool,
}

/// What comes of a prepare call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Making {
    Ready,
    Building,
    Failed,
}

/// What comes of asking the network to take a handle back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// It does, unless it is too late.
    Takes,
    /// It gives nothing back.
    Refuses,
    /// It does, and the answer is lost.
    TakesUnheard,
    /// It does not, and nobody can tell.
    Fails,
}

/// What a read of a handle comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// As it is.
    Prompt,
    /// What is new does not show yet.
    Lags,
    /// What happened long ago does not show.
    Lies,
    /// No answer.
    Fails,
}

const fn well(to: Stands, effect: bool, said: Said) -> Landing {
    Landing { to, effect, said, fault: false }
}

const fn ill(to: Stands, effect: bool, said: Said) -> Landing {
    Landing { to, effect, said, fault: true }
}

const UNSEEN: Stands = Stands::Public(false);

/// A container, a draft: committed once, whatever is sent.
fn single_use(stands: Stands) -> Vec<Landing> {
    match stands {
        Stands::Ready => vec![
            well(UNSEEN, true, Said::Published),
            ill(UNSEEN, true, Said::Unclear),
            ill(stands, false, Said::Unclear),
            ill(stands, false, Said::NotNow),
            ill(Stands::Dead(false), false, Said::Never),
            ill(stands, false, Said::Forbidden),
        ],
        // a draft says yes again, a container says something odd
        Stands::Public(_) => vec![well(stands, false, Said::Published), well(stands, false, Said::Unclear)],
        Stands::Dead(_) => vec![well(stands, false, Said::Never), well(stands, false, Said::Unclear)],
        Stands::Building | Stands::Processing => vec![well(stands, false, Said::NotNow)],
    }
}

/// An upload: the last part is taken once, and carried out later.
fn upload(stands: Stands) -> Vec<Landing> {
    match stands {
        Stands::Ready => vec![
            well(Stands::Processing, false, Said::Accepted),
            ill(Stands::Processing, false, Said::Unclear),
            ill(stands, false, Said::Unclear),
            ill(stands, false, Said::NotNow),
            ill(Stands::Dead(false), false, Said::Never),
        ],
        Stands::Processing => vec![well(stands, false, Said::Accepted), well(stands, false, Said::Unclear)],
        Stands::Public(_) => vec![well(stands, false, Said::Published), well(stands, false, Said::Unclear)],
        Stands::Dead(_) => vec![well(stands, false, Said::Never), well(stands, false, Said::Unclear)],
        Stands::Building => vec![well(stands, false, Said::NotNow)],
    }
}

/// A story: whatever is sent is another one.
fn one_shot(stands: Stands) -> Vec<Landing> {
    match stands {
        Stands::Ready | Stands::Public(_) => vec![
            well(UNSEEN, true, Said::Published),
            ill(UNSEEN, true, Said::Unclear),
            ill(stands, false, Said::Unclear),
            ill(stands, false, Said::NotNow),
        ],
        Stands::Dead(_) => vec![well(stands, false, Said::Never)],
        Stands::Building | Stands::Processing => vec![well(stands, false, Said::NotNow)],
    }
}

/// Files that the network fetches by itself. It is told once: each request names addresses of its own.
fn pull(stands: Stands) -> Vec<Landing> {
    match stands {
        Stands::Ready => vec![
            well(Stands::Building, false, Said::Named),
            ill(Stands::Building, false, Said::Unclear),
            ill(stands, false, Said::Unclear),
            ill(stands, false, Said::NoIfUnfetched(false)),
            ill(stands, false, Said::NoIfUnfetched(true)),
        ],
        Stands::Building | Stands::Processing | Stands::Public(_) | Stands::Dead(_) => Vec::new(),
    }
}

impl Setting {
    /// Everything that the network may make of a commit of a handle that stands so.
    pub fn landings(&self, stands: Stands) -> Vec<Landing> {
        let mut all = match self.family {
            Family::SingleUse | Family::Album => single_use(stands),
            Family::Upload => upload(stands),
            Family::OneShot => one_shot(stands),
            Family::Pull => pull(stands),
        };
        if self.noes_lie && stands == Stands::Ready {
            // whoever then reads it sees it
            all.push(ill(Stands::Public(true), true, Said::NotNow));
        }
        all
    }
}

impl Stands {
    /// What a read shows that does not lie.
    pub fn shown(self) -> Glance {
        match self {
            Self::Building => Glance::Building,
            Self::Ready | Self::Public(false) => Glance::Ready,
            Self::Processing => Glance::Processing,
            Self::Public(true) => Glance::Public,
            Self::Dead(good) => Glance::Dead(good),
        }
    }

    /// What a read shows that comes as early as it may.
    pub fn prompt(self) -> Glance {
        match self {
            Self::Public(_) => Glance::Public,
            Self::Building | Self::Ready | Self::Processing | Self::Dead(_) => self.shown(),
        }
    }
}

impl World {
    /// A packet lands; `twice`: and comes again. What the sender hears of it is returned.
    pub fn land(&mut self, set: &Setting, packet: usize, landing: Landing, twice: bool) -> Option<()> {
        if landing.fault {
            self.fault()?;
        }
        let Packet { call, handle, from } = self.wire[packet];
        if twice {
            self.fault()?;
            self.wire[packet].from = None;
        } else {
            self.wire.remove(packet);
        }
        let thing = &mut self.things[usize::from(handle)];
        if set.family == Family::Pull && landing.to == Stands::Building {
            thing.role = Role::Asked(call);
        }
        let changes = std::mem::replace(&mut thing.stands, landing.to) != landing.to || landing.effect;
        if changes {
            self.landed_late(call);
        }
        if landing.effect {
            self.becomes_public(handle);
            self.past.lied |= landing.said.is_definite_no();
        }
        if let Some(worker) = from {
            self.hears(worker, set, landing.said);
        }
        Some(())
    }

    fn hears(&mut self, worker: usize, set: &Setting, said: Said) {
        let naive = set.has(Flaw::ServerErrorIsNo) && said == Said::Unclear;
        self.goes_on(worker, super::holder::Reply::Said(if naive { Said::Never } else { said }));
    }

    /// The settings promise that nothing lands after the quarantine; the protocol does not rely on it.
    fn landed_late(&mut self, call: u8) {
        let last = usize::from(call) + 1 >= self.calls.len();
        if !last || self.row.quarantine != Quarantine::Running {
            self.past.landed_late = true;
        }
    }

    /// Something is seen by everybody.
    pub fn becomes_public(&mut self, handle: u8) {
        self.effects += 1;
        if self.things[usize::from(handle)].version != self.row.version {
            self.past.breaks(Rule::Current);
        }
        if self.past.promised {
            self.past.breaks(Rule::Kept);
        }
    }

    /// Time enough has passed for reads to show everything that happened.
    pub fn reads_catch_up(&mut self) {
        for thing in &mut self.things {
            if let Stands::Public(shown) = &mut thing.stands {
                *shown = true;
            }
        }
    }
}
