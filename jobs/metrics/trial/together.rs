//! Objects that are asked about together, and who follows an account.

use super::*;

#[tokio::test]
async fn of_several_asked_about_together_one_that_is_gone_and_one_metric_that_is_refused_leave_the_rest_whole()
 {
    let mut world = World::of("facebook_page", vec![post(1), post(2), post(3)], |id, metrics| {
        if id == "post-2" {
            return Err(Trouble::Missing(no(Class::Permanent)));
        }
        if metrics.iter().any(|metric| metric.remote == "post_clicks") {
            return Err(Trouble::Metric(no(Class::Permanent)));
        }
        Ok(told(metrics))
    });
    world.at_once = 20;
    world.presence = Presence::Absent;
    world.run().await.expect("done");
    let gone = (2, 0, 0, Next::Never(Ending::Gone));
    assert_eq!(world.taken(), [(1, 7, 7, tomorrow()), gone, (3, 7, 7, tomorrow())]);
    assert_eq!(*locked(&world.refused), ["post_clicks"], "once, however many there are");
    // five metrics of which one is refused take six calls, the fields one, whatever the number of posts
    assert!(locked(&world.asked).len() <= 7, "{} calls", locked(&world.asked).len());
}

#[tokio::test]
async fn a_metric_that_one_of_several_is_told_of_is_not_retired() {
    let mut world = World::of("instagram_business", vec![post(1), post(2)], |id, metrics| {
        let odd = id == "post-1" && metrics.iter().any(|metric| metric.remote == "saved");
        if odd { Err(Trouble::Metric(no(Class::Permanent))) } else { Ok(told(metrics)) }
    });
    world.at_once = 20;
    world.run().await.expect("done");
    assert_eq!(world.taken(), [(1, 9, 9, tomorrow()), (2, 10, 10, tomorrow())]);
    assert!(locked(&world.refused).is_empty(), "it is the post that is not told of");
}

#[tokio::test]
async fn of_several_one_that_fails_comes_back_later_and_what_is_about_the_account_stops_all() {
    let says: Says = |id, metrics| match id {
        "post-1" => Err(Trouble::Other(no(Class::Transient))),
        "post-2" => Err(Trouble::Other(no(Class::Permission))),
        _ => Ok(told(metrics)),
    };
    let mut world = World::of("facebook_page", vec![post(1), post(2), post(3)], says);
    world.at_once = 20;
    world.run().await.expect("done");
    let later = Next::At(now() + TimeDelta::hours(1));
    assert_eq!(world.taken(), [(3, 8, 8, tomorrow()), (2, 0, 0, tomorrow()), (1, 0, 0, later)]);
    assert!(locked(&world.put_off).is_empty());
    let mut limited = World::of("facebook_page", vec![post(1), post(2)], |id, metrics| match id {
        "post-1" => Ok(told(metrics)),
        _ => Err(Trouble::Other(no(Class::Rate).resting(Some(Duration::from_mins(7))))),
    });
    limited.at_once = 20;
    assert!(matches!(limited.run().await, Err(JobError::Throttled(..))));
}

#[tokio::test]
async fn with_too_few_followers_it_is_said_that_nobody_is_told_who_they_are() {
    for (followers, said) in [(99, Said::TooFew), (100, Said::Nothing)] {
        let account = Subject { object: Object::Account, ..post(1) };
        let mut world = World::of("instagram_business", vec![account], |_, metrics| {
            Ok(match metrics[0].via {
                Via::Kinds => Heard::Spreads(
                    metrics.iter().copied().map(|metric| Spread { metric, said: Said::Nothing }).collect(),
                ),
                _ => told(metrics),
            })
        });
        world.followers = followers;
        world.run().await.expect("done");
        let spreads = locked(&world.spreads).clone();
        assert_eq!(spreads.len(), 4, "age, city, country, gender");
        assert!(spreads.iter().all(|spread| spread.said == said), "{followers}: {spreads:?}");
    }
}
