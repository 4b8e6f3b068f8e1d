//! What the networks have counted: numbers that grow with the clock, and strictness about what is asked.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{IG, Net, PAGE};

fn value(answer: &Value, name: &str) -> Option<i64> {
    let item = answer["data"].as_array()?.iter().find(|item| item["name"] == name)?;
    item["values"][0]["value"].as_i64()
}

async fn post(net: &Net) -> String {
    let post = net.draft("counted").await;
    net.flip(&post).await;
    post
}

#[tokio::test]
async fn a_posts_numbers_grow_with_the_movable_clock_and_stop_with_it() {
    let net = Net::start().await;
    let post = post(&net).await;
    let path = format!("{post}/insights?metric=post_media_view,post_clicks&period=lifetime");
    let mut before = -1;
    for hours in [1, 5, 40] {
        net.advance(hours * 3_600_000).await;
        let (status, answer) = net.graph_get(&path).await;
        let views = value(&answer, "post_media_view").expect("views");
        assert!(status == 200 && views > before, "{answer}");
        before = views;
    }
    let counts = format!(
        "{post}?fields=reactions.summary(total_count).limit(0),comments.summary(true).limit(0),shares"
    );
    let (_, answer) = net.graph_get(&counts).await;
    assert!(answer["reactions"]["summary"]["total_count"].as_i64().expect("a count") > 0, "{answer}");
}

#[tokio::test]
async fn one_metric_that_is_unknown_or_retired_fails_the_whole_call() {
    let net = Net::start().await;
    let post = post(&net).await;
    let ask = async |metrics: &str| {
        net.graph_get(&format!("{post}/insights?metric={metrics}&period=lifetime")).await
    };
    assert_eq!(ask("post_media_view,post_clicks").await.0, 200);
    for metrics in ["post_media_view,post_impressions", "post_media_view,views"] {
        let (status, answer) = ask(metrics).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)), "{answer}");
        assert!(answer["error"]["error_subcode"].is_null(), "{answer}");
    }
    net.control("settings", json!({ "retired_metrics": ["post_clicks"] })).await;
    assert_eq!(ask("post_media_view,post_clicks").await.0, 400);
    assert_eq!(ask("post_media_view").await.0, 200);
    assert_eq!(ask("").await.1["error"]["code"], 3001);
}

#[tokio::test]
async fn an_account_with_few_followers_and_a_post_that_is_new_are_told_of_with_empty_data() {
    let net = Net::start().await;
    let settings = json!({ "followers": 99, "insights_after_ms": 3_600_000 });
    net.control("settings", settings).await;
    let post = post(&net).await;
    let (status, answer) =
        net.graph_get(&format!("{post}/insights?metric=post_clicks&period=lifetime")).await;
    assert_eq!((status, &answer["data"]), (200, &json!([])));
    let (status, answer) = net.graph_get(&format!("{PAGE}/insights?metric=page_follows&period=day")).await;
    assert_eq!((status, &answer["data"]), (200, &json!([])));
    let path = format!("{IG}/insights?metric=reach,follower_count&period=day&metric_type=time_series");
    let (_, answer) = net.graph_get(&path).await;
    assert_eq!(answer["data"].as_array().expect("items").len(), 1, "{answer}");
}

#[tokio::test]
async fn days_are_whole_and_bear_their_ends_and_wrong_parameters_are_refused() {
    let net = Net::start().await;
    let days = "since=1795132800&until=1795305600"; // 2026-11-20 to 2026-11-22
    let (status, answer) =
        net.graph_get(&format!("{PAGE}/insights?metric=page_media_view&period=day&{days}")).await;
    assert_eq!(status, 200, "{answer}");
    let (_, total) =
        net.graph_get(&format!("{IG}/insights?metric=views&period=day&metric_type=total_value&{days}")).await;
    assert!(total["data"][0]["total_value"]["value"].as_i64().is_some_and(|views| views > 0), "{total}");
    for wrong in [
        "metric=page_media_view&period=lifetime",
        "metric=page_media_view",
        "metric=page_media_view&period=day&since=1&until=1795305600",
        "metric=page_media_view&period=day&breakdown=age",
    ] {
        let (status, answer) = net.graph_get(&format!("{PAGE}/insights?{wrong}")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)), "{wrong}: {answer}");
    }
}

#[tokio::test]
async fn what_was_deleted_has_no_numbers() {
    let net = Net::start().await;
    let post = post(&net).await;
    net.graph(Method::DELETE, &post).send().await.expect("sent");
    let (_, answer) = net.graph_get(&format!("{post}/insights?metric=post_clicks&period=lifetime")).await;
    assert_eq!((&answer["error"]["code"], &answer["error"]["error_subcode"]), (&json!(100), &json!(33)));
}

#[tokio::test]
async fn who_follows_is_told_by_one_breakdown_and_of_too_few_nothing() {
    let net = Net::start().await;
    let ask = async |more: &str| {
        let path = format!(
            "{IG}/insights?metric=follower_demographics&period=lifetime&metric_type=total_value{more}"
        );
        net.graph_get(&path).await
    };
    for along in ["age", "city", "country", "gender"] {
        let (status, answer) = ask(&format!("&timeframe=this_month&breakdown={along}")).await;
        let told = &answer["data"][0]["total_value"]["breakdowns"][0];
        assert_eq!((status, &told["dimension_keys"]), (200, &json!([along])), "{answer}");
        assert!(told["results"][0]["value"].as_i64().is_some_and(|value| value > 0), "{answer}");
    }
    for wrong in ["&breakdown=age", "&timeframe=this_month", "&timeframe=this_month&breakdown=shoes"] {
        assert_eq!(ask(wrong).await.1["error"]["code"], 100, "{wrong}");
    }
    net.control("settings", json!({ "followers": 99 })).await;
    assert_eq!(ask("&timeframe=this_month&breakdown=age").await.1["data"], json!([]));
}
