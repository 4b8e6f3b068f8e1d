//! Findings as the form shows them: each beside the field it is about.

use jobs::comment;

use super::{
    form::Written,
    texts::{Texts, fill},
    words,
};
use crate::{
    ledger::accounts::Account,
    web::{App, check::Noted},
};

/// A finding and the field it stands beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The field's id in the page.
    pub anchor: String,
    /// What to mend.
    pub detail: String,
    /// The same with the field's name, for the list above the form.
    pub summary: String,
    /// The post is taken all the same.
    pub warning: bool,
    /// Another post that it is about.
    pub post: Option<String>,
}

/// What findings are told about.
pub struct About<'a> {
    /// What was written.
    pub written: &'a Written,
    /// The accounts in the order in which the findings count them.
    pub targets: &'a [String],
    /// All accounts, in the order of the page.
    pub accounts: &'a [Account],
}

/// Each finding beside the field it is about, in the order of the page; what several accounts share is said once.
pub fn tell(t: &Texts, findings: &[Noted], about: &About<'_>, app: &App) -> Vec<Told> {
    let About { written, targets, accounts } = about;
    let mut told: Vec<Told> = Vec::new();
    for finding in findings {
        let (target, field) = split(&finding.field);
        let account = target.and_then(|n| targets.get(n));
        let platform = account
            .and_then(|id| accounts.iter().find(|it| it.id.to_string() == *id))
            .map(|it| words::network(app, &it.platform));
        let detail = match platform {
            // The networks' findings name themselves already.
            Some(network) if field == "account_id" => format!("{network}: {}", finding.detail),
            _ => finding.detail.clone(),
        };
        let own = account.filter(|id| field == "caption" && written.own_words(id).is_some());
        let one = Told {
            anchor: own
                .map_or_else(|| anchor(account.map(String::as_str), field), |id| format!("words-{id}")),
            summary: fill(t.finding_at, &[own.map_or_else(|| label(t, field), |_| t.own_words), &detail]),
            detail,
            warning: finding.severity == "warning",
            post: finding.post_id.map(|id| format!("/posts/{id}")),
        };
        if !told.contains(&one) {
            told.push(one);
        }
    }
    told.sort_by_key(|told| place(&told.anchor, accounts));
    told
}

/// What stands beside this field.
pub fn beside<'a>(told: &'a [Told], anchor: &str) -> Vec<&'a Told> {
    told.iter().filter(|told| told.anchor == anchor).collect()
}

/// Whether anything stands beside this field.
pub fn is_beside(told: &[Told], anchor: &str) -> bool {
    told.iter().any(|told| told.anchor == anchor)
}

fn anchor(account: Option<&str>, field: &str) -> String {
    match (account, field) {
        (Some(id), "account_id") => format!("target-{id}"),
        (Some(id), "options.privacy_level") => format!("privacy-{id}"),
        (Some(id), comment::FIELD) => format!("comment-{id}"),
        (_, "caption") => "caption".to_owned(),
        (_, "schedule.at") => "date".to_owned(),
        (_, "schedule.fold") => "fold".to_owned(),
        (_, "schedule.time_zone") => "zone".to_owned(),
        (_, "kind") => "kind".to_owned(),
        (_, "link") => "link".to_owned(),
        (_, field) if field.starts_with("media_ids") => "media".to_owned(),
        _ => "targets".to_owned(),
    }
}

/// The fields of one account, in the order of the page.
const PARTS: [&str; 4] = ["target-", "words-", "privacy-", "comment-"];

/// Where in the page a field stands: among the fields, and among the accounts.
fn place(anchor: &str, accounts: &[Account]) -> (usize, usize) {
    let fields = ["caption", "kind", "targets", "media", "link", "zone", "date", "fold"];
    let mut parts = PARTS.iter().enumerate();
    let part = parts.find_map(|(n, prefix)| Some((n, anchor.strip_prefix(prefix)?)));
    let of = |name: &str| fields.iter().position(|field| *field == name).unwrap_or(fields.len());
    match part {
        None => (of(anchor), 0),
        Some((n, id)) => {
            let account = accounts.iter().position(|it| it.id.to_string() == id).unwrap_or(accounts.len());
            (of("targets"), 1 + PARTS.len() * account + n)
        }
    }
}

/// What the form calls a field.
pub fn label(t: &Texts, field: &str) -> &'static str {
    match field {
        "caption" => t.caption,
        "schedule.at" | "schedule.fold" => t.when,
        "schedule.time_zone" => t.zone,
        "kind" => t.kind,
        "link" => t.link,
        comment::FIELD => t.comment,
        field if field.starts_with("media_ids") => t.media,
        _ => t.targets,
    }
}

/// `targets[2].caption` is about target 2's caption.
pub fn split(field: &str) -> (Option<usize>, &str) {
    let target = field.strip_prefix("targets[").and_then(|rest| rest.split_once("]."));
    match target.and_then(|(n, field)| Some((n.parse().ok()?, field))) {
        Some((n, field)) => (Some(n), field),
        None => (None, field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_split_from_its_field() {
        assert_eq!(split("targets[2].options.privacy_level"), (Some(2), "options.privacy_level"));
        assert_eq!(split("targets"), (None, "targets"));
        assert_eq!(split("schedule.at"), (None, "schedule.at"));
    }

    #[test]
    fn findings_stand_in_the_order_of_the_page() {
        let mut anchors =
            ["date", "comment-x", "privacy-x", "words-x", "target-x", "targets", "media", "caption", "fold"];
        anchors.sort_by_key(|anchor| place(anchor, &[]));
        assert_eq!(
            anchors,
            ["caption", "targets", "target-x", "words-x", "privacy-x", "comment-x", "media", "date", "fold"]
        );
    }
}
