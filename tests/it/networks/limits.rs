//! What networks say of their limits, and of themselves.

use super::*;

#[tokio::test]
async fn meta_says_in_its_headers_how_long_a_limit_lasts() {
    let sandbox = Sandbox::start().await;
    let usage = r#"{"1":[{"type":"pages","call_count":100,"estimated_time_to_regain_access":19}]}"#;
    let cases = [
        (json!({ "code": 32, "headers": { "x-business-use-case-usage": usage } }), Some(19 * 60)),
        (json!({ "code": 4 }), Some(5 * 60)),
        (json!({ "code": 4, "headers": { "x-app-usage": r#"{"call_count":100}"# } }), None),
    ];
    for file in ["facebook", "instagram"] {
        let (entry, surface) = only(file);
        let post = Post::of(&sandbox, entry, surface).await;
        for (graph, seconds) in &cases {
            sandbox.fault(entry, "prepare", json!({ "graph": graph })).await;
            let made =
                post.network().prepare(&post.call(Some(post.id)), &post.content, &Kept::default()).await;
            let failure = made.expect_err("refused");
            assert_eq!(failure.class, Class::Rate, "{file} {graph}");
            assert_eq!(failure.rest, seconds.map(Duration::from_secs), "{file} {graph}");
        }
    }
}

/// What comes of a prepare call that gets this fault: its failure, and what the network wished.
async fn refused(post: &Post<'_>, fault: Value) -> (Failure, Vec<Notice>) {
    post.heard.wishes();
    post.sandbox.fault(post.entry, post.first_call(), fault.clone()).await;
    let made = post.network().prepare(&post.call(Some(post.id)), &post.content, &Kept::default()).await;
    (made.map(|_| ()).expect_err(&fault.to_string()), post.heard.wishes())
}

#[tokio::test]
async fn every_code_of_a_limit_is_one_in_every_shape_that_it_comes_in() {
    let sandbox = Sandbox::start().await;
    let business = r#"{"1":[{"type":"pages","call_count":100,"estimated_time_to_regain_access":19}]}"#;
    let (minutes, strike) = (Duration::from_mins(19), Notice::Strike(Duration::from_mins(5)));
    let (app, account) = (|rest| Notice::Rest(Lane::App, rest), |rest| Notice::Rest(Lane::Account, rest));
    for file in ["facebook", "instagram"] {
        let (entry, surface) = only(file);
        let post = Post::of(&sandbox, entry, surface).await;
        let codes = [4, 17, 32, 341, 613].into_iter().chain(80000..=80009).chain([80014]);
        for code in codes {
            let of_the_app = [4, 341].contains(&code);
            let wish = |wish: Notice| if of_the_app { vec![wish] } else { vec![] };
            let ten = Duration::from_mins(10);
            let shapes = [
                (json!({}), of_the_app.then_some(Duration::from_mins(5)), wish(strike)),
                (
                    json!({ "retry-after": "7" }),
                    Some(Duration::from_secs(7)),
                    wish(app(Duration::from_secs(7))),
                ),
                (
                    json!({ "x-business-use-case-usage": business }),
                    Some(minutes),
                    [vec![account(minutes)], wish(app(minutes))].concat(),
                ),
                (
                    json!({ "x-app-usage": r#"{"call_count":100}"# }),
                    None,
                    [vec![app(ten)], wish(strike)].concat(),
                ),
                (
                    json!({ "x-page-usage": r#"{"total_time":98}"# }),
                    None,
                    [vec![account(ten)], wish(strike)].concat(),
                ),
            ];
            for (headers, rest, wishes) in shapes {
                let graph = json!({ "graph": { "code": code, "headers": headers } });
                let (failure, wished) = refused(&post, graph).await;
                assert_eq!(failure.class, Class::Rate, "{file} {code} {headers}");
                assert_eq!(failure.rest, rest, "{file} {code} {headers}");
                assert_eq!(wished, wishes, "{file} {code} {headers}");
            }
        }
        let spam = json!({ "graph": { "code": 4, "subcode": 2_207_051 } });
        if file == "instagram" {
            let (failure, wished) = refused(&post, spam).await;
            assert_eq!(
                (failure.rest, wished),
                (Some(Duration::from_mins(30)), vec![]),
                "one account's, not the app's"
            );
        }
    }
    let (entry, surface) = only("tiktok");
    let post = Post::of(&sandbox, entry, surface).await;
    let minute = Some(Duration::from_mins(1));
    for (fault, rest) in [
        (json!({ "status": 429 }), minute),
        (json!({ "status": 429, "retry_after_s": 7 }), Some(Duration::from_secs(7))),
        (json!({ "tiktok": { "code": "rate_limit_exceeded", "http": 429 } }), minute),
        (json!({ "tiktok": { "code": "rate_limit_exceeded", "http": 200 } }), minute),
        (
            json!({ "tiktok": { "code": "spam_risk_too_many_posts", "http": 403 } }),
            Some(Duration::from_hours(24)),
        ),
        (json!({ "tiktok": { "code": "spam_risk_too_many_pending_share" } }), Some(Duration::from_hours(1))),
        (json!({ "tiktok": { "code": "reached_active_user_cap" } }), Some(Duration::from_hours(1))),
    ] {
        let (failure, _) = refused(&post, fault.clone()).await;
        assert_eq!((failure.class, failure.rest), (Class::Rate, rest), "{fault}");
    }
}

#[tokio::test]
async fn a_rest_until_a_date_is_counted_by_the_networks_own_clock() {
    let sandbox = Sandbox::start().await;
    let seen = sandbox.http.get(format!("{}/clock", sandbox.at.control)).send().await.expect("an answer");
    let date = seen.headers()["date"].to_str().expect("text");
    let later = DateTime::parse_from_rfc2822(date).expect("a date") + chrono::TimeDelta::minutes(10);
    let later = later.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (entry, surface) in surfaces() {
        let post = Post::of(&sandbox, entry, surface).await;
        let limit = json!({ "status": 429, "more": { "retry-after": later } });
        let (failure, _) = refused(&post, limit).await;
        let rest = failure.rest.expect("a rest");
        assert!(
            (Duration::from_mins(8)..=Duration::from_mins(10)).contains(&rest),
            "{} rests for {rest:?}",
            entry.file
        );
    }
}

#[tokio::test]
async fn what_the_headers_say_is_heeded_on_good_answers_too() {
    let sandbox = Sandbox::start().await;
    let headers = json!({
        "x-app-usage": r#"{"call_count":28,"total_time":95,"total_cputime":25}"#,
        "x-business-use-case-usage": r#"{"1":[{"type":"pages","call_count":90}],"2":[{"total_time":99}]}"#,
    });
    for file in ["facebook", "instagram"] {
        let (entry, surface) = only(file);
        let post = Post::of(&sandbox, entry, surface).await;
        sandbox.fault(entry, "prepare", json!({ "headers": headers })).await;
        post.prepare().await;
        let rest = Duration::from_mins(10);
        let wishes = [Notice::Rest(Lane::App, rest), Notice::Rest(Lane::Account, rest)];
        assert_eq!(post.heard.wishes(), wishes, "{file}");
    }
}

#[tokio::test]
async fn a_network_is_ill_where_it_breaks_and_well_where_it_says_no() {
    let sandbox = Sandbox::start().await;
    for (entry, surface) in surfaces() {
        for (fault, state) in [
            (json!("no_effect_then_500"), Notice::Ill),
            (json!("no_effect_then_drop"), Notice::Ill),
            (json!({ "status": 503 }), Notice::Ill),
            (json!({ "status": 400 }), Notice::Well),
            (json!({ "status": 429 }), Notice::Well),
        ] {
            let post = Post::of(&sandbox, entry, surface).await;
            sandbox.fault(entry, post.first_call(), fault.clone()).await;
            let call = post.call(Some(post.id));
            assert!(post.network().prepare(&call, &post.content, &Kept::default()).await.is_err(), "{fault}");
            let told = post.heard.0.lock().expect("a lock").clone();
            let last = told.iter().rfind(|notice| matches!(notice, Notice::Well | Notice::Ill));
            assert_eq!(last, Some(&state), "{} {fault}", entry.file);
        }
    }
}
