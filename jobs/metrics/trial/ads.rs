//! The reading of an ad account.

use super::*;
use crate::metrics::advertising::MOST_PAGES;

/// How many metrics there are of ads.
const ALL: usize = 11;

fn whole() -> AdPage {
    AdPage { days: Vec::new(), next: None }
}

fn account(resume: Option<&str>) -> World {
    let subject = Subject {
        object: Object::Account,
        remote_id: Some("act_1".into()),
        resume: resume.map(str::to_owned),
        ..post(1)
    };
    World::of(PLATFORM, vec![subject], |_, metrics| Ok(told(metrics)))
}

fn places(world: &World) -> Vec<(Level, Option<String>)> {
    locked(&world.ads_asked).iter().map(|(level, after, _)| (*level, after.clone())).collect()
}

fn done() -> Onward {
    Onward::Done(tomorrow())
}

/// In the midst of the ads, as it was kept yesterday.
const BROKEN_OFF: &str = r#"{"level":"ad","since":"2026-10-26","until":"2026-11-22","after":"x"}"#;

#[tokio::test]
async fn every_level_is_read_page_by_page_and_each_page_is_kept_with_where_it_goes_on() {
    let mut world = account(None);
    world.ads_say = |question| match (question.level, question.after) {
        (Level::Campaign, None) => Ok(AdPage { days: Vec::new(), next: Some("a".into()) }),
        (_, _) => Ok(whole()),
    };
    assert!(matches!(world.run().await, Ok(Done::Finished { .. })));
    let a = Some("a".to_owned());
    let expected = [
        (Level::Account, None),
        (Level::Campaign, None),
        (Level::Campaign, a),
        (Level::AdSet, None),
        (Level::Ad, None),
    ];
    assert_eq!(places(&world), expected);
    let taken = locked(&world.ads_taken).clone();
    assert_eq!((taken.len(), taken.last()), (5, Some(&done())));
    let Onward::Resume(text) = &taken[1] else { panic!("{taken:?}") };
    assert!(text.contains("campaign") && text.contains("\"after\":\"a\""), "{text}");
    assert!(world.taken().is_empty() && locked(&world.asked).is_empty(), "it has no other numbers");
}

#[tokio::test]
async fn what_was_broken_off_goes_on_where_it_was() {
    let world = account(Some(BROKEN_OFF));
    world.run().await.expect("done");
    assert_eq!(places(&world), [(Level::Ad, Some("x".into()))]);
    assert_eq!(*locked(&world.ads_taken), [done()]);
}

#[tokio::test]
async fn where_the_network_does_not_know_the_place_any_more_the_level_is_begun_anew() {
    let mut world = account(Some(BROKEN_OFF));
    world.ads_say = |question| match question.after {
        Some(_) => Err(Trouble::Metric(no(Class::Permanent))),
        None => Ok(whole()),
    };
    world.run().await.expect("done");
    assert_eq!(places(&world).last(), Some(&(Level::Ad, None)));
    assert_eq!(*locked(&world.ads_taken), [done()]);
    assert!(locked(&world.refused).is_empty(), "every field was told of");
}

#[tokio::test]
async fn one_field_that_is_refused_leaves_the_others_and_is_remembered_once() {
    let mut world = account(None);
    world.ads_say = |question| {
        let odd = question.metrics.iter().any(|metric| metric.remote == "cpm");
        if odd { Err(Trouble::Metric(no(Class::Permanent))) } else { Ok(whole()) }
    };
    world.run().await.expect("done");
    assert_eq!(*locked(&world.refused), ["cpm"]);
    assert_eq!(locked(&world.ads_taken).len(), Level::ALL.len());
    let last = locked(&world.ads_asked).last().cloned().expect("it was asked");
    assert_eq!(last, (Level::Ad, None, ALL - 1));
}

#[tokio::test]
async fn an_account_of_which_nothing_is_told_holds_nothing_against_the_fields_and_is_put_off() {
    for trouble in [Trouble::Metric(no(Class::Permanent)), Trouble::Other(no(Class::Permission))] {
        let mut world = account(None);
        world.ads_say = match trouble {
            Trouble::Metric(_) => |_| Err(Trouble::Metric(no(Class::Permanent))),
            Trouble::Missing(_) | Trouble::Other(_) => |_| Err(Trouble::Other(no(Class::Permission))),
        };
        assert!(matches!(world.run().await, Ok(Done::Finished { .. })));
        assert!(locked(&world.refused).is_empty() && locked(&world.ads_taken).is_empty());
        assert_eq!(*locked(&world.put_off), [Object::Account]);
    }
}

#[tokio::test]
async fn near_a_limit_it_leaves_off_with_its_place_kept_and_a_limit_is_waited_for() {
    let mut world = account(None);
    world.used = Some(75);
    assert!(matches!(world.run().await, Ok(Done::Waiting { .. })));
    let taken = locked(&world.ads_taken).clone();
    assert!(matches!(&taken[..], [Onward::Resume(text)] if text.contains("campaign")), "{taken:?}");
    let mut limited = account(None);
    limited.ads_say = |_| Err(Trouble::Other(no(Class::Rate).resting(Some(Duration::from_mins(7)))));
    assert!(
        matches!(limited.run().await, Err(JobError::Throttled(_, wait)) if wait == Duration::from_mins(7))
    );
    let mut away = account(None);
    away.ads_say = |_| Err(Trouble::Other(no(Class::Transient)));
    assert!(matches!(away.run().await, Err(JobError::Unavailable(_))));
    assert!(locked(&away.put_off).is_empty());
}

#[tokio::test]
async fn what_has_very_many_pages_is_read_in_several_runs() {
    let mut world = account(None);
    world.ads_say = |question| {
        let next = format!("{}x", question.after.unwrap_or_default());
        Ok(AdPage { days: Vec::new(), next: Some(next) })
    };
    assert!(matches!(world.run().await, Ok(Done::Waiting { until, .. }) if until == now()));
    let (asked, taken) = (places(&world), locked(&world.ads_taken).clone());
    assert_eq!((asked.len(), taken.len()), (MOST_PAGES, MOST_PAGES));
    assert!(matches!(taken.last(), Some(Onward::Resume(text)) if text.contains(&"x".repeat(MOST_PAGES))));
}

#[tokio::test]
async fn a_network_that_asks_for_less_at_a_time_is_asked_for_less() {
    let mut world = account(None);
    world.ads_say = |question| {
        let words = "Please reduce the amount of data you're asking for, then retry your request";
        let much = Failure::new(Class::Transient, "1", words);
        if question.most > 30 { Err(Trouble::Other(much)) } else { Ok(whole()) }
    };
    world.run().await.expect("done");
    assert_eq!(locked(&world.ads_asked).len(), 1 + Level::ALL.len());
    let mut never = account(None);
    never.ads_say = |_| Err(Trouble::Other(Failure::new(Class::Transient, "1", "reduce the amount of data")));
    assert!(matches!(never.run().await, Err(JobError::Unavailable(_))), "and is given up in the end");
}
