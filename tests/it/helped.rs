//! The pages of help in writing: what they show of an analysis, what is made of it, and what those who manage a workspace
//! decide about it.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use jobs::analysis::money::Micros;
use postroom::ledger::{analyses::Decided, keys::Scope, people::MemberRole};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    console::Browser,
    support::{Door, jpeg},
};

/// An analysis of captions; it is over, and this came of it.
async fn came_to(door: &Door, workspace: Uuid, media: &[&str], result: &Value) -> String {
    let key = door.key_for(Some(workspace), &[Scope::AnalysesWrite]).await;
    let body = json!({
        "kind": "caption", "brief": "sourdough", "language": "he", "platforms": ["tiktok"], "media_ids": media,
    });
    let request = Request::builder().method(Method::POST).uri("/api/v1/analyses");
    let request = request.header("authorization", format!("Bearer {key}"));
    let request = request.header("content-type", "application/json");
    let asked = door.send(request.body(Body::from(body.to_string())).unwrap()).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text);
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let result = result.to_string().replace('\'', "''");
    let end = format!(
        "UPDATE analysis SET state = 'done', ended_at = ledger_now(), result = '{result}' WHERE id = '{id}'"
    );
    door.scratch.run(&end).await;
    id
}

fn captions() -> Value {
    let variant = |text: &str| json!({ "platform": "tiktok", "caption": text, "hashtags": [], "text": text });
    let variants = ["<b>לחם\n\n#טרי", "the second"].map(variant);
    json!({ "variants": variants, "alt_texts": [], "pictures": [], "left_out": 0 })
}

#[tokio::test]
async fn what_a_call_has_cost_is_shown_once_however_much_left_with_it() {
    let door = Door::open().await;
    let id = came_to(&door, door.workspace, &[], &captions()).await;
    let sent = ["instructions", "brief", "brand"]
        .map(|field| json!({ "field": field, "bytes": 9, "sha256": "ba7816bf8f01cfea414140de5dae2223" }));
    let sent = json!(sent).to_string();
    for cost in [1_200, 3_400] {
        let call = format!(
            "INSERT INTO analysis_call (id, analysis_id, workspace_id, month, digest, prompt, model, sent, state, outcome,
                                        counted_micros, open_until, ended_at)
             SELECT gen_random_uuid(), id, workspace_id, '2026-11-01'::date, sha256('{cost}'::bytea), 'caption.1', 'm',
                    '{sent}'::jsonb, 'settled'::analysis_call_state, 'answered', {cost}, ledger_now(), ledger_now()
             FROM analysis WHERE id = '{id}'"
        );
        door.scratch.run(&call).await;
    }
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let page = browser.get(&format!("/analyses/{id}")).await.text;
    for cost in ["$0.0012", "$0.0034"] {
        assert_eq!(page.matches(cost).count(), 1, "{cost}: {page}");
    }
    assert!(page.contains("It cost $0.0046."), "{page}");
    assert_eq!(page.matches("rowspan=\"3\"").count(), 4, "what came of each, and what it cost: {page}");
    assert_eq!(page.matches("<code>ba7816bf8f01</code>").count(), 6, "{page}");
}

