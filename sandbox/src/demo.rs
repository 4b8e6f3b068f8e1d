//! `sandbox demo`: posts a CSV through postroom's public API and watches until all of it is published.

mod api;
mod board;
mod input;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Args;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::clock::Clock;
use crate::duration;
use api::Api;
use board::Board;
use input::Row;
use report::{Posted, Report};

/// How often a post is looked at.
const LOOK: Duration = Duration::from_millis(400);

/// What `sandbox demo` is told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Postroom's address, such as `http://localhost:8080`.
    #[arg(long, value_name = "URL")]
    pub web: String,
    /// The file that holds an API key.
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// The posts, with the columns `accounts,kind,caption,media,link,in_seconds` and, if wanted, `first_comment`.
    #[arg(long, value_name = "CSV")]
    pub input: PathBuf,
    /// The sandbox's effects, to count that each post is public once.
    #[arg(long, value_name = "URL")]
    pub effects: Option<String>,
    /// How long to wait for all of it.
    #[arg(long, default_value = "10m", value_parser = duration::parse)]
    pub timeout: Duration,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Why the demonstration could not be given.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The CSV, or a file that it names, is not right.
    #[error("{0}")]
    Input(String),
    /// A file could not be read.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// Postroom refused a request for good.
    #[error("{what}: {detail}")]
    Refused {
        /// What was asked.
        what: String,
        /// What postroom said.
        detail: String,
    },
    /// Time ran out before postroom had answered.
    #[error("{what}: no answer in time; the last trouble was: {last}")]
    TooLate {
        /// What was asked.
        what: String,
        /// What went wrong last.
        last: String,
    },
}

/// Gives the demonstration. True if every post was published, and as often as it should be.
pub async fn run(options: Options) -> Result<bool, DemoError> {
    let deadline = Instant::now() + options.timeout;
    let key = std::fs::read_to_string(&options.key_file)
        .map_err(|error| DemoError::File(options.key_file.clone(), error))?;
    let api = Api::new(&options.web, key.trim(), deadline)?;
    let rows = input::read(&options.input)?;
    let before = match &options.effects {
        Some(url) => api.newest_effect(url).await,
        None => None,
    };

    let board = Board::new(rows.len());
    let mut posts = post_all(&api, &options, &rows, &board).await?;
    watch(&api, &mut posts, &board, deadline).await?;
    board.finish();

    let mut report = Report::of(posts);
    if let Some(url) = &options.effects {
        report.count_effects(api.effects_since(url, before).await);
    }
    report.print(options.json);
    Ok(report.is_fine())
}

/// Uploads the media and accepts every post; each is asked for under a key of its own, however often.
async fn post_all(
    api: &Api,
    options: &Options,
    rows: &[Row],
    board: &Board,
) -> Result<Vec<Posted>, DemoError> {
    let clock = Clock::ahead_by(0);
    let accounts = api.accounts().await?;
    input::check_accounts(rows, &accounts)?;
    let folder = options.input.parent().map(PathBuf::from).unwrap_or_default();
    let mut uploaded = BTreeMap::new();
    for name in rows.iter().flat_map(|row| &row.media) {
        if !uploaded.contains_key(name) {
            board.say(&format!("uploading {name}"));
            uploaded.insert(name.clone(), api.upload(&folder.join(name)).await?);
        }
    }
    let mut posts = Vec::new();
    for row in rows {
        let media: Vec<_> = row.media.iter().filter_map(|name| uploaded.get(name).cloned()).collect();
        let body = body(row, &media, &accounts, clock.now());
        let post = api.create_post(&body, Uuid::new_v4()).await?;
        let posted = Posted::new(row, post);
        board.add(&posted);
        posts.push(posted);
    }
    Ok(posts)
}

/// Looks at every unfinished post until none is left or time is up.
async fn watch(api: &Api, posts: &mut [Posted], board: &Board, deadline: Instant) -> Result<(), DemoError> {
    while posts.iter().any(|posted| !posted.is_over()) && Instant::now() < deadline {
        for posted in posts.iter_mut().filter(|posted| !posted.is_over()) {
            match api.read_post(&posted.id).await {
                Ok(post) => posted.update(post),
                // The table then shows how far it came.
                Err(DemoError::TooLate { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
            board.update(posted);
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// The body of `POST /api/v1/posts`.
fn body(row: &Row, media: &[String], accounts: &BTreeMap<String, String>, now: DateTime<Utc>) -> Value {
    let target = |platform: &String| {
        let mut target = json!({ "account_id": accounts.get(platform) });
        if platform == "tiktok" {
            target["options"] = json!({ "privacy_level": "PUBLIC_TO_EVERYONE" });
        }
        if let Some(words) = row.comment_on(platform) {
            target["options"] = json!({ "first_comment": words });
        }
        target
    };
    let mut body = json!({
        "caption": row.caption,
        "kind": row.kind,
        "media_ids": media,
        "targets": row.accounts.iter().map(target).collect::<Vec<_>>(),
    });
    if let Some(link) = &row.link {
        body["link"] = link.as_str().into();
    }
    if row.in_seconds > 0 {
        // Whole seconds only, and never earlier than asked for.
        let at = now + TimeDelta::seconds(row.in_seconds.into()) + TimeDelta::milliseconds(999);
        body["schedule"] = json!({ "at": at.to_rfc3339_opts(SecondsFormat::Secs, true) });
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_for_later_carries_whole_seconds_and_tiktok_its_privacy() {
        let row = Row {
            accounts: vec!["facebook_page".into(), "tiktok".into()],
            kind: "post".into(),
            caption: "hello".into(),
            media: Vec::new(),
            link: None,
            first_comment: Some("first".into()),
            in_seconds: 5,
        };
        let accounts = BTreeMap::from([("facebook_page".into(), "a".into()), ("tiktok".into(), "b".into())]);
        let now: DateTime<Utc> = "2026-11-21T10:00:00.250Z".parse().expect("a time");
        let body = body(&row, &[], &accounts, now);
        assert_eq!(body["schedule"]["at"], "2026-11-21T10:00:06Z");
        assert_eq!(body["targets"][0], json!({ "account_id": "a", "options": { "first_comment": "first" } }));
        assert_eq!(body["targets"][1]["options"], json!({ "privacy_level": "PUBLIC_TO_EVERYONE" }));
        assert!(body.get("link").is_none());
    }
}
