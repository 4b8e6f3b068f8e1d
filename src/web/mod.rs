//! The door: the API for machines and the console for staff. It opens no token and calls no network; what it
//! accepts is committed in the ledger before it says so.

pub mod access;
pub mod analysis;
pub mod body;
pub mod check;
pub mod connect;
pub mod console;
pub mod counted;
pub mod csv;
pub mod deletion;
pub mod disconnect;
pub mod figures;
pub mod finding;
pub mod inspect;
pub mod intake;
pub mod limits;
pub mod links;
pub mod listed;
pub mod multipart;
pub mod outer;
pub mod passes;
pub mod passwords;
pub mod patch;
pub mod permalink;
pub mod place;
pub mod privacy;
pub mod problem;
pub mod pulls;
pub mod report;
pub mod rights;
pub mod signed;
pub mod signed_request;
pub mod spans;
pub mod spark;
pub mod standing;
pub mod stored;
pub mod take_down;
pub mod text;
pub mod times;
pub mod upload;
pub mod utm;
pub mod verdict;
pub mod webhook;
pub mod whence;
pub mod wish;

use std::sync::Arc;

use axum::{Router, middleware};
use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use jobs::{
    analysis::Policy, connections::Dialog, desk::Clock, fp, hint::Hint, sign_in::SignIn, store::Uploads,
    surface::Platform,
};
use secrecy::SecretString;
use tokio::sync::Semaphore;
use url::Url;
use uuid::Uuid;

use crate::{
    config,
    ledger::{
        Ledger, Sealer,
        accept::{Accepted, Question},
        approval::{Approved, Word},
        audit::Who,
        edit::{About, Written},
        idempotency::{Asked, Once},
    },
};
use finding::Finding;
use patch::Patch;
use problem::Problem;
use wish::{Rules, Wish};

/// Tells the queue that jobs are probably ready. Must not block; what it loses, the relay finds.
pub type Nudge = Arc<dyn Fn(Vec<Hint>) + Send + Sync>;
/// Lists of jobs made at once: few, so that what accepts posts has connections left.
const JOB_LISTS: usize = 2;

/// Asks whether a part of the house answers; else why not.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Everything the door is given.
pub struct House {
    /// Postgres.
    pub ledger: Ledger,
    /// The door's settings.
    pub web: config::Web,
    /// How posts are brought out.
    pub publishing: config::Publishing,
    /// Where workspaces are told of what happens.
    pub webhooks: config::Webhooks,
    /// How long each class of data is kept.
    pub retention: config::Retention,
    /// The address that the outside sees. On https, cookies are `Secure` and browsers are told to stay there.
    pub public_url: Url,
    /// Where the browser loads media from, when it is not this origin: `https://bucket.s3.example`.
    pub media_origin: Option<String>,
    /// The networks that are switched on.
    pub platforms: Vec<&'static Platform>,
    /// Networks that something stands in for, and where that is.
    pub stand_ins: Vec<(&'static str, Url)>,
    /// What workspaces that have decided nothing let a provider of AI be asked; none where there is no provider.
    pub analyses: Option<Policy>,
    /// Whether those who manage a workspace may let more be done for it than the house does.
    pub owners_allow_more: bool,
    /// The object store.
    pub media: Arc<dyn Uploads>,
    /// Called after each commit with the jobs that may run now.
    pub nudge: Nudge,
    /// For the sign-in's throttle; what is due is decided by the ledger's clock.
    pub clock: Arc<dyn Clock>,
    /// Renders Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Guards `/metrics` when set.
    pub metrics_token: Option<SecretString>,
    /// What signs people in who are known elsewhere.
    pub sign_in: Option<Arc<dyn SignIn>>,
    /// Whether mail is sent.
    pub mail: bool,
    /// Whether Redis answers.
    pub redis: Probe,
    /// The app at TikTok, which signs what TikTok tells; none where TikTok is off.
    pub tiktok: Option<TiktokApp>,
    /// What requests for deletion need.
    pub deletions: deletion::Deletions,
    /// Where people grant access to their accounts.
    pub dialogs: Vec<Dialog>,
    /// What a dialog gave is put away with it.
    pub sealer: Sealer,
}

/// Our app at TikTok.
pub struct TiktokApp {
    /// Its public name.
    pub client_key: String,
    /// What its webhooks are signed with.
    pub client_secret: SecretString,
}

/// The house, and what the door keeps while it is open.
pub struct App {
    /// What was given.
    pub house: House,
    /// What a wish is measured against.
    pub rules: Rules,
    /// The console's own.
    pub console: console::Console,
    /// How often somebody may ask.
    pub limits: limits::Limits,
    /// What stands for a key for a few minutes.
    pub passes: passes::Passes,
    /// How often strangers may ask for their deletion.
    pub patience: privacy::Patience,
    /// Lists of jobs that are made at once, for they may take long.
    pub job_lists: Semaphore,
}

/// All routes. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: the sign-in's throttle
/// counts by address.
pub fn router(house: House) -> Router {
    with_paths(house).0
}

/// The same, and the path of every route in it.
pub fn with_paths(house: House) -> (Router, Vec<String>) {
    let rules = Rules {
        platforms: house.platforms.clone(),
        horizon: TimeDelta::days(i64::from(house.web.horizon_days)),
        publishing: house.publishing,
    };
    let console = console::Console::new(&house);
    let limits = limits::Limits::new(&house.web);
    let passes = passes::Passes::new(&house.public_url);
    let (patience, job_lists) = (privacy::Patience::default(), Semaphore::new(JOB_LISTS));
    let app = Arc::new(App { house, rules, console, limits, passes, patience, job_lists });
    let listed = intake::routes()
        .merge(console::routes(&app))
        .merge(pulls::routes())
        .merge(privacy::routes())
        .merge(report::routes());
    let paths = listed.paths();
    let router = listed
        .router()
        .fallback(async || Problem::not_found("page"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(middleware::from_fn_with_state(Arc::clone(&app), limits::by_address))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), outer::tell_problems))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), console::headers))
        .layer(middleware::from_fn(outer::watch))
        .layer(middleware::from_fn(outer::read_on_after_refusal))
        .with_state(app);
    (router, paths)
}

