//! TikTok's uploads and what it fetches itself.

use super::*;

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("tiktok");
    let film = sandbox.long_film().await;
    for fault in ["no_effect_then_500", "effect_then_drop", "no_effect_then_drop"] {
        let mut post = Post::of(&sandbox, entry, surface).await;
        post.content.media = vec![film.clone()];
        sandbox.fault(entry, "upload_chunk", json!(fault)).await;
        let handle = post.prepare().await;
        post.commit(&handle).await;
        post.is_public(&handle).await;
    }
}

#[tokio::test]
async fn nothing_follows_a_handle_that_could_not_be_kept() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("tiktok");
    let mut post = Post::of(&sandbox, entry, surface).await;
    post.content.media = vec![sandbox.long_film().await];
    let kept = Kept { refuse: true, ..Kept::default() };
    let made = post.network().prepare(&post.call(Some(post.id)), &post.content, &kept).await;
    assert_eq!(made.expect_err("refused").code, "claim_lost");
    assert!(sandbox.list("calls", &[("call", "upload_chunk")]).await.is_empty());
}

#[tokio::test]
async fn an_upload_whose_address_expired_is_cancelled_and_then_dead() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("tiktok");
    let post = Post::of(&sandbox, entry, surface).await;
    let handle = post.prepare().await;
    sandbox.advance(Duration::from_hours(2)).await;
    sandbox.fault(entry, "cancel", json!("no_effect_then_500")).await;
    assert!(matches!(post.commit(&handle).await, Answer::Unknown(_)), "not cancelled is not dead");
    let answer = post.commit(&handle).await;
    assert!(
        matches!(&answer, Answer::Refused { failure, handle_dead: true } if failure.class == Class::Transient),
        "{answer:?}"
    );
    assert!(matches!(post.inspect(&handle, true).await, Ok(Sight::Dead(_))));
    assert_eq!(post.effects(&handle).await.len(), 0);
}

#[tokio::test]
async fn an_upload_that_stopped_half_way_and_expired_is_cancelled_and_then_dead() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("tiktok");
    let mut post = Post::of(&sandbox, entry, surface).await;
    post.content.media = vec![sandbox.long_film().await];
    let broken = json!({ "call": "upload_chunk", "times": 9, "fault": "no_effect_then_500" });
    sandbox.control("faults", broken).await;
    let kept = Kept::default();
    let made = post.network().prepare(&post.call(Some(post.fresh())), &post.content, &kept).await;
    assert!(made.is_err(), "{made:?}");
    let request = sandbox.http.delete(format!("{}/faults", sandbox.at.control));
    assert!(request.send().await.expect("an answer").status().is_success());
    let handle = kept.handle.lock().expect("a lock").clone().expect("it was kept before a byte was sent");
    sandbox.advance(Duration::from_hours(2)).await;
    let answer = post.commit(&handle).await;
    assert!(matches!(answer, Answer::Refused { handle_dead: true, .. }), "{answer:?}");
    assert!(matches!(post.inspect(&handle, true).await, Ok(Sight::Dead(_))));
    assert_eq!(post.effects(&handle).await.len(), 0);
}

#[tokio::test]
async fn a_film_that_tiktok_took_and_then_refused_is_dead_by_its_reason() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("tiktok");
    for (reason, class) in [("internal", Class::Transient), ("frame_rate_check_failed", Class::Permanent)] {
        let post = Post::of(&sandbox, entry, surface).await;
        let handle = post.prepare().await;
        sandbox.fault(entry, "commit", json!({ "fail_reason": reason })).await;
        assert_eq!(post.commit(&handle).await, Answer::Accepted);
        let seen = post.inspect(&handle, true).await;
        assert!(matches!(&seen, Ok(Sight::Dead(failure)) if failure.class == class), "{reason}: {seen:?}");
    }
}

#[tokio::test]
async fn a_privacy_level_that_the_creator_does_not_offer_is_refused_with_those_that_are() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("tiktok");
    let mut post = Post::of(&sandbox, entry, surface).await;
    post.content.options = json!({ "privacy_level": "NOBODY" });
    let made = post.network().prepare(&post.call(Some(post.id)), &post.content, &Kept::default()).await;
    let failure = made.expect_err("refused");
    assert_eq!(failure.class, Class::Permanent);
    assert!(failure.message.contains("NOBODY") && failure.message.contains("SELF_ONLY"), "{failure}");
}

/// Photos on their way to TikTok, two of them.
async fn photos(sandbox: &Sandbox) -> Post<'_> {
    let (entry, surface) = surfaces().find(|(entry, surface)| pulled(entry, surface)).expect("a surface");
    let mut post = Post::of(sandbox, entry, surface).await;
    post.content.media.push(sandbox.file("image/jpeg").await);
    post
}

