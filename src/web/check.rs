//! What a post would run into, for each of its accounts; nothing is published, and nothing is kept.
//!
//! An *error* is what the post would be refused for: [`Wish::weigh`] finds it, here as there. A *warning* is taken
//! at the door, and may stop the post on its way.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use jobs::preflight::{self, Plan};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    App,
    finding::{self, Finding},
    place::Placed,
    problem::Problem,
    wish::{Weighed, Wish},
};
use crate::ledger::{
    Ledger, LedgerError,
    accept::Facts,
    accounts::Account,
    preflight::Known,
    repeats::{Said, Twin, Words},
};

/// What a post would run into.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Check)]
pub struct Report {
    /// For each target of the request, in its order.
    pub targets: Vec<OnTarget>,
    /// What is about the post as a whole.
    pub errors: Vec<Noted>,
}

/// What the post would run into on one account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = TargetCheck)]
pub struct OnTarget {
    /// The account, as it was named.
    pub account_id: String,
    /// Its network, if there is such an account.
    pub platform: Option<String>,
    /// What the post would become there; `null` where the network would not take it.
    pub surface: Option<&'static str>,
    /// The link that its followers get, where the workspace adds parameters to it. What is about the post's id is known
    /// only when it is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// What stands in the way; empty: nothing.
    pub findings: Vec<Noted>,
    /// What the network last said of the account, and when: the findings go by it.
    pub facts: Vec<FactAge>,
}

/// Something that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CheckFinding)]
pub struct Noted {
    /// Where: `schedule.at`, `targets[0].caption`.
    pub field: String,
    /// A stable word.
    pub code: String,
    /// What was found and what can be done about it.
    pub detail: String,
    /// Values that would be taken.
    pub accepted: Vec<String>,
    /// Who can mend it: `author`, `owner` of the account, `staff` of the workspace, `operator` of this house, or
    /// `postroom`, which waits.
    pub who_acts: &'static str,
    /// `error`: the post would be refused. `warning`: it would be taken, and may be stopped on its way.
    pub severity: &'static str,
    /// Another post that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_id: Option<Uuid>,
}

/// Something a network said of an account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AccountFact)]
pub struct FactAge {
    /// `token`, `publishing_limit`, `creator`.
    pub kind: &'static str,
    /// When it said so.
    pub read_at: DateTime<Utc>,
}

impl From<Finding> for Noted {
    fn from(finding: Finding) -> Self {
        let Finding { field, code, detail, accepted, who_acts } = finding;
        let (code, who_acts) = (code.to_owned(), who_acts.word());
        Self { field, code, detail, accepted, who_acts, severity: "error", post_id: None }
    }
}

impl Noted {
    /// What may stop a target that would be taken.
    fn warning(n: usize, finding: preflight::Finding) -> Self {
        let field = match finding.field.as_str() {
            whole if whole.starts_with("media_ids") => finding.field,
            of_target => format!("targets[{n}].{of_target}"),
        };
        Self {
            field,
            code: finding.code,
            detail: finding.detail,
            accepted: finding.accepted,
            who_acts: finding.who_acts.word(),
            severity: "warning",
            post_id: finding.post_id,
        }
    }
}

impl Report {
    /// So much of it that an answer stays short.
    fn listed(mut self) -> Self {
        let (mut room, mut more) = (finding::MOST, 0);
        let of_targets = self.targets.iter_mut().map(|target| &mut target.findings);
        for list in std::iter::once(&mut self.errors).chain(of_targets) {
            more += list.len().saturating_sub(room);
            list.truncate(room);
            room -= list.len();
        }
        self.errors.extend(finding::and_more(more).map(Noted::from));
        self
    }

    /// Everything there is to say, in the order of the request.
    pub fn all(self) -> Vec<Noted> {
        self.errors.into_iter().chain(self.targets.into_iter().flat_map(|target| target.findings)).collect()
    }
}

impl App {
    /// Checks a post. `found` is what its reader has found already.
    ///
    /// # Errors
    /// The ledger is away, or worse.
    pub async fn check(
        &self,
        workspace_id: Uuid,
        wish: &Wish,
        found: Vec<Finding>,
    ) -> Result<Report, Problem> {
        let ledger = self.within(workspace_id);
        let facts = ledger.survey(&wish.question(workspace_id, None)).await?;
        let weighed = wish.weigh(&facts, &self.rules, found);
        let seen = self.seen(&ledger, wish, &facts, &weighed).await?;
        let placed = wish.targets.iter().zip(&weighed.placed).enumerate();
        let targets = placed.map(|(n, (target, placed))| {
            let at = At { n, wish, facts: &facts, weighed: &weighed, seen: &seen };
            let warnings = placed.account.as_ref().map(|account| at.warnings(placed, account));
            let errors = placed.found.iter().cloned().map(Noted::from);
            OnTarget {
                account_id: target.account_id.clone(),
                platform: placed.account.as_ref().map(|account| account.platform.clone()),
                surface: placed.surface,
                link: placed.link.clone(),
                findings: errors.chain(warnings.unwrap_or_default()).collect(),
                facts: placed.account.as_ref().map(|account| seen.ages(account)).unwrap_or_default(),
            }
        });
        let targets = targets.collect();
        Ok(Report { targets, errors: weighed.found.into_iter().map(Noted::from).collect() }.listed())
    }

