//! A wish for help in writing, for the API and the console alike: read at the door, taken in, and what it may cost.

use std::sync::Arc;

use chrono::NaiveDate;
use jobs::analysis::{
    Kind, Language, Policy,
    money::{Micros, forecast},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    App,
    body::Fields,
    finding::{Finding, Findings},
    intake::analyses::answer,
    problem::Problem,
    text,
};
use crate::ledger::{
    LedgerError,
    analyses::{AnalysisRow, NewAnalysis, NotTaken, Of},
    idempotency::{Answer, Asked, Once},
};

/// The longest brief, in characters; the ledger's too.
pub const BRIEF_MOST: usize = 5_000;
/// The most files that it may be about.
pub const MOST_FILES: usize = 10;
/// More networks than there are.
const MOST_PLATFORMS: usize = 20;

/// Why an analysis is not taken in.
#[derive(Debug)]
pub enum Refused {
    /// There is no provider.
    OffHere,
    /// The workspace has switched them off.
    Off,
    /// Something that it names is not there.
    Wrong(Finding),
}

/// What a month may cost, and what it has.
#[derive(Debug, Clone, Copy)]
pub struct Month {
    /// What the workspace lets be done.
    pub policy: Policy,
    /// What it has cost so far, with what is set aside for what is under way.
    pub spent: Micros,
    /// What it will have cost at its end if it goes on like this.
    pub forecast: Micros,
}

impl App {
    /// Takes in an analysis. Once begun it is taken in whole, whether or not somebody still waits.
    ///
    /// # Errors
    /// The ledger is away, or worse.
    pub async fn ask_analysis(
        self: &Arc<Self>,
        workspace_id: Uuid,
        new: NewAnalysis,
        asked: Option<Asked>,
    ) -> Result<Once<Result<AnalysisRow, Refused>>, Problem> {
        let Some(defaults) = self.house.analyses else { return Ok(Once::Done(Err(Refused::OffHere))) };
        let app = Arc::clone(self);
        let asking = tokio::spawn(async move {
            let keyed = asked.as_ref().map(|asked| (asked, answer as fn(&AnalysisRow) -> Answer));
            let done = app.within(workspace_id).ask_analysis(workspace_id, &new, defaults, keyed).await?;
            let taken = |(row, hint)| {
                (app.house.nudge)(vec![hint]);
                row
            };
            let made = done.map(|made| made.map(taken).map_err(|why| refused(&why, &new.media_ids)));
            Ok::<_, Problem>(made)
        });
        asking.await?
    }

    /// What the workspace lets be done; none: there is no provider.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn analysis_policy(&self, workspace_id: Uuid) -> Result<Option<Policy>, LedgerError> {
        let Some(defaults) = self.house.analyses else { return Ok(None) };
        Ok(Some(self.within(workspace_id).analysis_policy(workspace_id).await?.over(defaults)))
    }

    /// What analyses may cost the workspace this month, and what they have; none: there is no provider.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn analysis_month(&self, workspace_id: Uuid) -> Result<Option<Month>, LedgerError> {
        let Some(policy) = self.analysis_policy(workspace_id).await? else { return Ok(None) };
        let (spent, now) = self.within(workspace_id).analysis_spent(workspace_id).await?;
        Ok(Some(Month { policy, spent, forecast: forecast(spent, now) }))
    }
}

/// An analysis as somebody wishes it, as far as it can be read, and what cannot.
pub fn wished(body: &Value, app: &App, created_by: Uuid) -> (NewAnalysis, Vec<Finding>) {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(&["kind", "media_ids", "brief", "language", "platforms", "post_id", "account_id", "month"]);
    let (kind, language) = (at.text("kind"), at.text("language"));
    let brief = at.text("brief").unwrap_or_default();
    let media_ids = at.texts("media_ids", MOST_FILES, too_many_files);
    let platforms = at.texts("platforms", MOST_PLATFORMS, too_many_platforms);
    let of = Named { post: at.text("post_id"), account: at.text("account_id"), month: at.text("month") };
    let mut found = findings.all();
    let kind = word(kind.as_deref(), "kind", Kind::parse, &mut found, Kind::ALL.iter().map(|it| it.word()));
    let language = word(
        language.as_deref(),
        "language",
        Language::parse,
        &mut found,
        Language::ALL.iter().map(|it| it.word()),
    );
    found.extend(brief_finding(&brief, kind));
    if kind == Some(Kind::VideoReview)
        && media_ids.is_empty()
        && found.iter().all(|it| it.field != "media_ids")
    {
        found.push(Finding::new("media_ids", "required", "Say which film, or which pictures, to look at."));
    }
    let results = match kind {
        Some(Kind::Results) => {
            for (field, given) in [("media_ids", media_ids.len()), ("platforms", platforms.len())] {
                found.extend((given > 0).then(|| not_here(field)));
            }
            of.read(&mut found)
        }
        Some(Kind::Caption | Kind::VideoReview) => {
            found.extend(of.fields().into_iter().flatten().map(not_here));
            None
        }
        None => None,
    };
    let media_ids = ids(&media_ids, &mut found);
    for (n, name) in platforms.iter().enumerate() {
        found.extend(platform_finding(app, &platforms[..n], n, name));
    }
    let (kind, language) = (kind.unwrap_or(Kind::Caption), language.unwrap_or(Language::English));
    let brief = brief.trim().to_owned();
    (NewAnalysis { kind, language, platforms, brief, media_ids, results, created_by }, found)
}

/// Whose results somebody names.
struct Named {
    post: Option<String>,
    account: Option<String>,
    month: Option<String>,
}

