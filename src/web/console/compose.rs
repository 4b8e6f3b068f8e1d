//! Writing a post. A form that cannot be taken comes back as it was, with what needs mending beside it.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State, multipart::Field},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Choice, Shell,
    fields::{self, Limit, Offer, Target},
    form::{LONGEST_FIELD, LONGEST_FORM, MOST_FIELDS, Way, Written},
    post::{self, Preview},
    render, render_as,
    session::{Author, Seat},
    texts::{ENGLISH, Texts, fill},
    told::{self, Told},
};
use crate::{
    ledger::{
        accept::Accepted,
        idempotency::{Answer, Asked},
        media::Kept,
    },
    web::{
        App,
        check::Noted,
        finding::Finding,
        multipart::{self, Form},
        problem::Problem,
        upload::{self, NotTaken},
    },
};

const MOST_ACCOUNTS: i64 = 500;
/// So many files at once; the form says which did not fit.
const MOST_FILES: usize = 40;

#[derive(Template)]
#[template(path = "compose.html")]
struct Page {
    shell: Shell,
    written: Written,
    /// Nobody has written anything yet: the browser may fill in its zone.
    fresh: bool,
    notice: Option<&'static str>,
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
        self.findings.iter().filter(|told| told.anchor == anchor).collect()
    }

    fn refused(&self) -> bool {
        refused(&self.findings)
    }

    /// Whether this is the first field that something was found about.
    fn first(&self, anchor: &str) -> bool {
        self.findings.first().is_some_and(|told| told.anchor == anchor)
    }

    fn wrong(&self, anchor: &str) -> bool {
        self.findings.iter().any(|told| told.anchor == anchor)
    }
}

/// What a page of the form says besides what was written.
#[derive(Clone, Copy, Default)]
struct Said<'a> {
    findings: &'a [Noted],
    notice: Option<&'static str>,
    /// It was checked.
    checked: bool,
    fresh: bool,
}

/// An empty form.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let zone = app.house.ledger.last_time_zone(seat.member.workspace_id).await?;
    let written = Written::fresh(zone.unwrap_or_else(|| "UTC".to_owned()));
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
    let form = Form::open(&headers, request).await?;
    let (mut written, mut found) = read(&app, &seat, form).await?;
    let sheet = Sheet { app: &app, seat: &seat, headers: &headers };
    let (wish, unreadable) = written.wish();
    found.extend(unreadable);
    let asked = asked(&written, &seat);
    let question = wish.question(seat.member.workspace_id, Some(asked));
    let accepted = app.accept(wish.clone(), found.clone(), question, seat.member.person_id).await?;
    match accepted {
        Accepted::New { post, .. } => Ok(Redirect::to(&format!("/posts/{}", post.id)).into_response()),
        Accepted::Before(answer) => Ok(Redirect::to(&address_of(&answer)).into_response()),
        Accepted::KeyReused => {
            written.key = uuid::Uuid::now_v7().to_string();
            let said = Said { notice: Some(ENGLISH.already_sent), ..Said::default() };
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
    let (written, mut found) = read(&app, &seat, Form::open(&headers, request).await?).await?;
    let (wish, unreadable) = written.wish();
    found.extend(unreadable);
    let findings = app.check(seat.member.workspace_id, &wish, found).await?.all();
    let said = Said { findings: &findings, checked: true, ..Said::default() };
    render(&Sheet { app: &app, seat: &seat, headers: &headers }.page(written, said).await?)
}

/// Moves a file to another place among the others; all else of the form stays.
pub async fn arrange(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let (mut written, found) = read(&app, &seat, Form::open(&headers, request).await?).await?;
    written.rearrange();
    let findings: Vec<Noted> = found.into_iter().map(Noted::from).collect();
    let said = Said { findings: &findings, ..Said::default() };
    render(&Sheet { app: &app, seat: &seat, headers: &headers }.page(written, said).await?)
}

/// Reads the fields in the order in which the page has them: the token comes before any file.
async fn read(
    app: &Arc<App>,
    seat: &Seat<Author>,
    mut form: Form,
) -> Result<(Written, Vec<Finding>), Problem> {
    let (mut written, mut found, mut fields, mut files) = (Written::default(), Vec::new(), 0, 0);
    let mut room = LONGEST_FORM;
    while let Some(field) = form.next_field().await? {
        fields += 1;
        if fields > MOST_FIELDS {
            return Err(Problem::malformed("The form has too many fields."));
        }
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            seat.check(&written.token)?;
            if field.file_name().is_none_or(str::is_empty) {
                continue; // a browser sends an empty one where none was chosen
            }
            files += 1;
            if files > MOST_FILES {
                return Err(Problem::malformed("The form has too many files."));
            }
            match take_file(app, seat, field).await {
                Ok((id, digest)) => {
                    written.came.push(digest);
                    written.media_ids.push(id);
                }
                Err(NotTaken::File(finding)) => found.push(finding),
                Err(NotTaken::Problem(problem)) => return Err(problem),
            }
        } else {
            let value = text(field).await?;
            room = room.checked_sub(value.len()).ok_or_else(|| Problem::too_large(LONGEST_FORM as u64))?;
            written.put(&name, value)?;
        }
    }
    seat.check(&written.token)?;
    Ok((written, found))
}

/// The text of one field, never more than the limit in memory.
async fn text(mut field: Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = multipart::chunk(&mut field).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_FIELD {
            return Err(Problem::too_large(LONGEST_FIELD as u64));
        }
    }
    String::from_utf8(bytes).map_err(|_| Problem::malformed("A field of the form is not UTF-8."))
}

async fn take_file(
    app: &Arc<App>,
    seat: &Seat<Author>,
    field: Field<'_>,
) -> Result<(String, String), NotTaken> {
    let called = crate::web::text::file_name(field.file_name().unwrap_or_default());
    let named = |error| match error {
        NotTaken::File(finding) => {
            let detail = format!("“{called}”: {}", finding.detail);
            NotTaken::File(Finding { detail, ..finding })
        }
        NotTaken::Problem(problem) => NotTaken::Problem(problem),
    };
    let received = upload::receive(field, "media_ids", &app.house.web).await.map_err(&named)?;
    let digest = hex::encode(received.sha256);
    let kept = app.keep_file(received, seat.member.workspace_id, None, "media_ids").await.map_err(&named)?;
    match kept {
        Kept::New(media, _) => Ok((media.id.to_string(), digest)),
        // No key was given, so none was taken.
        Kept::Before(_) | Kept::KeyReused => Err(Problem::internal().into()),
    }
}

fn asked(written: &Written, seat: &Seat<Author>) -> Asked {
    let digest = Sha256::new().chain_update("POST /posts/new\n").chain_update(written.content()).finalize();
    // A form's key is its own and its writer's: it must not meet a machine's.
    let key = Sha256::new().chain_update(seat.member.person_id).chain_update(&written.key).finalize();
    Asked {
        workspace_id: seat.member.workspace_id,
        key: format!("form:{}", hex::encode(key)),
        digest: digest.into(),
    }
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
    async fn page(&self, written: Written, said: Said<'_>) -> Result<Page, Problem> {
        let t = &ENGLISH;
        let workspace = self.seat.member.workspace_id;
        let ids: Vec<uuid::Uuid> = written.media_ids.iter().filter_map(|id| id.parse().ok()).collect();
        let (files, accounts) = tokio::try_join!(
            self.app.house.ledger.media_of(workspace, &ids),
            self.app.house.ledger.accounts(workspace, None, MOST_ACCOUNTS),
        )?;
        let told = told::tell(t, said.findings, &written.targets, &accounts, self.app);
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
            written,
        })
    }
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
