//! Taking published posts down: on real processes, once, whatever becomes of answers and workers.

use jobs::failpoint::Point;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FACEBOOK, INSTAGRAM, System, TIKTOK, eventually};

/// The networks that allow it, and what the stand-in calls the request there.
const ALLOWED: [(&str, &str); 2] = [(FACEBOOK, "delete_post"), (INSTAGRAM, "media_delete")];

async fn system() -> System {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__JOBS__TAKE_DOWN__RETRY_BASE".into(), "200ms".into());
    system
}

/// A publication that is public, with its address known.
async fn published(system: &System, caption: &str, platform: &str) -> Value {
    let post = system.post(caption, &[platform]).await;
    named(system, &post).await["publications"][0].clone()
}

async fn named(system: &System, post: &str) -> Value {
    eventually("its address", || async {
        let (_, answer) = system.api(Method::GET, &format!("/api/v1/posts/{post}"), None).await;
        let all = answer["publications"].as_array().unwrap();
        if all.iter().all(|it| it["permalink"].is_string()) { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await
}

async fn take_down(system: &System, publication: &Value) -> (u16, Value) {
    let path = format!("/api/v1/publications/{}/take-down", publication["id"].as_str().unwrap());
    system.api(Method::POST, &path, Some(&json!({ "reason": "the price was wrong" }))).await
}

/// Asks for it, and gives the publication once the wish is over.
async fn taken_down(system: &System, publication: &Value) -> Value {
    let (status, asked) = take_down(system, publication).await;
    assert_eq!(status, 202, "{asked}");
    over(system, publication).await
}

async fn over(system: &System, publication: &Value) -> Value {
    eventually("the wish to be over", || async {
        let (_, posts) = system.api(Method::GET, "/api/v1/posts", None).await;
        let all =
            posts["data"].as_array().unwrap().iter().flat_map(|it| it["publications"].as_array().unwrap());
        let it = all.into_iter().find(|it| it["id"] == publication["id"]).unwrap().clone();
        if it["taken_down"]["at"].is_string() { Ok(it) } else { Err(it.to_string()) }
    })
    .await
}

async fn removals(system: &System, publication: &Value) -> usize {
    let all = system.control("removals").await;
    let its = |it: &&Value| it["object_id"] == publication["remote_id"];
    all["data"].as_array().unwrap().iter().filter(its).count()
}

/// What its permalink answers.
async fn page(publication: &Value) -> u16 {
    reqwest::get(publication["permalink"].as_str().unwrap()).await.unwrap().status().as_u16()
}

async fn wall(system: &System) -> String {
    reqwest::get(system.addresses["wall"].as_str().unwrap()).await.unwrap().text().await.unwrap()
}

/// It is gone for the public, removed once, and published all the same; nothing is left to do.
async fn is_gone(system: &System, caption: &str, before: &Value, after: &Value) {
    assert_eq!(after["taken_down"]["state"], "gone", "{after}");
    assert_eq!((&after["state"], &after["taken_down"]["why"]), (&json!("published"), &Value::Null));
    assert_eq!(after["remote_id"], before["remote_id"]);
    assert_eq!(removals(system, before).await, 1, "{caption}");
    assert_eq!(page(before).await, 404, "{caption}");
    assert!(!wall(system).await.contains(caption), "{caption}");
    let platform = before["platform"].as_str().unwrap();
    assert_eq!(system.effects(platform, caption).await.len(), 1, "the public has seen it once");
    eventually("its job to be over", || async {
        match system.database.count("SELECT count(*) FROM job WHERE kind = 'take_down'").await {
            0 => Ok(()),
            left => Err(left.to_string()),
        }
    })
    .await;
    system.every_call_was_logged_first().await;
}

async fn discards(system: &System, verdict: &str) -> i64 {
    let query = "SELECT count(*) FROM remote_call WHERE kind = 'discard' AND verdict::text = $1";
    sqlx::query_scalar(query).bind(verdict).fetch_one(&system.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_down_is_gone_where_the_network_allows_it_and_stays_elsewhere() {
    let mut system = system().await;
    system.start_worker(&[]);
    let post = system.post("on both", &[FACEBOOK, INSTAGRAM]).await;
    let post = named(&system, &post).await;
    for publication in post["publications"].as_array().unwrap() {
        assert_eq!((page(publication).await, &publication["taken_down"]), (200, &Value::Null));
    }
    let of = |platform: &str| {
        post["publications"].as_array().unwrap().iter().find(|it| it["platform"] == platform).unwrap().clone()
    };
    let (page_post, media) = (of(FACEBOOK), of(INSTAGRAM));
    let after = taken_down(&system, &page_post).await;
    assert_eq!(after["taken_down"]["reason"], "the price was wrong");
    assert_eq!(page(&page_post).await, 404);
    assert_eq!((page(&media).await, removals(&system, &media).await), (200, 0), "the other one stays");
    assert!(wall(&system).await.contains("on both"));
    let after = taken_down(&system, &media).await;
    is_gone(&system, "on both", &media, &after).await;
    assert_eq!(discards(&system, "ok").await, 2);
    // who asks again gets the same
    let (status, again) = take_down(&system, &media).await;
    assert_eq!((status, &again["taken_down"]), (202, &after["taken_down"]));
    assert_eq!(system.database.count("SELECT count(*) FROM job WHERE kind = 'take_down'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_takes_it_down_once_all_the_same() {
    let mut system = system().await;
    system.start_worker(&[]);
    for (platform, call) in ALLOWED {
        for fault in ["effect_then_500", "effect_then_drop", "no_effect_then_500"] {
            let caption = format!("{fault} on {platform}");
            let before = published(&system, &caption, platform).await;
            system.fault(json!({ "network": platform, "call": call, "times": 1, "fault": fault })).await;
            let after = taken_down(&system, &before).await;
            is_gone(&system, &caption, &before, &after).await;
            system.calm().await;
        }
    }
    // what had an effect was found gone; what had none was removed by the second request, and the first stays in doubt
    assert_eq!((discards(&system, "resolved_yes").await, discards(&system, "ok").await), (4, 2));
    assert_eq!(discards(&system, "ambiguous").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn that_it_cannot_be_read_is_no_proof_that_it_is_gone() {
    let mut system = system().await;
    system.start_worker(&[]);
    let before = published(&system, "unreadable for a while", FACEBOOK).await;
    system.fault(json!({ "call": "delete_post", "times": 1, "fault": "no_effect_then_500" })).await;
    // the network says twice that there is no such post, and its account cannot be read
    let missing = json!({ "graph": { "code": 100, "subcode": 33, "message": "does not exist" } });
    system.fault(json!({ "call": "delete_post", "times": 2, "fault": missing })).await;
    system.fault(json!({ "call": "observe", "times": 4, "fault": { "read_error": true } })).await;
    let after = taken_down(&system, &before).await;
    is_gone(&system, "unreadable for a while", &before, &after).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_around_the_request_leaves_it_taken_down_once() {
    let points = [(Point::AfterTakeDownLogged.word(), "kill9"), (Point::AfterTakeDownAnswer.word(), "kill9")];
    for (platform, _) in ALLOWED {
        let mut system = system().await;
        for point in points {
            let caption = format!("killed at {} on {platform}", point.0);
            system.start_worker(&[]);
            let before = published(&system, &caption, platform).await;
            system.workers[0].kill9().await;
            system.workers.clear();
            let (status, asked) = take_down(&system, &before).await;
            assert_eq!((status, &asked["taken_down"]["state"]), (202, &json!("asked")), "{asked}");
            system.start_worker(&[point]);
            assert_eq!(system.workers[0].ended().await, None);
            let sent = usize::from(point == points[1]);
            assert_eq!(removals(&system, &before).await, sent, "{caption}");
            system.workers.clear();
            system.start_worker(&[]);
            let after = over(&system, &before).await;
            is_gone(&system, &caption, &before, &after).await;
            system.workers[0].kill9().await;
            system.workers.clear();
        }
        // what was logged and never sent stays in doubt; what was answered was found gone
        assert_eq!((discards(&system, "ok").await, discards(&system, "resolved_yes").await), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stopped_before_its_request_and_wakes_late_takes_nothing_else_down() {
    let mut system = system().await;
    system.start_worker(&[]);
    let before = published(&system, "stopped in between", FACEBOOK).await;
    system.workers[0].kill9().await;
    system.workers.clear();
    system.start_worker(&[(Point::AfterTakeDownLogged.word(), "stop")]);
    let (status, _) = take_down(&system, &before).await;
    assert_eq!(status, 202);
    eventually("the request to be logged", || async {
        let open = "SELECT count(*) FROM remote_call WHERE kind = 'discard' AND verdict IS NULL";
        match system.database.count(open).await {
            1 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    system.start_worker(&[]);
    let after = over(&system, &before).await;
    is_gone(&system, "stopped in between", &before, &after).await;
    let asleep = system.workers.remove(0);
    asleep.signal("CONT").await;
    eventually("the sleeper to notice", || async {
        let log = asleep.log();
        if log.contains("lease has run out") || log.contains("fenced off") { Ok(()) } else { Err(log) }
    })
    .await;
    let sent = system.control("calls?call=delete_post").await;
    assert_eq!(sent["data"].as_array().unwrap().len(), 1, "{sent}");
    let (_, post) = system.api(Method::GET, "/api/v1/posts", None).await;
    assert_eq!(post["data"][0]["publications"][0]["taken_down"], after["taken_down"], "it stays as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_take_it_down_once() {
    let mut system = system().await;
    system.start_worker(&[]);
    system.start_worker(&[]);
    for n in 0..6 {
        let (platform, _) = ALLOWED[n % 2];
        let caption = format!("wished twice, {n}");
        let before = published(&system, &caption, platform).await;
        let ((first, _), (second, _)) =
            tokio::join!(take_down(&system, &before), take_down(&system, &before));
        assert_eq!((first, second), (202, 202));
        let after = over(&system, &before).await;
        is_gone(&system, &caption, &before, &after).await;
    }
    assert_eq!(discards(&system, "ok").await, 6);
    assert_eq!(system.database.count("SELECT count(*) FROM remote_call WHERE kind = 'discard'").await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_ends_the_wish_and_says_who_mends_it() {
    let mut system = system().await;
    system.start_worker(&[]);
    for (platform, call) in ALLOWED {
        let caption = format!("refused on {platform}");
        let before = published(&system, &caption, platform).await;
        let revoked = json!({ "graph": { "code": 190, "subcode": 460, "message": "password changed" } });
        let missing = json!({ "graph": { "code": 10, "message": "no permission" } });
        for (fault, class) in [(revoked, "auth"), (missing, "permission")] {
            system.fault(json!({ "network": platform, "call": call, "times": 1, "fault": fault })).await;
            let after = taken_down(&system, &before).await;
            let wish = &after["taken_down"];
            assert_eq!(
                (&wish["state"], &wish["why"]["class"]),
                (&json!("refused"), &json!(class)),
                "{after}"
            );
            assert_eq!(wish["why"]["who_acts"], "owner", "{after}");
            assert_eq!((&after["state"], page(&before).await), (&json!("published"), 200));
        }
        // mended, and asked for anew
        let after = taken_down(&system, &before).await;
        is_gone(&system, &caption, &before, &after).await;
    }
    let (_, accounts) = system.api(Method::GET, "/api/v1/accounts", None).await;
    let active = |it: &Value| it["state"] == "active";
    assert!(accounts["data"].as_array().unwrap().iter().all(active), "posts go out on: {accounts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_network_lets_nobody_remove_is_refused_and_what_is_gone_already_is_not_claimed() {
    let mut system = system().await;
    system.start_worker(&[]);
    let media = published(&system, "of a type", INSTAGRAM).await;
    let of_type = json!({ "graph": { "code": 100, "subcode": 2_207_073, "message": "unsupported" } });
    system.fault(json!({ "call": "media_delete", "times": 1, "fault": of_type })).await;
    let after = taken_down(&system, &media).await;
    let why = &after["taken_down"]["why"];
    assert!(why["message"].as_str().unwrap().contains("Instagram app"), "{after}");
    assert_eq!((&after["taken_down"]["state"], &why["who_acts"]), (&json!("refused"), &json!("staff")));

    // somebody has removed it there
    let before = published(&system, "removed by hand", FACEBOOK).await;
    let url =
        format!("{}/{}", system.addresses["graph"].as_str().unwrap(), before["remote_id"].as_str().unwrap());
    let by_hand = reqwest::Client::new().delete(url).bearer_auth("sandbox-page-token");
    assert!(by_hand.send().await.unwrap().status().is_success());
    let after = taken_down(&system, &before).await;
    let why = &after["taken_down"]["why"];
    assert_eq!(
        (&after["taken_down"]["state"], &why["code"]),
        (&json!("refused"), &json!("100/33")),
        "{after}"
    );
    assert!(why["message"].as_str().unwrap().contains("removed it there before"), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_waited_for_and_spends_no_attempt() {
    let mut system = system().await;
    system.start_worker(&[]);
    let before = published(&system, "patiently", FACEBOOK).await;
    let slow = json!({ "status": 429, "retry_after_s": 1 });
    system.fault(json!({ "call": "delete_post", "times": 1, "fault": slow })).await;
    let after = taken_down(&system, &before).await;
    is_gone(&system, "patiently", &before, &after).await;
    let spent = "SELECT max(attempt)::bigint FROM job_history WHERE kind = 'take_down'";
    assert_eq!(system.database.count(spent).await, 0);
    // a network that is overloaded may have done it all the same
    assert_eq!((discards(&system, "ambiguous").await, discards(&system, "ok").await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_whose_attempts_are_spent_is_refused_and_a_tried_again_job_carries_it_out() {
    let mut system = system().await;
    system.environment.insert("POSTROOM__JOBS__TAKE_DOWN__RETRY_ATTEMPTS".into(), "2".into());
    system.start_worker(&[]);
    let before = published(&system, "given up", FACEBOOK).await;
    system.fault(json!({ "call": "delete_post", "fault": "no_effect_then_drop" })).await;
    let after = taken_down(&system, &before).await;
    let why = &after["taken_down"]["why"];
    assert_eq!(after["taken_down"]["state"], "refused", "{after}");
    assert!(why["message"].as_str().unwrap().contains("whether the post is there"), "{after}");
    system.calm().await;
    let (_, jobs) = system.api(Method::GET, "/api/v1/jobs?kind=take_down&state=dead", None).await;
    let job = jobs["data"][0]["id"].as_str().unwrap();
    let (status, retried) = system.api(Method::POST, &format!("/api/v1/jobs/{job}/retry"), None).await;
    assert_eq!(status, 202, "{retried}");
    eventually("the post to be gone", || async {
        let (_, posts) = system.api(Method::GET, "/api/v1/posts", None).await;
        let it = &posts["data"][0]["publications"][0]["taken_down"];
        if it["state"] == "gone" { Ok(()) } else { Err(it.to_string()) }
    })
    .await;
    assert_eq!(removals(&system, &before).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tiktok_lets_only_people_remove_a_post_and_the_answer_says_who_and_where() {
    let mut system = system().await;
    system.start_worker(&[]);
    let it = published(&system, "film that stays", TIKTOK).await;
    let (status, problem) = take_down(&system, &it).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:postroom:problem:take-down-by-hand")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("TikTok app") && detail.contains(it["permalink"].as_str().unwrap()), "{detail}");
    assert_eq!(system.database.count("SELECT count(*) FROM take_down").await, 0);
    assert_eq!(page(&it).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_too_late_is_told_how_it_is_taken_down() {
    let mut system = system().await;
    system.start_worker(&[]);
    let post = system.post("out already", &[FACEBOOK]).await;
    let post = named(&system, &post).await;
    let path = format!("/api/v1/posts/{}/cancel", post["id"].as_str().unwrap());
    let (status, problem) = system.api(Method::POST, &path, None).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("taken down"), "{problem}");
    let offer = &problem["take_down"][0];
    assert_eq!(offer["publication_id"], post["publications"][0]["id"]);
    let (status, asked) = system.api(Method::POST, offer["address"].as_str().unwrap(), None).await;
    assert_eq!(status, 202, "{asked}");
    let after = over(&system, &post["publications"][0]).await;
    is_gone(&system, "out already", &post["publications"][0], &after).await;
    let (_, problem) = system.api(Method::POST, &path, None).await;
    assert_eq!(problem["take_down"], Value::Null, "there is nothing left to offer: {problem}");
}
