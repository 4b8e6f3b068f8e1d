//! States, times and events in plain words.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use jobs::machine::State;

use super::texts::{Texts, fill};
use crate::{
    ledger::{
        accounts::AccountState,
        people::MemberRole,
        posts::{Event, Happening, Post, Publication},
        take_down::{TakeDownState, TakenDown},
    },
    web::{App, times},
};

/// A state as a chip: what it says, its colour, its sign.
#[derive(Debug, Clone, Copy)]
pub struct Chip {
    pub word: &'static str,
    pub label: &'static str,
    pub tone: &'static str,
    pub icon: &'static str,
}

/// The chip of one of the API's words.
pub fn chip(t: &Texts, shown: &'static str) -> Chip {
    let (label, tone, icon) = match shown {
        "scheduled" => (t.state_scheduled, "calm", "clock"),
        "preparing" => (t.state_preparing, "busy", "dots"),
        "waiting" => (t.state_waiting, "busy", "dots"),
        "publishing" => (t.state_publishing, "busy", "send"),
        "confirming" => (t.state_confirming, "watch", "question"),
        "published" => (t.state_published, "good", "check"),
        "retrying" => (t.state_retrying, "watch", "again"),
        "held" => (t.state_held, "act", "hand"),
        "failed" => (t.state_failed, "bad", "cross"),
        _ => (t.state_cancelled, "calm", "minus"),
    };
    Chip { word: shown, label, tone, icon }
}

/// The chip of a post.
pub fn post_chip(t: &Texts, post: &Post) -> Chip {
    if post.unapproved() {
        Chip { word: "unapproved", label: t.waits_for_approval, tone: "act", icon: "hand" }
    } else {
        chip(t, post.shown())
    }
}

/// The chip of an account.
pub fn account_chip(t: &Texts, state: AccountState) -> Chip {
    let (label, tone, icon) = match state {
        AccountState::Active => (t.account_active, "good", "check"),
        AccountState::Paused => (t.account_paused, "watch", "pause"),
        AccountState::Reconnect => (t.account_reconnect, "act", "hand"),
        AccountState::Frozen => (t.account_frozen, "calm", "minus"),
        AccountState::Erased => (t.account_erased, "calm", "minus"),
    };
    Chip { word: state.word(), label, tone, icon }
}

/// What a publication is doing, as a sentence.
pub fn says(t: &Texts, it: &Publication, network: &str, now: DateTime<Utc>) -> String {
    let text = match it.state {
        State::Scheduled if it.scheduled_for > now => t.says_scheduled,
        State::Scheduled => t.says_due,
        State::Preparing | State::Prepared => t.says_preparing,
        State::Waiting => t.says_waiting,
        State::Armed => t.says_publishing,
        State::Unknown => t.says_confirming,
        State::RetryWait => t.says_retrying,
        State::Published if is_gone(it) => t.says_taken_down,
        State::Published if it.cancel_requested_at.is_some() => t.says_published_too_late,
        State::Published => t.says_published,
        State::Held => t.says_held,
        State::Failed => t.says_failed,
        State::Cancelled => t.says_cancelled,
    };
    fill(text, &[network])
}

/// Whether it was taken down.
pub fn is_gone(it: &Publication) -> bool {
    it.taken_down.as_ref().is_some_and(|it| it.state == TakeDownState::Gone)
}

/// The chip of a wish to take it down.
pub fn take_down_chip(t: &Texts, state: TakeDownState) -> Chip {
    let (label, tone, icon) = match state {
        TakeDownState::Asked => (t.taken_down_asked, "busy", "dots"),
        TakeDownState::Gone => (t.taken_down_gone, "calm", "minus"),
        TakeDownState::Refused => (t.taken_down_refused, "act", "hand"),
    };
    Chip { word: state.word(), label, tone, icon }
}

/// Who acts, from the API's word.
pub fn who(t: &Texts, word: &str) -> &'static str {
    match word {
        "owner" => t.who_owner,
        "author" => t.who_author,
        "staff" => t.who_staff,
        "operator" => t.who_operator,
        _ => t.who_postroom,
    }
}

/// What a role is called.
pub const fn role(t: &Texts, role: MemberRole) -> &'static str {
    match role {
        MemberRole::Viewer => t.role_viewer,
        MemberRole::Author => t.role_author,
        MemberRole::Publisher => t.role_publisher,
        MemberRole::Admin => t.role_admin,
        MemberRole::Privacy => t.role_privacy,
    }
}

