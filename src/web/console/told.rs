//! Findings as the form shows them: each beside the field it is about.

use jobs::comment;

use super::{
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

/// Each finding beside the field it is about, in the order of the page; what several accounts share is said once.
pub fn tell(t: &Texts, findings: &[Noted], targets: &[String], accounts: &[Account], app: &App) -> Vec<Told> {
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
        let one = Told {
            anchor: anchor(account.map(String::as_str), field),
            summary: fill(t.finding_at, &[label(t, field), &detail]),
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

/// Where in the page a field stands: among the fields, and among the accounts.
fn place(anchor: &str, accounts: &[Account]) -> (usize, usize) {
    let fields = ["caption", "kind", "targets", "media", "link", "zone", "date", "fold"];
    let mut parts = ["target-", "privacy-", "comment-"].iter().enumerate();
    let part = parts.find_map(|(n, prefix)| Some((n, anchor.strip_prefix(prefix)?)));
    let of = |name: &str| fields.iter().position(|field| *field == name).unwrap_or(fields.len());
    match part {
        None => (of(anchor), 0),
        Some((n, id)) => {
            let account = accounts.iter().position(|it| it.id.to_string() == id).unwrap_or(accounts.len());
            (of("targets"), 1 + 3 * account + n)
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
            ["date", "comment-x", "privacy-x", "target-x", "targets", "media", "caption", "fold"];
        anchors.sort_by_key(|anchor| place(anchor, &[]));
        assert_eq!(
            anchors,
            ["caption", "targets", "target-x", "privacy-x", "comment-x", "media", "date", "fold"]
        );
    }
}