#[tokio::test]
async fn a_post_is_written_with_a_suggestion_by_an_address_that_has_none_of_its_words() {
    let door = Door::open().await;
    let media = door.upload("loaf.jpg", &jpeg(40, 40)).await.json()["id"].as_str().unwrap().to_owned();
    let id = came_to(&door, door.workspace, &[&media], &captions()).await;
    let mut browser = Browser::of(&door, MemberRole::Author).await;
    let page = browser.get(&format!("/analyses/{id}")).await.text;
    for variant in [1, 2] {
        let button = format!("href=\"/posts/new?analysis={id}&#38;variant={variant}\"");
        assert_eq!(page.matches(&button).count(), 1, "{page}");
    }
    let form = browser.get(&format!("/posts/new?analysis={id}&variant=1")).await;
    assert_eq!(form.status, StatusCode::OK, "{}", form.text);
    for part in [
        "&#60;b&#62;לחם\n\n#טרי</textarea>",
        &format!("name=\"media_id\" value=\"{media}\" checked"),
        "<option value=\"he\" selected",
        "action=\"/posts/new\"",
    ] {
        assert!(form.text.contains(part), "no {part} in {}", form.text);
    }
    let second = browser.get(&format!("/posts/new?analysis={id}&variant=2")).await.text;
    assert!(second.contains("the second</textarea>") && !second.contains("&#60;b&#62;"), "{second}");
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 0, "nothing goes out");
    // what is not there is none, and another workspace's is not there
    let other = door.scratch.ledger.add_workspace("Other").await.unwrap();
    let foreign = came_to(&door, other, &[], &captions()).await;
    for nothing in [
        format!("analysis={id}&variant=0"),
        format!("analysis={id}&variant=3"),
        format!("analysis={id}&variant=first"),
        format!("analysis={id}"),
        format!("analysis={foreign}&variant=1"),
        "analysis=nobody&variant=1".to_owned(),
    ] {
        let answer = browser.get(&format!("/posts/new?{nothing}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{nothing}: {}", answer.text);
    }
    assert!(
        browser
            .get("/posts/new")
            .await
            .text
            .contains("dir=\"auto\" aria-describedby=\"limits\">\n</textarea>")
    );
    // who only looks is offered none
    let mut viewer = Browser::of(&door, MemberRole::Viewer).await;
    let page = viewer.get(&format!("/analyses/{id}")).await.text;
    assert!(page.contains("the second") && !page.contains("/posts/new"), "{page}");
}

const POLICY: &str = "/analyses/policy";

/// What somebody writes into the form of what a model may be asked.
fn policy<'a>(token: &'a str, numbers: &'a str, budget: &'a str, brand: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("token", token),
        ("asked", "on"),
        ("media", "on"),
        ("numbers", numbers),
        ("budget", budget),
        ("brand", brand),
    ]
}

async fn decided(door: &Door) -> Decided {
    door.scratch.ledger.analysis_policy(door.workspace).await.unwrap()
}

/// Who has decided it, and what, the newest first.
async fn deeds(door: &Door) -> Vec<(String, Value)> {
    let rows = door.scratch.ledger.audit_entries(None, 100).await.unwrap();
    let rows = rows.into_iter().filter(|row| row.action == "analysis_policy_set");
    rows.map(|row| (row.actor, serde_json::from_str(&row.detail).unwrap())).collect()
}