/// What somebody of a role may do.
pub const fn role_may(t: &Texts, role: MemberRole) -> &'static str {
    match role {
        MemberRole::Viewer => t.role_viewer_may,
        MemberRole::Author => t.role_author_may,
        MemberRole::Publisher => t.role_publisher_may,
        MemberRole::Admin => t.role_admin_may,
        MemberRole::Privacy => t.role_privacy_may,
    }
}

/// What people call a network.
pub fn network<'a>(app: &App, platform: &'a str) -> &'a str {
    app.rules.platforms.iter().find(|it| it.name == platform).map_or(platform, |it| it.title)
}

/// `Tue 1 Dec 2026, 09:30`.
pub fn date_time(at: NaiveDateTime) -> String {
    at.format("%a %-d %b %Y, %H:%M").to_string()
}

/// `1 Dec 2026`.
pub fn day(at: DateTime<Utc>) -> String {
    at.format("%-d %b %Y").to_string()
}

/// `1 Dec 2026, 09:30 UTC`.
pub fn minute(at: DateTime<Utc>) -> String {
    at.format("%-d %b %Y, %H:%M UTC").to_string()
}

/// When a post goes out, in the zone it was written in.
pub fn when(t: &Texts, post: &Post) -> String {
    match (post.wall_time, &post.time_zone) {
        (Some(wall), Some(zone)) => format!("{} {zone}", date_time(wall)),
        _ => fill(t.schedule_utc, &[&date_time(post.scheduled_for.naive_utc())]),
    }
}

/// `in 3 hours`, `5 minutes ago`.
pub fn relative(t: &Texts, at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let away = at - now;
    let span =
        if away.abs() < TimeDelta::minutes(1) { t.a_moment.to_owned() } else { times::span(away.abs()) };
    fill(if away >= TimeDelta::zero() { t.in_time } else { t.ago }, &[&span])
}

/// One line of a publication's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// For machines.
    pub instant: String,
    /// For people, in the post's zone.
    pub at: String,
    pub text: String,
    pub detail: Option<String>,
    pub tone: &'static str,
}

/// A publication's history in plain words, oldest first.
pub fn history(t: &Texts, post: &Post, it: &Publication, events: &[Event], network: &str) -> Vec<Line> {
    let zone = post.time_zone.as_deref().and_then(|name| name.parse::<Tz>().ok()).unwrap_or(Tz::UTC);
    let line = |at: DateTime<Utc>, (text, detail, tone): (String, Option<String>, &'static str)| Line {
        instant: super::super::intake::shapes::instant(at),
        at: at.with_timezone(&zone).format("%-d %b, %H:%M:%S").to_string(),
        text,
        detail,
        tone,
    };
    let mut lines = vec![line(post.created_at, (t.event_accepted.to_owned(), None, "good"))];
    let own = || events.iter().filter(|event| event.publication_id == it.id);
    // what was asked of the network about the wish comes after the wish, also within one second
    let (of_wish, others): (Vec<_>, Vec<_>) = own().partition(|event| is_of_take_down(it, event));
    lines.extend(others.iter().filter_map(|event| Some(line(event.at, told(t, &event.what, network)?))));
    if let Some(at) = it.published_at {
        lines.push(line(at, (fill(t.event_published, &[network]), None, "good")));
    }
    if let Some(wish) = &it.taken_down {
        lines.push(line(wish.asked_at, (t.event_take_down_asked.to_owned(), wish.reason.clone(), "calm")));
        let tell = |event: &&Event| Some(line(event.at, told_down(t, &event.what, wish, network)?));
        lines.extend(of_wish.iter().filter_map(tell));
        lines.extend(wish.ended_at.zip(ended(t, wish, network)).map(|(at, ended)| line(at, ended)));
    }
    lines.sort_by(|a, b| a.instant.cmp(&b.instant));
    // The same thing again and again is one line: a network is looked at many times.
    lines.dedup_by(|later, earlier| later.text == earlier.text && later.detail == earlier.detail);
    lines
}

/// Whether it is about something public, and not about a draft that nobody saw.
fn is_of_take_down(it: &Publication, event: &Event) -> bool {
    let discards = matches!(&event.what, Happening::Call { kind, .. } if kind == "discard");
    discards && it.published_at.is_some_and(|at| at <= event.at)
}

