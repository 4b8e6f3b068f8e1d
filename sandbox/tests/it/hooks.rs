//! Somebody's software that is told of events.

use serde_json::{Value, json};

use crate::harness::Net;

async fn told(net: &Net, name: &str, body: &str) -> (u16, Option<String>) {
    let url = format!("{}hook/{name}", net.addresses().wall);
    let answer = net.http().post(url).header("Webhook-Id", "1").body(body.to_owned()).send().await;
    let answer = answer.expect("an answer");
    let rest = answer.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
    (answer.status().as_u16(), rest)
}

#[tokio::test]
async fn what_comes_is_kept_as_it_came_and_answered_as_it_was_scripted() {
    let net = Net::start().await;
    let script = json!({
        "name": "a", "answers": [{ "status": 503, "retry_after_s": 7 }, {}], "then": { "status": 410 },
    });
    assert_eq!(net.control("hooks", script).await.0, 200);
    assert_eq!(told(&net, "a", "one").await, (503, Some("7".to_owned())));
    assert_eq!(told(&net, "a", "two").await, (204, None));
    assert_eq!(told(&net, "a", "three").await, (410, None));
    assert_eq!(told(&net, "a", "four").await, (410, None));
    assert_eq!(told(&net, "b", "{\"five\": 5}").await, (204, None));
    let came = net.control_get("hooks").await["data"].as_array().expect("a list").clone();
    let of = |what: &str| came.iter().map(|it| it[what].clone()).collect::<Vec<Value>>();
    assert_eq!(of("body"), ["one", "two", "three", "four", "{\"five\": 5}"]);
    assert_eq!(of("answered"), [503, 204, 410, 410, 204]);
    assert_eq!((&came[0]["headers"]["webhook-id"], &came[0]["method"]), (&json!("1"), &json!("POST")));
    let wrong = json!({ "name": "a", "answer": [] });
    assert!(net.control("hooks", wrong).await.0 >= 400, "a misspelt script is refused");
}
