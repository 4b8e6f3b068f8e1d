//! Writing a post. A form that cannot be taken comes back as it was, with what needs mending beside it.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use jobs::analysis::Kind;
use serde_json::Value;

use super::{
    Choice, Shell, analyses, ask,
    fields::{self, Limit, Offer, Target},
    form::{Way, Written},
    post::{self, Preview},
    render, render_as,
    seat::{Author, Seat},
    sent::{Sent, read},
    suggestion::Suggestion,
    texts::{ENGLISH, Texts, fill},
    told::{self, Told},
};
use crate::{
    ledger::{
        accept::{Accepted, Question},
        accounts::Account,
        idempotency::Answer,
    },
    web::{
        App,
        check::{Noted, OnTarget},
        finding::Finding,
        multipart::Form,
        problem::Problem,
    },
};

#[derive(Template)]
#[template(path = "compose.html")]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that the page shows")]
struct Page {
    shell: Shell,
    written: Written,
    /// Nobody has written anything yet: the browser may fill in its zone.
    fresh: bool,
    notice: Option<String>,
    /// Nothing was found.
    clear: bool,
    summary: Option<String>,
    findings: Vec<Told>,
    kinds: Vec<Choice>,
    limits: Vec<Limit>,
    media: Vec<Slide>,
    accounts: Vec<Target>,
    zones: Vec<Choice>,
    gap: Vec<Offer>,
    ambiguous: bool,
    accept: &'static str,
    /// The link as each account's followers get it.
    links: Vec<Longer>,
    /// What suggestions can be written in; empty where nobody writes any.
    languages: Vec<Choice>,
    /// Whether files may be looked at.
    looks: bool,
    /// Where to look for those that were asked for.
    suggested: Option<String>,
}

/// A link that the workspace's parameters were added to.
struct Longer {
    says: String,
    link: String,
}

/// A file that is uploaded already, and its place among the others.
struct Slide {
    file: Preview,
    /// What the buttons say that move it; `None`: there is no place further on.
    earlier: Option<String>,
    later: Option<String>,
    /// Where reading goes on after it was moved.
    focus: Option<Way>,
}

impl Slide {
    /// Whether reading goes on at its button of that way.
    fn focuses(&self, earlier: bool) -> bool {
        self.focus.is_some_and(|way| way.is_earlier() == earlier)
    }
}

impl Page {
    /// What stands beside this field.
    fn of(&self, anchor: &str) -> Vec<&Told> {
        told::beside(&self.findings, anchor)
    }

    fn refused(&self) -> bool {
        refused(&self.findings)
    }

    /// Whether this is the first field that something was found about.
    fn first(&self, anchor: &str) -> bool {
        self.findings.first().is_some_and(|told| told.anchor == anchor)
    }

    fn wrong(&self, anchor: &str) -> bool {
        told::is_beside(&self.findings, anchor)
    }
}

/// What a page of the form says besides what was written.
#[derive(Clone, Default)]
struct Said<'a> {
    findings: &'a [Noted],
    notice: Option<String>,
    /// It was checked.
    checked: bool,
    fresh: bool,
    /// What each target would become.
    targets: &'a [OnTarget],
    /// Where suggestions will be.
    suggested: Option<String>,
}

/// An empty form, or one that begins with a suggestion.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
    Query(suggestion): Query<Suggestion>,
) -> Result<Response, Problem> {
    let workspace = seat.member.workspace_id;
    let zone = seat.ledger.last_time_zone(workspace).await?;
    let mut written = Written::fresh(zone.unwrap_or_else(|| "UTC".to_owned()));
    suggestion.put_into(&mut written, &app, workspace).await?;
    let said = Said { fresh: true, ..Said::default() };
    render(&Sheet { app: &app, seat: &seat, headers: &headers }.page(written, said).await?)
}