#[tokio::test]
async fn an_init_that_arrives_late_finds_its_addresses_closed() {
    let sandbox = Sandbox::start().await;
    let post = photos(&sandbox).await;
    let handle = post.prepare().await;
    let late = json!({ "effect_after_ms": 60_000, "then": "drop" });
    sandbox.fault(post.entry, "commit", late).await;
    let id = post.fresh();
    sandbox.pulls.arm(id, &handle, &post.content.media);
    let answer = post.network().commit(&post.call(Some(id)), &handle, &post.content).await;
    assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
    assert!(matches!(post.evidence(&handle).await, Ok(Sight::Dead(_))), "nobody had fetched anything");
    let again = post.prepare().await;
    assert_ne!(again.id, handle.id);
    assert_eq!(post.commit(&again).await, Answer::Accepted);
    sandbox.advance(Duration::from_mins(2)).await;
    sandbox.advance(PROCESSING).await;
    post.is_public(&again).await;
}

#[tokio::test]
async fn photos_that_tiktok_fetches_too_late_are_dead_and_those_it_fetched_are_nobodys_guess() {
    let sandbox = Sandbox::start().await;
    let post = photos(&sandbox).await;
    sandbox.control("settings", json!({ "tiktok_pull_after_ms": 60_000 })).await;
    let handle = post.prepare().await;
    sandbox.fault(post.entry, "commit", json!("effect_then_drop")).await;
    let id = post.fresh();
    sandbox.pulls.arm(id, &handle, &post.content.media);
    let answer = post.network().commit(&post.call(Some(id)), &handle, &post.content).await;
    assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
    assert!(matches!(post.evidence(&handle).await, Ok(Sight::Dead(_))));
    sandbox.advance(Duration::from_mins(2)).await;
    sandbox.advance(PROCESSING).await;
    assert_eq!(post.effects(&handle).await.len(), 0, "what came for them found nothing");

    sandbox.control("settings", json!({ "tiktok_pull_after_ms": 0 })).await;
    let mut hidden = photos(&sandbox).await;
    hidden.content.options = json!({ "privacy_level": "SELF_ONLY" });
    let handle = hidden.prepare().await;
    sandbox.fault(hidden.entry, "commit", json!("effect_then_drop")).await;
    assert!(matches!(hidden.commit(&handle).await, Answer::Unknown(_)));
    assert!(hidden.evidence(&handle).await.is_err_and(|failure| failure.code == "fetched"));
}

#[tokio::test]
async fn a_refusal_of_photos_counts_only_where_nothing_was_fetched() {
    let sandbox = Sandbox::start().await;
    for (code, class) in
        [("url_ownership_unverified", Class::Permanent), ("spam_risk_too_many_posts", Class::Rate)]
    {
        for effect in [false, true] {
            let post = photos(&sandbox).await;
            let handle = post.prepare().await;
            let no = json!({ "tiktok": { "code": code, "http": 403, "effect": effect } });
            sandbox.fault(post.entry, "commit", no).await;
            match post.commit(&handle).await {
                Answer::Refused { failure, handle_dead: true } if !effect => assert_eq!(failure.class, class),
                Answer::Unknown(_) if effect => post.is_public(&handle).await,
                other => panic!("{code}, effect {effect}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn photos_that_the_creator_may_not_show_so_are_refused_before_the_commit() {
    let sandbox = Sandbox::start().await;
    let mut post = photos(&sandbox).await;
    let handle = post.prepare().await;
    assert_eq!(post.inspect(&handle, false).await, Ok(Sight::Ready));
    post.content.options = json!({ "privacy_level": "NOBODY" });
    let made = post.network().prepare(&post.call(Some(post.id)), &post.content, &Kept::default()).await;
    assert_eq!(made.expect_err("refused").code, "privacy_level_option_mismatch");
    let mut withdrawn = handle;
    withdrawn.detail["privacy_level"] = json!("NOBODY");
    let seen = post.inspect(&withdrawn, false).await;
    assert!(matches!(&seen, Ok(Sight::Dead(failure)) if failure.class == Class::Permanent), "{seen:?}");
}

#[tokio::test]
async fn a_film_that_only_its_owner_sees_is_public_without_an_address() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("tiktok");
    let mut post = Post::of(&sandbox, entry, surface).await;
    post.content.options = json!({ "privacy_level": "SELF_ONLY" });
    let handle = post.prepare().await;
    assert_eq!(post.commit(&handle).await, Answer::Accepted);
    assert_eq!(post.inspect(&handle, true).await, Ok(Sight::Public(Public::default())));
    let known = post.network().describe(&post.call(None), &handle, &post.content, Public::default()).await;
    assert_eq!(known, Ok(Public::default()));
}
