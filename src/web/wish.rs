//! What somebody wishes to publish, from the API or from the form, and whether it can be.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::surface::{Platform, PostKind, Shape};
use uuid::Uuid;

use super::{
    finding::Finding,
    links,
    place::{At, Content, Placed},
    spans, times, utm,
};
use crate::{
    config,
    ledger::{
        accept::{Facts, NewPost, NewTarget, Question, Written},
        accounts::Account,
        idempotency::Asked,
        media::Media,
    },
};

/// The most accounts one post may go to.
pub const MOST_TARGETS: usize = 50;
/// More files than any network takes.
pub const MOST_FILES: usize = 100;

/// A post with more accounts than one may have.
pub fn too_many_targets() -> Finding {
    let detail = format!("A post goes to at most {MOST_TARGETS} accounts.");
    Finding::new("targets", "too_many_targets", detail)
}

/// A post with more files than any network takes.
pub fn too_many_files() -> Finding {
    let detail = format!("No network takes more than {MOST_FILES} files in a post.");
    Finding::new("media_ids", "media_count", detail)
}

/// A post as it was asked for: readable, and not yet judged.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The words.
    pub caption: String,
    /// The kind.
    pub kind: PostKind,
    /// The files, in order.
    pub media_ids: Vec<String>,
    /// A web address to show.
    pub link: Option<String>,
    /// Where to.
    pub targets: Vec<WishedTarget>,
    /// When; `None` is now.
    pub schedule: Option<WishedTime>,
    /// Past its time plus this it is held; `None` is the default.
    pub latest_after: Option<String>,
}

/// One account of a wish.
#[derive(Debug, Clone)]
pub struct WishedTarget {
    /// Which.
    pub account_id: String,
    /// Its own words; `None` is the post's.
    pub caption: Option<String>,
    /// What the author chose for its network.
    pub options: BTreeMap<String, String>,
    /// An accepted post goes there already, and the request does not name it: whether its account may be used is
    /// asked again before it is sent.
    pub stands: bool,
}

impl WishedTarget {
    /// Who may see it: as the author chose, or as the account has it by default.
    pub fn privacy_level<'a>(&'a self, account: &'a Account) -> Option<&'a str> {
        let chosen = self.options.get("privacy_level").map(String::as_str);
        chosen.or_else(|| account.defaults["privacy_level"].as_str())
    }
}

/// The time of a wish.
#[derive(Debug, Clone)]
pub struct WishedTime {
    /// As it was written; `None` was not readable.
    pub at: Option<String>,
    /// An IANA name.
    pub time_zone: Option<String>,
    /// `earlier` or `later`.
    pub fold: Option<String>,
}

/// What a wish is measured against.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The networks that are switched on.
    pub platforms: Vec<&'static Platform>,
    /// How far ahead a post may be scheduled.
    pub horizon: TimeDelta,
    /// How posts are brought out.
    pub publishing: config::Publishing,
}

/// When it goes out.
pub type When = (Option<Written>, DateTime<Utc>);

impl Wish {
    /// The words that this target gets.
    pub fn caption_of<'a>(&'a self, target: &'a WishedTarget) -> &'a str {
        target.caption.as_deref().unwrap_or(&self.caption)
    }