/// Takes the form: files first, for they came with it; then the post.
pub async fn submit(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let sheet = Sheet { app: &app, seat: &seat, headers: &headers };
    let came = read(&app, &seat, Form::open(&headers, request).await?).await?;
    if let Some(problem) = came.trouble {
        return sheet.again(came.written, came.found, problem).await;
    }
    let (mut written, mut found) = (came.written, came.found);
    let (wish, unreadable) = written.wish();
    found.extend(unreadable);
    let asked = seat.asked(&written.key, "POST /posts/new", &written.content());
    let waits = seat.word().waits();
    let question = Question { waits, ..wish.question(seat.member.workspace_id, Some(asked)) };
    let accepted = match app.accept(wish.clone(), found.clone(), question, seat.member.person_id).await {
        Ok(accepted) => accepted,
        Err(problem) => return sheet.again(written, found, problem).await,
    };
    match accepted {
        Accepted::New { post, .. } => Ok(Redirect::to(&format!("/posts/{}", post.id)).into_response()),
        Accepted::Before(answer) => Ok(Redirect::to(&address_of(&answer)).into_response()),
        Accepted::KeyReused => {
            written.key = uuid::Uuid::now_v7().to_string();
            let said = Said { notice: Some(ENGLISH.already_sent.to_owned()), ..Said::default() };
            render_as(StatusCode::UNPROCESSABLE_ENTITY, &sheet.page(written, said).await?)
        }
        Accepted::Refused(_) => {
            let findings = app.check(seat.member.workspace_id, &wish, found).await?.all();
            let said = Said { findings: &findings, ..Said::default() };
            render_as(StatusCode::UNPROCESSABLE_ENTITY, &sheet.page(written, said).await?)
        }
    }
}

/// Checks the form: what stands in the way is shown beside its field, and nothing goes out.
pub async fn check(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let sheet = Sheet { app: &app, seat: &seat, headers: &headers };
    let Sent { written, mut found, trouble } =
        read(&app, &seat, Form::open(&headers, request).await?).await?;
    if let Some(problem) = trouble {
        return sheet.again(written, found, problem).await;
    }
    let (wish, unreadable) = written.wish();
    found.extend(unreadable);
    let report = app.check(seat.member.workspace_id, &wish, found).await?;
    let (targets, findings) = (report.targets.clone(), report.all());
    let said = Said { findings: &findings, targets: &targets, checked: true, ..Said::default() };
    render(&sheet.page(written, said).await?)
}

/// Moves a file to another place among the others; all else of the form stays.
pub async fn arrange(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let sheet = Sheet { app: &app, seat: &seat, headers: &headers };
    let Sent { mut written, found, trouble } =
        read(&app, &seat, Form::open(&headers, request).await?).await?;
    if let Some(problem) = trouble {
        return sheet.again(written, found, problem).await;
    }
    written.rearrange();
    let findings: Vec<Noted> = found.into_iter().map(Noted::from).collect();
    let said = Said { findings: &findings, ..Said::default() };
    render(&sheet.page(written, said).await?)
}

/// Asks for captions for what is written so far; the form stays as it is, and says where they will be.
pub async fn suggest(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    help(&app, &seat, &headers, request, Kind::Caption).await
}

/// Asks for a look at the files before they go out.
pub async fn review(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    help(&app, &seat, &headers, request, Kind::VideoReview).await
}

async fn help(
    app: &Arc<App>,
    seat: &Seat<Author>,
    headers: &HeaderMap,
    request: Request,
    kind: Kind,
) -> Result<Response, Problem> {
    let sheet = Sheet { app, seat, headers };
    let Sent { written, found, trouble } = read(app, seat, Form::open(headers, request).await?).await?;
    if let Some(problem) = trouble {
        return sheet.again(written, found, problem).await;
    }
    let (suggested, notice) = match ask::of_form(app, seat, &written, kind).await? {
        Ok(href) => (Some(href), None),
        Err(why) => (None, Some(why)),
    };
    let findings: Vec<Noted> = found.into_iter().map(Noted::from).collect();
    let said = Said { findings: &findings, notice, suggested, ..Said::default() };
    render(&sheet.page(written, said).await?)
}

fn address_of(answer: &Answer) -> String {
    let post: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    post["id"].as_str().map_or_else(|| "/posts".to_owned(), |id| format!("/posts/{id}"))
}

/// What a page of the form is made from.
struct Sheet<'a> {
    app: &'a App,
    seat: &'a Seat<Author>,
    headers: &'a HeaderMap,
}

