//! The dialogs: strict about what they are asked with, and a code works once.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::{Answered, Net, PAGE};

const BACK: &str = "http://localhost:1/connect/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A browser that stays where it is.
fn browser() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

fn asks(client: &str) -> Vec<(&'static str, String)> {
    vec![
        (if client == "key" { "client_key" } else { "client_id" }, client.to_owned()),
        ("redirect_uri", BACK.to_owned()),
        ("state", "st ate".to_owned()),
        ("response_type", "code".to_owned()),
        (
            "scope",
            if client == "key" {
                "user.info.basic,video.publish"
            } else {
                "pages_show_list,pages_manage_posts"
            }
            .into(),
        ),
    ]
}

fn dialog(net: &Net, client: &str) -> String {
    match client {
        "key" => format!("{}/v2/auth/authorize/", net.addresses().tiktok),
        _ => format!("{}/dialog/oauth", net.addresses().dialog),
    }
}

/// Allows it, and gives the code.
async fn code(
    net: &Net,
    client: &str,
    account: &str,
    granted: &[&str],
    more: &[(&'static str, String)],
) -> String {
    let mut form = asks(client);
    form.extend(more.iter().cloned());
    form.push(("account", account.to_owned()));
    form.extend(granted.iter().map(|scope| ("granted", (*scope).to_owned())));
    form.push(("decision", "allow".to_owned()));
    let sent = browser().post(dialog(net, client)).form(&form).send().await.expect("an answer");
    assert_eq!(sent.status(), 303);
    let to = url::Url::parse(sent.headers()["location"].to_str().expect("text")).expect("an address");
    assert!(
        to.as_str().starts_with(BACK)
            && to.query_pairs().any(|(name, value)| name == "state" && value == "st ate")
    );
    to.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned()
}

async fn exchange(net: &Net, code: &str, client: &str, back: &str) -> Answered {
    let form = [("client_id", client), ("client_secret", "s"), ("redirect_uri", back), ("code", code)];
    net.graph_post("oauth/access_token", &form).await
}

fn subcode(answer: &Answered) -> (u16, i64) {
    (answer.0, answer.1["error"]["error_subcode"].as_i64().unwrap_or_default())
}

#[tokio::test]
async fn a_dialog_that_is_asked_wrongly_sends_nobody_anywhere() {
    let net = Net::start().await;
    for client in ["app", "key"] {
        let shown = browser().get(dialog(&net, client)).query(&asks(client)).send().await.expect("an answer");
        assert_eq!(shown.status(), 200);
        let policy = shown.headers()["content-security-policy"].to_str().expect("text").to_owned();
        assert!(!policy.contains("script") && !policy.contains("form-action"), "{policy}");
        for n in 0..asks(client).len() {
            let mut without = asks(client);
            let (name, _) = without.remove(n);
            let shown = browser().get(dialog(&net, client)).query(&without).send().await.expect("an answer");
            assert_eq!(shown.status(), 400, "without {name}");
        }
        for wrong in [
            ("scope", "pages_rule_the_world"),
            ("redirect_uri", "javascript:alert(1)"),
            ("response_type", "token"),
            ("code_challenge", "short"),
            ("surprise", "1"),
        ] {
            let mut asked = asks(client);
            asked.retain(|(name, _)| *name != wrong.0);
            asked.push((wrong.0, wrong.1.to_owned()));
            let shown = browser().get(dialog(&net, client)).query(&asked).send().await.expect("an answer");
            assert_eq!(shown.status(), 400, "{wrong:?}");
        }
    }
    let old = dialog(&net, "app").replace("v25.0", "v20.0");
    assert_eq!(browser().get(old).query(&asks("app")).send().await.expect("an answer").status(), 400);
}

#[tokio::test]
async fn a_code_of_metas_works_once_for_its_app_and_its_address() {
    let net = Net::start().await;
    let code = code(&net, "app", PAGE, &["pages_show_list"], &[]).await;
    assert_eq!(subcode(&exchange(&net, &code, "another", BACK).await), (400, 36_007));
    assert_eq!(
        subcode(&exchange(&net, &code, "app", "http://localhost:1/connect/callback/").await),
        (400, 36_008)
    );
    let (status, short) = exchange(&net, &code, "app", BACK).await;
    assert_eq!(status, 200, "{short}");
    assert_eq!(subcode(&exchange(&net, &code, "app", BACK).await), (400, 36_009));
    let token = short["access_token"].as_str().expect("a token");
    let told = net.graph_get(&format!("debug_token?input_token={token}")).await.1;
    let data = &told["data"];
    assert_eq!(
        (&data["app_id"], &data["type"], &data["is_valid"]),
        (&"app".into(), &"USER".into(), &true.into())
    );
    // neither what was declined nor what nobody asked for
    assert_eq!(data["scopes"], serde_json::json!(["pages_show_list"]));
    // whoever takes the app off takes along what it was given, the Page's own token too
    let url = format!("{}/me/permissions", net.addresses().graph);
    let gone = browser().delete(url).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(gone.status(), 200);
    let (status, error) = net.graph_get("me").await;
    assert_eq!((status, &error["error"]["error_subcode"]), (400, &458.into()));
}

#[tokio::test]
async fn a_code_of_tiktoks_needs_whoever_began() {
    let net = Net::start().await;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let more = [("code_challenge", challenge), ("code_challenge_method", "S256".to_owned())];
    let code = code(&net, "key", "sandbox-open-id", &["user.info.basic"], &more).await;
    let ask = async |verifier: &str, back: &str| {
        let form = [
            ("client_key", "key"),
            ("client_secret", "s"),
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", back),
            ("code_verifier", verifier),
        ];
        let url = format!("{}/v2/oauth/token/", net.addresses().tiktok);
        let answer = browser().post(url).form(&form).send().await.expect("an answer");
        answer.json::<Value>().await.expect("JSON")
    };
    assert_eq!(ask("another", BACK).await["error"], "invalid_grant");
    assert_eq!(ask(VERIFIER, "http://localhost:1/").await["error"], "invalid_request");
    let pair = ask(VERIFIER, BACK).await;
    assert_eq!((&pair["scope"], &pair["open_id"]), (&"user.info.basic".into(), &"sandbox-open-id".into()));
    assert_eq!(ask(VERIFIER, BACK).await["error"], "invalid_grant");
}