/// How a wish to take it down ended.
fn ended(t: &Texts, wish: &TakenDown, network: &str) -> Option<(String, Option<String>, &'static str)> {
    match wish.state {
        TakeDownState::Asked => None,
        TakeDownState::Gone => Some((fill(t.event_take_down_gone, &[network]), None, "calm")),
        TakeDownState::Refused => {
            let why = wish.why.as_ref().map(|why| why.message.clone());
            Some((t.event_take_down_refused.to_owned(), why, "act"))
        }
    }
}

fn told_down(
    t: &Texts,
    what: &Happening,
    wish: &TakenDown,
    network: &str,
) -> Option<(String, Option<String>, &'static str)> {
    let Happening::Call { verdict, message, .. } = what else { return None };
    let refused = wish.why.as_ref().map(|why| &why.message);
    let say =
        |text: &str, detail: Option<&String>, tone| Some((fill(text, &[network]), detail.cloned(), tone));
    match verdict.as_deref() {
        None => say(t.event_take_down_open, None, "busy"),
        // that it is gone, or why it is not, is said once
        Some("ok" | "resolved_yes") => None,
        Some("definite_no") if message.as_ref() == refused => None,
        Some("definite_no" | "resolved_no") => say(t.event_take_down_no, message.as_ref(), "watch"),
        Some(_) => say(t.event_take_down_lost, message.as_ref(), "watch"),
    }
}

fn told(t: &Texts, what: &Happening, network: &str) -> Option<(String, Option<String>, &'static str)> {
    let say = |text: &str, detail: &Option<String>, tone| {
        Some((fill(text, &[network]), detail.clone().filter(|text| !text.is_empty()), tone))
    };
    match what {
        Happening::Call { kind, verdict, message, .. } => match (kind.as_str(), verdict.as_deref()) {
            ("prepare", None) => say(t.event_prepare_open, &None, "busy"),
            ("prepare", Some("ok" | "resolved_yes")) => say(t.event_prepare_ok, &None, "good"),
            ("prepare", Some("definite_no" | "resolved_no")) => say(t.event_prepare_no, message, "bad"),
            ("prepare", Some(_)) => say(t.event_prepare_lost, message, "watch"),
            ("commit", None) => say(t.event_commit_open, &None, "busy"),
            ("commit", Some("ok")) => say(t.event_commit_ok, &None, "good"),
            ("commit", Some("definite_no")) => say(t.event_commit_no, message, "bad"),
            ("commit", Some("resolved_yes")) => say(t.event_commit_yes, &None, "good"),
            ("commit", Some("resolved_no")) => say(t.event_commit_not, message, "watch"),
            ("commit", Some(_)) => say(t.event_commit_lost, message, "watch"),
            ("discard", _) => say(t.event_discard, &None, "calm"),
            _ => None,
        },
        Happening::Verdict { published, reason, said_by, name } => {
            let who = match (name, said_by.as_str()) {
                (Some(name), _) => name,
                (None, "key") => t.verdict_by_key,
                (None, "operator") => t.verdict_by_operator,
                (None, _) => t.verdict_by_somebody,
            };
            let (text, tone) =
                if *published { (t.event_verdict_yes, "good") } else { (t.event_verdict_no, "bad") };
            Some((fill(text, &[who, network]), reason.clone(), tone))
        }
        Happening::Attempt { outcome, reason } => match outcome.as_str() {
            "waiting" => say(t.event_waiting, reason, "calm"),
            "retry" => say(t.event_retry, reason, "watch"),
            "paused" => say(t.event_paused, reason, "act"),
            "released" => say(t.event_released, reason, "calm"),
            "reaped" => say(t.event_reaped, &None, "watch"),
            "held" => say(t.event_held, reason, "act"),
            "failed" | "dead" => say(t.event_failed, reason, "bad"),
            "cancelled" => say(t.event_cancelled, &None, "calm"),
            "unknown" => say(t.event_unknown, reason, "watch"),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::console::texts::ENGLISH;

    #[test]
    fn every_state_has_a_chip_and_every_word_a_label_of_its_own() {
        let mut labels: Vec<_> = State::SHOWN.iter().map(|word| chip(&ENGLISH, word).label).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), State::SHOWN.len());
    }

    #[test]
    fn times_are_told_in_plain_words() {
        let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().expect("a time");
        for (seconds, said) in [
            (30, "in a moment"),
            (-30, "a moment ago"),
            (180, "in 3 minutes"),
            (-7_200, "2 hours ago"),
            (432_000, "in 5 days"),
        ] {
            assert_eq!(relative(&ENGLISH, now + TimeDelta::seconds(seconds), now), said);
        }
    }
}