    /// What has to be asked of the ledger to judge it.
    pub fn question(&self, workspace_id: Uuid, asked: Option<Asked>) -> Question {
        let ids = |texts: &[&String]| {
            let mut ids: Vec<Uuid> = texts.iter().filter_map(|text| Uuid::try_parse(text).ok()).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let accounts: Vec<&String> =
            self.targets.iter().map(|it| &it.account_id).take(MOST_TARGETS).collect();
        let media: Vec<&String> = self.media_ids.iter().take(MOST_FILES).collect();
        Question { workspace_id, asked, account_ids: ids(&accounts), media_ids: ids(&media), waits: false }
    }

    /// The post it makes, or everything that is wrong with it; `found` is what its reader has found already.
    ///
    /// # Errors
    /// At least one finding.
    pub fn judge(
        &self,
        facts: &Facts,
        rules: &Rules,
        created_by: Uuid,
        found: Vec<Finding>,
    ) -> Result<NewPost, Vec<Finding>> {
        let Weighed { files, latest_after, when, placed, mut found } = self.weigh(facts, rules, found);
        let refused = placed.iter().flat_map(|placed| placed.found.clone()).collect();
        found.extend(distinct(refused));
        let targets: Option<Vec<NewTarget>> = placed.into_iter().map(|placed| placed.target).collect();
        match (files, latest_after, when, targets) {
            (Some(files), Some(latest_after), Some((written, scheduled_for)), Some(targets))
                if found.is_empty() =>
            {
                Ok(NewPost {
                    created_by,
                    kind: self.kind,
                    caption: self.caption.clone(),
                    link: self.link.clone(),
                    media_ids: files.iter().map(|file| file.id).collect(),
                    written,
                    scheduled_for,
                    latest_after,
                    prepare_ahead: rules.publishing.prepare_ahead,
                    repeat_within: rules.publishing.repeat_within,
                    targets,
                })
            }
            _ => Err(found),
        }
    }

    /// Measures it against everything it has to fit; whoever judges or checks it goes by this alone.
    pub fn weigh<'a>(&self, facts: &'a Facts, rules: &Rules, mut found: Vec<Finding>) -> Weighed<'a> {
        // What was not readable is not judged as if it were empty.
        let readable =
            !found.iter().any(|finding| is_about_content(&finding.field) && finding.code != "unknown_field");
        let files = keep(self.files(facts), &mut found);
        let link = keep(self.link.as_deref().map_or(Ok(()), links::check).map_err(one), &mut found);
        let latest_after = keep(self.latest_after(rules), &mut found);
        let when = keep(self.when(facts.now, rules), &mut found);
        keep(self.repeated(), &mut found);
        let shapes: Vec<Shape> = files.iter().flatten().map(|file| shape(file)).collect();
        let content = Content { shapes: &shapes, whole: readable && files.is_some() && link.is_some() };
        // what its reader did not take is not missing besides
        let named = !found.iter().any(|finding| finding.field == "targets");
        let placed = if named || !self.targets.is_empty() {
            self.targets(facts, rules, content)
        } else {
            Ok(Vec::new())
        };
        let mut placed = keep(placed, &mut found).unwrap_or_default();
        keep(self.address(facts, rules, when.as_ref(), &mut placed), &mut found);
        Weighed { files, latest_after, when, placed, found }
    }

    fn files<'a>(&self, facts: &'a Facts) -> Result<Vec<&'a Media>, Vec<Finding>> {
        if self.media_ids.len() > MOST_FILES {
            return Err(one(too_many_files()));
        }
        let found = self.media_ids.iter().enumerate().map(|(n, id)| {
            let file =
                Uuid::try_parse(id).ok().and_then(|id| facts.media.iter().find(|media| media.id == id));
            let find = |code, detail| Finding::new(format!("media_ids[{n}]"), code, detail);
            match file {
                None => Err(find(
                    "media_unknown",
                    "There is no such file here. Upload it with POST /api/v1/media.",
                )),
                Some(file) if !file.ready => {
                    Err(find("media_not_ready", "This file is not completely uploaded yet."))
                }
                Some(file) => Ok(file),
            }
        });
        all(found)
    }

    fn latest_after(&self, rules: &Rules) -> Result<Duration, Vec<Finding>> {
        self.latest_after.as_deref().map_or(Ok(rules.publishing.latest_after), spans::parse).map_err(one)
    }

    fn when(&self, now: DateTime<Utc>, rules: &Rules) -> Result<When, Vec<Finding>> {
        let Some(WishedTime { at, time_zone, fold }) = &self.schedule else { return Ok((None, now)) };
        let Some(at) = at else { return Err(Vec::new()) };
        let asked = times::Asked { at, time_zone: time_zone.as_deref(), fold: fold.as_deref() };
        let moment = times::resolve(&asked, now, rules.horizon)?;
        let written = Written { wall_time: moment.wall_time, time_zone: moment.time_zone, fold: moment.fold };
        Ok((Some(written), moment.instant))
    }

    fn repeated(&self) -> Result<(), Vec<Finding>> {
        let again = |(n, target): (usize, &WishedTarget)| {
            let id = Uuid::try_parse(&target.account_id).ok()?;
            let earlier = &self.targets[..n];
            let repeated = earlier.iter().any(|other| Uuid::try_parse(&other.account_id) == Ok(id));
            let field = format!("targets[{n}].account_id");
            repeated
                .then(|| Finding::new(field, "target_repeated", "This account is named twice. Name it once."))
        };
        let again: Vec<Finding> =
            self.targets.iter().take(MOST_TARGETS).enumerate().filter_map(again).collect();
        if again.is_empty() { Ok(()) } else { Err(again) }
    }

    /// Gives each target the link that its followers get.
    fn address(
        &self,
        facts: &Facts,
        rules: &Rules,
        when: Option<&When>,
        placed: &mut [Placed],
    ) -> Result<(), Vec<Finding>> {
        let Some(link) = &self.link else { return Ok(()) };
        let day = when.map_or(facts.now.date_naive(), |(written, at)| utm::day(written.as_ref(), *at));
        let links = utm::Links { facts, platforms: &rules.platforms, link, day };
        for it in placed {
            let (Some(account), Some(surface)) = (&it.account, it.surface) else { continue };
            it.link = links.on(account.id, surface).map_err(one)?;
            if let Some(target) = &mut it.target {
                target.link.clone_from(&it.link);
            }
        }
        Ok(())
    }

    fn targets(
        &self,
        facts: &Facts,
        rules: &Rules,
        content: Content<'_>,
    ) -> Result<Vec<Placed>, Vec<Finding>> {
        if self.targets.is_empty() {
            return Err(one(Finding::new(
                "targets",
                "target_required",
                "Name at least one account to publish on.",
            )));
        }
        if self.targets.len() > MOST_TARGETS {
            return Err(one(too_many_targets()));
        }
        let place = |(n, target)| At { n, target, wish: self, rules }.place(facts, content);
        Ok(self.targets.iter().enumerate().map(place).collect())
    }
}

