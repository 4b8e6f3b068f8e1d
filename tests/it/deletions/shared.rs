//! What was not asked for stays: what others need, what came later, what is shared.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_another_connection_needs_is_not_taken_back() {
    let system = System::with_workers(1).await;
    owned_by(&system, PERSON, "dana@example.com").await;
    let page = system.account(FACEBOOK).to_owned();
    let (id, _) = deleted(&system, &["--account", &page]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(receipt["grants"][0]["answer"], json!("superseded"), "{receipt}");
    let post = system.post("the other one goes on", &[INSTAGRAM]).await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_connected_anew_is_not_hit_by_the_old_request() {
    let mut system = System::start().await;
    let connect = async |system: &System| {
        let add = ["account", "add", "--workspace", "Bakery", "--offline", "--platform", FACEBOOK];
        let of = ["--external-id", "204000000000001", "--name", "Bakery", "--subject-id", "770001"];
        let pair = json!({ "access_token": "page-204000000000001" }).to_string();
        system.postroom(&[&add[..], &of[..]].concat(), &pair).await
    };
    let page = json!({ "platform": FACEBOOK, "external_id": "204000000000001", "name": "Bakery",
                       "access_token": "page-204000000000001" });
    system.tell("accounts", &page).await;
    let old = connect(&system).await;
    let callback = callback("app-secret", "770001", 1_795_996_400);
    let send = || {
        crate::harness::client()
            .post(system.url("/api/delete-data"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(callback.clone())
            .send()
    };
    let first: Value = send().await.unwrap().json().await.unwrap();
    // the person has thought better of it before anything was done
    let new = connect(&system).await;
    assert_ne!(new, old, "what is being erased is not connected again");
    let again: Value = send().await.unwrap().json().await.unwrap();
    assert_eq!(again, first, "a redelivery is the same request");
    let id: String = sqlx::query_scalar("SELECT id::text FROM deletion_request")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    system.start_worker(&[]);
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!((erased(&receipt, "account"), &receipt["grants"][0]["answer"]), (1, &json!("superseded")));
    let wish = json!({ "caption": "back again", "kind": "post", "targets": [{ "account_id": new }] });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_person_shares_with_another_account_stays_there() {
    let system = System::with_workers(1).await;
    let media = system.upload("shared.jpg", picture()).await;
    let wish = system.wish("shared by two", &PLATFORMS[..2], &[media]);
    let (_, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    let post = post["id"].as_str().unwrap().to_owned();
    system.all_live_once(std::slice::from_ref(&post)).await;
    let (id, _) = deleted(&system, &["--account", system.account(FACEBOOK)]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(
        (erased(&receipt, "publication"), erased(&receipt, "post"), erased(&receipt, "media")),
        (1, 0, 0)
    );
    let (_, left) = system.api(Method::GET, &format!("/api/v1/posts/{post}"), None).await;
    assert_eq!(left["publications"].as_array().unwrap().len(), 1, "{left}");
    assert!(!stored(&system).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_requests_share_goes_with_the_last_of_them() {
    let mut system = System::start().await;
    let media = system.upload("shared.jpg", picture()).await;
    let mut wish = system.wish("shared by two", &PLATFORMS[..2], &[media]);
    wish["schedule"] = json!({ "at": "2027-06-01T09:00:00Z" });
    assert_eq!(system.api(Method::POST, "/api/v1/posts", Some(&wish)).await.0, 202);
    let mut requests = Vec::new();
    for platform in &PLATFORMS[..2] {
        let (id, _) = deleted(&system, &["--account", system.account(platform)]).await;
        requests.push(id);
    }
    system.start_worker(&[]);
    let mut posts = 0;
    for id in &requests {
        posts += erased(&verified(&system, &done(&system, id).await).await, "post");
    }
    assert_eq!(posts, 1, "one of them took it away");
    let left = "SELECT (SELECT count(*) FROM post) + (SELECT count(*) FROM post_media) + (SELECT count(*) FROM media)";
    assert_eq!(system.database.count(left).await, 0);
    assert_eq!(stored(&system), Vec::<std::path::PathBuf>::new());
}
