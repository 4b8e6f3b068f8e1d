//! Who gets in where: every route that answers, with every scope and every role, with ids of its own workspace and with
//! another's. What answers is asked of the router itself: a route that this table does not have fails a test.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use postroom::{
    ledger::{
        keys::Scope,
        people::{MemberRole, NewPerson},
    },
    web,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    console::Browser,
    support::{Answer, Door, Part, house, multipart, png},
};

/// What a route wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// Nothing: it is public, or its address is the permission, or it checks a signature or a token of its own.
    Nothing,
    /// The key of a workspace, with this scope.
    Key(Scope),
    /// The key of a workspace, or an operator's, with this scope.
    AnyKey(Scope),
    /// Any key at all, and no token that stands for one.
    Holder,
    /// Somebody signed in who may at least this.
    Role(MemberRole),
    /// Somebody signed in, wherever.
    SignedIn,
}

use Wants::{AnyKey, Holder, Key, Nothing, Role, SignedIn};

/// What is sent.
#[derive(Debug, Clone, Copy)]
enum Sends {
    None,
    /// JSON; `{account}` and the like stand for ids.
    Json(&'static str),
    /// A picture.
    File,
    /// Fields of a form, besides its token.
    Form(&'static [(&'static str, &'static str)]),
    /// The same, as a form that may carry files.
    Parts,
}

struct Line {
    method: Method,
    path: &'static str,
    wants: Wants,
    /// What goes into the path, in order; of another workspace each of them is nothing.
    ids: &'static [&'static str],
    sends: Sends,
    /// What is true of one's own things before.
    before: &'static str,
    /// What whoever may is answered about one's own.
    own: u16,
}

const FAILED: &str = "UPDATE publication SET state = 'failed' WHERE workspace_id = '{workspace}'";
const PUBLIC: &str = "UPDATE publication SET state = 'published', public_id = id::text, published_at = ledger_now() \
                      WHERE workspace_id = '{workspace}'";
const HELD: &str = "UPDATE publication SET state = 'held', hold_reason = 'h', handle_id = id::text, handle_kind = 'x', \
                    armed_at = ledger_now() WHERE workspace_id = '{workspace}'";
const STOPPED: &str = "INSERT INTO pause (scope, subject, reason, by_operator) \
                       VALUES ('queue_of_workspace', 'publish/{workspace}', 'x', false) ON CONFLICT DO NOTHING";
const GOES_ON: &str = "DELETE FROM pause";
/// There is room for another one.
const NO_HOOKS: &str = "DELETE FROM webhook WHERE workspace_id = '{workspace}'";

fn line(
    method: Method,
    path: &'static str,
    wants: Wants,
    ids: &'static [&'static str],
    sends: Sends,
    own: u16,
) -> Line {
    Line { method, path, wants, ids, sends, before: "", own }
}

