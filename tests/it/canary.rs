//! What nobody may read elsewhere: secrets go their ways through real processes, and are found again in no log, not in
//! Redis, and in the database only sealed or as a digest. The processes say all that they can be made to say.

use reqwest::{Method, header::HeaderMap};
use serde_json::json;

use crate::{
    console::hidden,
    harness::{FACEBOOK, System, client, eventually},
    secrets::{Secret, data_keys, fresh, in_database, in_logs, in_redis, spelled},
};

/// A browser's way in: its cookies and the token of its forms.
async fn sign_in(system: &System, password: &str) -> (u16, String) {
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = client.get(system.url("/sign-in")).send().await.unwrap();
    let cookie = cookie(page.headers());
    let token = hidden(&page.text().await.unwrap(), "token");
    let form = [("token", token.as_str()), ("email", "canary@example.com"), ("password", password)];
    let answer =
        client.post(system.url("/sign-in")).header("cookie", cookie).form(&form).send().await.unwrap();
    (answer.status().as_u16(), self::cookie(answer.headers()))
}

fn cookie(headers: &HeaderMap) -> String {
    let all = headers.get_all("set-cookie").iter().map(|it| it.to_str().unwrap());
    all.map(|it| it.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_that_goes_through_is_found_in_a_log_in_redis_or_in_the_clear_in_the_database() {
    let mut system = System::start().await;
    system.environment.insert("RUST_LOG".into(), "trace".into());
    let metrics = fresh("the token of /metrics");
    system.environment.insert("METRICS_TOKEN".into(), metrics.text.clone());
    system.web.take().unwrap().kill9().await;
    system.start_web().await;
    system.start_worker(&[]);
    let mut canaries = vec![metrics];
    let mut secret = |what| {
        let canary = fresh(what);
        let text = canary.text.clone();
        canaries.push(canary);
        text
    };

    // a network's tokens: sealed, used, and refused by the network
    let (access, refresh) = (secret("an access token"), secret("a refresh token"));
    let add = [
        "account",
        "add",
        "--workspace",
        "Bakery",
        "--platform",
        FACEBOOK,
        "--external-id",
        "77",
        "--offline",
    ];
    let add = [&add[..], &["--name", "Canary"]].concat();
    let pair = json!({ "access_token": access, "refresh_token": refresh });
    let account = system.postroom(&add, &pair.to_string()).await;
    let wish = json!({ "caption": "to nobody", "targets": [{ "account_id": account.trim() }] });
    let (status, _) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202);
    let good = system.post("written in the open", &[FACEBOOK]).await;
    system.all_live_once(&[good]).await;
    eventually("the network to have refused the token", || async {
        let asked = "SELECT count(*) FROM account WHERE name = 'Canary' AND state <> 'active'";
        if system.database.count(asked).await == 1 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;

    // passwords, right and wrong, and the cookie of whoever is in
    let (right, wrong) = (secret("a password"), secret("a wrong password"));
    let add =
        ["user", "add", "--email", "canary@example.com", "--first", "C", "--last", "A", "--role", "admin"];
    system.postroom(&[&add[..], &["--workspace", "Bakery"]].concat(), &right).await;
    assert_eq!(sign_in(&system, &wrong).await.0, 422);
    let (status, cookies) = sign_in(&system, &right).await;
    assert_eq!(status, 303);
    let session = cookies.split("s=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    let page = client().get(system.url("/posts")).header("cookie", &cookies).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("written in the open"), "the cookie opens");

    // keys and what stands for them, good and bad
    let (_, pass) = system.api(Method::POST, "/api/v1/tokens", None).await;
    let pass = pass["access_token"].as_str().unwrap().to_owned();
    let unknown = format!("pr_{:x<43}", secret("an unknown key"));
    for bearer in [pass.as_str(), &unknown, &secret("nonsense as a key")] {
        client().get(system.url("/api/v1/posts")).bearer_auth(bearer).send().await.unwrap();
    }

    // what comes in addresses, forms, headers and bodies, and is refused
    let (code, state) = (secret("a code"), secret("a state"));
    for path in ["/connect/facebook_page/callback", "/posts", "/api/v1/posts", "/sign-in"] {
        let url =
            format!("{path}?code={code}&state={state}&access_token={}", secret("a token in an address"));
        client().get(system.url(&url)).send().await.unwrap();
    }
    for path in ["/api/delete-data", "/api/deauthorize"] {
        let form = [("signed_request", format!("{}.x", secret("a signed_request")))];
        client().post(system.url(path)).form(&form).send().await.unwrap();
    }
    let signature = format!("t=1,s={}", secret("a signature"));
    let body = json!({ "client_secret": secret("a client secret"), "code": code });
    for path in ["/api/webhooks/tiktok", "/api/v1/posts"] {
        let request =
            client().post(system.url(path)).bearer_auth(&system.key).header("tiktok-signature", &signature);
        request.json(&body).send().await.unwrap();
    }

    let own = |what, text: &str| Secret { what, text: text.to_owned() };
    canaries.push(own("the API key", system.key.trim()));
    canaries.push(own("the pass", pass.rsplit('.').next().unwrap()));
    canaries.push(own("the session's cookie", &session));
    canaries
        .push(own("the key ring", system.environment["POSTROOM_KEYS"].trim().rsplit(':').next().unwrap()));
    let redis = in_redis(&system.environment["REDIS_URL"]).await;
    let texts = [in_logs(&system), redis, in_database(&system).await].concat();
    for (place, text) in &texts {
        for canary in &canaries {
            assert!(!canary.is_in(text), "{} is in {place}", canary.what);
        }
    }

    // nor is a key that tokens stand under
    let keys = data_keys(&system).await;
    assert_eq!(keys.len(), 4, "one for each account");
    for (place, text) in &texts {
        for spelling in keys.iter().flat_map(|key| spelled(key)) {
            assert!(!text.contains(&spelling), "a data key is in {place}");
        }
    }

    // one who looks finds what is there to be found
    let found = |what: &str| texts.iter().any(|(_, text)| own("", what).is_in(text));
    assert!(found("written in the open"), "a caption is in the database");
    assert!(found("web started") && found("worker started"), "the logs were read");
    assert!(texts.iter().any(|(place, _)| place.starts_with("Redis")), "Redis was read");
    let sealed =
        "SELECT count(*) FROM vault.token t JOIN account a ON a.id = t.account_id WHERE a.name = 'Canary'";
    assert_eq!(system.database.count(sealed).await, 2, "the tokens are there, sealed");
}
