//! Metrics: how many snapshots a second come in from a network that takes its time, what a million of them take on disk,
//! and how soon two years of hourly ones are told, by the API and on a page of the console.
//!
//! `cargo bench --bench metrics -- [--json] [--only rate,size,answer,page] [--jobs N]`
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod common;

use std::time::{Duration, Instant};

use common::{
    Settings,
    harness::{FACEBOOK, INSTAGRAM, System, client, eventually_within},
    millis, peak,
};
use futures_util::future::join_all;
use jobs::metrics::packed::{pack, whole};
use serde_json::{Value, json};
use uuid::Uuid;

/// Nothing here takes longer, not even where nothing is optimised.
const PATIENCE: Duration = Duration::from_mins(20);
/// What the network takes for each call.
const CALL_MS: u64 = 100;
/// The accounts that snapshots are of: one call after the other for each.
const ACCOUNTS: usize = 64;
/// What is counted of each in the measures of size and answer.
const METRICS: [u16; 12] = [40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 60, 61];
/// Two years of hours.
const HOURS: i32 = 17_520;
/// How often somebody looks at them.
const LOOKS: usize = 40;

#[tokio::main]
async fn main() {
    let settings = Settings::read(4_000, 1);
    if settings.wants("rate") {
        rate(&settings).await;
    }
    if settings.wants("size") {
        size(&settings).await;
    }
    if settings.wants("answer") {
        answer(&settings).await;
    }
    if settings.wants("page") {
        page(&settings).await;
    }
}

/// Posts on many accounts, all due at once, of a network that answers in its time: snapshots a second. Each takes two calls.
async fn rate(settings: &Settings) {
    let mut system = System::start().await;
    for (name, value) in [
        ("POSTROOM__METRICS__LOOK_EVERY", "200ms"),
        ("POSTROOM__JOBS__METRIC_SNAPSHOT__CONCURRENCY", "64"),
        ("POSTROOM__JOBS__METRIC_SNAPSHOT__WORKSPACE_SHARE", "1"),
    ] {
        system.environment.insert(name.into(), value.into());
    }
    let mut accounts = Vec::new();
    for n in 0..ACCOUNTS {
        accounts.push(connect(&system, n).await);
    }
    let client = client();
    for chunk in (0..settings.jobs).collect::<Vec<_>>().chunks(8) {
        join_all(chunk.iter().map(|n| publish(&system, &client, &accounts[n % ACCOUNTS], *n))).await;
    }
    // the accounts themselves are not what is measured
    run(
        &system,
        "INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at)
         SELECT workspace_id, id, 'account', ledger_now(), ledger_now() + interval '1 day' FROM account",
    )
    .await;
    system.fault(json!({ "call": "any", "fault": { "delay_ms": CALL_MS } })).await;
    let begun = Instant::now();
    system.start_worker(&[]);
    let wanted = i64::try_from(settings.jobs).unwrap();
    eventually_within(PATIENCE, "all snapshots", || async {
        let taken = system.database.count("SELECT count(*) FROM metric_plan WHERE captures > 0").await;
        if taken >= wanted { Ok(()) } else { Err(format!("{taken} of {wanted}")) }
    })
    .await;
    settings.print_rate("snapshots", settings.jobs, begun.elapsed());
    settings.print("snapshots_worker_peak", peak(&system.workers[0]), "MB");
    assert_eq!(system.database.count("SELECT count(*) FROM snapshot").await, wanted, "each was taken once");
}

/// A Page with a token of its own: the network's id, ours, and the token.
struct Page {
    external: String,
    id: String,
    token: String,
}

async fn connect(system: &System, n: usize) -> Page {
    let (external, token) = (format!("3050000000{n:05}"), format!("count-token-{n}"));
    let account =
        json!({ "platform": FACEBOOK, "external_id": external, "name": external, "access_token": token });
    system.tell("accounts", &account).await;
    let add = ["account", "add", "--workspace", "Bakery", "--platform", FACEBOOK, "--offline"];
    let of = ["--external-id", &external, "--name", &external];
    let id =
        system.postroom(&[&add[..], &of[..]].concat(), &json!({ "access_token": token }).to_string()).await;
    Page { external, id, token }
}