fn get(path: &'static str, wants: Wants, ids: &'static [&'static str], own: u16) -> Line {
    line(Method::GET, path, wants, ids, Sends::None, own)
}

fn post(path: &'static str, wants: Wants, ids: &'static [&'static str], sends: Sends, own: u16) -> Line {
    line(Method::POST, path, wants, ids, sends, own)
}

impl Line {
    const fn after(mut self, before: &'static str) -> Self {
        self.before = before;
        self
    }
}

/// Somebody of whom nothing is known.
const FORGET: &str = r#"{"kind": "deletion", "email": "stranger@example.com"}"#;
const WRITE: &str = r#"{"kind": "caption", "brief": "bread", "language": "en"}"#;
const HOOK: &str = r#"{"url": "https://example.org/hook", "events": ["post.held"]}"#;
const NEW: &str = r#"{"caption": "new", "targets": [{"account_id": "{account}"}]}"#;

fn of_the_api() -> Vec<Line> {
    of_its_core().into_iter().chain(of_events()).collect()
}

fn of_events() -> Vec<Line> {
    use Scope::WebhooksWrite;
    vec![
        get("/api/v1/webhooks", Key(WebhooksWrite), &[], 200),
        post("/api/v1/webhooks", Key(WebhooksWrite), &[], Sends::Json(HOOK), 201).after(NO_HOOKS),
        get("/api/v1/webhooks/{id}", Key(WebhooksWrite), &["webhook"], 200),
        line(
            Method::PATCH,
            "/api/v1/webhooks/{id}",
            Key(WebhooksWrite),
            &["webhook"],
            Sends::Json(r#"{"note": "x"}"#),
            200,
        ),
        line(Method::DELETE, "/api/v1/webhooks/{id}", Key(WebhooksWrite), &["webhook"], Sends::None, 204),
        post("/api/v1/webhooks/{id}/rotate", Key(WebhooksWrite), &["webhook"], Sends::None, 200),
        post("/api/v1/webhooks/{id}/test", Key(WebhooksWrite), &["webhook"], Sends::None, 202),
        get("/api/v1/webhooks/{id}/deliveries", Key(WebhooksWrite), &["webhook"], 200),
        post(
            "/api/v1/webhooks/{id}/deliveries/{delivery}/redeliver",
            Key(WebhooksWrite),
            &["webhook", "delivery"],
            Sends::None,
            202,
        ),
    ]
}

fn of_its_core() -> Vec<Line> {
    use Scope::{
        AccountsRead, AccountsWrite, AnalysesWrite, JobsRead, JobsWrite, MediaWrite, MetricsRead, PostsRead,
        PostsWrite, PrivacyWrite,
    };
    vec![
        get("/api/v1/posts", Key(PostsRead), &[], 200),
        post("/api/v1/posts", Key(PostsWrite), &[], Sends::Json(NEW), 202),
        post("/api/v1/posts:check", Key(PostsWrite), &[], Sends::Json(NEW), 200),
        get("/api/v1/posts/{id}", Key(PostsRead), &["post"], 200),
        line(
            Method::PATCH,
            "/api/v1/posts/{id}",
            Key(PostsWrite),
            &["post"],
            Sends::Json(r#"{"caption": "other"}"#),
            202,
        ),
        post("/api/v1/posts/{id}/cancel", Key(PostsWrite), &["post"], Sends::None, 202),
        post("/api/v1/posts/{id}/retry", Key(PostsWrite), &["post"], Sends::None, 202).after(FAILED),
        post(
            "/api/v1/publications/{id}/verdict",
            Key(PostsWrite),
            &["publication"],
            Sends::Json(r#"{"published": true}"#),
            409,
        )
        .after(HELD),
        post("/api/v1/publications/{id}/take-down", Key(PostsWrite), &["publication"], Sends::None, 202)
            .after(PUBLIC),
        post("/api/v1/media", Key(MediaWrite), &[], Sends::File, 201),
        get("/api/v1/media/{id}", Key(MediaWrite), &["media"], 200),
        post(
            "/api/v1/media/uploads",
            Key(MediaWrite),
            &[],
            Sends::Json(r#"{"name": "x", "type": "image/png", "bytes": 9}"#),
            201,
        ),
        post("/api/v1/media/uploads/{id}/complete", Key(MediaWrite), &["upload"], Sends::None, 409),
        get("/api/v1/accounts", Key(AccountsRead), &[], 200),
        post("/api/v1/accounts/{id}/refresh", Key(AccountsWrite), &["account"], Sends::None, 202),
        line(Method::DELETE, "/api/v1/accounts/{id}", Key(AccountsWrite), &["account"], Sends::None, 202),
        get("/api/v1/posts/{id}/metrics", Key(MetricsRead), &["post"], 200),
        get("/api/v1/accounts/{id}/metrics", Key(MetricsRead), &["account"], 200),
        get("/api/v1/accounts/{id}/ads", Key(MetricsRead), &["account"], 200),
        post("/api/v1/accounts/{id}/snapshot", Key(AccountsWrite), &["account"], Sends::None, 202),
        post("/api/v1/analyses", Key(AnalysesWrite), &[], Sends::Json(WRITE), 202),
        get("/api/v1/analyses/budget", Key(AnalysesWrite), &[], 200),
        get("/api/v1/analyses/{id}", Key(AnalysesWrite), &["analysis"], 200),
        post("/api/v1/privacy/requests", Key(PrivacyWrite), &[], Sends::Json(FORGET), 202),
        line(Method::DELETE, "/api/v1/accounts/{id}/data", Key(PrivacyWrite), &["account"], Sends::None, 202),
        get("/api/v1/privacy/consents", Key(PrivacyWrite), &[], 200),
        post(
            "/api/v1/privacy/consents",
            Key(PrivacyWrite),
            &[],
            Sends::Json(r#"{"purpose": "ai", "given": true}"#),
            200,
        ),
        get("/api/v1/privacy/requests/{id}", Key(PrivacyWrite), &["request"], 200),
        // there is none before it is over
        get("/api/v1/privacy/requests/{id}/receipt", Key(PrivacyWrite), &["request"], 404),
        get("/api/v1/jobs", AnyKey(JobsRead), &[], 200),
        post("/api/v1/jobs/{id}/retry", AnyKey(JobsWrite), &["job"], Sends::None, 409),
        post("/api/v1/jobs/{id}/cancel", AnyKey(JobsWrite), &["job"], Sends::None, 202),
        post(
            "/api/v1/queues/{name}/pause",
            AnyKey(JobsWrite),
            &["queue"],
            Sends::Json(r#"{"reason": "x"}"#),
            200,
        )
        .after(GOES_ON),
        post("/api/v1/queues/{name}/resume", AnyKey(JobsWrite), &["queue"], Sends::None, 200).after(STOPPED),
        post("/api/v1/tokens", Holder, &[], Sends::None, 200),
        line(Method::DELETE, "/api/v1/tokens/{id}", Holder, &["any"], Sends::None, 204),
        get("/.well-known/jwks.json", Nothing, &[], 200),
        get("/api/openapi.json", Nothing, &[], 200),
        get("/healthz", Nothing, &[], 200),
        get("/readyz", Nothing, &[], 200),
        // wants a token of its own
        get("/metrics", Nothing, &[], 401),
        // want a signature
        post("/api/webhooks/tiktok", Nothing, &[], Sends::Json("{}"), 401),
        post("/api/webhooks/mail", Nothing, &[], Sends::Json("{}"), 401),
        post("/api/delete-data", Nothing, &[], Sends::Form(&[]), 403),
        get("/.well-known/receipt-keys", Nothing, &[], 200),
        get("/.well-known/receipt-keys/{key}", Nothing, &["any"], 404),
        post("/api/deauthorize", Nothing, &[], Sends::Form(&[]), 403),
        // the address is the permission
        get("/p/{call}/{file}", Nothing, &["any", "any"], 404),
    ]
}

fn of_the_console() -> Vec<Line> {
    of_posts().into_iter().chain(of_the_house()).chain(of_numbers()).chain(of_event_pages()).collect()
}

fn of_event_pages() -> Vec<Line> {
    use MemberRole::Admin;
    vec![
        get("/webhooks", Role(Admin), &[], 200),
        post(
            "/webhooks",
            Role(Admin),
            &[],
            Sends::Form(&[("url", "https://example.org/hook"), ("post.held", "yes")]),
            200,
        )
        .after(NO_HOOKS),
        get("/webhooks/{id}", Role(Admin), &["webhook"], 200),
        post("/webhooks/{id}/rotate", Role(Admin), &["webhook"], Sends::Form(&[]), 200),
        post("/webhooks/{id}/switch", Role(Admin), &["webhook"], Sends::Form(&[("enabled", "no")]), 303),
        post("/webhooks/{id}/test", Role(Admin), &["webhook"], Sends::Form(&[]), 303),
        post("/webhooks/{id}/remove", Role(Admin), &["webhook"], Sends::Form(&[]), 303),
        post(
            "/webhooks/{id}/deliveries/{delivery}/again",
            Role(Admin),
            &["webhook", "delivery"],
            Sends::Form(&[]),
            303,
        ),
    ]
}

fn of_posts() -> Vec<Line> {
    use MemberRole::{Admin, Author, Publisher, Viewer};
    vec![
        get("/", Nothing, &[], 303),
        get("/sign-in", Nothing, &[], 200),
        post("/sign-in", Nothing, &[], Sends::Form(&[]), 403),
        get("/assets/{hash}/{name}", Nothing, &["any", "any"], 404),
        // signing in elsewhere is off here
        get("/sign-in/google", Nothing, &[], 404),
        get("/sign-in/google/back", Nothing, &[], 404),
        post("/sign-out", SignedIn, &[], Sends::Form(&[]), 303),
        post("/theme", SignedIn, &[], Sends::Form(&[("theme", "dark")]), 303),
        post("/workspace", SignedIn, &[], Sends::Form(&[("workspace", "{workspace}")]), 303),
        get("/posts", Role(Viewer), &[], 200),
        get("/posts/new", Role(Author), &[], 200),
        post("/posts/new", Role(Author), &[], Sends::Parts, 422),
        get("/posts/new/check", Role(Author), &[], 200),
        post("/posts/new/check", Role(Author), &[], Sends::Parts, 200),
        get("/posts/new/arrange", Role(Author), &[], 200),
        post("/posts/new/arrange", Role(Author), &[], Sends::Parts, 200),
        get("/posts/new/suggest", Role(Author), &[], 200),
        post("/posts/new/suggest", Role(Author), &[], Sends::Parts, 200),
        get("/posts/new/review", Role(Author), &[], 200),
        post("/posts/new/review", Role(Author), &[], Sends::Parts, 200),
        get("/analyses", Role(Viewer), &[], 200),
        get("/analyses/policy", Role(Admin), &[], 200),
        post(
            "/analyses/policy",
            Role(Admin),
            &[],
            Sends::Form(&[("asked", "default"), ("media", "off"), ("budget", "5")]),
            303,
        ),
        get("/analyses/{id}", Role(Viewer), &["analysis"], 200),
        get("/posts/{id}", Role(Viewer), &["post"], 200),
        get("/posts/{id}/metrics", Role(Viewer), &["post"], 200),
        get("/posts/{id}/metrics/file", Role(Viewer), &["post"], 200),
        post("/posts/{id}/metrics/words", Role(Author), &["post"], Sends::Form(&[("language", "en")]), 303),
        get("/posts/{id}/edit", Role(Author), &["post"], 200),
        post("/posts/{id}/edit", Role(Author), &["post"], Sends::Form(&[("caption", "other")]), 303),
        post("/posts/{id}/approve", Role(Publisher), &["post"], Sends::Form(&[("seen", "x")]), 303),
        post("/posts/{id}/cancel", Role(Publisher), &["post"], Sends::Form(&[]), 303),
        post("/posts/{id}/retry", Role(Publisher), &["post"], Sends::Form(&[]), 303).after(FAILED),
        post(
            "/posts/{id}/publications/{publication}/verdict",
            Role(Publisher),
            &["post", "publication"],
            Sends::Form(&[("published", "yes")]),
            409,
        )
        .after(HELD),
        get("/posts/{id}/take-down/{publication}", Role(Publisher), &["post", "publication"], 200)
            .after(PUBLIC),
        post(
            "/posts/{id}/take-down/{publication}",
            Role(Publisher),
            &["post", "publication"],
            Sends::Form(&[]),
            303,
        )
        .after(PUBLIC),
    ]
}

fn of_numbers() -> Vec<Line> {
    use MemberRole::{Admin, Author, Viewer};
    vec![
        get("/accounts/{id}/metrics", Role(Viewer), &["account"], 200),
        get("/accounts/{id}/metrics/file", Role(Viewer), &["account"], 200),
        post(
            "/accounts/{id}/metrics/words",
            Role(Author),
            &["account"],
            Sends::Form(&[("language", "en"), ("month", "2026-10")]),
            303,
        ),
        get("/accounts/{id}/ads", Role(Viewer), &["account"], 200),
        get("/accounts/{id}/ads/file", Role(Viewer), &["account"], 200),
        get("/dashboard", Role(Viewer), &[], 200),
        get("/dashboard/file", Role(Viewer), &[], 200),
        get("/dashboard/compare", Role(Viewer), &[], 200),
        get("/dashboard/times", Role(Viewer), &[], 200),
        get("/reports", Role(Admin), &[], 200),
        post(
            "/reports",
            Role(Admin),
            &[],
            Sends::Form(&[
                ("title", "A"),
                ("account", "{account}"),
                ("language", "en"),
                ("days", "7"),
                ("lasts", "30"),
            ]),
            200,
        ),
        post("/reports/{id}/take-back", Role(Admin), &["report"], Sends::Form(&[]), 303),
        // the address is the permission
        get("/report/{link}", Nothing, &["any"], 410),
    ]
}

fn of_the_house() -> Vec<Line> {
    use MemberRole::{Admin, Privacy, Viewer};
    vec![
        get("/media/{id}", Role(Viewer), &["media"], 307),
        get("/media/{id}/thumbnail", Role(Viewer), &["media"], 307),
        get("/accounts", Role(Viewer), &[], 200),
        get("/accounts/{id}/disconnect", Role(Admin), &["account"], 200),
        post("/accounts/{id}/disconnect", Role(Admin), &["account"], Sends::Form(&[]), 303),
        get("/connect/{platform}", Role(Admin), &["platform"], 303),
        // it brings nothing
        get("/connect/{platform}/callback", Role(Admin), &["platform"], 400),
        // only whoever began it has it
        get("/accounts/connect/{id}", Role(Admin), &["any"], 404),
        post("/accounts/connect/{id}", Role(Admin), &["any"], Sends::Form(&[]), 404),
        get("/privacy/data", Nothing, &[], 200),
        get("/privacy/delete", Nothing, &[], 200),
        post("/privacy/delete", Nothing, &[], Sends::Form(&[]), 422),
        // the address is the permission
        get("/privacy/delete/{link}", Nothing, &["any"], 410),
        post("/privacy/delete/{link}", Nothing, &["any"], Sends::Form(&[]), 410),
        get("/privacy/requests/{code}", Nothing, &["any"], 404),
        get("/privacy/requests/{code}/receipt", Nothing, &["any"], 404),
        get("/keys", Role(Admin), &[], 200),
        post(
            "/keys",
            Role(Admin),
            &[],
            Sends::Form(&[("name", "a"), ("posts:read", "yes"), ("lasts", "30")]),
            200,
        ),
        post("/keys/{id}/revoke", Role(Admin), &["key"], Sends::Form(&[]), 303),
        get("/people", Role(Admin), &[], 200),
        post(
            "/people/invitations",
            Role(Admin),
            &[],
            Sends::Form(&[
                ("first_name", "A"),
                ("last_name", "B"),
                ("email", "{any}@example.org"),
                ("role", "viewer"),
            ]),
            303,
        ),
        post("/people/invitations/{id}/withdraw", Role(Admin), &["invitation"], Sends::Form(&[]), 303),
        post("/people/{id}/role", Role(Admin), &["member"], Sends::Form(&[("role", "author")]), 303),
        get("/people/{id}/remove", Role(Admin), &["member"], 200),
        post("/people/{id}/remove", Role(Admin), &["member"], Sends::Form(&[]), 303),
        get("/privacy", Role(Privacy), &[], 200),
        post(
            "/privacy/consents",
            Role(Privacy),
            &[],
            Sends::Form(&[("purpose", "ai"), ("given", "no")]),
            303,
        ),
        post(
            "/privacy/requests",
            Role(Privacy),
            &[],
            Sends::Form(&[("email", "{any}@example.org"), ("origin", "staff"), ("reason", "x")]),
            200,
        ),
        post("/privacy/exports", Role(Admin), &[], Sends::Form(&[]), 303),
        // the address is the permission
        get("/privacy/exports/{link}", Nothing, &["any"], 410),
        post("/privacy/exports/{link}", Nothing, &["any"], Sends::Form(&[]), 410),
        post("/profile/copy", Role(Viewer), &[], Sends::Form(&[]), 303),
        get("/profile", Role(Viewer), &[], 200),
        post(
            "/profile/name",
            Role(Viewer),
            &[],
            Sends::Form(&[("first_name", "A"), ("last_name", "B")]),
            303,
        ),
        post("/profile/email", Role(Viewer), &[], Sends::Form(&[("email", "none")]), 422),
        // nothing is linked
        post("/profile/identities/unlink", Role(Viewer), &[], Sends::Form(&[("issuer", "none")]), 404),
        // the address is the permission
        get("/email/{link}", Nothing, &["any"], 410),
        post("/email/{link}", Nothing, &["any"], Sends::Form(&[]), 410),
        get("/sure", Role(Viewer), &[], 200),
        get("/sessions", Role(Viewer), &[], 200),
        // nobody ends what is not theirs
        post("/sessions/{handle}/end", Role(Viewer), &["any"], Sends::Form(&[]), 404),
        post("/sessions/end-others", Role(Viewer), &[], Sends::Form(&[]), 303),
        // the address is the permission
        get("/invitation/{link}", Nothing, &["any"], 410),
        post("/invitation/{link}", Nothing, &["any"], Sends::Form(&[]), 410),
        // Google has vouched for nobody
        get("/invitations", Nothing, &[], 303),
        post("/invitations/{id}", Nothing, &["any"], Sends::Form(&[]), 303),
        get("/password/{link}", Nothing, &["any"], 410),
        post("/password/{link}", Nothing, &["any"], Sends::Form(&[]), 403),
        get("/forgot", Nothing, &[], 200),
        post("/forgot", Nothing, &[], Sends::Form(&[]), 403),
    ]
}

/// Things of one workspace, by their names in the table.
type Things = BTreeMap<&'static str, String>;

async fn things(door: &Door, workspace: Uuid) -> Things {
    let account = door.account_of(workspace, "facebook_page", &json!({})).await;
    let key = door.key_for(Some(workspace), Scope::ALL).await;
    let send = async |path: &str, sends: Sends| {
        let own = BTreeMap::from([("account", account.to_string())]);
        let answer = ask(door, &Method::POST, path, Some(&key), sends, &own).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        answer.json()
    };
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let post = send("/api/v1/posts", Sends::Json(NEW)).await;
    let media = send("/api/v1/media", Sends::File).await;
    let promise = Sends::Json(r#"{"name": "x", "type": "image/png", "bytes": 9}"#);
    let upload = send("/api/v1/media/uploads", promise).await;
    let analysis = send("/api/v1/analyses", Sends::Json(WRITE)).await;
    let request = send("/api/v1/privacy/requests", Sends::Json(FORGET)).await;
    let job: Uuid = sqlx::query_scalar("SELECT id FROM job WHERE publication_id = $1")
        .bind(Uuid::try_parse(post["publications"][0]["id"].as_str().expect("an id")).expect("an id"))
        .fetch_one(&mut door.scratch.connection().await)
        .await
        .expect("a job");
    let keys = door.scratch.ledger.api_keys(Some(workspace)).await.expect("keys");
    let (member, invitation) = people(door, workspace).await;
    let (webhook, delivery) = webhook(door, workspace).await;
    let report = Uuid::now_v7();
    let shared = format!(
        "INSERT INTO report (id, workspace_id, digest, title, language, days, created_by, expires_at) \
         VALUES ('{report}', '{workspace}', '{report}'::text::bytea, 'R', 'en', 7, '{member}', \
                 ledger_now() + interval '1 day')"
    );
    door.scratch.run(&shared).await;
    BTreeMap::from([
        ("workspace", workspace.to_string()),
        ("account", account.to_string()),
        ("post", text(&post["id"])),
        ("publication", text(&post["publications"][0]["id"])),
        ("media", text(&media["id"])),
        ("upload", text(&upload["id"])),
        ("request", text(&request["id"])),
        ("analysis", text(&analysis["id"])),
        ("job", job.to_string()),
        ("key", keys[0].id.to_string()),
        ("member", member.to_string()),
        ("invitation", invitation.to_string()),
        ("webhook", webhook.to_string()),
        ("delivery", delivery.to_string()),
        ("report", report.to_string()),
        ("queue", "publish".to_owned()),
        ("platform", "tiktok".to_owned()),
        ("any", Uuid::now_v7().to_string()),
    ])
}

/// A member of a workspace who never signs in, and somebody who is invited to it.
async fn people(door: &Door, workspace: Uuid) -> (Uuid, Uuid) {
    let (ledger, invitation) = (&door.scratch.ledger, Uuid::now_v7());
    let email = format!("{invitation}@example.org");
    let new = NewPerson { email: &email, first_name: "Mia", last_name: "Bar", password_hash: "none" };
    let member = ledger.add_person(&new).await.expect("a person");
    ledger.add_membership(member, workspace, MemberRole::Author).await.expect("a membership");
    let invited = format!(
        "INSERT INTO invitation (id, workspace_id, email, first_name, last_name, role, digest, expires_at) \
         VALUES ('{invitation}', '{workspace}', 'to-{email}', 'A', 'B', 'viewer', '{invitation}'::text::bytea, \
                 ledger_now() + interval '1 day')"
    );
    door.scratch.run(&invited).await;
    (member, invitation)
}

/// A webhook, and something that was given up on its way there.
async fn webhook(door: &Door, workspace: Uuid) -> (Uuid, Uuid) {
    let (webhook, event, delivery) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let added = format!(
        "INSERT INTO webhook (id, workspace_id, url, events) \
         VALUES ('{webhook}', '{workspace}', 'https://example.org/hook', '{{post.held}}'); \
         INSERT INTO event (id, workspace_id, type) VALUES ('{event}', '{workspace}', 'webhook.test'); \
         INSERT INTO delivery (id, event_id, webhook_id, job_id, state) \
         VALUES ('{delivery}', '{event}', '{webhook}', '{delivery}', 'failed')"
    );
    door.scratch.run(&added).await;
    (webhook, delivery)
}

fn filled(text: &str, things: &Things) -> String {
    things.iter().fold(text.to_owned(), |text, (name, id)| text.replace(&format!("{{{name}}}"), id))
}

/// The path with these in the places that it leaves open.
fn path_of(line: &Line, things: &Things) -> String {
    let mut ids = line.ids.iter();
    let part = |part: &str| match part.strip_prefix('{') {
        Some(_) => things[*ids.next().expect("an id for each place")].clone(),
        None => part.to_owned(),
    };
    line.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn ask(
    door: &Door,
    method: &Method,
    path: &str,
    bearer: Option<&str>,
    sends: Sends,
    things: &Things,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    let request = match sends {
        Sends::Json(text) => {
            request.header("content-type", "application/json").body(Body::from(filled(text, things)))
        }
        Sends::File => {
            let picture = png(40, 40);
            let part = Part { name: "file", file_name: Some("x.png"), content: &picture };
            let (kind, body) = multipart(&[part]);
            request.header("content-type", kind).body(Body::from(body))
        }
        Sends::Form(_) => request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from("token=x&email=x&password=x")),
        Sends::None | Sends::Parts => request.body(Body::empty()),
    };
    door.send(request.expect("a request")).await
}

/// Every route that answers: the router's paths, each with the methods that it does not refuse.
async fn routes(door: &Door) -> BTreeSet<(String, String)> {
    let (shelf, hints) = (door.shelf.clone(), door.hints.clone());
    let (_, paths) = web::with_paths(house(&door.scratch.ledger, "http://localhost:3000/", shelf, hints));
    let mut routes = BTreeSet::new();
    for path in paths {
        let asked: Vec<String> = path
            .split('/')
            .map(|part| if part.starts_with('{') { Uuid::nil().to_string() } else { part.to_owned() })
            .collect();
        let before = routes.len();
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = ask(door, &method, &asked.join("/"), None, Sends::None, &Things::new()).await;
            if answer.status != StatusCode::METHOD_NOT_ALLOWED {
                routes.insert((method.to_string(), path.clone()));
            }
        }
        assert!(routes.len() > before, "{path} answers to nothing");
    }
    routes
}

#[tokio::test]
async fn every_route_that_answers_is_in_the_matrix_and_no_other() {
    let door = Door::open().await;
    let lines: Vec<Line> = of_the_api().into_iter().chain(of_the_console()).collect();
    let listed: BTreeSet<_> = lines.iter().map(|it| (it.method.to_string(), it.path.to_owned())).collect();
    assert_eq!(listed.len(), lines.len(), "no line stands there twice");
    let answers = routes(&door).await;
    let missing: Vec<_> = answers.difference(&listed).collect();
    assert!(missing.is_empty(), "say in tests/it/matrix.rs who gets in at {missing:?}");
    let gone: Vec<_> = listed.difference(&answers).collect();
    assert!(gone.is_empty(), "nothing answers at {gone:?}");
}

#[test]
fn each_route_of_the_console_names_in_its_arguments_the_role_that_the_matrix_says() {
    let doors = web::console::doors();
    for it in of_the_console() {
        let door = doors.iter().find(|door| door.method == it.method && door.path == it.path);
        let wanted = match it.wants {
            Role(role) => Some(role),
            // who was taken out of their last workspace leaves too
            SignedIn => Some(MemberRole::Viewer).filter(|_| it.path != "/sign-out"),
            Nothing | Key(_) | AnyKey(_) | Holder => None,
        };
        assert_eq!(door.map(|door| door.role), wanted, "{} {}", it.method, it.path);
    }
}

#[tokio::test]
async fn the_description_says_of_every_route_what_it_wants() {
    let door = Door::open().await;
    let described = door.get("/api/openapi.json").await.json();
    for it in of_the_api() {
        let operation = &described["paths"][it.path][it.method.as_str().to_lowercase()];
        if operation.is_null() {
            assert!(it.wants == Nothing, "{} is not described", it.path);
            continue;
        }
        let said = &operation["security"];
        let wanted = match it.wants {
            Key(scope) | AnyKey(scope) => json!([{ "bearer": [scope.word()] }]),
            Holder => json!([{ "bearer": [] }]),
            Nothing | Role(_) | SignedIn => Value::Null,
        };
        assert_eq!(said, &wanted, "{} {}", it.method, it.path);
    }
}

/// Notes an answer that is another than it should be.
fn answered(wrong: &mut Vec<String>, answer: u16, expected: u16, what: impl Fn() -> String) {
    if answer != expected {
        let what: String = what().chars().take(300).collect();
        wrong.push(format!("{answer} instead of {expected}: {what}"));
    }
}

/// Whether a key of this one scope is let in, and an operator's.
fn lets_in(wants: Wants, scope: Scope, operator: bool) -> bool {
    let may = |asked: Scope| {
        let key = postroom::ledger::keys::ApiKey { id: Uuid::nil(), workspace_id: None, scopes: vec![scope] };
        key.may(asked)
    };
    match wants {
        Nothing | Holder => true,
        Key(asked) => may(asked) && !operator,
        AnyKey(asked) => may(asked),
        Role(_) | SignedIn => false,
    }
}

#[tokio::test]
async fn every_route_of_the_api_lets_in_whom_it_should_with_every_scope_and_every_workspaces_ids() {
    let door = Door::open().await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let foreign = things(&door, florist).await;
    let mut wrong = Vec::new();
    for it in of_the_api() {
        let named = format!("{} {}", it.method, it.path);
        let own = things(&door, door.workspace).await;
        let bare = ask(&door, &it.method, &path_of(&it, &own), None, it.sends, &own).await.status.as_u16();
        answered(&mut wrong, bare, if it.wants == Nothing { it.own } else { 401 }, || {
            format!("{named} without a key")
        });
        for scope in Scope::ALL {
            let named = format!("{named} with {}", scope.word());
            let key = door.key_for(Some(door.workspace), &[*scope]).await;
            let lets_in = lets_in(it.wants, *scope, false);
            // what is let in changes things: each time there are new ones
            let own = if lets_in { things(&door, door.workspace).await } else { own.clone() };
            if !it.before.is_empty() {
                door.scratch.run(&filled(it.before, &own)).await;
            }
            let expected = if lets_in { it.own } else { 403 };
            let answer = ask(&door, &it.method, &path_of(&it, &own), Some(&key), it.sends, &own).await;
            answered(&mut wrong, answer.status.as_u16(), expected, || format!("{named}: {}", answer.text));
            for id in foreign.values().filter(|id| id.len() == 36 && **id != foreign["any"]) {
                assert!(!answer.text.contains(id.as_str()), "{named} tells of another workspace");
            }
            let mine = own_ids(&it);
            let expected = match (lets_in, mine) {
                (false, _) => 403,
                (true, true) => 404,
                (true, false) => continue,
            };
            let answer =
                ask(&door, &it.method, &path_of(&it, &foreign), Some(&key), it.sends, &foreign).await;
            answered(&mut wrong, answer.status.as_u16(), expected, || {
                format!("{named} and another's ids: {}", answer.text)
            });
        }
        for scope in Scope::ALL.iter().filter(|scope| !lets_in(it.wants, **scope, true)) {
            let key = door.key_for(None, &[*scope]).await;
            let answer = ask(&door, &it.method, &path_of(&it, &own), Some(&key), it.sends, &own).await;
            let word = scope.word();
            answered(&mut wrong, answer.status.as_u16(), 403, || {
                format!("{named} with an operator's {word}: {}", answer.text)
            });
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether its path names things that belong to a workspace.
fn own_ids(line: &Line) -> bool {
    line.ids.iter().any(|id| !["any", "queue", "platform"].contains(id))
}

#[tokio::test]
async fn a_body_that_names_another_workspaces_things_names_nothing() {
    let door = Door::open().await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let foreign = things(&door, florist).await;
    for (path, body) in [
        ("/api/v1/posts", NEW),
        ("/api/v1/posts:check", NEW),
        ("/api/v1/queues/publish/pause", r#"{"reason": "x", "account_id": "{account}"}"#),
        ("/api/v1/queues/publish/resume", r#"{"account_id": "{account}"}"#),
    ] {
        let answer = ask(&door, &Method::POST, path, Some(&door.key), Sends::Json(body), &foreign).await;
        let named = answer.text.contains("account");
        assert!(named && [200, 422].contains(&answer.status.as_u16()), "{path}: {}", answer.text);
        if answer.status == StatusCode::OK {
            assert!(path.ends_with(":check"), "{path} took it");
            assert!(!answer.json()["data"].to_string().contains("\"ok\":true"), "{}", answer.text);
        }
    }
    for body in [
        r#"{"kind": "results", "language": "en", "post_id": "{post}"}"#,
        r#"{"kind": "results", "language": "en", "account_id": "{account}", "month": "2026-10"}"#,
        r#"{"kind": "video_review", "language": "en", "media_ids": ["{media}"]}"#,
    ] {
        let path = "/api/v1/analyses";
        let answer = ask(&door, &Method::POST, path, Some(&door.key), Sends::Json(body), &foreign).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", answer.text);
        assert!(answer.text.contains("_unknown"), "{}", answer.text);
    }
    let ours = things(&door, door.workspace).await;
    let mixed = r#"{"caption": "x", "media_ids": ["{media}"], "targets": [{"account_id": "ACCOUNT"}]}"#;
    let body: &'static str = mixed.replace("ACCOUNT", &ours["account"]).leak();
    let answer =
        ask(&door, &Method::POST, "/api/v1/posts", Some(&door.key), Sends::Json(body), &foreign).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
}

/// Sends what the line sends as somebody signed in.
async fn as_member(browser: &mut Browser<'_>, line: &Line, path: &str, things: &Things) -> Answer {
    let token = browser.token.clone();
    match line.sends {
        Sends::None | Sends::Json(_) | Sends::File => browser.get(path).await,
        Sends::Parts => browser.compose_at(path, &[], &[]).await,
        Sends::Form(fields) => {
            let values: Vec<_> = fields.iter().map(|(name, value)| (*name, filled(value, things))).collect();
            let mut all = vec![("token", token.as_str())];
            all.extend(values.iter().map(|(name, value)| (*name, value.as_str())));
            browser.form(path, &all).await
        }
    }
}

#[tokio::test]
async fn every_route_of_the_console_lets_in_whom_it_should_with_every_role_and_every_workspaces_ids() {
    let door = Door::open().await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let foreign = things(&door, florist).await;
    let mut wrong = Vec::new();
    for it in of_the_console() {
        let named = format!("{} {}", it.method, it.path);
        let own = things(&door, door.workspace).await;
        let bare = ask(&door, &it.method, &path_of(&it, &own), None, it.sends, &own).await;
        if it.wants == Nothing {
            assert_eq!(bare.status.as_u16(), it.own, "{named}: {}", bare.text);
        } else {
            let led = bare.header("location").starts_with("/sign-in");
            assert!(led || bare.status == StatusCode::UNAUTHORIZED, "{named}: {}", bare.status);
        }
        let (Role(_) | SignedIn) = it.wants else { continue };
        for role in MemberRole::ALL {
            let named = format!("{named} as {}", role.word());
            let lets_in = match it.wants {
                Role(asked) => role.covers(asked),
                _ => true,
            };
            let mut browser = Browser::of(&door, *role).await;
            let own = if lets_in { things(&door, door.workspace).await } else { own.clone() };
            if !it.before.is_empty() {
                door.scratch.run(&filled(it.before, &own)).await;
            }
            let answer = as_member(&mut browser, &it, &path_of(&it, &own), &own).await;
            let expected = if lets_in { it.own } else { 403 };
            answered(&mut wrong, answer.status.as_u16(), expected, || format!("{named}: {}", answer.text));
            for id in foreign.values().filter(|id| id.len() == 36 && **id != foreign["any"]) {
                assert!(!answer.text.contains(id.as_str()), "{named} tells of another workspace");
            }
            if it.path == "/sign-out" {
                continue;
            }
            let swapped = own_ids(&it) || it.path == "/workspace";
            if swapped {
                let answer = as_member(&mut browser, &it, &path_of(&it, &foreign), &foreign).await;
                let expected = if lets_in { 404 } else { 403 };
                answered(&mut wrong, answer.status.as_u16(), expected, || {
                    format!("{named} and another's ids: {}", answer.text)
                });
            }
            if it.ids.len() > 1 && own_ids(&it) && lets_in {
                let (mut mixed, last) = (own.clone(), it.ids[it.ids.len() - 1]);
                mixed.insert(last, foreign[last].clone());
                let answer = as_member(&mut browser, &it, &path_of(&it, &mixed), &mixed).await;
                answered(&mut wrong, answer.status.as_u16(), 404, || {
                    format!("{named} and half another's: {}", answer.text)
                });
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
