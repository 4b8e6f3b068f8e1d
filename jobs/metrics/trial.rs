//! The kind tried against a network that says what a test wants it to say.

mod ads;
mod together;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    Due, Ending, Heard, Insights, Metric, Next, Object, Pace, Plan, Point, Question, Said, Snapshots, Spread,
    Subject, Taken, Trouble, Via,
    ads::{AdInsights, AdPage, AdQuestion, AdsTaken, Level, Onward, PLATFORM},
};
use crate::{
    contract::{Class, Done, Failure, Job, JobError},
    desk::{
        Account, Call, Clock, Content, Desk, File, Handle, KeepHandle, Media, Network, Networks, Readiness,
        Vault,
    },
    gate::{Allowance, Errand, Lane, Notice},
    machine::{Answer, Public, Sight},
    metric_snapshot::MetricSnapshot,
    removal::Presence,
};

/// What the network says of an object, by its id and what is asked.
type Says = fn(&str, &[&'static Metric]) -> Result<Heard, Trouble>;

/// What the network says of ads.
type AdsSay = fn(&AdQuestion<'_>) -> Result<AdPage, Trouble>;

/// Everything around the kind: one account, one network, one ledger.
struct World {
    platform: &'static str,
    says: Says,
    at_once: usize,
    presence: Presence,
    used: Option<u8>,
    due: Mutex<Vec<Subject>>,
    pace: Pace,
    /// Number, how many points and how many of them with a value, what becomes of the plan.
    taken: Mutex<Vec<(i32, usize, usize, Next)>>,
    /// Whether an object was left out, by its number.
    absent: Mutex<Vec<(i32, Option<bool>)>>,
    refused: Mutex<Vec<&'static str>>,
    put_off: Mutex<Vec<Object>>,
    /// How the network was asked, and from when until when.
    asked: Mutex<Vec<Window>>,
    off: bool,
    /// How many followers it tells of where it is asked.
    followers: i64,
    /// What was kept by kinds of people.
    spreads: Mutex<Vec<Spread>>,
    /// What the network says of ads.
    ads_say: AdsSay,
    /// The level, where it was to go on, and of how many metrics it was asked.
    ads_asked: Mutex<Vec<(Level, Option<String>, usize)>>,
    /// What came after each part that was kept.
    ads_taken: Mutex<Vec<Onward>>,
}

/// The way, and from when until when.
type Window = (Via, DateTime<Utc>, DateTime<Utc>);

fn now() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().expect("a time")
}

impl World {
    fn of(platform: &'static str, subjects: Vec<Subject>, says: Says) -> Self {
        let hour = Duration::from_hours(1);
        let plan = Plan {
            after_publishing: vec![hour],
            then_every: hour * 24,
            until: hour * 24 * 90,
            stories: vec![hour],
            accounts_every: hour * 24,
        };
        let pace = Pace { plan, usage_most: 75, usage_rest: hour, try_refused: hour, ads_days: 28 };
        Self {
            platform,
            says,
            at_once: if platform == "tiktok" { 20 } else { 1 },
            presence: Presence::There,
            used: None,
            due: Mutex::new(subjects),
            pace,
            taken: Mutex::default(),
            absent: Mutex::default(),
            refused: Mutex::default(),
            put_off: Mutex::default(),
            asked: Mutex::default(),
            off: false,
            followers: 1,
            spreads: Mutex::default(),
            ads_say: |_| Ok(AdPage { days: Vec::new(), next: None }),
            ads_asked: Mutex::default(),
            ads_taken: Mutex::default(),
        }
    }

    async fn run(&self) -> Result<Done, JobError> {
        let desk = Desk { snapshots: Some(self), ..Desk::bare(self) };
        MetricSnapshot { account_id: Uuid::nil() }.run(&desk).await
    }

    fn taken(&self) -> Vec<(i32, usize, usize, Next)> {
        locked(&self.taken).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn post(number: i32) -> Subject {
    let since = now() - TimeDelta::hours(30);
    let remote_id = Some(format!("post-{number}"));
    Subject {
        number,
        object: Object::Post,
        remote_id,
        since,
        captures: 3,
        absent_since: None,
        captured_at: None,
        resume: None,
    }
}

fn told(metrics: &[&'static Metric]) -> Heard {
    Heard::Points(
        metrics.iter().copied().map(|metric| Point { metric, ends_at: None, value: Some(1) }).collect(),
    )
}

fn no(class: Class) -> Failure {
    Failure::new(class, "code", "no")
}

impl Clock for World {
    fn now(&self) -> DateTime<Utc> {
        now()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

impl Networks for World {
    fn of(&self, _: &str) -> Option<&dyn Network> {
        if self.off { None } else { Some(self) }
    }

    fn surface(&self, _: &str, _: &str) -> Option<&'static crate::surface::Surface> {
        None
    }
}

#[async_trait]
impl Network for World {
    fn allowance(&self) -> Allowance {
        Allowance { app: "app", app_rate: None, workspace_rate: None, account_rate: None }
    }

    fn counts(&self, _: Errand, _: &Content) -> u32 {
        0
    }

    async fn prepare(
        &self,
        _: &Call<'_>,
        _: &Content,
        _: &dyn KeepHandle,
    ) -> Result<(Handle, Readiness), Failure> {
        Err(no(Class::Permanent))
    }

    async fn inspect(&self, _: &Call<'_>, _: &Handle, _: bool) -> Result<Sight, Failure> {
        Err(no(Class::Permanent))
    }

    async fn commit(&self, _: &Call<'_>, _: &Handle, _: &Content) -> Answer {
        Answer::Unsent(no(Class::Permanent))
    }

    async fn describe(
        &self,
        _: &Call<'_>,
        _: &Handle,
        _: &Content,
        known: Public,
    ) -> Result<Public, Failure> {
        Ok(known)
    }

    async fn check(&self, _: &Call<'_>) -> Result<(), Failure> {
        Ok(())
    }

    async fn presence(&self, _: &Call<'_>, _: &str) -> Result<Presence, Failure> {
        Ok(self.presence)
    }

    fn insights(&self) -> Option<&dyn Insights> {
        Some(self)
    }

    fn ads(&self) -> Option<&dyn AdInsights> {
        if self.platform == PLATFORM { Some(self) } else { None }
    }
}

#[async_trait]
impl AdInsights for World {
    async fn ask(&self, call: &Call<'_>, question: &AdQuestion<'_>) -> Result<AdPage, Trouble> {
        self.used.into_iter().for_each(|used| call.gate.notice(Notice::Used(Lane::Account, used)));
        let asked = (question.level, question.after.map(str::to_owned), question.metrics.len());
        locked(&self.ads_asked).push(asked);
        (self.ads_say)(question)
    }
}

#[async_trait]
impl Insights for World {
    fn objects_at_once(&self, _: Object) -> usize {
        self.at_once
    }

    fn least_followers(&self) -> Option<i64> {
        Some(100)
    }

    async fn ask(&self, call: &Call<'_>, question: &Question<'_>) -> Vec<Result<Heard, Trouble>> {
        self.used.into_iter().for_each(|used| call.gate.notice(Notice::Used(Lane::App, used)));
        locked(&self.asked).push((question.via, question.since(), question.until()));
        let followed = |heard| match heard {
            Ok(Heard::Points(mut points)) => {
                let of_followers = |point: &&mut Point| point.metric.name == "followers";
                points.iter_mut().filter(of_followers).for_each(|point| point.value = Some(self.followers));
                Ok(Heard::Points(points))
            }
            other => other,
        };
        question.ids.iter().map(|id| followed((self.says)(id, question.metrics))).collect()
    }
}

#[async_trait]
impl Vault for World {
    async fn access_token(&self, _: Uuid) -> Result<SecretString, JobError> {
        Ok(SecretString::from("token"))
    }
}

#[async_trait]
impl Media for World {
    async fn address(&self, _: &str) -> Result<String, Failure> {
        Err(no(Class::Transient))
    }

    async fn read(&self, _: &str, _: u64, _: u64) -> Result<Vec<u8>, Failure> {
        Err(no(Class::Transient))
    }

    async fn size(&self, _: &str) -> Result<Option<u64>, Failure> {
        Err(no(Class::Transient))
    }

    async fn store(&self, _: &str, _: &str, _: &std::path::Path) -> Result<(), Failure> {
        Err(no(Class::Transient))
    }

    async fn rendition(&self, file: &File, _: &crate::surface::Rendition) -> Result<File, Failure> {
        Ok(file.clone())
    }

    async fn remove(&self, _: &str) -> Result<(), Failure> {
        Err(no(Class::Transient))
    }
}

#[async_trait]
impl Snapshots for World {
    fn pace(&self) -> &Pace {
        &self.pace
    }

    async fn due(&self, account: Uuid, _: i64) -> Result<Option<Due>, JobError> {
        let account = Account { id: account, platform: self.platform.into(), external_id: "1".into() };
        let subjects = std::mem::take(&mut *locked(&self.due));
        Ok(Some(Due {
            account,
            generation: 1,
            subjects,
            refused: Vec::new(),
            doubted: Vec::new(),
            now: now(),
        }))
    }

    async fn take(&self, taken: &Taken<'_>) -> Result<(), JobError> {
        let told = taken.points.iter().filter(|point| point.value.is_some()).count();
        locked(&self.absent).push((taken.subject.number, taken.absent));
        locked(&self.spreads).extend(taken.spreads.iter().cloned());
        locked(&self.taken).push((taken.subject.number, taken.points.len(), told, taken.next));
        Ok(())
    }

    async fn take_ads(&self, taken: &AdsTaken<'_>) -> Result<u64, JobError> {
        locked(&self.ads_taken).push(taken.then.clone());
        Ok(0)
    }

    async fn refused(&self, _: &Account, metric: &'static Metric, _: &Failure) -> Result<(), JobError> {
        locked(&self.refused).push(metric.remote);
        Ok(())
    }

    async fn told_again(&self, _: &Account, _: &[u16]) -> Result<(), JobError> {
        Ok(())
    }

    async fn put_off(
        &self,
        _: &Account,
        objects: &[Object],
        _: DateTime<Utc>,
        _: &Failure,
    ) -> Result<(), JobError> {
        locked(&self.put_off).extend(objects);
        Ok(())
    }
}

/// Its next turn by the plan: whole days after it came out.
fn tomorrow() -> Next {
    Next::At(now() + TimeDelta::hours(18))
}

#[tokio::test]
async fn one_metric_that_is_refused_leaves_the_others_and_is_remembered() {
    let world = World::of("instagram_business", vec![post(1), post(2)], |_, metrics| {
        if metrics.iter().any(|metric| metric.remote == "saved") {
            return Err(Trouble::Metric(no(Class::Permanent)));
        }
        Ok(told(metrics))
    });
    world.run().await.expect("done");
    assert_eq!(world.taken(), [(1, 9, 9, tomorrow()), (2, 9, 9, tomorrow())]);
    assert_eq!(*locked(&world.refused), ["saved"], "it is not asked of the second post again");
    assert_eq!(locked(&world.asked).len(), 7 + 1, "and the second takes one call");
}

#[tokio::test]
async fn an_object_of_which_nothing_is_told_holds_nothing_against_the_metrics() {
    let world =
        World::of("instagram_business", vec![post(1)], |_, _| Err(Trouble::Metric(no(Class::Permanent))));
    world.run().await.expect("done");
    assert_eq!(world.taken(), [(1, 0, 0, tomorrow())]);
    assert!(locked(&world.refused).is_empty());
}

#[tokio::test]
async fn where_a_network_tells_nothing_in_one_way_nothing_is_held_against_those_metrics() {
    let world = World::of("facebook_page", vec![post(1)], |_, metrics| {
        let insights = metrics.iter().any(|metric| metric.via == Via::Insights);
        if insights { Err(Trouble::Metric(no(Class::Permanent))) } else { Ok(told(metrics)) }
    });
    world.run().await.expect("done");
    assert_eq!(world.taken(), [(1, 3, 3, tomorrow())]);
    assert!(locked(&world.refused).is_empty());
}

#[tokio::test]
async fn days_are_asked_about_from_the_last_answer_on_and_the_latest_each_time() {
    let day = |text: &str| -> DateTime<Utc> { format!("2026-11-{text}T00:00:00Z").parse().expect("a time") };
    let captured_at = Some(now() - TimeDelta::days(5));
    let account = Subject { object: Object::Account, captured_at, ..post(1) };
    let world = World::of("instagram_business", vec![account], |_, metrics| Ok(told(metrics)));
    world.run().await.expect("done");
    let asked = locked(&world.asked).clone();
    let of = |via: Via| -> Vec<_> { asked.iter().filter(|(its, ..)| *its == via).copied().collect() };
    assert_eq!(of(Via::Days), [(Via::Days, day("16"), day("23"))]);
    let totals =
        [("22", "23"), ("21", "22"), ("20", "21"), ("19", "20"), ("18", "19"), ("17", "18"), ("16", "17")];
    assert_eq!(of(Via::DayTotal), totals.map(|(since, until)| (Via::DayTotal, day(since), day(until))));
}

#[tokio::test]
async fn too_few_viewers_are_gaps() {
    let world = World::of("instagram_business", vec![post(1)], |_, _| Ok(Heard::TooFew));
    world.run().await.expect("done");
    assert_eq!(world.taken(), [(1, 10, 0, tomorrow())]);
}

#[tokio::test]
async fn what_is_missing_is_gone_only_where_its_account_can_be_read() {
    for (presence, next) in [
        (Presence::Absent, Next::Never(Ending::Gone)),
        (Presence::There, Next::At(now() + TimeDelta::hours(1))),
    ] {
        let mut world =
            World::of("facebook_page", vec![post(1)], |_, _| Err(Trouble::Missing(no(Class::Permanent))));
        world.presence = presence;
        world.run().await.expect("done");
        assert_eq!(world.taken(), [(1, 0, 0, next)]);
    }
}

#[tokio::test]
async fn what_is_left_out_among_others_for_two_days_is_gone() {
    let since = |hours| Some(now() - TimeDelta::hours(hours));
    let subjects = vec![
        post(1),
        Subject { absent_since: since(48), ..post(2) },
        Subject { absent_since: since(900), captures: 0, ..post(3) },
        post(4),
        Subject { absent_since: since(47), ..post(5) },
    ];
    let world = World::of("tiktok", subjects, |id, metrics| {
        Ok(if id == "post-4" { told(metrics) } else { Heard::Absent })
    });
    world.run().await.expect("done");
    let expected = [
        (1, 0, 0, tomorrow()),
        (2, 0, 0, Next::Never(Ending::Gone)),
        (3, 0, 0, tomorrow()),
        (4, 4, 4, tomorrow()),
        (5, 0, 0, tomorrow()),
    ];
    assert_eq!(world.taken(), expected);
    assert_eq!(locked(&world.absent)[3..], [(4, Some(false)), (5, Some(true))]);
}

#[tokio::test]
async fn an_answer_that_leaves_out_all_of_several_is_believed_of_none() {
    let long = |number| Subject { absent_since: Some(now() - TimeDelta::days(9)), ..post(number) };
    let world = World::of("tiktok", vec![long(1), long(2)], |_, _| Ok(Heard::Absent));
    world.run().await.expect("done");
    assert_eq!(world.taken(), [(1, 0, 0, tomorrow()), (2, 0, 0, tomorrow())]);
    assert_eq!(*locked(&world.absent), [(1, None), (2, None)]);
    let alone = World::of("tiktok", vec![long(1)], |_, _| Ok(Heard::Absent));
    alone.run().await.expect("done");
    assert_eq!(alone.taken(), [(1, 0, 0, Next::Never(Ending::Gone))]);
}

#[tokio::test]
async fn one_object_that_fails_stands_in_nobodys_way_and_a_network_that_is_away_is_tried_again() {
    let says: Says = |id, metrics| match id {
        "post-1" => Err(Trouble::Other(no(Class::Transient))),
        _ => Ok(told(metrics)),
    };
    let world = World::of("facebook_page", vec![post(1), post(2)], says);
    world.run().await.expect("done");
    let later = Next::At(now() + TimeDelta::hours(1));
    assert_eq!(world.taken(), [(2, 8, 8, tomorrow()), (1, 0, 0, later)]);
    let away = World::of("facebook_page", vec![post(1)], says);
    assert!(matches!(away.run().await, Err(JobError::Unavailable(_))));
    assert!(away.taken().is_empty());
}

#[tokio::test]
async fn what_fails_draws_no_plan_out() {
    let old = Subject { since: now() - TimeDelta::days(91), ..post(1) };
    let says: Says = |id, metrics| match id {
        "post-1" => Err(Trouble::Other(no(Class::Transient))),
        _ => Ok(told(metrics)),
    };
    let world = World::of("facebook_page", vec![old.clone(), post(2)], says);
    world.run().await.expect("done");
    assert_eq!(world.taken(), [(2, 8, 8, tomorrow()), (1, 0, 0, Next::Never(Ending::Over))]);
    let refused = World::of("facebook_page", vec![old], |_, _| Err(Trouble::Other(no(Class::Permission))));
    refused.run().await.expect("done");
    assert_eq!(refused.taken(), [(1, 0, 0, Next::Never(Ending::Over))]);
}

#[tokio::test]
async fn a_network_that_is_switched_off_puts_the_account_off() {
    let mut world = World::of("facebook_page", vec![post(1)], |_, metrics| Ok(told(metrics)));
    world.off = true;
    assert!(matches!(world.run().await, Ok(Done::Finished { .. })));
    assert_eq!(*locked(&world.put_off), Object::ALL);
}

#[tokio::test]
async fn an_object_that_is_refused_alone_comes_back_and_puts_no_other_off() {
    let world = World::of("facebook_page", vec![post(1), post(2), post(3)], |id, metrics| match id {
        "post-2" => Ok(told(metrics)),
        _ => Err(Trouble::Other(no(Class::Permanent))),
    });
    assert!(matches!(world.run().await, Ok(Done::Finished { .. })));
    assert_eq!(world.taken(), [(1, 0, 0, tomorrow()), (2, 8, 8, tomorrow()), (3, 0, 0, tomorrow())]);
    assert!(locked(&world.put_off).is_empty());
}

#[tokio::test]
async fn a_story_that_is_refused_comes_back_before_it_has_ended() {
    let story = |number, hours| Subject {
        object: Object::Story,
        since: now() - TimeDelta::hours(hours),
        ..post(number)
    };
    let mut world = World::of("instagram_business", vec![story(1, 1), story(2, 22), story(3, 24)], |_, _| {
        Err(Trouble::Other(no(Class::Permission)))
    });
    world.pace.plan.stories = [1, 6, 23].map(Duration::from_hours).to_vec();
    world.run().await.expect("done");
    let hours = |hours| Next::At(now() + TimeDelta::hours(hours));
    let over = Next::Never(Ending::Over);
    assert_eq!(world.taken(), [(1, 0, 0, hours(5)), (2, 0, 0, hours(1)), (3, 0, 0, over)]);
    assert_eq!(*locked(&world.put_off), [Object::Story]);
}

#[tokio::test]
async fn a_missing_permission_puts_off_objects_of_the_kind_and_rests_no_account() {
    let world =
        World::of("facebook_page", vec![post(1), post(2)], |_, _| Err(Trouble::Other(no(Class::Permission))));
    assert!(matches!(world.run().await, Ok(Done::Finished { .. })));
    assert_eq!(*locked(&world.put_off), [Object::Post]);
    assert_eq!(world.taken(), [(1, 0, 0, tomorrow())], "the second like it is a word on all of them");
    let alone = World::of("facebook_page", vec![post(1)], |_, _| Err(Trouble::Other(no(Class::Permission))));
    alone.run().await.expect("done");
    assert_eq!(*locked(&alone.put_off), [Object::Post]);
}

#[tokio::test]
async fn near_a_limit_it_leaves_off_and_a_limit_is_waited_for_without_resting_the_account() {
    let mut world = World::of("facebook_page", vec![post(1), post(2)], |_, metrics| Ok(told(metrics)));
    world.used = Some(75);
    let done = world.run().await;
    assert!(
        matches!(done, Ok(Done::Waiting { until, .. }) if until == now() + TimeDelta::hours(1)),
        "{done:?}"
    );
    assert_eq!(world.taken().len(), 1, "what was told is kept, and no more is asked");
    let limited = World::of("facebook_page", vec![post(1)], |_, _| {
        Err(Trouble::Other(no(Class::Rate).resting(Some(Duration::from_mins(7)))))
    });
    let error = limited.run().await.expect_err("throttled");
    assert!(matches!(&error, JobError::Throttled(failure, wait)
        if failure.rest.is_none() && *wait == Duration::from_mins(7)));
}

#[tokio::test]
async fn what_has_no_name_yet_is_not_asked_about_and_comes_back() {
    let nameless = Subject { remote_id: None, ..post(1) };
    let world = World::of("tiktok", vec![nameless], |_, _| Ok(Heard::Points(vec![])));
    world.run().await.expect("done");
    assert_eq!(world.taken(), [(1, 0, 0, tomorrow())]);
}
