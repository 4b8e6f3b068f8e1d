//! Comments, on every network that takes them and under all that takes one.

use jobs::comment::{self, UNDER};

use super::*;

/// A comment under a public post of each surface that takes one.
async fn each(sandbox: &Sandbox) -> Vec<Post<'_>> {
    let mut all = Vec::new();
    for entry in NETWORKS {
        let Some(takes) = entry.platform.comments else { continue };
        for name in takes.under {
            let surface = entry.platform.surfaces.iter().find(|surface| surface.name == *name);
            all.push(under(sandbox, entry, surface.expect("it is one of its surfaces")).await);
        }
    }
    assert!(all.len() >= 9, "{} places for a comment", all.len());
    all
}

async fn under<'a>(sandbox: &'a Sandbox, entry: &'static Entry, surface: &Surface) -> Post<'a> {
    let parent = Post::of(sandbox, entry, surface).await;
    let handle = parent.prepare().await;
    let answer = parent.commit(&handle).await;
    assert!(matches!(answer, Answer::Published(_) | Answer::Accepted), "{answer:?}");
    let known = match (answer, parent.evidence(&handle).await) {
        (Answer::Published(public), _) | (_, Ok(Sight::Public(public))) => public,
        (_, seen) => panic!("{} {}: {seen:?}", entry.file, surface.name),
    };
    let known = parent.network().describe(&parent.call(None), &handle, &parent.content, known).await;
    let id = known.expect("described").id.expect("a name");
    let mut post = Post::of(sandbox, entry, &comment::SURFACE).await;
    post.content.options = json!({ UNDER: id });
    post
}

/// One on each network.
async fn one_each(sandbox: &Sandbox) -> Vec<Post<'_>> {
    let (facebook, instagram) = (on_a_page("photo", "image/jpeg"), of_instagram("image"));
    vec![under(sandbox, facebook.0, facebook.1).await, under(sandbox, instagram.0, instagram.1).await]
}

#[tokio::test]
async fn a_comment_is_seen_by_nobody_before_it_is_sent_and_then_public_once() {
    let sandbox = Sandbox::start().await;
    for post in each(&sandbox).await {
        let handle = post.prepare().await;
        assert_eq!(post.inspect(&handle, false).await, Ok(Sight::Ready), "{}", post.entry.file);
        assert!(post.effects(&handle).await.is_empty(), "{}", post.entry.file);
        let answer = post.commit(&handle).await;
        assert!(matches!(answer, Answer::Published(Public { id: Some(_), .. })), "{answer:?}");
        post.is_public(&handle).await;
    }
}

#[tokio::test]
async fn a_comment_whose_answer_is_lost_is_unknown_and_then_seen() {
    let sandbox = Sandbox::start().await;
    for fault in EFFECT_AND_NO_ANSWER {
        for post in one_each(&sandbox).await {
            let handle = post.prepare().await;
            sandbox.fault(post.entry, "comments", json!(fault)).await;
            let answer = post.commit(&handle).await;
            assert!(matches!(answer, Answer::Unknown(_)), "{} {fault}: {answer:?}", post.entry.file);
            post.is_public(&handle).await;
        }
    }
}

#[tokio::test]
async fn a_comment_that_is_not_found_is_only_not_found() {
    let sandbox = Sandbox::start().await;
    for post in one_each(&sandbox).await {
        let platform = post.entry.platform;
        let surface = post.networks.surface(platform.name, "comment").expect("it has one");
        assert!(surface.one_shot, "so that its absence is never taken for a proof");
        let handle = post.prepare().await;
        for fault in NO_EFFECT_AND_NO_ANSWER {
            sandbox.fault(post.entry, "comments", json!(fault)).await;
            assert!(matches!(post.commit(&handle).await, Answer::Unknown(_)), "{} {fault}", post.entry.file);
            assert_eq!(post.inspect(&handle, true).await, Ok(Sight::Ready), "{}", post.entry.file);
        }
    }
}

#[tokio::test]
async fn of_two_equal_comments_neither_is_guessed_and_an_older_one_is_none() {
    let sandbox = Sandbox::start().await;
    for post in one_each(&sandbox).await {
        let handle = post.prepare().await;
        post.commit(&handle).await;
        post.commit(&handle).await;
        assert_eq!(
            post.inspect(&handle, true).await,
            Ok(Sight::Ready),
            "{}: either may be it",
            post.entry.file
        );
        sandbox.advance(PROCESSING).await;
        let later = Content { not_before: now(&sandbox).await, ..post.content.clone() };
        let made = post.network().prepare(&post.call(Some(post.fresh())), &later, &Kept::default()).await;
        let (handle, _) = made.expect("a name");
        assert_eq!(
            post.inspect(&handle, true).await,
            Ok(Sight::Ready),
            "{}: both are older",
            post.entry.file
        );
        post.commit(&handle).await;
        assert!(matches!(post.inspect(&handle, true).await, Ok(Sight::Public(_))), "{}", post.entry.file);
    }
}

#[tokio::test]
async fn a_read_of_comments_that_fails_is_no_evidence() {
    let sandbox = Sandbox::start().await;
    for post in one_each(&sandbox).await {
        let handle = post.prepare().await;
        post.commit(&handle).await;
        for fault in [json!({ "read_error": true }), json!({ "status": 404 }), json!("malformed_json")] {
            sandbox.fault(post.entry, "observe", fault.clone()).await;
            let seen = post.inspect(&handle, true).await;
            assert!(seen.is_err_and(|it| it.class == Class::Transient), "{} {fault}", post.entry.file);
        }
        post.is_public(&handle).await;
    }
}

#[tokio::test]
async fn a_token_that_ended_and_a_permission_that_is_missing_are_no_and_nothing_is_sent_to_nobody() {
    let sandbox = Sandbox::start().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let nobody = format!("http://{}", nobody.expect("an address"));
    let away = networks(&nobody, &nobody, &nobody);
    for mut post in one_each(&sandbox).await {
        let handle = post.prepare().await;
        let token = "sandbox-page-token";
        sandbox.control("tokens", json!({ "access_token": token, "state": "expired" })).await;
        let ended = post.commit(&handle).await;
        assert!(
            matches!(&ended, Answer::Refused { failure, handle_dead: false } if failure.class == Class::Auth),
            "{ended:?}"
        );
        sandbox.control("tokens", json!({ "access_token": token, "state": "valid" })).await;
        let declined = json!(["pages_manage_engagement", "instagram_manage_comments"]);
        sandbox.control("settings", json!({ "declined_scopes": declined })).await;
        let missing = post.commit(&handle).await;
        assert!(
            matches!(&missing, Answer::Refused { failure, .. } if failure.class == Class::Permanent),
            "{missing:?}"
        );
        sandbox.control("settings", json!({ "declined_scopes": [] })).await;
        let connected = std::mem::replace(&mut post.networks, &away);
        assert!(matches!(post.commit(&handle).await, Answer::Unsent(_)));
        post.networks = connected;
        assert!(post.effects(&handle).await.is_empty(), "none of it had an effect");
        post.commit(&handle).await;
        post.is_public(&handle).await;
    }
}

#[tokio::test]
async fn a_comment_under_what_has_no_name_yet_is_not_prepared_and_waits() {
    let sandbox = Sandbox::start().await;
    let (entry, _) = only("facebook");
    let post = Post::of(&sandbox, entry, &comment::SURFACE).await;
    let made = post.network().prepare(&post.call(Some(post.id)), &post.content, &Kept::default()).await;
    assert_eq!(made.expect_err("refused").class, Class::Transient);
}
