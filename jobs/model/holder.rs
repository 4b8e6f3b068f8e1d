//! What the holder of a claim does next: asked of the very code that publishes.
//!
//! A future cannot be kept in a model's state, but [`Publish::run`] is a pure function of the answers it has
//! had. So an attempt is kept as its answers since its last look at the publication, before which it remembers
//! nothing; asked again with the same answers, it asks the same next question.

use std::{cell::RefCell, collections::HashMap};

use super::{network::SLIDES, replay::replay, world::Phase};
use crate::{
    contract::{Class, Failure, Verdict},
    desk::NotArmed,
    machine::{Answer, HandleState, Move, Public, Sight, State},
};

/// What the code asks of its desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// Where does it stand?
    Look,
    /// A move that writes the state alone.
    Step(Move, Option<HandleState>),
    /// T4: log a prepare call.
    LogPrepare,
    /// To the network: make a handle.
    Make,
    /// To the network: make a slide.
    MakeSlide,
    /// To the network: put these slides together.
    MakeAlbum([u8; SLIDES]),
    /// Store a handle that is still being made.
    Keep,
    /// Store the slides that there are so far.
    KeepSlides(Slides),
    /// T5, with slides that the network still works on.
    PreparedSlides(Slides),
    /// T5, with the handle; `true`: the network still works on it.
    Prepared(u8, bool),
    /// T6.
    Unprepared,
    /// T7.
    Arm,
    /// T8'.
    Unsent(u8),
    /// The network's word that this call took effect.
    Heard(u8),
    /// T9.
    Seen(Option<u8>),
    /// Keep the network's name for what this call asked it to fetch.
    Name(u8),
    /// Close this handle's addresses at once; what does the origin vouch for?
    Close(u8),
    /// T9'.
    Accepted(u8),
    /// T10; `true`: the handle is dead.
    Refused(u8, bool),
    /// T10'.
    Rejected,
    /// Log a call that takes the handle back.
    LogWithdraw,
    /// The handle is dead.
    Withdrawn,
    /// To the network: take this handle back.
    Withdraw(u8),
    /// To the network: what became of this handle?
    Inspect(u8),
    /// To the network: commit this call's handle.
    Commit(u8, u8),
    /// The attempt is over.
    End(End),
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The job is over.
    Finished,
    /// Look again later.
    Waiting,
    /// The publication goes no further, by this move.
    Closed(Move),
    /// It failed, and this is what the contract makes of it.
    Failed(Verdict),
}

/// What the desk answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// It stands so.
    Stands(Seen),
    /// Done.
    Done,
    /// The claim is gone, or the publication stands elsewhere.
    Fenced,
    /// The ledger did not answer; perhaps it is done.
    Away,
    /// The network made this handle; `true`: it still works on it.
    Made(u8, bool),
    /// The network made this slide.
    Slide(u8),
    /// The network did not make one.
    NotMade,
    /// The handle is seen so.
    Sight(Glance),
    /// The read failed.
    NoSight,
    /// Armed with this call; `true`: too long ago to send.
    Armed(u8, bool),
    /// Not armed.
    NotArmed(NotArmed),
    /// The network's word on a commit.
    Said(Said),
    /// The network's word on a handle that was wanted back.
    Taken(Taken),
    /// The addresses are closed; `true`: and nothing was fetched, nor can be.
    Vouched(bool),
}

/// The slides that there are, in order.
pub type Slides = [Option<u8>; SLIDES];

/// The network's word on a handle that was wanted back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Taken {
    /// It is dead.
    Back,
    /// It is public.
    TooLate,
    /// It is not given back.
    Not,
    /// Anything else.
    Unclear,
}

/// The publication as a look shows it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that the ledger tells")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Its state.
    pub state: State,
    /// Its version.
    pub version: u8,
    /// What is known of its handle.
    pub handle: HandleState,
    /// Its handle.
    pub named: Option<u8>,
    /// The version of which the handle was made.
    pub made_of: Option<u8>,
    /// Somebody wished it cancelled.
    pub wished: bool,
    /// Early, due or late.
    pub phase: Phase,
    /// The handle was ever armed.
    pub armed: bool,
    /// It was sent and refused, and is not dead.
    pub refused: bool,
    /// The commit call that is not judged.
    pub open: Option<u8>,
    /// No evidence for so long that a person decides.
    pub old: bool,
    /// It was sent, and its handle is not dead.
    pub sent: bool,
    /// That was so long ago that no network carries it out any more.
    pub late: bool,
    /// It is given up.
    pub given_up: bool,
    /// It is made of slides.
    pub album: bool,
    /// Its handle holds slides that are not put together.
    pub parts: bool,
    /// Its handle's slides.
    pub slides: Slides,
    /// The network's name for what it fetches is known.
    pub known: bool,
}

/// What a read of a handle shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Glance {
    /// Still being made.
    Building,
    /// May be committed.
    Ready,
    /// Being carried out.
    Processing,
    /// Public.
    Public,
    /// Can never be public; `true`: nor can another of the same content.
    Dead(bool),
}

/// The network's word on a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Said {
    /// It is public.
    Published,
    /// Taken.
    Accepted,
    /// A definite no, of something that passes.
    NotNow,
    /// A definite no, and the handle is dead.
    Never,
    /// A definite no, to this content.
    Forbidden,
    /// No byte left.
    Unsent,
    /// Anything else.
    Unclear,
    /// It will fetch the files, and this is what it calls the post.
    Named,
    /// No, which counts if nothing was fetched; `true`: to this content for good.
    NoIfUnfetched(bool),
}

impl Glance {
    /// The machine's word for it.
    pub fn sight(self) -> Sight {
        match self {
            Self::Building => Sight::Building,
            Self::Ready => Sight::Ready,
            Self::Processing => Sight::Processing,
            Self::Public => Sight::Public(Public::default()),
            Self::Dead(true) => Sight::Dead(failure(Class::Permanent)),
            Self::Dead(false) => Sight::Dead(failure(Class::Transient)),
        }
    }
}

impl Said {
    /// Whether it proves that the commit has no effect.
    pub fn is_definite_no(self) -> bool {
        match self {
            Self::NotNow | Self::Never | Self::Forbidden | Self::Unsent | Self::NoIfUnfetched(_) => true,
            Self::Published | Self::Accepted | Self::Unclear | Self::Named => false,
        }
    }

    /// The machine's word for it.
    pub fn answer(self) -> Answer {
        match self {
            Self::Published => Answer::Published(Public::default()),
            Self::Accepted => Answer::Accepted,
            Self::NotNow => Answer::Refused { failure: failure(Class::Transient), handle_dead: false },
            Self::Never => Answer::Refused { failure: failure(Class::Transient), handle_dead: true },
            Self::Forbidden => Answer::Refused { failure: failure(Class::Permanent), handle_dead: false },
            Self::Unsent => Answer::Unsent(failure(Class::Transient)),
            // what the last two mean the origin says
            Self::Unclear | Self::Named | Self::NoIfUnfetched(_) => Answer::Unknown(failure(Class::Unknown)),
        }
    }
}

/// A failure of this class, of which nothing else matters.
pub fn failure(class: Class) -> Failure {
    Failure::new(class, "", "")
}

/// What the code asks next, after these answers.
pub fn ask(script: &[Reply]) -> Request {
    thread_local! {
        // the same few thousand scripts are asked about in every order of everything else
        static KNOWN: RefCell<HashMap<Vec<Reply>, Request>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| match known.get(script) {
        Some(request) => *request,
        None => *known.entry(script.to_vec()).or_insert_with(|| replay(script)),
    })
}
