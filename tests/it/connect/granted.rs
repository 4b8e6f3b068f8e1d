//! Whoever connected an account here is the person behind it: what a deletion by their address covers, and who is told of one
//! that their network asks for.

use super::*;
use crate::deletions::verified;

const PAGE: &str = "104000000000986";

/// The address that stands for whoever granted the Page.
async fn address(system: &System) -> String {
    let known = "SELECT coalesce(subject_email, 'nobody') FROM account WHERE external_id = $1";
    sqlx::query_scalar(known).bind(PAGE).fetch_one(&system.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_connected_here_goes_with_them_when_they_ask_by_their_address() {
    // P-D6 P-D7 P-D8
    let system = System::with_workers(1).await;
    granted_by_others(&system).await;
    page(&system, PAGE, json!({})).await;
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &[PAGE], &[&key(FACEBOOK, PAGE)]).await;
    let (id, _) = deleted(&system, &["--email", "staff@example.com"]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(receipt["covered"], json!({ "accounts": 1, "people": 1 }), "{receipt}");
    assert_eq!(receipt["grants"][0]["answer"], json!("revoked"), "{receipt}");
    assert_eq!((shown(&system, PAGE).await, revocations(&system).await), (None, 1));
    let others = "SELECT count(*) FROM account WHERE state = 'active'";
    assert_eq!(system.database.count(others).await, 3, "what they did not connect stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_connected_an_account_is_told_when_its_network_asks_for_the_deletion() {
    // P-D9
    let system = System::with_workers(1).await;
    granted_by_others(&system).await;
    page(&system, PAGE, json!({})).await;
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &[PAGE], &[&key(FACEBOOK, PAGE)]).await;
    let (id, _) = deleted(&system, &["--meta-user-id", "7001"]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(receipt["covered"], json!({ "accounts": 1, "people": 0 }), "{receipt}");
    eventually("the mail", || async {
        let mail = system.control("mail").await;
        let is_it = |it: &Value| {
            it["to"][0] == "staff@example.com" && it.to_string().contains("Your data is deleted")
        };
        if mail["data"].as_array().unwrap().iter().any(is_it) { Ok(()) } else { Err(mail.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_behind_an_account_is_that_of_whoever_connected_it_last_unless_one_was_given() {
    let system = System::with_workers(1).await;
    page(&system, PAGE, json!({})).await;
    let user =
        ["user", "add", "--email", "two@example.com", "--first", "Two", "--last", "Levi", "--role", "admin"];
    system.postroom(&[&user[..], &["--workspace", "Bakery"]].concat(), "corner-bakery-twos").await;
    let one = Person::admin(&system).await;
    let two = Person::signed_in(&system, "two@example.com", "corner-bakery-twos").await;
    for (person, known) in [(&one, "staff@example.com"), (&two, "two@example.com")] {
        person.connects(FACEBOOK, &[PAGE], &[&key(FACEBOOK, PAGE)]).await;
        assert_eq!(address(&system).await, known);
    }
    let given = "UPDATE account SET subject_email = 'Owner@example.com' WHERE external_id = $1";
    sqlx::query(given).bind(PAGE).execute(&system.database.pool).await.unwrap();
    one.connects(FACEBOOK, &[PAGE], &[&key(FACEBOOK, PAGE)]).await;
    assert_eq!(address(&system).await, "Owner@example.com");
}
