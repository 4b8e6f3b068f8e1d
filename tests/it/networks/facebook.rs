//! A Page's albums and films.

use super::*;

#[tokio::test]
async fn an_album_goes_out_whole_or_not_at_all() {
    let sandbox = Sandbox::start().await;
    let (entry, surface) = on_a_page("photos", "image/jpeg");
    let mut post = Post::of(&sandbox, entry, surface).await;
    let prepared = async |post: &Post<'_>| {
        post.network().prepare(&post.call(Some(post.id)), &post.content, &Kept::default()).await
    };
    let whole = std::mem::take(&mut post.content.media);
    assert_eq!(whole.len(), 2);
    // a film that calls itself a picture
    let broken = File { content_type: "image/jpeg".into(), ..sandbox.file("video/mp4").await };
    for media in [vec![whole[0].clone(), broken.clone()], vec![broken, whole[0].clone()], whole[..1].to_vec()]
    {
        post.content.media = media;
        assert!(prepared(&post).await.is_err_and(|failure| failure.class == Class::Permanent));
    }
    post.content.media = [whole.clone(), whole.clone(), whole.clone(), whole.clone(), whole].concat();
    sandbox.fault(entry, "photos", json!("effect_then_drop")).await;
    assert!(prepared(&post).await.is_err_and(|failure| failure.class == Class::Transient));
    assert_eq!(sandbox.calls("feed").await, 0, "there is no post to show fewer");
    let handle = post.prepare().await;
    post.commit(&handle).await;
    post.is_public(&handle).await;
}

#[tokio::test]
async fn a_film_on_a_page_is_named_before_it_is_sent_and_seen_by_nobody_before_it_is_finished() {
    let sandbox = Sandbox::start().await;
    for surface in ["video", "reel", "story"] {
        let (entry, surface) = on_a_page(surface, "video/mp4");
        let post = Post::of(&sandbox, entry, surface).await;
        let kept = Kept { refuse: true, ..Kept::default() };
        let made = post.network().prepare(&post.call(Some(post.id)), &post.content, &kept).await;
        assert_eq!(made.expect_err("refused").code, "claim_lost");
        assert_eq!(sandbox.calls("video_upload").await, 0, "{}", surface.name);
        let kept = Kept::default();
        let made = post.network().prepare(&post.call(Some(post.id)), &post.content, &kept).await;
        let named = kept.handle.lock().expect("a lock").clone();
        assert_eq!(made.map(|(handle, _)| Some(handle)), Ok(named));
        sandbox.advance(PROCESSING).await;
        sandbox.http.delete(format!("{}/calls", sandbox.at.control)).send().await.expect("forgotten");
    }
    assert!(sandbox.list("effects", &[]).await.is_empty());
}

#[tokio::test]
async fn a_film_on_a_page_is_sent_on_from_where_it_broke_off() {
    let sandbox = Sandbox::start().await;
    let film = sandbox.long_film().await;
    for surface in ["video", "reel", "story"] {
        let (entry, surface) = on_a_page(surface, "video/mp4");
        for fault in ["no_effect_then_500", "effect_then_drop", "no_effect_then_drop", "malformed_json"] {
            let mut post = Post::of(&sandbox, entry, surface).await;
            post.content.media = vec![film.clone()];
            sandbox.fault(entry, "video_upload", json!(fault)).await;
            let handle = post.prepare().await;
            assert_eq!(post.inspect(&handle, false).await, Ok(Sight::Ready), "{} {fault}", surface.name);
            post.commit(&handle).await;
            post.is_public(&handle).await;
        }
    }
}

/// A store that remembers the most bytes that were read from it at once.
struct Measured<'a>(&'a S3, AtomicU64);

#[async_trait]
impl Media for Measured<'_> {
    async fn address(&self, key: &str) -> Result<String, Failure> {
        self.0.address(key).await
    }

    async fn read(&self, key: &str, start: u64, end: u64) -> Result<Vec<u8>, Failure> {
        self.1.fetch_max(end - start, Ordering::SeqCst);
        self.0.read(key, start, end).await
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, Failure> {
        self.0.size(key).await
    }

    async fn store(&self, key: &str, content_type: &str, path: &Path) -> Result<(), Failure> {
        self.0.store(key, content_type, path).await
    }

    async fn remove(&self, key: &str) -> Result<(), Failure> {
        self.0.remove(key).await
    }
}

#[tokio::test]
async fn no_more_than_a_few_megabytes_of_a_film_on_a_page_are_held_at_once() {
    let sandbox = Sandbox::start().await;
    let film = sandbox.long_film().await;
    for (surface, held) in [("video", 4 << 20), ("reel", 0), ("story", 0)] {
        let (entry, surface) = on_a_page(surface, "video/mp4");
        let mut post = Post::of(&sandbox, entry, surface).await;
        post.content.media = vec![film.clone()];
        let media = Measured(&sandbox.store, AtomicU64::default());
        let call = Call { media: &media, ..post.call(Some(post.id)) };
        post.network().prepare(&call, &post.content, &Kept::default()).await.expect("prepared");
        assert_eq!(media.1.load(Ordering::SeqCst), held, "{}", surface.name);
    }
}

#[tokio::test]
async fn a_film_that_facebook_took_and_then_refused_is_dead() {
    let sandbox = Sandbox::start().await;
    for surface in ["video", "reel", "story"] {
        let (entry, surface) = on_a_page(surface, "video/mp4");
        let post = Post::of(&sandbox, entry, surface).await;
        let handle = post.prepare().await;
        sandbox.fault(entry, "commit", json!({ "fail_reason": "no sound" })).await;
        assert_eq!(post.commit(&handle).await, Answer::Accepted);
        let seen = post.inspect(&handle, true).await;
        let dead =
            |failure: &Failure| failure.class == Class::Permanent && failure.message.contains("no sound");
        assert!(matches!(&seen, Ok(Sight::Dead(failure)) if dead(failure)), "{}: {seen:?}", surface.name);
        assert!(post.effects(&handle).await.is_empty());
    }
}

#[tokio::test]
async fn a_film_that_is_processed_is_waited_for() {
    let sandbox = Sandbox::start().await;
    for surface in ["video", "reel", "story"] {
        let (entry, surface) = on_a_page(surface, "video/mp4");
        let post = Post::of(&sandbox, entry, surface).await;
        let handle = post.prepare().await;
        let network = post.network();
        assert_eq!(network.commit(&post.call(Some(post.id)), &handle, &post.content).await, Answer::Accepted);
        assert_eq!(post.inspect(&handle, true).await, Ok(Sight::Building), "{}", surface.name);
        sandbox.advance(PROCESSING).await;
        post.is_public(&handle).await;
    }
}

#[tokio::test]
async fn what_the_store_does_not_have_fails_the_upload_by_its_reason() {
    let sandbox = Sandbox::start().await;
    for surface in ["video", "reel", "story"] {
        let (entry, surface) = on_a_page(surface, "video/mp4");
        let mut post = Post::of(&sandbox, entry, surface).await;
        let picture = sandbox.file("image/jpeg").await;
        post.content.media = vec![File { content_type: "video/mp4".into(), ..picture }];
        let made = post.network().prepare(&post.call(Some(post.id)), &post.content, &Kept::default()).await;
        let failure = made.expect_err("it is no film");
        let code = if surface.name == "video" { "6000/1363024" } else { "ProcessingFailedError" };
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, code), "{failure}");
    }
}