impl App {
    /// The ledger, bound to a workspace. What a route is about comes with its caller or its seat, bound already; this is for
    /// what goes on elsewhere with an id that they gave.
    pub fn within(&self, workspace_id: Uuid) -> Ledger {
        self.house.ledger.within(workspace_id)
    }

    /// Accepts a post. Once begun it goes on to its end, whether or not somebody still waits for the answer.
    ///
    /// # Errors
    /// The ledger is away, or worse.
    pub async fn accept(
        self: &Arc<Self>,
        wish: Wish,
        found: Vec<Finding>,
        question: Question,
        created_by: Uuid,
    ) -> Result<Accepted<Vec<Finding>>, Problem> {
        let app = Arc::clone(self);
        let accepting = tokio::spawn(async move {
            let judge = |facts: &_| wish.judge(facts, &app.rules, created_by, found.clone());
            let ledger = app.within(question.workspace_id);
            let accepted = ledger.accept(&question, judge, intake::posts::answer).await?;
            if let Accepted::New { due, .. } = &accepted {
                fp!(AfterAccept);
                metrics::counter!("posts_accepted_total").increment(1);
                (app.house.nudge)(due.clone());
            }
            Ok::<_, Problem>(accepted)
        });
        accepting.await?
    }

    /// Changes a post. Once begun it goes on to its end, whether or not somebody still waits for the answer.
    ///
    /// # Errors
    /// The ledger is away, or worse.
    pub async fn edit(
        self: &Arc<Self>,
        patch: Patch,
        found: Vec<Finding>,
        about: (Uuid, Uuid),
        asked: Option<Asked>,
        by: Editor,
    ) -> Result<Written<Vec<Finding>>, Problem> {
        let app = Arc::clone(self);
        let ledger = self.within(about.0).of(by.who);
        let editing = tokio::spawn(async move {
            let word = by.word;
            let (Word::Approves(changed_by) | Word::Asks(changed_by)) = word;
            let judge = |facts: &_, post: &_| patch.judge(facts, post, &app.rules, changed_by, found.clone());
            let (workspace_id, post_id) = about;
            let asked = asked.as_ref();
            let seen = by.seen.as_deref();
            let about = About { workspace_id, post_id, asked, answer: intake::posts::answer, word, seen };
            let written = ledger.edit_post(&about, &patch.files(), judge).await?;
            if let Once::Done(Ok(changed)) = &written {
                (app.house.nudge)(changed.due.clone());
            }
            Ok::<_, Problem>(written)
        });
        editing.await?
    }

    /// Cancels what a post has not brought out yet, or tries again what failed of it; likewise to its end.
    ///
    /// # Errors
    /// The ledger is away, or worse.
    pub async fn act(
        self: &Arc<Self>,
        act: Act,
        about: (Uuid, Uuid),
        asked: Option<Asked>,
        who: Who,
    ) -> Result<Written<()>, Problem> {
        let ledger = self.within(about.0).of(who);
        let acting = tokio::spawn(async move {
            let (workspace_id, post_id) = about;
            let asked = asked.as_ref();
            // what is acted on is not changed
            let word = Word::Approves(Uuid::nil());
            let about =
                About { workspace_id, post_id, asked, answer: intake::posts::answer, word, seen: None };
            match act {
                Act::Cancel => ledger.cancel_post(&about).await,
                Act::Retry => ledger.retry_post(&about).await,
            }
        });
        Ok(acting.await??)
    }
}

impl App {
    /// Approves a post as it was seen; likewise to its end.
    ///
    /// # Errors
    /// The ledger is away, or worse.
    pub async fn approve(
        self: &Arc<Self>,
        about: (Uuid, Uuid),
        by: (Uuid, Who),
        seen: String,
    ) -> Result<Approved, Problem> {
        let app = Arc::clone(self);
        let approving = tokio::spawn(async move {
            let ((workspace_id, post_id), ahead) = (about, app.rules.publishing.prepare_ahead);
            let ledger = app.within(workspace_id).of(by.1);
            let approved = ledger.approve_post(workspace_id, post_id, by.0, &seen, ahead).await?;
            if let Approved::Now { due, .. } = &approved {
                (app.house.nudge)(due.clone());
            }
            Ok::<_, Problem>(approved)
        });
        approving.await?
    }
}

/// Who changes a post.
#[derive(Debug, Clone)]
pub struct Editor {
    /// What they may say to what they change.
    pub word: Word,
    /// What their deeds are written down under.
    pub who: Who,
    /// The digest of what they looked at, where it has to be approved.
    pub seen: Option<String>,
}

/// What people do about a whole post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// T17.
    Cancel,
    /// T21.
    Retry,
}

impl Act {
    /// The last part of its route.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
        }
    }
}