/// A post that the network has, and the ledger as if it had sent it an hour ago.
async fn publish(system: &System, client: &reqwest::Client, page: &Page, n: usize) {
    let url = format!("{}/{}/feed", system.addresses["graph"].as_str().unwrap(), page.external);
    let form = [("message", format!("counted {n}"))];
    let made = client.post(url).bearer_auth(&page.token).form(&form).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    let remote = made["id"].as_str().unwrap_or_else(|| panic!("{made}"));
    sqlx::query(
        "WITH p AS (
             INSERT INTO post (id, workspace_id, kind, caption, scheduled_for, latest_after)
             SELECT $1, workspace_id, 'post', 'counted', ledger_now(), '1 hour' FROM account WHERE id = $2::text::uuid
             RETURNING id, workspace_id)
         INSERT INTO publication (id, workspace_id, account_id, post_id, surface, state, scheduled_for, latest_at,
                                  public_id, published_at)
         SELECT $1, workspace_id, $2::text::uuid, id, 'text', 'published', ledger_now(), ledger_now(), $3,
                ledger_now() - interval '1 hour'
         FROM p",
    )
    .bind(Uuid::now_v7())
    .bind(&page.id)
    .bind(remote)
    .execute(&system.database.pool)
    .await
    .unwrap();
}

async fn run(system: &System, statement: &'static str) {
    sqlx::query(statement).execute(&system.database.pool).await.unwrap();
}

/// A million snapshots of twelve metrics: what they take on disk, with their index.
async fn size(settings: &Settings) {
    let system = System::start().await;
    let rows = if settings.jobs < 4_000 { 100_000 } else { 1_000_000 };
    plans(&system, 1_000).await;
    // numbers of a post that some hundred thousand people see
    sqlx::query(
        "INSERT INTO snapshot (captured_at, object, points)
         SELECT at, object, $2 FROM (
             SELECT ledger_now() - interval '1000 minutes' + make_interval(secs => n / 1000 * 60) AS at, numbers.number AS object
             FROM generate_series(0, $1 - 1) AS n
             JOIN (SELECT number, row_number() OVER (ORDER BY number) - 1 AS place FROM metric_plan) numbers
               ON numbers.place = n % 1000) x",
    )
    .bind(rows)
    .bind(packed(120_000))
    .execute(&system.database.pool)
    .await
    .unwrap();
    run(&system, "VACUUM ANALYZE snapshot").await;
    let bytes = system
        .database
        .count(
            "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'snapshot'::regclass",
        )
        .await;
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let megabytes = bytes as f64 / 1_000_000.0 * f64::from(1_000_000 / rows);
    settings.print("snapshots_million", megabytes, "MB");
    assert!(megabytes < 150.0, "{megabytes} MB");
}

fn packed(size: i64) -> Vec<u8> {
    let points: Vec<_> = METRICS.iter().enumerate().map(|(n, id)| whole(*id, Some(size >> n))).collect();
    pack(&points)
}

/// So many plans of posts on the account that is there.
async fn plans(system: &System, plans: i32) {
    sqlx::query(
        "WITH a AS (SELECT id, workspace_id FROM account WHERE id = $2::text::uuid),
              p AS (
                  INSERT INTO post (id, workspace_id, kind, caption, scheduled_for, latest_after)
                  SELECT gen_random_uuid(), a.workspace_id, 'post', 'counted', ledger_now(), '1 hour'
                  FROM a, generate_series(1, $1)
                  RETURNING id, workspace_id),
              pub AS (
                  INSERT INTO publication (id, workspace_id, account_id, post_id, surface, state, scheduled_for,
                                           latest_at, public_id, published_at)
                  SELECT gen_random_uuid(), p.workspace_id, a.id, p.id, 'image', 'published', ledger_now(),
                         ledger_now(), p.id::text, ledger_now() - interval '2 years'
                  FROM p, a
                  RETURNING id, workspace_id, account_id)
         INSERT INTO metric_plan (workspace_id, account_id, publication_id, object, since, ended)
         SELECT workspace_id, account_id, id, 'post', ledger_now() - interval '2 years', 'over' FROM pub",
    )
    .bind(plans)
    .bind(system.account(INSTAGRAM))
    .execute(&system.database.pool)
    .await
    .unwrap();
}

/// Two years of hourly snapshots of twelve metrics of a post, from the request to the whole answer.
async fn answer(settings: &Settings) {
    let system = System::start().await;
    plans(&system, 1).await;
    two_years(&system, "SELECT number FROM metric_plan WHERE publication_id IS NOT NULL").await;
    let post: String = sqlx::query_scalar("SELECT post_id::text FROM publication")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    let client = client();
    let mut spans = Vec::new();
    for _ in 0..LOOKS {
        let request =
            client.get(system.url(&format!("/api/v1/posts/{post}/metrics"))).bearer_auth(&system.key);
        let sent = Instant::now();
        let answer = request.send().await.unwrap().bytes().await.unwrap();
        spans.push(millis(sent.elapsed()));
        let told: Value = serde_json::from_slice(&answer).unwrap();
        let series = &told["data"][0]["series"][0];
        assert_eq!(series["at"].as_array().unwrap().len(), usize::try_from(HOURS).unwrap());
        assert_eq!(series["metrics"].as_array().unwrap().len(), METRICS.len());
    }
    settings.print_spans("two_years_answered", spans);
}

