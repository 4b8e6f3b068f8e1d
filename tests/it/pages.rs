//! Albums, films, reels and stories of a Page, from end to end: public exactly once, whole, and a story that nobody
//! can vouch for is held and not told again.

use jobs::failpoint::Point;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FACEBOOK, System, film, picture};

/// What a Page shows besides words, links and single pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Video,
    Reel,
    PictureStory,
    FilmStory,
}

use Shows::{FilmStory, PictureStory, Reel, Video};

/// Accepts a post of this sort and gives its id.
async fn post(system: &System, caption: &str, shows: Shows) -> String {
    let media = match shows {
        PictureStory => system.upload("picture.jpg", picture()).await,
        Video | Reel | FilmStory => system.upload("film.mp4", film()).await,
    };
    let kind = match shows {
        Video => "post",
        Reel => "reel",
        PictureStory | FilmStory => "story",
    };
    accepted(system, caption, kind, &[media]).await
}

async fn accepted(system: &System, caption: &str, kind: &str, media: &[String]) -> String {
    let mut wish = system.wish(caption, &[FACEBOOK], media);
    wish["kind"] = json!(kind);
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    post["id"].as_str().unwrap().to_owned()
}

/// What the public sees as stories: they show no words.
async fn stories(system: &System) -> Vec<Value> {
    system.effects(FACEBOOK, "").await
}

/// The story is public, `before` others were, and no more are now than that one.
async fn told_once(system: &System, post: &str, before: usize) {
    let published = system.until(post, "published").await;
    let stories = stories(system).await;
    assert_eq!(stories.len(), before + 1, "{stories:?}");
    assert_eq!(published["publications"][0]["remote_id"], stories[before]["object_id"]);
}

