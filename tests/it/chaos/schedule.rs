//! What a round does, drawn from its seed: posts, the networks' lies, and blows with their times. Drawing
//! touches nothing, so a seed repeats its schedule; how the processes then interleave is up to the machine.

use std::{collections::BTreeSet, time::Duration};

use jobs::failpoint::Point;

use super::{
    blows::{Action, Blow, Hints, Hole, Line, Loss, Weather, Whose},
    dice::{Dice, Weighted},
    lies::{self, Lie},
    surfaces::{Shape, Sort, Surface},
};

/// Places for workers; a round uses one to all of them.
pub const SLOTS: usize = 4;
/// Accounts of each network.
pub const ACCOUNTS: usize = 2;

/// A round.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What it is drawn from.
    pub seed: u64,
    /// Workers at its start.
    pub workers: usize,
    /// What is posted.
    pub posts: Vec<PostPlan>,
    /// What goes wrong, at its time.
    pub blows: Vec<(Duration, Blow)>,
    /// How many milliseconds after it was asked to TikTok fetches photos.
    pub pull_after_ms: u64,
}

/// Where the posts of a round go.
#[derive(Debug, Clone)]
pub struct Aims {
    /// The surfaces.
    pub surfaces: BTreeSet<Surface>,
    /// Each of them once a round, rather than a few at random.
    pub each: bool,
}

/// A post of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct PostPlan {
    /// Its words, which no other post has.
    pub caption: String,
    /// What it carries.
    pub shape: Shape,
    /// Where it goes: surfaces, and which account of the network.
    pub targets: Vec<(Surface, usize)>,
    /// When it is sent to the door.
    pub at: Duration,
    /// How long after its time it may still go out, in seconds, where that is short.
    pub latest: Option<u32>,
    /// What somebody then wants of it.
    pub wish: Option<(Duration, Wish)>,
    /// How the networks lie about it.
    pub lies: Vec<Lie>,
}

/// What somebody wants of a post that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Not to be sent.
    Cancel,
    /// To be sent with other words.
    Edit,
}

impl Plan {
    /// The round of a seed.
    pub fn of(seed: u64, aims: &Aims) -> Self {
        let mut dice = Dice::of(seed);
        // where many share the work, few come by at one failpoint
        let armed = dice.percent(35);
        let workers = dice.within(1, if armed { 2 } else { SLOTS });
        let mut posts = if aims.each {
            let each = aims.surfaces.iter().enumerate();
            each.map(|(n, surface)| alone(&mut dice, seed, n, *surface)).collect()
        } else {
            let posts = dice.within(3, 7);
            (0..posts).map(|n| post(&mut dice, seed, n, &aims.surfaces)).collect::<Vec<_>>()
        };
        let blows = blows(&mut dice, seed, workers, armed);
        if blows.iter().any(|(_, blow)| matches!(blow, Blow::Armed { point: Point::AfterEvidence, .. })) {
            // only a doubt brings the reconciler there
            posts[0].lies = vec![Lie::CommitWord("effect_then_drop")];
        }
        let pull_after_ms = dice.one(&[0, 0, 0, 300, 1500, 4000]);
        Self { seed, workers, posts, blows, pull_after_ms }
    }

    /// The files that its posts take.
    pub fn files(&self, sort: Sort) -> usize {
        self.posts.iter().flat_map(|post| post.shape.files()).filter(|file| **file == sort).count()
    }

    /// The most doubts that the networks' lies make of one post.
    pub fn doubts(&self) -> u32 {
        let most = self.posts.iter().map(|post| post.lies.len()).max();
        u32::try_from(most.unwrap_or(0)).expect("a few")
    }
}

fn post(dice: &mut Dice, seed: u64, n: usize, surfaces: &BTreeSet<Surface>) -> PostPlan {
    let all: Vec<Surface> = surfaces.iter().copied().collect();
    let shape = dice.one(&all).shape();
    let first: Vec<Surface> = all.into_iter().filter(|surface| surface.shape() == shape).collect();
    let mut targets = vec![(dice.one(&first), dice.below(ACCOUNTS))];
    if dice.percent(40) {
        let also = (dice.one(&first), dice.below(ACCOUNTS));
        if also != targets[0] {
            targets.push(also);
        }
    }
    to(dice, seed, n, targets)
}

/// A post to one surface.
fn alone(dice: &mut Dice, seed: u64, n: usize, surface: Surface) -> PostPlan {
    let account = dice.below(ACCOUNTS);
    to(dice, seed, n, vec![(surface, account)])
}

fn to(dice: &mut Dice, seed: u64, n: usize, targets: Vec<(Surface, usize)>) -> PostPlan {
    PostPlan {
        // none is a part of another
        caption: format!("chaos {seed} post {n:03}"),
        shape: targets[0].0.shape(),
        at: dice.span(0, 1500),
        latest: dice.percent(5).then_some(4),
        wish: dice.percent(12).then(|| (dice.span(0, 1500), dice.one(&[Wish::Cancel, Wish::Edit]))),
        lies: lies::draw(dice, &targets),
        targets,
    }
}