    /// What is known besides of the accounts that it names.
    async fn seen(
        &self,
        ledger: &Ledger,
        wish: &Wish,
        facts: &Facts,
        weighed: &Weighed<'_>,
    ) -> Result<Seen, LedgerError> {
        let words: Vec<Words> = wish
            .targets
            .iter()
            .zip(&weighed.placed)
            .filter_map(|(target, placed)| {
                let account_id = placed.account.as_ref()?.id;
                Some(Words { account_id, caption: wish.caption_of(target).to_owned() })
            })
            .collect();
        let accounts: Vec<Uuid> = words.iter().map(|words| words.account_id).collect();
        let files: Option<Vec<Uuid>> =
            weighed.files.as_ref().map(|files| files.iter().map(|file| file.id).collect());
        let at = weighed.when.as_ref().map_or(facts.now, |(_, at)| *at);
        let twins = async {
            // of a post of which something is missing nothing can be the same
            let Some(files) = files else { return Ok(Vec::new()) };
            let said = Said { link: wish.link.as_deref(), media_ids: &files, at };
            ledger.twins(&words, said, self.rules.publishing.repeat_within).await
        };
        let (known, twins) = tokio::try_join!(ledger.known(&accounts), twins)?;
        Ok(Seen { known, twins })
    }
}

/// What is known besides of the accounts of a post.
struct Seen {
    known: HashMap<Uuid, Vec<Known>>,
    twins: Vec<Twin>,
}

impl Seen {
    fn of(&self, account: &Account) -> &[Known] {
        self.known.get(&account.id).map_or(&[], Vec::as_slice)
    }

    fn ages(&self, account: &Account) -> Vec<FactAge> {
        let age = |known: &Known| FactAge { kind: known.fact.kind(), read_at: known.read_at };
        self.of(account).iter().map(age).collect()
    }
}

/// One target being checked.
struct At<'a> {
    n: usize,
    wish: &'a Wish,
    facts: &'a Facts,
    weighed: &'a Weighed<'a>,
    seen: &'a Seen,
}

impl At<'_> {
    fn warnings(&self, placed: &Placed, account: &Account) -> Vec<Noted> {
        let scheduled_for = self.weighed.when.as_ref().map_or(self.facts.now, |(_, at)| *at);
        let subject = account.subject();
        let mut found = Vec::new();
        if subject.inactive().is_none() {
            found.extend(subject.access_ends(scheduled_for));
            found.extend(subject.access_lacks());
            let plan = self.plan(placed, account, scheduled_for);
            found.extend(self.seen.of(account).iter().flat_map(|known| plan.against(&known.fact)));
        }
        found.extend(self.unseen_words(placed));
        found.extend(self.repeats(account));
        found.into_iter().map(|finding| Noted::warning(self.n, finding)).collect()
    }

    fn plan<'p>(&'p self, placed: &Placed, account: &'p Account, scheduled_for: DateTime<Utc>) -> Plan<'p> {
        let files = self.weighed.files.iter().flatten();
        Plan {
            network: placed.platform.map_or(&account.platform, |platform| platform.title),
            scheduled_for,
            now: self.facts.now,
            privacy_level: self.wish.targets.get(self.n).and_then(|target| target.privacy_level(account)),
            film_ms: files.filter_map(|file| file.duration_ms).max().map(i64::unsigned_abs),
        }
    }

    /// That nobody will read what was written, where that is so.
    fn unseen_words(&self, placed: &Placed) -> Option<preflight::Finding> {
        let (platform, target) = (placed.platform?, self.wish.targets.get(self.n)?);
        let surface = platform.surface(placed.surface?)?;
        if surface.shows_words() || self.wish.caption_of(target).trim().is_empty() {
            return None;
        }
        let detail = format!(
            "{} shows no words with a story: the caption is not published. Put it into the picture or film itself.",
            platform.title
        );
        Some(preflight::Finding::new("caption", "caption_not_shown", detail, preflight::Who::Author))
    }

    fn repeats(&self, account: &Account) -> Option<preflight::Finding> {
        let twin = self.seen.twins.iter().find(|twin| twin.account_id == account.id)?;
        Some(twin.finding(self.facts))
    }
}
