//! Instagram's surfaces from the door to the public: whatever breaks, each post is public exactly once and whole.

use jobs::failpoint::Point;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{INSTAGRAM, System, film, picture};

/// What a post of a surface is made of.
struct Made {
    surface: &'static str,
    kind: &'static str,
    /// True: a film.
    files: &'static [bool],
}

const SURFACES: &[Made] = &[
    Made { surface: "reel", kind: "reel", files: &[true] },
    Made { surface: "reel", kind: "post", files: &[true] },
    Made { surface: "carousel", kind: "carousel", files: &[false, true, false] },
    Made { surface: "story", kind: "story", files: &[false] },
    Made { surface: "story", kind: "story", files: &[true] },
];

/// Accepts a post of each surface, and gives their ids.
async fn one_of_each(system: &System, tag: &str) -> Vec<(String, &'static Made)> {
    let mut posts = Vec::new();
    for (n, made) in SURFACES.iter().enumerate() {
        let mut media = Vec::new();
        for is_film in made.files {
            let (name, bytes) = if *is_film { ("film.mp4", film()) } else { ("picture.jpg", picture()) };
            media.push(system.upload(name, bytes).await);
        }
        let mut wish = system.wish(&format!("{tag}: {} {n}", made.surface), &[INSTAGRAM], &media);
        wish["kind"] = json!(made.kind);
        let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
        assert_eq!(status, 202, "{post}");
        assert_eq!(post["publications"][0]["surface"], made.surface);
        posts.push((post["id"].as_str().unwrap().to_owned(), made));
    }
    posts
}

/// All are public once, each with as many files as were approved.
async fn all_are_public_and_whole(system: &System, posts: &[(String, &Made)]) {
    let ids: Vec<_> = posts.iter().map(|(id, _)| id.clone()).collect();
    system.all_live_once(&ids).await;
    let effects = system.control("effects").await;
    for (id, made) in posts {
        let post = system.until(id, "published").await;
        let remote = &post["publications"][0]["remote_id"];
        let of_post = |effect: &&Value| effect["object_id"] == *remote;
        if let Some(effect) = effects["data"].as_array().unwrap().iter().find(of_post) {
            let files = effect["media"].as_array().unwrap().len();
            assert_eq!(files, made.files.len(), "a {} came out with {files} files", made.surface);
        }
    }
    system.every_call_was_logged_first().await;
}

async fn commits_misbehave(fault: &str) {
    let system = System::with_workers(1).await;
    system.fault(json!({ "call": "commit", "times_per_object": 1, "fault": fault })).await;
    let posts = one_of_each(&system, fault).await;
    all_are_public_and_whole(&system, &posts).await;
    let doubts = "SELECT count(*) FROM remote_call WHERE kind = 'commit' AND verdict IN ('resolved_yes', 'resolved_no')";
    let doubts = system.database.count(doubts).await;
    assert_eq!(doubts, 5, "each commit was in doubt once, and the doubt was resolved");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_of_any_surface_behind_a_500_is_found_and_not_repeated() {
    commits_misbehave("effect_then_500").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_500_without_an_effect_is_proved_and_sent_again_on_every_surface() {
    commits_misbehave("no_effect_then_500").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_once_it_has_armed_leaves_one_post_of_every_surface() {
    let mut system = System::start().await;
    let posts = one_of_each(&system, "killed at arm").await;
    for _ in &posts {
        system.start_worker(&[(Point::AfterArm.word(), "kill9")]);
        let mut worker = system.workers.pop().unwrap();
        assert!(worker.ended().await.is_none(), "nothing was armed: {}", worker.log());
    }
    system.start_worker(&[]);
    all_are_public_and_whole(&system, &posts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carousel_survives_its_worker_at_every_step_of_making_it() {
    let mut system = System::start().await;
    for point in [Point::AfterPrepareLogged, Point::AfterPrepareAnswer, Point::AfterPrepared] {
        let posts = one_of_each(&system, point.word()).await;
        // the first call makes the slides, the second puts them together
        for _ in 0..2 {
            system.start_worker(&[(point.word(), "kill9")]);
            let mut worker = system.workers.pop().unwrap();
            assert!(worker.ended().await.is_none(), "{} was not reached: {}", point.word(), worker.log());
        }
        system.start_worker(&[]);
        all_are_public_and_whole(&system, &posts).await;
        system.workers.clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slide_that_instagram_cannot_process_fails_the_carousel_and_nothing_is_public() {
    let system = System::with_workers(1).await;
    let broken =
        json!({ "graph": { "code": 352, "subcode": 2_207_026, "http": 400, "message": "no such format" } });
    system.fault(json!({ "network": INSTAGRAM, "call": "media", "times": 1, "fault": broken })).await;
    let media = [system.upload("1.jpg", picture()).await, system.upload("2.jpg", picture()).await];
    let mut wish = system.wish("one slide is broken", &[INSTAGRAM], &media);
    wish["kind"] = json!("carousel");
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    let failed = system.until(post["id"].as_str().unwrap(), "failed").await;
    let error = &failed["publications"][0]["error"];
    assert_eq!((&error["code"], &error["who_acts"]), (&json!("352/2207026"), &json!("author")), "{error}");
    assert!(system.control("effects").await["data"].as_array().unwrap().is_empty());
}
