//! Ad accounts at the stand-in: strict about what is asked, page by page, and late with results.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Net;

const DAYS: &str = "time_increment=1&time_range=%7B%22since%22%3A%22{}%22%2C%22until%22%3A%22{}%22%7D";

async fn net() -> (Net, String) {
    let net = Net::start().await;
    let accounts = json!([{ "id": "act_7", "name": "Ads", "campaigns": 2 }]);
    assert_eq!(net.control("settings", json!({ "ad_accounts": accounts })).await.0, 200);
    let now = net.control_get("clock").await["now"].as_str().expect("a time").to_owned();
    let today: chrono::NaiveDate = now[..10].parse().expect("a day");
    let day = |ago: i64| (today - chrono::TimeDelta::days(ago)).to_string();
    (net, DAYS.replacen("{}", &day(3), 1).replacen("{}", &day(1), 1))
}

fn rows(answer: &Value) -> &Vec<Value> {
    answer["data"].as_array().unwrap_or_else(|| panic!("rows: {answer}"))
}

#[tokio::test]
async fn every_level_is_told_day_by_day_with_texts_for_numbers() {
    let (net, days) = net().await;
    for (level, objects) in [("account", 1), ("campaign", 2), ("adset", 2), ("ad", 4)] {
        let path =
            format!("act_7/insights?level={level}&fields=spend,actions,account_currency&{days}&limit=100");
        let (status, answer) = net.graph_get(&path).await;
        assert_eq!((status, rows(&answer).len()), (200, objects * 3), "{answer}");
        for row in rows(&answer) {
            assert!(row["spend"].is_string() && row["actions"][0]["value"].is_string(), "{row}");
            assert_eq!((&row["account_currency"], &row["date_start"]), (&json!("ILS"), &row["date_stop"]));
            assert!(row.get("impressions").is_none(), "only what was asked for: {row}");
        }
    }
    let (_, listed) = net.graph_get("me/adaccounts?fields=id,name").await;
    assert_eq!(listed["data"], json!([{ "id": "act_7", "name": "Ads" }]));
    assert_eq!(net.graph_get("act_7?fields=id").await.1, json!({ "id": "act_7" }));
}

#[tokio::test]
async fn a_long_answer_comes_in_pages_that_are_together_the_whole() {
    let (net, days) = net().await;
    let path = format!("act_7/insights?level=ad&fields=ad_id,spend&{days}");
    let (_, whole) = net.graph_get(&format!("{path}&limit=100")).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (_, page) = net.graph_get(&format!("{path}&limit=5{after}")).await;
        seen.extend(rows(&page).clone());
        if page["paging"]["next"].is_null() {
            break;
        }
        after = format!("&after={}", page["paging"]["cursors"]["after"].as_str().expect("a cursor"));
    }
    assert_eq!((seen.len(), &seen), (12, rows(&whole)));
}

#[tokio::test]
async fn what_is_not_as_the_documents_have_it_is_refused() {
    let (net, days) = net().await;
    net.control("settings", json!({ "retired_metrics": ["cpm"] })).await;
    for wrong in [
        format!("level=ad&fields=spend&period=day&{days}"),
        format!("level=ad&fields=spend,nonsense&{days}"),
        format!("level=ad&fields=spend,cpm&{days}"),
        format!("level=post&fields=spend&{days}"),
        format!("level=ad&{days}"),
        "level=ad&fields=spend&time_increment=1".to_owned(),
        "level=ad&fields=spend&time_increment=1&time_range=yesterday".to_owned(),
        format!("level=ad&fields=spend&{}", days.replace("time_increment=1&", "")),
    ] {
        let (status, answer) = net.graph_get(&format!("act_7/insights?{wrong}")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)), "{wrong}: {answer}");
    }
    let ancient =
        "time_increment=1&time_range=%7B%22since%22%3A%222020-01-01%22%2C%22until%22%3A%222020-01-02%22%7D";
    let (_, answer) = net.graph_get(&format!("act_7/insights?level=ad&fields=spend&{ancient}")).await;
    assert_eq!(answer["error"]["code"], 3018, "{answer}");
    let (_, answer) = net.graph_get(&format!("act_8/insights?fields=spend&{days}")).await;
    assert_eq!((&answer["error"]["code"], &answer["error"]["error_subcode"]), (&json!(100), &json!(33)));
    net.control("settings", json!({ "declined_scopes": ["ads_read"] })).await;
    let (_, answer) = net.graph_get(&format!("act_7/insights?fields=spend&{days}")).await;
    assert_eq!(answer["error"]["code"], 200, "{answer}");
}

