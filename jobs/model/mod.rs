//! The publishing protocol, checked in every order of everything that may happen.
//!
//! Two models. [`tables`] takes the statements about jobs and claims apart, with Postgres' snapshots and locks,
//! and shows that a claim's three words name one holder. [`world`] takes that for granted and explores the
//! protocol: two workers that run the very code that publishes (see [`holder`]), reconcilers that ask the
//! very [`judge`](crate::ruling::judge) that rules, a reaper with its sweeps, people, and a network that loses,
//! delays and doubles what it is told.
//!
//! How much may go wrong is counted: a *fault* is a crash, a lease that ends while its holder lives on, a lost
//! answer of ledger or network, a 500, a refusal, a handle that dies, a failed or stale read, a request that
//! comes twice. Within that count they come in any order, at any point. Nothing is said about clocks: a paused
//! worker may wake and send at any time.
//!
//! What is taken for granted of networks: a definite no is one, or a read shows at once that it was none; "dead" is dead; of a handle committed twice
//! only one commit counts (stories excepted). A request whose answer was lost may be carried out at any time, until
//! the late limit has passed and whoever could still send it is gone; a handle that was taken back is dead at once.
//! Reads may be stale, and even wrong, and a definite no may be a lie: then S4 is not promised.
//! A network that fetches files from us does so at any time after it was told to, as often as our origin lets it.
//! What is left out: R1, a person who approves a story's retry while the first attempt is only paused.

pub(crate) mod check;
mod choices;
mod claims;
mod flaw;
mod holder;
mod ledger;
mod network;
mod people;
mod properties;
mod protocol;
mod pull;
mod reconciler;
mod replay;
mod settle;
mod slides;
mod tables;
mod world;

use check::{broken_in, holds, stuck};
use claims::Claims;
use flaw::Flaw;
use properties as rule;
use world::{Family, People, Setting};

/// A post on a network of this family, and this many faults.
const fn on(family: Family, faults: u8) -> Setting {
    Setting { family, faults, people: People::NONE, noes_lie: false, reconcilers: 1, flaw: None }
}

const CANCEL: People = People { cancel: true, ..People::NONE };
const EDIT: People = People { edit: true, ..People::NONE };
const FREEZE: People = People { freeze: true, ..People::NONE };
const STAFF: People = People { staff: true, ..People::NONE };
const SCHEDULE: People = People { schedule: true, ..People::NONE };

#[test]
fn claims_are_exclusive_with_every_snapshot() {
    holds("claims", Claims { left: 2, flaw: None });
}

#[test]
fn a_handle_used_once_is_published_once() {
    holds("single use", on(Family::SingleUse, 2));
}

#[test]
fn an_upload_is_published_once() {
    holds("upload", on(Family::Upload, 2));
}

#[test]
fn a_story_is_published_once() {
    holds("story", on(Family::OneShot, 2));
}

/// Two slides, each of which may be slow or die, and what they are put into.
#[test]
fn an_album_is_published_once_and_whole() {
    holds("album", on(Family::Album, 2));
    holds(
        "album, cancelled, edited",
        Setting { people: People { edit: true, ..CANCEL }, ..on(Family::Album, 1) },
    );
}

/// Whatever is lost or late: what was not fetched when its addresses were closed never comes out.
#[test]
fn photos_that_are_fetched_from_us_are_published_once() {
    holds("pull", on(Family::Pull, 2));
    holds(
        "pull, cancelled, edited",
        Setting { people: People { edit: true, ..CANCEL }, ..on(Family::Pull, 1) },
    );
    holds("pull, frozen", Setting { people: FREEZE, ..on(Family::Pull, 1) });
    holds(
        "pull, scheduled, cancelled",
        Setting { people: People { schedule: true, ..CANCEL }, ..on(Family::Pull, 1) },
    );
}

#[test]
fn people_may_change_their_minds() {
    let set = on(Family::SingleUse, 1);
    holds("single use, cancelled, edited", Setting { people: People { edit: true, ..CANCEL }, ..set });
    holds("single use, frozen", Setting { people: FREEZE, ..set });
    holds("single use, edited, staff", Setting { people: People { edit: true, ..STAFF }, ..set });
    holds(
        "upload, scheduled, cancelled",
        Setting { people: People { schedule: true, ..CANCEL }, ..on(Family::Upload, 1) },
    );
    holds(
        "story, cancelled, staff",
        Setting { people: People { cancel: true, ..STAFF }, ..on(Family::OneShot, 1) },
    );
}

#[test]
fn a_no_that_comes_after_the_effect_is_found_out_before_an_edit_is_sent() {
    let set = Setting { noes_lie: true, people: EDIT, ..on(Family::SingleUse, 1) };
    holds("single use, edited, a no that lies", set);
}

#[test]
fn two_reconcilers_do_not_disturb_each_other() {
    for family in [Family::SingleUse, Family::Upload, Family::OneShot, Family::Pull] {
        let set = Setting { reconcilers: 2, people: CANCEL, ..on(family, 1) };
        holds(&format!("{family:?}, two reconcilers, cancelled"), set);
    }
}