/// A wish that was measured.
pub struct Weighed<'a> {
    /// The files, if all of them are there.
    pub files: Option<Vec<&'a Media>>,
    /// Past its time plus this it is held.
    pub latest_after: Option<Duration>,
    /// When it goes out.
    pub when: Option<When>,
    /// Each target in turn.
    pub placed: Vec<Placed>,
    /// What is wrong with the post as a whole.
    pub found: Vec<Finding>,
}

fn is_about_content(field: &str) -> bool {
    let whole = ["body", "caption", "kind", "link"].contains(&field);
    whole || field.starts_with("media_ids") || field.ends_with("].caption")
}

fn shape(file: &Media) -> Shape {
    Shape {
        content_type: file.content_type.clone(),
        bytes: file.bytes.unsigned_abs(),
        width: file.width.unsigned_abs(),
        height: file.height.unsigned_abs(),
        duration_ms: file.duration_ms.map(i64::unsigned_abs),
    }
}

fn one(finding: Finding) -> Vec<Finding> {
    vec![finding]
}

/// Findings about one item of a list.
struct Several(Vec<Finding>);

impl From<Finding> for Several {
    fn from(finding: Finding) -> Self {
        Self(vec![finding])
    }
}

/// Every item, or every finding.
fn all<T, E: Into<Several>>(items: impl Iterator<Item = Result<T, E>>) -> Result<Vec<T>, Vec<Finding>> {
    let (mut good, mut found, mut refused) = (Vec::new(), Vec::new(), false);
    for item in items {
        match item {
            Ok(item) => good.push(item),
            Err(several) => {
                refused = true;
                found.extend(several.into().0);
            }
        }
    }
    if refused { Err(found) } else { Ok(good) }
}

/// The value; or nothing, and its findings beside the others.
fn keep<T>(result: Result<T, Vec<Finding>>, found: &mut Vec<Finding>) -> Option<T> {
    result.map_err(|findings| found.extend(findings)).ok()
}

/// What two targets have in common is said once.
fn distinct(findings: Vec<Finding>) -> Vec<Finding> {
    let mut said = HashSet::new();
    findings.into_iter().filter(|finding| said.insert(finding.clone())).collect()
}