impl Sheet<'_> {
    /// The form as it was written, with a token that is good: what stands in its way is not in it.
    async fn again(
        &self,
        written: Written,
        found: Vec<Finding>,
        problem: Problem,
    ) -> Result<Response, Problem> {
        let findings: Vec<Noted> = found.into_iter().map(Noted::from).collect();
        let notice = fill(ENGLISH.form_kept, &[&problem.detail]);
        let said = Said { findings: &findings, notice: Some(notice), ..Said::default() };
        match self.page(written, said).await {
            Ok(page) => Ok(problem.dress(render(&page)?)),
            // what the form is made of is away as well
            Err(_) => Err(problem),
        }
    }

    async fn page(&self, written: Written, said: Said<'_>) -> Result<Page, Problem> {
        let t = &ENGLISH;
        let workspace = self.seat.member.workspace_id;
        let ids: Vec<uuid::Uuid> = written.media_ids.iter().filter_map(|id| id.parse().ok()).collect();
        let (files, mut accounts) = tokio::try_join!(
            self.seat.ledger.media_of(workspace, &ids),
            self.seat.ledger.shown_accounts(workspace),
        )?;
        // some are only read from
        accounts.retain(|account| fields::takes_posts(self.app, account));
        let policy = analyses::policy(self.app, workspace).await?;
        let about = told::About { written: &written, targets: &written.targets, accounts: &accounts };
        let told = told::tell(t, said.findings, &about, self.app);
        let in_order = ids.iter().filter_map(|id| files.iter().find(|file| file.id == *id));
        let files: Vec<Preview> = in_order.map(|file| post::preview(t, file)).collect();
        Ok(Page {
            shell: Shell::seated(self.app, self.headers, self.seat, "new", "/posts/new"),
            fresh: said.fresh,
            notice: said.notice,
            clear: said.checked && told.is_empty(),
            summary: (!told.is_empty()).then(|| summary(t, &told)),
            findings: told,
            kinds: fields::kinds(t, &written.kind),
            limits: fields::limits(t, self.app, &accounts),
            media: slides(t, files, written.moved()),
            accounts: accounts.iter().map(|account| fields::target(t, self.app, account, &written)).collect(),
            zones: fields::zones(&written.zone),
            gap: fields::offers(said.findings.iter().map(|it| (it.code.as_str(), it.accepted.as_slice()))),
            ambiguous: said.findings.iter().any(|finding| finding.code == "dst_ambiguous")
                || !written.fold.is_empty(),
            accept: "image/jpeg,image/png,image/webp,video/mp4,video/quicktime,video/webm,video/x-matroska,.mkv",
            links: longer(t, said.targets, &accounts),
            languages: policy.map(|_| analyses::languages(&written.language)).unwrap_or_default(),
            looks: policy.is_some_and(|policy| policy.media),
            suggested: said.suggested,
            // who has seen what came of it may ask for it once more
            written: Written { asking: uuid::Uuid::now_v7().to_string(), ..written },
        })
    }
}

/// The links that the targets would get.
fn longer(t: &Texts, targets: &[OnTarget], accounts: &[Account]) -> Vec<Longer> {
    let one = |target: &OnTarget| {
        let account = accounts.iter().find(|it| it.id.to_string() == target.account_id)?;
        Some(Longer { says: fill(t.link_preview, &[&account.name]), link: target.link.clone()? })
    };
    targets.iter().filter_map(one).collect()
}

fn summary(t: &'static Texts, told: &[Told]) -> String {
    let (one, many) =
        if refused(told) { (t.findings_one, t.findings_many) } else { (t.warnings_one, t.warnings_many) };
    Texts::count(told.len(), one, many)
}

/// Whether the post would be refused for any of it.
fn refused(told: &[Told]) -> bool {
    told.iter().any(|told| !told.warning)
}

/// The files in their order, each with the ways it may move.
fn slides(t: &Texts, files: Vec<Preview>, moved: Option<(&str, Way)>) -> Vec<Slide> {
    let of = files.len();
    let slide = |(n, file): (usize, Preview)| {
        let says = |text| fill(text, &[&file.name, &(n + 1).to_string(), &of.to_string()]);
        let (earlier, later) =
            ((n > 0).then(|| says(t.media_earlier)), (n + 1 < of).then(|| says(t.media_later)));
        let focus = moved.filter(|(id, _)| *id == file.id.to_string()).map(|(_, way)| match way {
            // at an end only the other way is left
            Way::Earlier if earlier.is_none() => Way::Later,
            Way::Later if later.is_none() => Way::Earlier,
            way => way,
        });
        Slide { file, earlier, later, focus }
    };
    files.into_iter().enumerate().map(slide).collect()
}