/// Every world is one from which, without another fault, an end can be reached: terminal, or a person's.
#[test]
fn whatever_happened_it_can_come_to_an_end() {
    let sets = [
        on(Family::SingleUse, 1),
        on(Family::Upload, 1),
        on(Family::OneShot, 1),
        on(Family::Album, 1),
        on(Family::Pull, 1),
        Setting { people: CANCEL, ..on(Family::Pull, 1) },
        Setting { people: CANCEL, ..on(Family::SingleUse, 1) },
        Setting { people: FREEZE, ..on(Family::SingleUse, 1) },
        Setting { people: SCHEDULE, ..on(Family::SingleUse, 1) },
    ];
    for set in sets {
        let (worlds, left, one) = stuck(&set);
        println!("{:?}, {:?}: from {left} of {worlds} states no way leads to an end", set.family, set.people);
        assert_eq!(left, 0, "{one:#?}");
    }
}

#[test]
fn a_row_whose_job_is_forgotten_would_wait_for_ever() {
    let flaw = Flaw::NoJob;
    let (worlds, left, _) = stuck(&Setting { flaw: Some(flaw), ..on(Family::SingleUse, 1) });
    println!("planted {flaw:?}: from {left} of {worlds} states no way leads to an end");
    assert_ne!(left, 0);
}

fn finds<M: check::Explored<State: std::hash::Hash>>(flaw: Flaw, model: &M, rule: &'static str) {
    let steps = broken_in(model, rule);
    println!("planted {flaw:?}: {rule}: broken in {steps:?} steps");
    assert!(steps.is_some(), "{flaw:?} was not found");
}

#[test]
fn a_fault_planted_in_the_claims_is_found() {
    for (flaw, rule) in [
        (Flaw::EpochDropped, claims::OWN_CLAIM),
        (Flaw::EpochKept, claims::ONE_NAME),
        (Flaw::ClaimInOneStatement, claims::NEVER_AGAIN),
        (Flaw::ReapInOneStatement, claims::REAPED_WHOLE),
    ] {
        finds(flaw, &Claims { left: 2, flaw: Some(flaw) }, rule);
    }
}

#[test]
fn a_fault_planted_in_the_protocol_is_found() {
    let single = on(Family::SingleUse, 1);
    let upload = on(Family::Upload, 1);
    let story = on(Family::OneShot, 1);
    let (album, pull) = (on(Family::Album, 1), on(Family::Pull, 1));
    for (flaw, set, rule) in [
        (Flaw::ServerErrorIsNo, single, rule::ONE_EFFECT),
        (Flaw::NoQuarantine, single, rule::QUARANTINED),
        (Flaw::OneReadProves, single, rule::READ_TWICE),
        (Flaw::HonouredAlive, Setting { people: CANCEL, ..single }, rule::NO_DENIAL),
        (Flaw::HonouredAlive, Setting { people: SCHEDULE, ..single }, rule::NO_DENIAL),
        (Flaw::HonouredAlive, Setting { people: CANCEL, ..upload }, rule::NO_DENIAL),
        (Flaw::ReplaceUnproved, single, rule::HANDLES_DEAD),
        (Flaw::ReplaceUnproved, single, rule::ONE_EFFECT),
        (Flaw::CallLeftOpen, single, rule::ONE_OPEN_CALL),
        (Flaw::CallLeftOpen, single, rule::EARLIER_PROVED),
        (Flaw::SendUnlogged, single, rule::LOGGED),
        (Flaw::StateUnnamed, single, rule::ABSORBING),
        (Flaw::FenceDropped, single, rule::CLAIMED),
        (Flaw::EvidenceFenced, single, rule::HEARD),
        (Flaw::EvidenceCounted, single, rule::IDEMPOTENT),
        (Flaw::FreezeUnseen, Setting { people: FREEZE, ..single }, rule::UNFROZEN),
        (Flaw::VersionUnseen, Setting { people: EDIT, ..single }, rule::CURRENT),
        (Flaw::RefusalBelieved, Setting { noes_lie: true, people: EDIT, ..single }, rule::ONE_EFFECT),
        (Flaw::WishUnseen, Setting { people: CANCEL, ..single }, rule::KEPT),
        (Flaw::NoNextLook, single, rule::NEXT_LOOK),
        (Flaw::NoJob, single, rule::HAS_JOB),
        (Flaw::ClosedServes, pull, rule::ONE_EFFECT),
        (Flaw::ClosedServes, Setting { people: CANCEL, ..pull }, rule::NO_DENIAL),
        (Flaw::FetchUnlogged, pull, rule::ONE_EFFECT),
        (Flaw::SlidesUnready, album, rule::WHOLE),
        (Flaw::OneShotResent, story, rule::ONE_EFFECT),
        (Flaw::ApprovedDuringPause, Setting { people: STAFF, ..story }, rule::ONE_EFFECT),
    ] {
        finds(flaw, &Setting { flaw: Some(flaw), ..set }, rule);
    }
}

#[test]
fn a_fault_planted_between_two_reconcilers_is_found() {
    let set = Setting { reconcilers: 2, ..on(Family::SingleUse, 2) };
    for flaw in [Flaw::AnyCallJudged, Flaw::DoubtInTwoStatements] {
        finds(flaw, &Setting { flaw: Some(flaw), ..set }, rule::READ_TWICE);
    }
}
