//! Workers that die on the way, and a ledger that is away: nothing is half connected.

use super::*;

/// Goes as far as the dialog's return with no worker, lets one die there, and gives the page.
async fn dies(system: &mut System, id: &str, points: &[(&str, &str)]) -> String {
    page(system, id, json!({})).await;
    let at = Person::admin(system).await.goes(FACEBOOK, &[id], &[]).await;
    system.start_worker(points);
    assert_eq!(system.workers.last_mut().unwrap().ended().await, None);
    system.start_worker(&[]);
    at
}

async fn tokens(system: &System) -> i64 {
    let count = "SELECT count(*) FROM vault.token t JOIN account a ON a.id = t.account_id WHERE a.subject_id = '7001'";
    system.database.count(count).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_the_networks_answer_costs_the_code_and_nothing_is_half_connected() {
    let mut system = System::start().await;
    let staff_at = dies(&mut system, "104000000000891", &[(Point::AfterCodeAnswer.word(), "kill9")]).await;
    // somebody else's session may not look, so the page is read out of the ledger
    eventually("the connection to have come to nothing", || async {
        let refused =
            "SELECT count(*) FROM connection WHERE state = 'refused' AND why ->> 'code' = '100/36009'";
        if system.database.count(refused).await == 1 { Ok(()) } else { Err(staff_at.clone()) }
    })
    .await;
    assert_eq!((secrets(&system).await, tokens(&system).await), (0, 0));
    let lost = "SELECT count(*) FROM remote_call WHERE kind = 'connect' AND verdict = 'ambiguous'";
    assert_eq!(system.database.count(lost).await, 1);
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &["104000000000891"], &[&key(FACEBOOK, "104000000000891")]).await;
    assert_eq!(tokens(&system).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_before_or_after_that_goes_on_where_it_was() {
    for (n, armed) in [
        (Point::AfterCodeLogged.word(), "kill9"),
        (Point::AfterGranted.word(), "kill9"),
        (Point::AfterOffered.word(), "kill9"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut system = System::start().await;
        let id = format!("10400000000090{n}");
        page(&system, &id, json!({})).await;
        let at = {
            let staff = Person::admin(&system).await;
            (staff.goes(FACEBOOK, &[&id], &[]).await, staff.cookie)
        };
        system.start_worker(&[armed]);
        assert_eq!(system.workers[0].ended().await, None, "{armed:?}");
        system.start_worker(&[]);
        let mut staff = Person::admin(&system).await;
        staff.cookie = at.1;
        let text = staff.rests(&at.0).await;
        let sent = staff.chooses(&at.0, &text, &[&key(FACEBOOK, &id)]).await;
        assert_eq!(sent.status, 303, "{armed:?}: {text}");
        assert!(staff.rests(&at.0).await.contains(">Connected</p>"), "{armed:?}");
        assert_eq!((tokens(&system).await, secrets(&system).await), (2, 0), "{armed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_it_connects_leaves_one_connection_whole() {
    for (n, armed) in [(Point::BeforeConnected.word(), "kill9"), (Point::AfterConnected.word(), "kill9")]
        .into_iter()
        .enumerate()
    {
        let mut system = System::start().await;
        let (page_id, behind) = (format!("10400000000091{n}"), format!("1784140000000091{n}"));
        page(&system, &page_id, json!({})).await;
        instagram(&system, &behind, &page_id).await;
        system.start_worker(&[armed]);
        let (at, cookie) = {
            let staff = Person::admin(&system).await;
            let at = staff.goes(FACEBOOK, &[&page_id], &[]).await;
            let text = staff.rests(&at).await;
            let keys = [key(FACEBOOK, &page_id), key(INSTAGRAM, &behind)];
            assert_eq!(staff.chooses(&at, &text, &[&keys[0], &keys[1]]).await.status, 303);
            (at, staff.cookie)
        };
        assert_eq!(system.workers[0].ended().await, None, "{armed:?}");
        let there = system.database.count("SELECT count(*) FROM account WHERE subject_id = '7001'").await;
        assert!([0, 2].contains(&there), "{armed:?}: {there}, all or nothing");
        system.start_worker(&[]);
        let mut staff = Person::admin(&system).await;
        staff.cookie = cookie;
        let done = staff.rests(&at).await;
        assert_eq!(done.matches(">Connected</p>").count(), 2, "{armed:?}: {done}");
        assert_eq!((tokens(&system).await, secrets(&system).await), (4, 0), "{armed:?}");
        let generations = "SELECT max(token_generation) FROM account WHERE subject_id = '7001'";
        assert_eq!(system.database.count(generations).await, 1, "{armed:?}: connected once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_kept_though_the_ledger_was_away_and_the_network_hesitated() {
    let system = System::with_workers(1).await;
    // both come when the code is spent already
    for statement in [
        "CREATE SEQUENCE tries",
        "CREATE FUNCTION away_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
             IF NEW.field = 'grant' AND nextval('public.tries') = 1 THEN
                 RAISE EXCEPTION 'no room' USING ERRCODE = '53300';
             END IF;
             RETURN NEW;
         END $$",
        "CREATE TRIGGER away_once BEFORE INSERT ON vault.connection_secret FOR EACH ROW EXECUTE FUNCTION away_once()",
    ] {
        sqlx::query(statement).execute(&system.database.pool).await.unwrap();
    }
    let hesitates = json!({ "call": "oauth", "caption_contains": "fb_exchange_token", "times": 2, "fault": "no_effect_then_500" });
    system.fault(hesitates).await;
    page(&system, "104000000000951", json!({})).await;
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &["104000000000951"], &[&key(FACEBOOK, "104000000000951")]).await;
    assert_eq!(system.database.count("SELECT last_value FROM tries").await, 2);
    let exchanges = "SELECT count(*) FROM remote_call WHERE kind = 'connect'";
    assert_eq!(system.database.count(exchanges).await, 1, "the code was sent once");
    let calls = system.control("calls?call=oauth").await;
    assert_eq!(calls["data"].as_array().unwrap().len(), 4);
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_exchanged_in_the_address_where_a_body_is_not_taken() {
    let system = System::with_workers(1).await;
    system.fault(json!({ "call": "oauth", "times": 1, "fault": { "status": 405 } })).await;
    page(&system, "104000000000952", json!({})).await;
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &["104000000000952"], &[&key(FACEBOOK, "104000000000952")]).await;
    let calls = system.control("calls?call=oauth").await;
    let statuses: Vec<_> = calls["data"].as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
    assert_eq!(statuses[..2], [json!(405), json!(200)], "{calls}");
    system.every_call_was_logged_first().await;
}