/// The same of an account on its page in the console, drawn and as tables, beside the two hundred posts that it compares:
/// from the request to the whole page.
async fn page(settings: &Settings) {
    let mut system = System::start().await;
    // one person looks as often as they can
    system.environment.insert("POSTROOM__WEB__PERSON_RATE".into(), "0".into());
    system.web.take().unwrap().kill9().await;
    system.start_web().await;
    plans(&system, 200).await;
    let account = system.account(INSTAGRAM).to_owned();
    sqlx::query(
        "INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at)
         SELECT workspace_id, id, 'account', ledger_now() - interval '2 years', ledger_now() + interval '1 day'
         FROM account WHERE id = $1::text::uuid",
    )
    .bind(&account)
    .execute(&system.database.pool)
    .await
    .unwrap();
    // and what was last said of each post
    sqlx::query(
        "INSERT INTO snapshot (captured_at, object, points)
         SELECT ledger_now(), number, $1 FROM metric_plan WHERE publication_id IS NOT NULL",
    )
    .bind(packed(120_000))
    .execute(&system.database.pool)
    .await
    .unwrap();
    two_years(&system, "SELECT number FROM metric_plan WHERE publication_id IS NULL").await;
    let (client, cookie) = (client(), signed_in(&system).await);
    let mut spans = Vec::new();
    for _ in 0..LOOKS {
        let url = system.url(&format!("/accounts/{account}/metrics"));
        let request = client.get(url).header("cookie", &cookie).header("accept", "text/html");
        let sent = Instant::now();
        let page = request.send().await.unwrap().text().await.unwrap();
        spans.push(millis(sent.elapsed()));
        assert_eq!(page.matches("<svg class=\"chart\"").count(), METRICS.len(), "{page}");
    }
    settings.print_spans("two_years_page", spans);
}

/// Hourly snapshots of the one object that is found like this, over two years.
async fn two_years(system: &System, found: &'static str) {
    let number: i32 = sqlx::query_scalar(found).fetch_one(&system.database.pool).await.unwrap();
    // months that nobody has made because nobody was there
    sqlx::raw_sql(
        "DO $$ BEGIN SET LOCAL timezone = 'UTC'; FOR n IN 2..26 LOOP
             EXECUTE format('CREATE TABLE %I PARTITION OF snapshot FOR VALUES FROM (%L) TO (%L)',
                 'snapshot_' || to_char(date_trunc('month', now()) - make_interval(months => n), 'YYYYMM'),
                 date_trunc('month', now()) - make_interval(months => n),
                 date_trunc('month', now()) - make_interval(months => n - 1));
         END LOOP; END $$",
    )
    .execute(&system.database.pool)
    .await
    .unwrap();
    for day in 0..HOURS / 24 {
        sqlx::query(
            "INSERT INTO snapshot (captured_at, object, points)
             SELECT ledger_now() - make_interval(hours => $1 * 24 + n), $2, $3 FROM generate_series(1, 24) AS n",
        )
        .bind(day)
        .bind(number)
        .bind(packed(i64::from(HOURS / 24 - day) * 137))
        .execute(&system.database.pool)
        .await
        .unwrap();
    }
    run(system, "VACUUM ANALYZE snapshot").await;
}

/// The cookie of whoever manages the workspace, signed in.
async fn signed_in(system: &System) -> String {
    let policy = reqwest::redirect::Policy::none();
    let http = reqwest::Client::builder().no_proxy().redirect(policy).build().unwrap();
    let form = http.get(system.url("/sign-in")).send().await.unwrap();
    let anonymous = cookie(&form);
    let shown = form.text().await.unwrap();
    let token =
        shown.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let (email, password) = ("staff@example.com", "corner-bakery-demo");
    let fields = [("token", token), ("email", email), ("password", password), ("next", "/posts")];
    let sent =
        http.post(system.url("/sign-in")).header("cookie", &anonymous).form(&fields).send().await.unwrap();
    assert_eq!(sent.status(), 303);
    cookie(&sent)
}

fn cookie(answer: &reqwest::Response) -> String {
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}
