//! Instagram's containers: what stays in doubt, the daily limit, carousels and stories.

use super::*;

#[tokio::test]
async fn an_account_that_instagram_calls_a_spammer_rests_and_the_post_stays_in_doubt() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("instagram");
    let post = Post::of(&sandbox, entry, surface).await;
    let handle = post.prepare().await;
    let spam = json!({ "graph": { "code": 4, "subcode": 2_207_051, "effect": true } });
    sandbox.fault(entry, "media_publish", spam).await;
    let Answer::Unknown(failure) = post.commit(&handle).await else { panic!("it is not known") };
    assert_eq!(failure.rest, Some(Duration::from_mins(30)));
    post.is_public(&handle).await;
}

#[tokio::test]
async fn instagrams_daily_limit_is_a_no_only_where_it_is_reached_and_the_container_waits() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("instagram");
    let post = Post::of(&sandbox, entry, surface).await;
    let handle = post.prepare().await;
    sandbox.control("settings", json!({ "publish_quota": 0 })).await;
    let answer = post.commit(&handle).await;
    assert!(
        matches!(&answer, Answer::Refused { failure, handle_dead: false } if failure.class == Class::Rate),
        "{answer:?}"
    );
    sandbox.control("settings", json!({ "publish_quota": 50 })).await;
    for effect in [false, true] {
        let limit = json!({ "graph": { "code": 9, "subcode": 2_207_042, "effect": effect } });
        sandbox.fault(entry, "media_publish", limit).await;
        assert!(matches!(post.commit(&handle).await, Answer::Unknown(_)), "effect: {effect}");
    }
    post.is_public(&handle).await;
}

#[tokio::test]
async fn a_container_that_instagram_could_not_make_fails_by_its_reason() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("instagram");
    let post = Post::of(&sandbox, entry, surface).await;
    for (state, class) in [("ERROR", Class::Transient), ("EXPIRED", Class::Transient)] {
        let handle = post.prepare().await;
        sandbox.fault(entry, "container_status", json!({ "container": state })).await;
        // The container is named only by reads of itself, so the first one forces its state.
        post.inspect(&handle, false).await.ok();
        let seen = post.inspect(&handle, false).await;
        assert!(matches!(&seen, Ok(Sight::Dead(failure)) if failure.class == class), "{state}: {seen:?}");
    }
}

#[tokio::test]
async fn a_story_may_be_a_film_and_is_found_without_words() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = of_instagram("story");
    for fault in EFFECT_AND_NO_ANSWER {
        let mut post = Post::of(&sandbox, entry, surface).await;
        post.content.media = vec![sandbox.file("video/mp4").await];
        let handle = post.prepare().await;
        sandbox.fault(entry, "commit", json!(fault)).await;
        assert!(matches!(post.commit(&handle).await, Answer::Unknown(_)), "{fault}");
        post.is_public(&handle).await;
        assert_eq!(post.effects(&handle).await[0]["caption"], "", "a story says nothing");
    }
}

/// A carousel of three: a picture, a film, a picture.
async fn carousel(sandbox: &Sandbox) -> Post<'_> {
    let (entry, surface) = of_instagram("carousel");
    let mut post = Post::of(sandbox, entry, surface).await;
    post.content.media.push(sandbox.file("image/jpeg").await);
    assert_eq!(post.content.media.len(), 3);
    post
}

#[tokio::test]
async fn a_carousel_is_not_made_before_each_of_its_slides_is_ready() {
    let sandbox = Sandbox::start().await;
    let post = carousel(&sandbox).await;
    let kept = Kept::default();
    let made = post.network().prepare(&post.call(Some(post.id)), &post.content, &kept).await;
    let (parts, readiness) = made.expect("slides");
    assert!(parts.is_parts() && readiness == jobs::desk::Readiness::Building);
    assert_eq!(kept.handle.lock().expect("a lock").as_ref(), Some(&parts), "all are kept, in order");
    assert_eq!(post.inspect(&parts, false).await, Ok(Sight::Building));
    let again = post.prepare_on(Some(parts.clone())).await;
    assert_eq!(again, parts, "while they are processed, the same slides are waited for");
    let handle = post.prepare_on(Some(parts)).await;
    assert!(!handle.is_parts());
    assert_eq!(post.inspect(&handle, false).await, Ok(Sight::Ready));
    assert_eq!(sandbox.calls("media").await, 4, "each slide and the carousel are made once");
    post.commit(&handle).await;
    post.is_public(&handle).await;
    let shown = post.effects(&handle).await[0]["media"].clone();
    let shown = shown.as_array().expect("files");
    assert_eq!(shown.len(), 3, "no slide is missing");
    assert!(shown[0] == shown[2] && shown[0] != shown[1], "and they are in order");
}

