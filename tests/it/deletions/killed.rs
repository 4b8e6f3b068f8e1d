//! Whatever dies meanwhile, and wherever a publication was: it is done once, and nothing goes out any more.

use super::*;

/// Keeps, outside of what is deleted, when each commit was armed.
async fn watch_arming(system: &System) {
    for statement in [
        "CREATE TABLE armed_at (at timestamptz NOT NULL)",
        "CREATE FUNCTION note_arming() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN INSERT INTO public.armed_at VALUES (NEW.started_at); RETURN NEW; END $$",
        "CREATE TRIGGER note_arming AFTER INSERT ON remote_call FOR EACH ROW WHEN (NEW.kind = 'commit')
         EXECUTE FUNCTION note_arming()",
    ] {
        sqlx::query(statement).execute(&system.database.pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_armed_after_the_freeze_wherever_a_publication_was() {
    let mut system = System::start().await;
    watch_arming(&system).await;
    let points = [
        Point::AfterClaim,
        Point::AfterPrepareLogged,
        Point::AfterPrepareAnswer,
        Point::AfterPrepared,
        Point::AfterArm,
        Point::BeforeCommitSend,
        Point::AfterCommitAnswer,
        Point::AfterSeen,
    ];
    for (n, point) in points.into_iter().enumerate() {
        let (person, account) = a_page(&system, n).await;
        let words = format!("under way at {}", point.word());
        let wish = json!({ "caption": words, "kind": "post", "targets": [{ "account_id": account }] });
        system.start_worker(&[(point.word(), "kill9")]);
        assert_eq!(system.api(Method::POST, "/api/v1/posts", Some(&wish)).await.0, 202);
        assert_eq!(system.workers[0].ended().await, None, "{} was not reached", point.word());
        let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
        let armed = system.database.count("SELECT count(*) FROM armed_at").await;
        system.start_worker(&[]);
        let receipt = verified(&system, &done(&system, &id).await).await;
        assert_eq!(system.database.count("SELECT count(*) FROM armed_at").await, armed, "{}", point.word());
        assert!(system.effects(FACEBOOK, &words).await.len() <= 1);
        let told = &receipt["publications"];
        let (before, under_way) = (&told["given_up"], &told["under_way_when_asked"]);
        assert_eq!(
            before.as_i64().unwrap() + under_way.as_i64().unwrap(),
            i64::from(point != Point::AfterSeen)
        );
        system.workers.clear();
    }
}

async fn killed_at(system: &mut System, n: usize, armed: (&str, &str)) {
    let person = another_person(system, n).await;
    let (id, _) = deleted(system, &["--meta-user-id", &person, "--email", "somebody@example.com"]).await;
    system.start_worker(&[armed]);
    assert_eq!(system.workers[0].ended().await, None, "{} was not reached", armed.0);
    system.start_worker(&[]);
    let receipt = verified(system, &done(system, &id).await).await;
    assert_eq!((&receipt["verified"]["left"], &receipt["covered"]["accounts"]), (&json!(0), &json!(1)));
    assert_eq!(told(system, "somebody@example.com").await.len(), n, "told once");
    assert_eq!(system.database.count("SELECT count(*) FROM receipt_key").await, 1);
    assert_eq!(stored(system), Vec::<std::path::PathBuf>::new(), "{}", armed.0);
    system.workers.clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_step_of_a_deletion_leaves_it_done_once() {
    let mut system = System::start().await;
    killed_at(&mut system, 1, (Point::AfterDeletionTurn.word(), "kill9")).await;
    killed_at(&mut system, 2, (Point::AfterRevokeLogged.word(), "kill9")).await;
    killed_at(&mut system, 3, (Point::AfterRevokeAnswer.word(), "kill9")).await;
    killed_at(&mut system, 4, (Point::AfterShredded.word(), "kill9")).await;
    killed_at(&mut system, 5, (Point::AfterPurgeBatch.word(), "kill9")).await;
    killed_at(&mut system, 6, (Point::AfterFilesErased.word(), "kill9")).await;
    killed_at(&mut system, 7, (Point::AfterVerified.word(), "kill9")).await;
    killed_at(&mut system, 8, (Point::AfterTold.word(), "kill9")).await;
    killed_at(&mut system, 9, (Point::AfterForgotten.word(), "kill9")).await;
}
