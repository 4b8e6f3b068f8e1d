//! Taking down what is public: each surface by what its network allows.

use jobs::{
    removal::{Presence, Removal},
    surface::TakeDown,
};

use super::*;

/// A post that is public, and the network's name for it.
async fn public<'a>(sandbox: &'a Sandbox, entry: &'a Entry, surface: &Surface) -> (Post<'a>, String) {
    let post = Post::of(sandbox, entry, surface).await;
    let handle = post.prepare().await;
    post.commit(&handle).await;
    let Ok(Sight::Public(seen)) = post.evidence(&handle).await else {
        panic!("{} does not show it", entry.file)
    };
    let handle = sandbox.pulls.as_kept(&handle);
    let known = post.network().describe(&post.call(None), &handle, &post.content, seen).await;
    let id = known.expect("a description").id.expect("an id");
    (post, id)
}

impl Post<'_> {
    async fn take_down(&self, id: &str) -> Removal {
        self.network().take_down(&self.call(Some(self.fresh())), id).await
    }

    async fn presence(&self, id: &str) -> Result<Presence, Failure> {
        self.network().presence(&self.call(None), id).await
    }
}

#[tokio::test]
async fn what_a_network_lets_us_remove_is_gone_and_the_rest_is_refused() {
    let sandbox = Sandbox::start().await;
    for (entry, surface) in surfaces() {
        let what = format!("{} {}", entry.file, surface.name);
        let (post, id) = public(&sandbox, entry, surface).await;
        match surface.take_down {
            TakeDown::Api { .. } => {
                assert_eq!(post.presence(&id).await, Ok(Presence::There), "{what}");
                assert_eq!(post.take_down(&id).await, Removal::Gone, "{what}");
                assert_eq!(post.presence(&id).await, Ok(Presence::Absent), "{what}");
                assert!(matches!(post.take_down(&id).await, Removal::Missing(_)), "{what}");
                let removed = sandbox.list("removals", &[]).await;
                assert_eq!(removed.iter().filter(|it| it["object_id"] == id).count(), 1, "{what}");
            }
            // of a Page's story the adapter could try, and nobody lets it come to that
            TakeDown::ByHand { .. } if entry.file == "facebook" => {}
            TakeDown::ByHand { .. } => {
                assert!(matches!(post.take_down(&id).await, Removal::Refused(_)), "{what}");
            }
        }
    }
    let removals = sandbox.list("calls", &[("phase", "manage")]).await;
    assert!(removals.iter().all(|call| call["call_id"].is_string()), "each bears the id of its call");
}

#[tokio::test]
async fn an_answer_to_a_removal_means_what_it_proves() {
    let sandbox = Sandbox::start().await;
    for (entry, surface, call) in
        [("facebook", "text", "delete_post"), ("instagram", "image", "media_delete")].map(
            |(file, name, call)| {
                let named =
                    |(entry, surface): &(&Entry, &Surface)| entry.file == file && surface.name == name;
                let (entry, surface) = surfaces().find(named).expect("a surface");
                (entry, surface, call)
            },
        )
    {
        let (post, id) = public(&sandbox, entry, surface).await;
        for fault in NO_EFFECT_AND_NO_ANSWER {
            sandbox.fault(entry, call, json!(fault)).await;
            assert!(matches!(post.take_down(&id).await, Removal::Unknown(_)), "{} {fault}", entry.file);
        }
        for (code, expected) in [(190, Class::Auth), (10, Class::Permission), (200, Class::Permission)] {
            sandbox.fault(entry, call, json!({ "graph": { "code": code } })).await;
            let answer = post.take_down(&id).await;
            assert!(matches!(&answer, Removal::Refused(f) if f.class == expected), "{code}: {answer:?}");
        }
        sandbox.fault(entry, call, json!({ "status": 429, "retry_after_s": 3 })).await;
        let answer = post.take_down(&id).await;
        let rest = Some(Duration::from_secs(3));
        assert!(matches!(&answer, Removal::NotNow(f) if f.rest == rest), "{answer:?}");
        // a read that fails says nothing, not even where the post is there
        sandbox.control("faults", json!({ "call": "observe", "fault": { "read_error": true } })).await;
        assert!(post.presence(&id).await.is_err_and(|failure| failure.class == Class::Transient));
        let request = sandbox.http.delete(format!("{}/faults", sandbox.at.control));
        assert!(request.send().await.expect("an answer").status().is_success());
        assert_eq!(post.presence(&id).await, Ok(Presence::There));
        sandbox.fault(entry, call, json!("effect_then_500")).await;
        assert!(matches!(post.take_down(&id).await, Removal::Unknown(_)));
        assert_eq!(post.presence(&id).await, Ok(Presence::Absent));
    }
}