#[tokio::test]
async fn a_carousel_one_of_whose_slides_is_broken_is_dead() {
    let sandbox = Sandbox::start().await;
    let post = carousel(&sandbox).await;
    let parts = post.prepare_on(None).await;
    sandbox.fault(post.entry, "container_status", json!({ "container": "ERROR" })).await;
    // The container is named only by reads of itself, so the first one forces its state.
    post.inspect(&parts, false).await.ok();
    let seen = post.inspect(&parts, false).await;
    assert!(matches!(&seen, Ok(Sight::Dead(failure)) if failure.class == Class::Transient), "{seen:?}");
    // A call that goes on from there makes that slide anew, and no other.
    let handle = post.prepare_on(Some(parts)).await;
    assert!(handle.is_parts(), "the new slide has to be waited for");
    let handle = post.prepare_on(Some(handle)).await;
    assert_eq!(sandbox.calls("media").await, 5);
    post.commit(&handle).await;
    post.is_public(&handle).await;
    assert_eq!(post.effects(&handle).await[0]["media"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_carousel_whose_slide_broke_after_it_was_made_is_not_committed() {
    let sandbox = Sandbox::start().await;
    let post = carousel(&sandbox).await;
    let handle = post.prepare().await;
    // The first read is of the carousel itself; what follows are its slides.
    let broken = json!({ "container": "ERROR" });
    let slide = handle.detail["slides"][1]["container"].as_str().expect("a slide").to_owned();
    let own = Handle { kind: "container".into(), id: slide, detail: Value::Null };
    sandbox.fault(post.entry, "container_status", broken).await;
    post.inspect(&own, false).await.ok();
    let seen = post.inspect(&handle, false).await;
    assert!(matches!(seen, Ok(Sight::Dead(_))), "{seen:?}");
    let armed = post.inspect(&handle, true).await;
    assert_eq!(armed, Ok(Sight::Ready), "of what was armed the carousel alone tells what became");
}

/// Remembers the fewest slides that it was given to keep.
struct Fewest {
    earlier: Handle,
    slides: std::sync::Mutex<usize>,
}

#[async_trait]
impl KeepHandle for Fewest {
    async fn keep(&self, handle: &Handle) -> Result<(), Failure> {
        let mut fewest = self.slides.lock().expect("a lock");
        *fewest = handle.detail["slides"].as_array().map_or(0, Vec::len).min(*fewest);
        Ok(())
    }

    fn earlier(&self) -> Option<&Handle> {
        Some(&self.earlier)
    }
}

#[tokio::test]
async fn slides_that_are_there_already_are_not_forgotten_while_they_are_gone_through() {
    let sandbox = Sandbox::start().await;
    let post = carousel(&sandbox).await;
    let parts = post.prepare_on(None).await;
    assert!(parts.is_parts());
    let kept = Fewest { earlier: parts, slides: std::sync::Mutex::new(usize::MAX) };
    post.network().prepare(&post.call(Some(post.fresh())), &post.content, &kept).await.expect("prepared");
    assert_eq!(*kept.slides.lock().expect("a lock"), post.content.media.len());
}

#[tokio::test]
async fn a_prepare_call_that_broke_off_is_gone_on_with() {
    let sandbox = Sandbox::start().await;
    let post = carousel(&sandbox).await;
    let kept = Kept::default();
    let call = post.call(Some(post.id));
    for (refused, slides) in [(0, 1), (1, 2)] {
        let earlier = kept.handle.lock().expect("a lock").clone();
        let kept_now = Kept { earlier, ..Kept::default() };
        let limit = json!({ "graph": { "code": 4, "http": 400 } });
        // Lets one container through, and refuses the next.
        let rule =
            json!({ "network": post.entry.platform.name, "call": "media", "times": 1, "fault": limit });
        let one = Content { media: post.content.media[..slides].to_vec(), ..post.content.clone() };
        post.network().prepare(&call, &one, &kept_now).await.expect("so many slides");
        *kept.handle.lock().expect("a lock") = kept_now.handle.lock().expect("a lock").clone();
        sandbox.control("faults", rule).await;
        let earlier = kept.handle.lock().expect("a lock").clone();
        let broken = Kept { earlier, ..Kept::default() };
        let failure = post.network().prepare(&call, &post.content, &broken).await.expect_err("refused");
        assert_eq!(failure.class, Class::Rate, "{refused}");
        let left = broken.handle.lock().expect("a lock").clone().expect("what there was");
        assert_eq!(left.detail["slides"].as_array().map(Vec::len), Some(slides));
        *kept.handle.lock().expect("a lock") = Some(left);
    }
    let left = kept.handle.lock().expect("a lock").clone();
    let parts = post.prepare_on(left).await;
    let handle = post.prepare_on(Some(parts)).await;
    post.commit(&handle).await;
    post.is_public(&handle).await;
    let made = sandbox.list("calls", &[("call", "media")]).await;
    let taken = made.iter().filter(|call| call["status"] == 200).count();
    assert_eq!(taken, 4, "no container was made twice: {made:?}");
}

#[tokio::test]
async fn instagrams_daily_limit_is_one_for_every_surface() {
    let sandbox = Sandbox::start().await;
    for (entry, surface) in surfaces().filter(|(entry, _)| entry.file == "instagram") {
        let post = Post::of(&sandbox, entry, surface).await;
        let handle = post.prepare().await;
        sandbox.control("settings", json!({ "publish_quota": 0 })).await;
        let answer = post.commit(&handle).await;
        assert!(
            matches!(&answer, Answer::Refused { failure, handle_dead: false } if failure.class == Class::Rate),
            "{}: {answer:?}",
            surface.name
        );
        sandbox.control("settings", json!({ "publish_quota": 50 })).await;
        let limit = json!({ "graph": { "code": 9, "subcode": 2_207_042, "effect": true } });
        sandbox.fault(entry, "media_publish", limit).await;
        assert!(matches!(post.commit(&handle).await, Answer::Unknown(_)), "{}", surface.name);
        post.is_public(&handle).await;
    }
}

#[tokio::test]
async fn of_two_equal_posts_neither_is_guessed() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = only("instagram");
    let post = Post::of(&sandbox, entry, surface).await;
    for _ in 0..2 {
        let handle = post.prepare().await;
        sandbox.fault(entry, "commit", json!("effect_then_drop")).await;
        assert!(matches!(post.commit(&handle).await, Answer::Unknown(_)));
    }
    let handle = Handle { kind: "container".into(), id: "1".into(), detail: Value::Null };
    let known = post.network().describe(&post.call(None), &handle, &post.content, Public::default()).await;
    assert_eq!(known, Ok(Public::default()));
}