#[tokio::test]
async fn results_of_a_day_still_come_when_it_is_over_and_what_was_spent_stands() {
    let (net, days) = net().await;
    let path = format!("act_7/insights?level=account&fields=spend,conversions&{days}&limit=100");
    let (_, before) = net.graph_get(&path).await;
    net.advance(86_400_000).await;
    let (_, after) = net.graph_get(&path).await;
    let spent = |answer: &Value| rows(answer).iter().map(|row| row["spend"].clone()).collect::<Vec<_>>();
    assert_eq!(spent(&before), spent(&after));
    assert_ne!(rows(&before), rows(&after), "results came late");
}

#[tokio::test]
async fn a_report_is_made_while_one_waits_and_says_the_same() {
    let (net, days) = net().await;
    net.control("settings", json!({ "processing_ms": 60_000 })).await;
    let query = format!("level=campaign&fields=campaign_id,spend&{days}");
    let (_, whole) = net.graph_get(&format!("act_7/insights?{query}&limit=100")).await;
    let request = net.graph(Method::POST, &format!("act_7/insights?{query}"));
    let begun: Value = request.send().await.expect("sent").json().await.expect("JSON");
    let run = begun["report_run_id"].as_str().unwrap_or_else(|| panic!("{begun}"));
    let (_, state) = net.graph_get(run).await;
    assert_eq!(state["async_status"], "Job Running", "{state}");
    assert_eq!(net.graph_get(&format!("{run}/insights")).await.0, 400);
    net.advance(61_000).await;
    let (_, state) = net.graph_get(run).await;
    assert_eq!(
        (&state["async_status"], &state["async_percent_completion"]),
        (&json!("Job Completed"), &json!(100))
    );
    let (_, told) = net.graph_get(&format!("{run}/insights?limit=100")).await;
    assert_eq!(rows(&told), rows(&whole));
}

#[tokio::test]
async fn the_parts_of_a_batch_are_answered_one_by_one() {
    let (net, _) = net().await;
    let (known, unknown) = ("104000000000001?fields=id", "999?fields=id");
    let part = |address: &str| json!({ "method": "GET", "relative_url": address });
    let batch = json!([part(known), part(unknown), { "method": "POST", "relative_url": known }]).to_string();
    let (status, answer) = net.graph_post("", &[("batch", &batch), ("include_headers", "false")]).await;
    assert_eq!(status, 200, "{answer}");
    let body = |n: usize| -> Value {
        serde_json::from_str(answer[n]["body"].as_str().expect("a body")).expect("JSON")
    };
    assert_eq!((&answer[0]["code"], body(0)), (&json!(200), json!({ "id": "104000000000001" })));
    assert_eq!((&answer[1]["code"], &body(1)["error"]["code"]), (&json!(400), &json!(100)));
    assert_eq!(answer[2]["code"], 400);
    let many = Value::from(vec![part(known); 51]).to_string();
    assert_eq!(net.graph_post("", &[("batch", &many)]).await.0, 400);
    net.fault(json!({ "call": "page", "times": 1, "fault": "no_effect_then_drop" })).await;
    let two = json!([part(known)]).to_string();
    let (_, answer) = net.graph_post("", &[("batch", &two)]).await;
    assert_eq!(answer, json!([null]), "a part that was not finished is not there");
}