async fn commits(system: &System) -> i64 {
    system.database.count("SELECT count(*) FROM remote_call WHERE kind = 'commit'").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_is_public_once_with_all_its_pictures() {
    let system = System::with_workers(1).await;
    system.fault(json!({ "call": "commit", "times_per_object": 1, "fault": "effect_then_500" })).await;
    system.fault(json!({ "call": "photos", "times": 1, "fault": "no_effect_then_500" })).await;
    let mut pictures = Vec::new();
    for n in 0..3 {
        pictures.push(system.upload(&format!("{n}.jpg"), picture()).await);
    }
    let post = accepted(&system, "three to leaf through", "carousel", &pictures).await;
    system.all_live_once(&[post]).await;
    let effects = system.effects(FACEBOOK, "three to leaf through").await;
    assert_eq!(effects[0]["media"].as_array().unwrap().len(), 3, "{effects:?}");
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_whose_finish_misbehaves_is_public_once() {
    let system = System::with_workers(1).await;
    let late = json!({ "effect_after_ms": 1200, "then": "drop" });
    for fault in [json!("effect_then_500"), json!("no_effect_then_500"), json!("effect_then_drop"), late] {
        system.calm().await;
        system.fault(json!({ "call": "commit", "times_per_object": 1, "fault": fault })).await;
        let mut posts = Vec::new();
        for shows in [Video, Reel] {
            posts.push(post(&system, &format!("{shows:?} {fault}"), shows).await);
        }
        system.all_live_once(&posts).await;
    }
    system.every_call_was_logged_first().await;
    let doubts = "SELECT count(*) FROM remote_call WHERE kind = 'commit' AND verdict IN ('resolved_yes', 'resolved_no')";
    assert_eq!(system.database.count(doubts).await, 8, "each finish was in doubt once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_arrives_in_pieces_is_named_once_and_public_once() {
    let system = System::with_workers(1).await;
    for fault in ["no_effect_then_drop", "effect_then_500"] {
        system.fault(json!({ "call": "video_upload", "times_per_object": 1, "fault": fault })).await;
    }
    let posts = [post(&system, "in pieces", Video).await, post(&system, "in one piece", Reel).await];
    system.all_live_once(&posts).await;
    let prepares = "SELECT count(*) FROM remote_call WHERE kind = 'prepare'";
    assert_eq!(system.database.count(prepares).await, 2, "what broke off was taken up again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_over_a_film_leaves_one_film() {
    let points =
        [Point::AfterPrepareAnswer, Point::AfterArm, Point::BeforeCommitSend, Point::AfterCommitAnswer];
    for shows in [Video, Reel] {
        let mut system = System::start().await;
        for point in points {
            let post = post(&system, &format!("{shows:?} killed at {}", point.word()), shows).await;
            system.start_worker(&[(point.word(), "kill9")]);
            assert_eq!(system.workers[0].ended().await, None, "{} was not reached", point.word());
            system.workers.clear();
            system.start_worker(&[]);
            system.all_live_once(&[post]).await;
            system.workers.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_behind_a_lost_answer_is_found_and_not_told_again() {
    let system = System::with_workers(1).await;
    let late = json!({ "effect_after_ms": 1200, "then": "drop" });
    let mut before = 0;
    for fault in [json!("effect_then_500"), json!("effect_then_drop"), json!("effect_then_half"), late] {
        system.calm().await;
        system.fault(json!({ "call": "commit", "times_per_object": 1, "fault": fault })).await;
        for shows in [PictureStory, FilmStory] {
            let story = post(&system, &format!("{shows:?} {fault}"), shows).await;
            told_once(&system, &story, before).await;
            before += 1;
        }
    }
    assert_eq!(commits(&system).await, 8, "each was told by one call");
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_that_nobody_can_vouch_for_is_held_at_once_and_never_told_again() {
    let system = System::with_workers(1).await;
    let mut held = Vec::new();
    for fault in ["no_effect_then_500", "no_effect_then_drop"] {
        system.calm().await;
        system.fault(json!({ "call": "commit", "times_per_object": 1, "fault": fault })).await;
        for shows in [PictureStory, FilmStory] {
            let story = post(&system, &format!("{shows:?} {fault}"), shows).await;
            let seen = system.until(&story, "held").await;
            let publication = &seen["publications"][0];
            assert_eq!(publication["error"]["code"], "not_provable", "{seen}");
            held.push(story);
        }
    }
    // held by the first look after the quarantine, and not when a day is over
    let late = "SELECT count(*) FROM publication WHERE updated_at > quarantine_until + interval '10 seconds'";
    assert_eq!(system.database.count(late).await, 0);
    let open = "SELECT count(*) FROM remote_call WHERE kind = 'commit' AND verdict = 'ambiguous'";
    assert_eq!(system.database.count(open).await, 4, "the doubt is kept with its call");
    assert_eq!((commits(&system).await, stories(&system).await.len()), (4, 0));
    assert_eq!(system.database.count("SELECT count(*) FROM job").await, 0, "no job is left to send it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_over_a_story_leaves_it_told_once_or_held() {
    for shows in [PictureStory, FilmStory] {
        let mut system = System::start().await;
        let mut before = 0;
        for (point, state) in [
            (Point::AfterPrepareAnswer, "published"),
            (Point::AfterArm, "held"),
            (Point::BeforeCommitSend, "held"),
            (Point::AfterCommitAnswer, "published"),
        ] {
            let story = post(&system, &format!("{shows:?} killed at {}", point.word()), shows).await;
            system.start_worker(&[(point.word(), "kill9")]);
            assert_eq!(system.workers[0].ended().await, None, "{} was not reached", point.word());
            system.workers.clear();
            system.start_worker(&[]);
            match state {
                "published" => {
                    told_once(&system, &story, before).await;
                    before += 1;
                }
                _ => assert_eq!(system.until(&story, state).await["state"], state),
            }
            assert_eq!(stories(&system).await.len(), before, "{}", point.word());
            system.workers.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_facebook_refuses_after_it_took_it_fails_with_the_reason() {
    let system = System::with_workers(1).await;
    system.fault(json!({ "call": "commit", "times": 1, "fault": { "fail_reason": "no sound" } })).await;
    let reel = post(&system, "refused in the end", Reel).await;
    let failed = system.until(&reel, "failed").await;
    assert_eq!(failed["publications"][0]["error"]["code"], "processing_failed", "{failed}");
    assert!(system.effects(FACEBOOK, "refused in the end").await.is_empty());
}
