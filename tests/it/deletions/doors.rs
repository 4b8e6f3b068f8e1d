//! The doors: what Meta signs, what is proved by mail, what the staff asks, and what anybody is shown.

use super::*;

async fn send_form(door: &Door, path: &str, body: &str) -> Answer {
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    door.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_is_answered_with_an_address_and_a_code_and_the_same_wish_has_the_same_code() {
    // P-D6
    let (door, _) = with_a_person().await;
    let body = callback("app-secret", PERSON, 1_795_996_400);
    let first = call_back(&door, body.clone()).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    assert!(first.header("content-type").starts_with("application/json"));
    let (answer, fields) = (first.json(), BTreeSet::from(["url".to_owned(), "confirmation_code".to_owned()]));
    assert_eq!(answer.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>(), fields);
    let code = answer["confirmation_code"].as_str().unwrap();
    assert!(code.len() >= 26 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    assert_eq!(answer["url"], format!("http://localhost:3000/privacy/requests/{code}"));
    assert_eq!((frozen(&door).await, requests(&door).await), (1, 1));
    assert_eq!(call_back(&door, body).await.json(), answer);
    assert_eq!(requests(&door).await, 1);
    let later = call_back(&door, callback("app-secret", PERSON, 1_795_996_401)).await.json();
    assert_ne!(later["confirmation_code"], code);
    assert_eq!(door.hints.lock().unwrap().len(), 2, "a hint for each that was new");
    // neither the person nor the code is kept
    let kept = "SELECT count(*) FROM deletion_request r WHERE r::text LIKE '%1000218475%'";
    assert_eq!(door.scratch.number(kept).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_did_not_sign_changes_nothing_and_somebody_unknown_gets_a_code() {
    let (door, _) = with_a_person().await;
    let signed = callback("app-secret", PERSON, 7);
    let (head, tail) = signed.split_once('.').unwrap();
    for forged in [
        callback("another", PERSON, 7),
        String::new(),
        "signed_request=".to_owned(),
        "signed_request=a.b".to_owned(),
        format!("{head}.{tail}x"),
        format!("{head}.{}", URL_SAFE_NO_PAD.encode(r#"{"algorithm":"none","user_id":"1000218475"}"#)),
        format!("{signed}&{signed}"),
    ] {
        let answer = call_back(&door, forged).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!((frozen(&door).await, requests(&door).await), (0, 0));
    assert_eq!(call_back(&door, "x".repeat(5000)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let unknown = call_back(&door, callback("app-secret", "555", 7)).await;
    assert_eq!(unknown.status, StatusCode::OK);
    assert!(unknown.json()["confirmation_code"].is_string());
    assert_eq!((frozen(&door).await, requests(&door).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_shown_by_the_code_alone_in_both_languages_and_names_nobody() {
    // P-D12
    let (door, account) = with_a_person().await;
    let answer = call_back(&door, callback("app-secret", PERSON, 7)).await.json();
    let path = format!("/privacy/requests/{}", answer["confirmation_code"].as_str().unwrap());
    for (lang, dir, word) in [("en", "ltr", "being deleted"), ("he", "rtl", "נמחקים")] {
        let shown = page(&door, &format!("{path}?lang={lang}")).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert!(shown.text.contains(&format!("lang=\"{lang}\" dir=\"{dir}\"")), "{}", shown.text);
        assert!(shown.text.contains(word), "{}", shown.text);
        for secret in [CANARY, PERSON, "Dana", "example.com", &account.to_string(), "facebook"] {
            assert!(!shown.text.to_lowercase().contains(&secret.to_lowercase()), "{secret} is shown");
        }
        assert_eq!(shown.header("cache-control"), "no-store");
    }
    for guess in ["aaaaaaaaaaaaaaaaaaaaaaaaaa", "short", "..%2f"] {
        let missing = page(&door, &format!("/privacy/requests/{guess}")).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
    }
    let mut slowed = false;
    for _ in 0..10 {
        let guess = page(&door, "/privacy/requests/bbbbbbbbbbbbbbbbbbbbbbbbbb").await;
        slowed |= guess.status == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(slowed, "who guesses has to wait");
    assert_eq!(page(&door, &path).await.status, StatusCode::OK, "who knows has not");
}

/// The link of the last mail.
async fn mailed(door: &Door, ring: &KeyRing) -> (String, String) {
    let letters = door.scratch.ledger.letters(ring, 10).await.unwrap();
    let (_, letter) = letters.last().unwrap();
    let link = letter.text.split_whitespace().find(|word| word.starts_with("http")).unwrap();
    (letter.to.clone(), link.trim_start_matches("http://localhost:3000").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_on_the_public_page_proves_the_address_and_the_link_is_good_once() {
    // P-D6
    let ((door, _), ring) = (with_a_person().await, ring());
    let form = page(&door, "/privacy/delete?lang=he").await;
    assert!(form.text.contains("dir=\"rtl\""), "{}", form.text);
    assert_eq!(
        send_form(&door, "/privacy/delete", "email=nobody").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let known = send_form(&door, "/privacy/delete", "email=dana%40example.com&lang=he").await;
    let unknown = send_form(&door, "/privacy/delete", "email=nobody%40example.com&lang=he").await;
    assert_eq!(
        (known.status, &known.text),
        (StatusCode::ACCEPTED, &unknown.text),
        "no answer tells who is known"
    );
    assert_eq!((frozen(&door).await, requests(&door).await), (0, 0), "an address proves nothing");
    door.scratch
        .run("DELETE FROM deletion_letter WHERE created_at = (SELECT max(created_at) FROM deletion_letter)")
        .await;
    let (to, link) = mailed(&door, &ring).await;
    assert_eq!(to, "dana@example.com");
    assert_eq!(page(&door, &link).await.status, StatusCode::OK);
    assert_eq!(requests(&door).await, 0, "programs open links too");
    let path = link.split('?').next().unwrap();
    let accepted = send_form(&door, path, "lang=he").await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert!(accepted.text.contains("http://localhost:3000/privacy/requests/"), "{}", accepted.text);
    assert_eq!((frozen(&door).await, requests(&door).await), (1, 1));
    // who follows it again is shown the same, and asks for nothing
    for again in [send_form(&door, path, "lang=he").await, page(&door, &link).await] {
        assert_eq!((again.status, &again.text), (StatusCode::ACCEPTED, &accepted.text));
    }
    assert_eq!((frozen(&door).await, requests(&door).await), (1, 1));
    assert_eq!(send_form(&door, "/privacy/delete/AAAAAAAAAAAAAAAAAAAAAA", "").await.status, StatusCode::GONE);
    // nothing that is kept of it is in the clear
    for table in ["deletion_ask", "deletion_letter", "deletion_request"] {
        let clear = format!("SELECT count(*) FROM {table} t WHERE lower(t::text) LIKE '%dana%'");
        assert_eq!(door.scratch.number(&clear).await, 0, "{table}");
    }
    // a day later a link is stale
    send_form(&door, "/privacy/delete", "email=late%40example.com").await;
    door.scratch.run("UPDATE deletion_ask SET expires_at = ledger_now()").await;
    let (_, late) = mailed(&door, &ring).await;
    assert_eq!(page(&door, &late).await.status, StatusCode::GONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_staff_asks_within_its_workspace_alone() {
    let (door, account) = with_a_person().await;
    let other = door.scratch.ledger.add_workspace("Butcher").await.unwrap();
    let theirs = door.account_of(other, TIKTOK, &json!({})).await;
    let ask = async |body: Value| {
        let request = door.request(&axum::http::Method::POST, "/api/v1/privacy/requests");
        let request = request.header("content-type", "application/json");
        door.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    for wrong in [
        json!({ "kind": "deletion" }),
        json!({ "kind": "other", "email": "dana@example.com" }),
        json!({ "kind": "deletion", "account_ids": ["x"] }),
        json!({ "kind": "deletion", "email": "dana@example.com", "more": 1 }),
    ] {
        assert_eq!(ask(wrong.clone()).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    let nothing = ask(json!({ "kind": "deletion", "account_ids": [theirs] })).await;
    assert_eq!((nothing.status, &nothing.json()["accounts"]), (StatusCode::ACCEPTED, &json!(0)));
    let asked = ask(json!({ "kind": "deletion", "account_ids": [account], "reason": "a mail" })).await.json();
    assert_eq!(
        (&asked["accounts"], &asked["state"], frozen(&door).await),
        (&json!(1), &json!("draining"), 1)
    );
    let rows = door.scratch.ledger.audit_entries(Some(door.workspace), 10).await.unwrap();
    let rows: Vec<_> = rows.iter().filter(|row| row.action == "deletion_asked").collect();
    assert_eq!((rows.len(), rows[0].actor.as_str(), rows[0].object.as_str()), (2, "key", "deletion_request"));
    assert_eq!(rows[0].object_id, asked["id"].as_str().unwrap());
    assert!(rows[0].detail.contains("\"accounts\": 1"), "{}", rows[0].detail);
    let path = format!("/api/v1/privacy/requests/{}", asked["id"].as_str().unwrap());
    let own = door.request(&axum::http::Method::GET, &path).body(Body::empty()).unwrap();
    assert_eq!(door.send(own).await.status, StatusCode::OK);
    let key = door.key_for(Some(other), postroom::ledger::keys::Scope::ALL).await;
    let foreign = Request::get(&path).header("authorization", format!("Bearer {key}"));
    assert_eq!(door.send(foreign.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_flooded_with_links() {
    let door = Door::open().await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(send_form(&door, "/privacy/delete", "email=dana%40example.com").await.status);
    }
    assert!(answers.contains(&StatusCode::TOO_MANY_REQUESTS), "{answers:?}");
    let other = send_form(&door, "/privacy/delete", "email=noa%40example.com").await;
    assert_eq!(other.status, StatusCode::ACCEPTED, "somebody else may ask");
}