impl Named {
    /// The fields that are there.
    fn fields(&self) -> [Option<&'static str>; 3] {
        [
            self.post.as_ref().map(|_| "post_id"),
            self.account.as_ref().map(|_| "account_id"),
            self.month.as_ref().map(|_| "month"),
        ]
    }

    fn read(&self, found: &mut Vec<Finding>) -> Option<Of> {
        match (&self.post, &self.account, &self.month) {
            (Some(post), None, None) => {
                let id = Uuid::try_parse(post).ok();
                found.extend(id.is_none().then(no_post));
                id.map(Of::Post)
            }
            (None, Some(account), Some(first)) => {
                let (id, first) = (Uuid::try_parse(account).ok(), month(first));
                found.extend(id.is_none().then(no_account));
                found.extend(
                    first
                        .is_none()
                        .then(|| Finding::new("month", "month_unknown", "Say which month, as in 2026-10.")),
                );
                id.zip(first).map(|(id, first)| Of::Month(id, first))
            }
            _ => {
                let detail = "Say of which post, or of which account and in which month.";
                found.push(Finding::new("post_id", "required", detail));
                None
            }
        }
    }
}

/// The first day of a month that is written like 2026-10.
pub fn month(text: &str) -> Option<NaiveDate> {
    let plain = text.len() == 7 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let first = plain.then(|| format!("{text}-01"))?.parse::<NaiveDate>().ok();
    // before there were networks nothing was counted
    first.filter(|first| *first >= FIRST)
}

/// No month before this one is told of.
const FIRST: NaiveDate = match NaiveDate::from_ymd_opt(2000, 1, 1) {
    Some(first) => first,
    None => NaiveDate::MIN,
};

fn not_here(field: &'static str) -> Finding {
    Finding::new(field, "not_here", "An analysis of this kind has no such field: leave it out.")
}

fn no_post() -> Finding {
    Finding::new("post_id", "post_unknown", "There is no such post: it may have been deleted.")
}

fn no_account() -> Finding {
    Finding::new("account_id", "account_unknown", "There is no such account: it may have been disconnected.")
}

/// A word of a closed set, which has to be there.
fn word<T>(
    given: Option<&str>,
    field: &str,
    parse: fn(&str) -> Option<T>,
    found: &mut Vec<Finding>,
    all: impl Iterator<Item = &'static str>,
) -> Option<T> {
    let parsed = given.and_then(parse);
    if parsed.is_none() && found.iter().all(|finding| finding.field != field) {
        let finding = match given {
            None => Finding::new(field, "required", "Say which."),
            Some(other) => Finding::new(field, "unknown", format!("“{}” is none here.", text::shown(other))),
        };
        found.push(finding.accepting(all));
    }
    parsed
}

/// A film and figures speak for themselves; words have to be about something.
fn brief_finding(brief: &str, kind: Option<Kind>) -> Option<Finding> {
    let least = usize::from(!matches!(kind, Some(Kind::VideoReview | Kind::Results)));
    let length = brief.trim().chars().count();
    (!(least..=BRIEF_MOST).contains(&length)).then(|| {
        let detail =
            format!("Say in {least} to {BRIEF_MOST} characters what it is about; there are {length}.");
        Finding::new("brief", "length", detail)
    })
}

fn ids(named: &[String], found: &mut Vec<Finding>) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for (n, name) in named.iter().enumerate() {
        match Uuid::try_parse(name) {
            Ok(id) if ids.contains(&id) => {
                found.push(Finding::new(format!("media_ids[{n}]"), "repeated", "This file is named twice."));
            }
            Ok(id) => ids.push(id),
            Err(_) => found.push(no_media(n)),
        }
    }
    ids
}

fn platform_finding(app: &App, before: &[String], n: usize, name: &String) -> Option<Finding> {
    // what nothing is published to has no captions
    let takes = || app.house.platforms.iter().filter(|platform| !platform.surfaces.is_empty());
    let known = || takes().map(|platform| platform.name);
    let field = format!("platforms[{n}]");
    if before.contains(name) {
        return Some(Finding::new(field, "repeated", "This network is named twice."));
    }
    let unknown = known().all(|platform| platform != name);
    unknown.then(|| {
        Finding::new(field, "unknown", format!("“{}” is no network here.", text::shown(name)))
            .accepting(known())
    })
}

fn no_media(n: usize) -> Finding {
    Finding::new(format!("media_ids[{n}]"), "media_unknown", "There is no such file: upload it first.")
}

fn too_many_files() -> Finding {
    Finding::new("media_ids", "too_many", format!("At most {MOST_FILES} files are looked at."))
}

fn too_many_platforms() -> Finding {
    Finding::new("platforms", "too_many", "There are not that many networks.")
}

fn refused(why: &NotTaken, media_ids: &[Uuid]) -> Refused {
    Refused::Wrong(match why {
        NotTaken::Off => return Refused::Off,
        NotTaken::NoMedia(id) => no_media(media_ids.iter().position(|it| it == id).unwrap_or_default()),
        NotTaken::NoPost => no_post(),
        NotTaken::NoAccount => no_account(),
        NotTaken::NoNetwork => {
            let detail = "The workspace has no account on any network: say for which networks to write.";
            Finding::new("platforms", "required", detail)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_written_in_one_way() {
        assert_eq!(month("2026-10"), NaiveDate::from_ymd_opt(2026, 10, 1));
        for wrong in ["2026-13", "2026-1", "26-10", "2026-10-01", "1999-12", "2026/10", "+026-10", ""] {
            assert_eq!(month(wrong), None, "{wrong}");
        }
    }
}