/// One to three blows, an armed failpoint perhaps among them: seeds that follow each other walk through all of
/// those, so that a run of some length arms each.
fn blows(dice: &mut Dice, seed: u64, workers: usize, arm: bool) -> Vec<(Duration, Blow)> {
    let count = dice.weighted(&[(50, 1), (35, 2), (15, 3)]);
    let mut blows: Vec<_> = (usize::from(arm)..count).map(|_| blow(dice, workers)).collect();
    if arm {
        let slot = dice.below(workers);
        blows.push((Duration::ZERO, armed(dice, seed, slot)));
    }
    blows.sort_by_key(|(at, _)| *at);
    blows
}

fn blow(dice: &mut Dice, workers: usize) -> (Duration, Blow) {
    let (slot, at) = (dice.below(workers), dice.span(100, 2000));
    let kinds: Weighted<fn(&mut Dice, usize) -> Blow> = &[
        (16, |dice, slot| Blow::Kill { slot, away: dice.span(0, 1000) }),
        (9, |dice, slot| Blow::Stop { slot, held: dice.span(500, 7000) }),
        (11, |dice, slot| Blow::Terminate { slot, grace: Duration::from_secs(dice.one(&[0, 3, 30])) }),
        (4, |dice, _| Blow::KillWeb { away: dice.span(0, 800) }),
        (9, |_, _| Blow::Flush),
        (7, |dice, _| {
            let loss = dice.one(&[Loss::Everything, Loss::LastWrites, Loss::OldSnapshot]);
            Blow::Redis { loss, away: dice.span(0, 2500) }
        }),
        (12, |dice, slot| Blow::Hole(hole(dice, slot))),
        (7, |dice, _| Blow::Postgres { crash: dice.percent(50), away: dice.span(0, 2500) }),
        (9, |dice, _| Blow::Hints(dice.one(&[Hints::Doubled, Hints::Finished, Hints::Random]))),
        (3, |dice, slot| Blow::Skew { slot, seconds: dice.one(&[600, -600]) }),
    ];
    let draw = dice.weighted(kinds);
    (at, draw(dice, slot))
}

fn armed(dice: &mut Dice, seed: u64, slot: usize) -> Blow {
    let points = u64::try_from(Point::ALL.len()).expect("a few");
    let point = Point::ALL[usize::try_from(seed % points).expect("a few")];
    let action = dice.weighted(&[(70, Action::Kill), (20, Action::Stop), (10, Action::Panic)]);
    match point {
        Point::AfterAccept => Blow::ArmedWeb,
        _ => Blow::Armed { slot, point, action },
    }
}

fn hole(dice: &mut Dice, slot: usize) -> Hole {
    let (slower, bytes) = (dice.span(50, 700), dice.within(1, 4000) as u64);
    let weather = dice.weighted(&[
        (30, Weather::Stall),
        (15, Weather::Refuse),
        (15, Weather::Mute),
        (15, Weather::Reset),
        (10, Weather::Slow(slower)),
        (15, Weather::Cut(bytes)),
    ]);
    Hole {
        line: dice.one(&[Line::Redis, Line::Postgres]),
        whose: dice.weighted(&[(40, Whose::All), (40, Whose::Worker(slot)), (20, Whose::Web)]),
        weather,
        lasts: dice.span(300, 5000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64) -> Plan {
        Plan::of(
            seed,
            &Aims { surfaces: Surface::ALL.iter().copied().collect(), each: seed.is_multiple_of(2) },
        )
    }

    #[test]
    fn a_round_of_each_surface_posts_to_each_once() {
        let all: BTreeSet<Surface> = Surface::ALL.iter().copied().collect();
        let plan = Plan::of(3, &Aims { surfaces: all.clone(), each: true });
        let targets: Vec<Surface> = plan.posts.iter().flat_map(|post| &post.targets).map(|it| it.0).collect();
        assert_eq!((targets.len(), targets.into_iter().collect()), (all.len(), all));
    }

    #[test]
    fn a_seed_repeats_its_schedule() {
        for seed in 0..200 {
            assert_eq!(plan(seed), plan(seed));
        }
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn no_two_posts_share_their_words() {
        let plans: Vec<_> = (0..200).map(plan).collect();
        let captions: Vec<_> = plans.iter().flat_map(|plan| &plan.posts).map(|post| &post.caption).collect();
        assert_eq!(captions.iter().collect::<BTreeSet<_>>().len(), captions.len());
    }

    #[test]
    fn every_failpoint_is_armed_and_every_blow_struck_within_a_thousand_rounds() {
        let plans: Vec<_> = (0..1000).map(plan).collect();
        let blows: Vec<_> = plans.iter().flat_map(|plan| &plan.blows).map(|(_, blow)| blow).collect();
        for point in Point::ALL {
            let armed = blows.iter().any(|blow| match blow {
                Blow::Armed { point: armed, .. } => armed == point,
                Blow::ArmedWeb => *point == Point::AfterAccept,
                _ => false,
            });
            assert!(armed, "{} is never armed", point.word());
        }
        let names: BTreeSet<_> = blows.iter().map(|blow| blow.name()).collect();
        assert_eq!(names.len(), 12, "{names:?}");
    }

    #[test]
    fn a_surface_that_is_not_asked_for_gets_nothing() {
        let only = Aims { surfaces: [Surface::TiktokVideo].into_iter().collect(), each: false };
        let plans = (0..50).map(|seed| Plan::of(seed, &only));
        for post in plans.flat_map(|plan| plan.posts) {
            assert!(post.targets.iter().all(|(surface, _)| *surface == Surface::TiktokVideo), "{post:?}");
        }
    }
}
