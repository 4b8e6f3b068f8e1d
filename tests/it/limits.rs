//! How often somebody may ask, and what it costs to be told that it is too often.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, StatusCode},
};
use postroom::ledger::{keys::Scope, people::MemberRole};

use crate::{
    console::{Browser, hidden},
    support::{Answer, Door},
};

async fn from(door: &Door, address: &str, path: &str, bearer: &str) -> Answer {
    let address: SocketAddr = address.parse().expect("an address");
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header("authorization", format!("Bearer {bearer}"))
        .extension(ConnectInfo(address));
    door.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_go_on_and_others_are_not_held_up() {
    let door = Door::open_with(|house| house.web.key_rate = 1).await;
    let mut good = 0;
    // one more comes free each second, while the machine takes its time
    let told = loop {
        let answer = door.get("/api/v1/posts").await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        good += 1;
        assert!(good < 200, "nobody is ever refused");
    };
    assert!(good >= 10, "{good}");
    assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(told.json()["type"], "urn:postroom:problem:too-often");
    let seconds: u32 = told.header("retry-after").parse().expect("seconds");
    assert!((1..=2).contains(&seconds));
    let other = door.key_for(Some(door.workspace), &[Scope::PostsRead]).await;
    assert_eq!(from(&door, "9.9.9.9:1", "/api/v1/posts", &other).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_that_asks_for_token_after_token_waits_and_does_all_else_meanwhile() {
    let door = Door::open().await;
    let token = async || {
        let request = door.request(&Method::POST, "/api/v1/tokens").body(Body::empty());
        door.send(request.expect("a request")).await
    };
    let mut issued = 0;
    // one more comes free each second, while the machine takes its time
    let told = loop {
        let answer = token().await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        issued += 1;
        assert!(issued < 200, "nobody is ever refused");
    };
    assert!(issued >= 10, "{issued}");
    assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(told.json()["type"], "urn:postroom:problem:too-often");
    assert_eq!(
        door.scratch.number("SELECT count(*) FROM audit WHERE action = 'pass_issued'").await,
        issued,
        "what is refused is not written down"
    );
    assert_eq!(door.get("/api/v1/posts").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_refused_before_anything_is_looked_up() {
    let door = Door::open_with(|house| house.web.address_rate = 1).await;
    let mut unknown = 0;
    while from(&door, &format!("9.9.9.9:{unknown}"), "/api/v1/posts", "pr_nobody").await.status
        == StatusCode::UNAUTHORIZED
    {
        unknown += 1;
        assert!(unknown < 200, "nobody is ever refused");
    }
    assert!(unknown >= 10, "{unknown}");
    let refused = from(&door, "9.9.9.9:99", "/api/v1/posts", &door.key).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(door.scratch.number("SELECT count(*) FROM api_key WHERE last_used_at IS NOT NULL").await, 0);
    assert_eq!(from(&door, "[::ffff:9.9.9.9]:1", "/posts", "").await.status, StatusCode::TOO_MANY_REQUESTS);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(from(&door, "9.9.9.9:1", path, "").await.status, StatusCode::OK, "{path} is not counted");
    }
    assert_eq!(from(&door, "9.9.9.8:1", "/api/v1/posts", &door.key).await.status, StatusCode::OK);
}

#[tokio::test]
async fn somebody_who_clicks_too_often_is_told_so() {
    let door = Door::open_with(|house| house.web.person_rate = 1).await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let mut clicks = 0;
    let told = loop {
        let status = browser.get("/posts").await.status;
        if status != StatusCode::OK {
            break status;
        }
        clicks += 1;
        assert!(clicks < 200, "nobody is ever refused");
    };
    assert_eq!((told, clicks >= 5), (StatusCode::TOO_MANY_REQUESTS, true), "{clicks}");
    let mut other = Browser::of(&door, MemberRole::Viewer).await;
    assert_eq!(other.get("/posts").await.status, StatusCode::OK);
}

/// Attempts to sign in from one address with these e-mail addresses; each one's answer and how long it took.
async fn attempts(door: &Door, count: usize, email: impl Fn(usize) -> String) -> Vec<(StatusCode, Duration)> {
    attempts_from(door, count, |_| "9.9.9.9:1".to_owned(), email).await
}

/// The same, from these addresses.
async fn attempts_from(
    door: &Door,
    count: usize,
    from: impl Fn(usize) -> String,
    email: impl Fn(usize) -> String,
) -> Vec<(StatusCode, Duration)> {
    let form = Form::of(door).await;
    let mut seen = Vec::new();
    for n in 0..count {
        let begun = Instant::now();
        let status = form.sent(door, &from(n), &email(n)).await;
        seen.push((status, begun.elapsed()));
    }
    seen
}

/// The form of one browser that is not signed in.
struct Form {
    token: String,
    cookie: String,
}

impl Form {
    async fn of(door: &Door) -> Self {
        let page = door.send(Request::get("/sign-in").body(Body::empty()).expect("a request")).await;
        let cookie = page.header("set-cookie").split(';').next().expect("a cookie").to_owned();
        Self { token: hidden(&page.text, "token"), cookie }
    }

    /// Sends it from that address, with a password that is nobody's.
    async fn sent(&self, door: &Door, from: &str, email: &str) -> StatusCode {
        let address: SocketAddr = from.parse().expect("an address");
        let form = [("token", self.token.as_str()), ("email", email), ("password", "guess")];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post("/sign-in")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", &self.cookie)
            .extension(ConnectInfo(address))
            .body(Body::from(body))
            .expect("a request");
        door.send(request).await.status
    }
}

/// What it costs when nothing else on the machine is in the way: a tenth of them cost less.
fn cost(mut spans: Vec<Duration>) -> Duration {
    spans.sort_unstable();
    spans[spans.len() / 10]
}

#[tokio::test]
async fn attempts_to_sign_in_beyond_the_limit_cost_less_than_a_millisecond_each() {
    let door = Door::open().await;
    door.person("noa@example.org", MemberRole::Author).await;
    let seen = attempts(&door, 206, |_| "noa@example.org".to_owned()).await;
    assert!(seen[..6].iter().all(|it| it.0 == StatusCode::UNPROCESSABLE_ENTITY), "{seen:?}");
    let beyond = &seen[6..];
    assert!(beyond.iter().all(|it| it.0 == StatusCode::TOO_MANY_REQUESTS), "{seen:?}");
    let cost = cost(beyond.iter().map(|it| it.1).collect());
    println!("an attempt beyond the limit costs {cost:?}, one within it {:?}", seen[0].1);
    assert!(cost < Duration::from_millis(1), "{cost:?}");
    assert_eq!(door.scratch.number("SELECT count(*) FROM audit WHERE action = 'sign_in_failed'").await, 1);
}

#[tokio::test]
async fn who_guesses_with_many_names_is_slowed_by_the_address() {
    let door = Door::open_with(|house| house.web.sign_in_rate = 1).await;
    let seen = attempts(&door, 60, |n| format!("{n}@example.org")).await;
    let refused = seen.iter().filter(|it| it.0 == StatusCode::TOO_MANY_REQUESTS).count();
    assert!(seen[..10].iter().all(|it| it.0 == StatusCode::UNPROCESSABLE_ENTITY), "{seen:?}");
    assert!(refused >= 30, "{refused} of 60 were refused");
    let beyond = seen.iter().filter(|it| it.0 == StatusCode::TOO_MANY_REQUESTS).map(|it| it.1);
    let cost = cost(beyond.collect());
    assert!(cost < Duration::from_millis(1), "{cost:?}");
}

#[tokio::test]
async fn who_guesses_from_many_addresses_of_one_network_is_slowed_as_from_one() {
    let door = Door::open().await;
    door.person("noa@example.org", MemberRole::Author).await;
    let from = |n: usize| format!("[2001:db8:1:2::{n:x}]:1");
    // neither another address, nor other letters, nor what is left out of them make another attempt of it
    let email = |n: usize| ["noa@example.org", "NOA@example.org", "noa\0@example.org"][n % 3].to_owned();
    let seen = attempts_from(&door, 12, from, email).await;
    assert!(seen[..6].iter().all(|it| it.0 == StatusCode::UNPROCESSABLE_ENTITY), "{seen:?}");
    assert_eq!(seen[6].0, StatusCode::TOO_MANY_REQUESTS, "{seen:?}");
}

#[tokio::test]
async fn who_guesses_one_password_from_everywhere_is_slowed_by_the_name_and_written_down() {
    let door = Door::open().await;
    let person = door.person("noa@example.org", MemberRole::Author).await;
    let from = |n: usize| format!("10.0.{n}.1:1");
    let seen = attempts_from(&door, 30, from, |_| "noa@example.org".to_owned()).await;
    assert!(seen[..21].iter().all(|it| it.0 == StatusCode::UNPROCESSABLE_ENTITY), "{seen:?}");
    assert_eq!(seen[21].0, StatusCode::TOO_MANY_REQUESTS, "{seen:?}");
    let written = format!(
        "SELECT count(*) FROM audit WHERE action = 'sign_in_failed' AND object_id = '{person}' AND detail = '{{\"failures\": 21}}'"
    );
    assert_eq!(door.scratch.number(&written).await, 1);
    let other = attempts_from(&door, 1, from, |_| "dana@example.org".to_owned()).await;
    assert_eq!(other[0].0, StatusCode::UNPROCESSABLE_ENTITY, "others are not held up");
}

#[tokio::test]
async fn of_many_guesses_at_once_no_more_are_compared_than_of_as_many_one_after_the_other() {
    let door = Door::open().await;
    door.person("noa@example.org", MemberRole::Author).await;
    let form = Form::of(&door).await;
    let guesses = (0..12).map(|_| form.sent(&door, "9.9.9.9:1", "noa@example.org"));
    let seen = futures_util::future::join_all(guesses).await;
    let told = |status| seen.iter().filter(|it| **it == status).count();
    assert_eq!(told(StatusCode::UNPROCESSABLE_ENTITY), 6, "{seen:?}");
    assert_eq!(told(StatusCode::TOO_MANY_REQUESTS), 6, "{seen:?}");
    let written = "SELECT count(*) FROM audit WHERE action = 'sign_in_failed'";
    assert_eq!(door.scratch.number(written).await, 1, "the first that is not free");
}