#[tokio::test]
async fn those_who_manage_a_workspace_decide_what_a_model_may_be_asked_and_it_is_written_down() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    assert!(browser.get("/analyses").await.text.contains(&format!("href=\"{POLICY}\"")));
    let page = browser.get(POLICY).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert_eq!(
        page.text.matches("value=\"default\" checked").count(),
        3,
        "nothing is decided: {}",
        page.text
    );
    assert!(!browser.get("/posts/new").await.text.contains("/posts/new/review"), "no files go along");
    let token = browser.token.clone();
    let fields = policy(&token, "off", "0.50", " Warm\r\nand <b>short ");
    let sent = browser.form(POLICY, &fields).await;
    assert_eq!((sent.status, sent.header("location")), (StatusCode::SEE_OTHER, "/analyses/policy?done=set"));
    let wanted = Decided {
        enabled: Some(true),
        media: Some(true),
        numbers: Some(false),
        monthly: Some(Micros(500_000)),
        brand: "Warm\nand <b>short".into(),
    };
    assert_eq!(decided(&door).await, wanted);
    let page = browser.get("/analyses/policy?done=set").await.text;
    for part in ["It is saved.", "value=\"0.5\"", "Warm\nand &#60;b&#62;short</textarea>", "$0.5000"] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    assert!(browser.get("/posts/new").await.text.contains("/posts/new/review"), "from now on files go along");
    let (actor, detail) = deeds(&door).await.pop().unwrap();
    assert_eq!(
        (actor.as_str(), &detail["media"], &detail["monthly_micros"]),
        ("person", &json!(true), &json!(500_000))
    );
    // what changes nothing is no deed
    assert_eq!(browser.form(POLICY, &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(deeds(&door).await.len(), 1);
    // and everything is left to the house again
    let left = [("token", token.as_str()), ("asked", "default"), ("budget", " "), ("brand", "")];
    assert_eq!(browser.form(POLICY, &left).await.status, StatusCode::SEE_OTHER);
    assert_eq!((decided(&door).await, deeds(&door).await.len()), (Decided::default(), 2));
}

#[tokio::test]
async fn what_somebody_else_has_decided_meanwhile_stays() {
    // P-I3
    let door = Door::open().await;
    let ledger = &door.scratch.ledger;
    let allowed = Decided { numbers: Some(true), brand: "Warm".into(), ..Decided::default() };
    let nothing = Decided::default();
    assert!(ledger.replace_analysis_policy(door.workspace, &nothing, &allowed).await.unwrap());
    let taken_back = Decided { numbers: Some(false), ..allowed.clone() };
    let dearer = Decided { monthly: Some(Micros(1)), ..allowed.clone() };
    assert!(ledger.replace_analysis_policy(door.workspace, &allowed, &taken_back).await.unwrap());
    for before in [&nothing, &allowed] {
        assert!(!ledger.replace_analysis_policy(door.workspace, before, &dearer).await.unwrap());
    }
    assert_eq!((decided(&door).await, deeds(&door).await.len()), (taken_back, 2));
}

#[tokio::test]
async fn what_cannot_be_decided_comes_back_as_it_was_written_and_nothing_is_changed() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let token = browser.token.clone();
    let long = "x".repeat(2_001);
    for (numbers, budget, brand, says) in [
        ("off", "20.01", "kept", "from 0 to 20."),
        ("off", "-1", "kept", "from 0 to 20."),
        ("off", "a lot", "kept", "from 0 to 20."),
        ("off", "5", long.as_str(), "at most 2,000 characters"),
        // P-I3
        ("on", "5", "kept", "for whoever runs postroom to allow"),
    ] {
        let answer = browser.form(POLICY, &policy(&token, numbers, budget, brand)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        for part in [format!("value=\"{budget}\""), format!("{brand}</textarea>"), says.to_owned()] {
            assert!(answer.text.contains(&part), "no {part} in {}", answer.text);
        }
    }
    let stale = browser.form(POLICY, &policy("stale", "off", "5", "")).await;
    assert_eq!(stale.status, StatusCode::FORBIDDEN, "{}", stale.text);
    assert_eq!((decided(&door).await, deeds(&door).await), (Decided::default(), Vec::new()));
}

#[tokio::test]
async fn more_than_the_house_allows_is_theirs_to_decide_where_it_says_so() {
    // P-I3
    let door = Door::open_with(|house| house.owners_allow_more = true).await;
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let token = browser.token.clone();
    let sent = browser.form(POLICY, &policy(&token, "on", "500", "")).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
    let now = decided(&door).await;
    assert_eq!((now.numbers, now.monthly), (Some(true), Some(Micros(500_000_000))));
    // what whoever runs the house has allowed stays allowed where it does not
    let door = Door::open().await;
    door.scratch.ledger.set_analysis_policy(door.workspace, &now).await.unwrap();
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let token = browser.token.clone();
    let sent = browser.form(POLICY, &policy(&token, "on", "400", "")).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
    // and where no model is asked there is nothing to decide
    let door = Door::open_with(|house| house.analyses = None).await;
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let page = browser.get(POLICY).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.text.contains("OPENAI_API_KEY"), "{}", page.text);
    assert!(!browser.get("/analyses").await.text.contains(POLICY));
}
