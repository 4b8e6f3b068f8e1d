//! What became of each post, as a table or as JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::input::Row;

/// How much of a caption is shown.
const SHOWN: usize = 32;

/// A post that postroom has accepted.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Its id.
    pub id: String,
    /// The caption that was handed in.
    pub caption: String,
    /// What is said first under it.
    comment: Option<String>,
    /// How many publications it was to have.
    wanted: usize,
    /// Its publications, as the API shows them.
    pub publications: Vec<Value>,
}

impl Posted {
    /// A post as it was accepted.
    pub fn new(row: &Row, post: Value) -> Self {
        let id = post["id"].as_str().unwrap_or_default().to_owned();
        let comments = row.accounts.iter().filter(|platform| row.comment_on(platform).is_some()).count();
        let (caption, comment) = (row.caption.clone(), row.first_comment.clone());
        let wanted = row.accounts.len() + comments;
        let mut posted = Self { id, caption, comment, wanted, publications: Vec::new() };
        posted.update(post);
        posted
    }

    /// Takes over what the API shows now.
    pub fn update(&mut self, mut post: Value) {
        if let Value::Array(publications) = post["publications"].take() {
            self.publications = publications;
        }
    }

    /// Whether nothing more will happen to it by itself: what is published has its address, too.
    pub fn is_over(&self) -> bool {
        let over = |publication: &Value| {
            is_public(publication)
                || matches!(publication["state"].as_str(), Some("failed" | "held" | "cancelled"))
        };
        !self.publications.is_empty() && self.publications.iter().all(over)
    }

    /// The words of one of its publications.
    fn words(&self, publication: &Value) -> &str {
        let comment = self.comment.as_deref().filter(|_| publication["surface"] == "comment");
        comment.unwrap_or(&self.caption).trim()
    }

    /// The words of one of its publications on one short line.
    pub fn short(&self, publication: &Value) -> String {
        let line = self.words(publication).split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", line[..end].trim_end()),
            None if line.is_empty() => "(no caption)".into(),
            None => line,
        }
    }
}

/// All posts with what became of them.
#[derive(Debug)]
pub struct Report {
    posts: Vec<Posted>,
    /// What is wrong with the number of public effects; none if they were not counted or are right.
    miscounted: Vec<String>,
    counted: bool,
}

impl Report {
    /// A report of these posts.
    pub fn of(posts: Vec<Posted>) -> Self {
        Self { posts, miscounted: Vec::new(), counted: false }
    }

    /// Compares what was published with what the public saw: neither less nor more.
    pub fn count_effects(&mut self, effects: Option<Vec<Value>>) {
        let Some(effects) = effects else {
            self.miscounted.push("the sandbox's effects could not be read".into());
            return;
        };
        self.counted = true;
        let mut wanted: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (posted, publication) in self.publications() {
            let key = (text(&publication["platform"]), posted.words(publication).to_owned());
            *wanted.entry(key).or_default() += usize::from(publication["state"] == "published");
        }
        for (posted, publication) in
            self.posts.iter().flat_map(|it| it.publications.iter().map(move |p| (it, p)))
        {
            if publication["state"] == "published" && !effects.iter().any(|it| is_effect_of(it, publication))
            {
                let platform = text(&publication["platform"]);
                let words = posted.short(publication);
                self.miscounted.push(format!("{words}: {platform} names what is not public"));
            }
        }
        for ((platform, caption), expected) in wanted {
            let same = |effect: &&Value| {
                effect["platform"] == platform.as_str()
                    && effect["caption"].as_str().is_some_and(|found| found.trim() == caption)
            };
            let found = effects.iter().filter(same).count();
            if found != expected {
                self.miscounted
                    .push(format!("{platform}, {caption:?}: public {found} times, reported {expected}"));
            }
        }
    }

    /// Whether all is published where it should be, with its address, not before its time, and as often as it should.
    pub fn is_fine(&self) -> bool {
        self.miscounted.is_empty()
            && self.posts.iter().all(|posted| posted.publications.len() == posted.wanted && posted.wanted > 0)
            && self.publications().all(|(_, publication)| is_as_wished(publication))
    }

    /// Prints the table, and a line for each failure; or one JSON object.
    pub fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json());
            return;
        }
        println!("{}", self.table());
        for line in self.failures() {
            println!("{line}");
        }
        let done = self.publications().filter(|(_, publication)| is_public(publication)).count();
        let seen = if self.counted && self.miscounted.is_empty() { ", each public exactly once" } else { "" };
        println!("{done} of {} published{seen}", self.publications().count());
    }

    fn publications(&self) -> impl Iterator<Item = (&Posted, &Value)> {
        self.posts.iter().flat_map(|posted| posted.publications.iter().map(move |it| (posted, it)))
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["Post", "Network", "State", "Permalink", "Late (s)"]);
        for (posted, publication) in self.publications() {
            let late = lateness(publication).map(|late| format!("{late:.1}")).unwrap_or_default();
            table.add_row([
                posted.short(publication),
                text(&publication["platform"]),
                text(&publication["state"]),
                text(&publication["permalink"]),
                late,
            ]);
        }
        table
    }

    fn failures(&self) -> Vec<String> {
        let unpublished = self.publications().filter(|(_, publication)| !is_as_wished(publication));
        let line = |(posted, publication): (&Posted, &Value)| {
            let (platform, state) = (text(&publication["platform"]), text(&publication["state"]));
            format!("{}: {platform} is {state}: {}", posted.short(publication), reason(publication))
        };
        unpublished.map(line).chain(self.miscounted.iter().cloned()).collect()
    }

    fn json(&self) -> Value {
        let publication = |publication: &Value| {
            let mut shown = publication.clone();
            shown["lateness_s"] = lateness(publication).map(|late| (late * 10.0).round() / 10.0).into();
            shown
        };
        let post = |posted: &Posted| {
            let publications: Vec<_> = posted.publications.iter().map(publication).collect();
            json!({ "id": posted.id, "caption": posted.caption, "publications": publications })
        };
        json!({
            "ok": self.is_fine(),
            "posts": self.posts.iter().map(post).collect::<Vec<_>>(),
            "effects_counted": self.counted,
            "failures": self.failures(),
        })
    }
}

/// Whether a publication is published and says where.
fn is_public(publication: &Value) -> bool {
    publication["state"] == "published" && publication["permalink"].is_string()
}

/// Whether it is public, and not before its time.
fn is_as_wished(publication: &Value) -> bool {
    is_public(publication) && lateness(publication).is_some_and(|late| late >= 0.0)
}

/// Whether this effect is what a publication names.
fn is_effect_of(effect: &Value, publication: &Value) -> bool {
    ["platform", "permalink"].iter().all(|name| effect[*name] == publication[*name])
        && effect["object_id"] == publication["remote_id"]
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Why a publication is not published, as far as the API tells.
fn reason(publication: &Value) -> String {
    let error = &publication["error"];
    let said = ["detail", "message", "code"].iter().find_map(|name| error[*name].as_str());
    said.unwrap_or("not over when time was up").to_owned()
}

/// How many seconds after its time it was published.
fn lateness(publication: &Value) -> Option<f64> {
    let time = |name: &str| publication[name].as_str()?.parse::<DateTime<Utc>>().ok();
    Some((time("published_at")? - time("scheduled_for")?).as_seconds_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(state: &str) -> Posted {
        let row = Row {
            accounts: vec!["facebook_page".into()],
            kind: "post".into(),
            caption: "a rather long caption\nthat goes on and on".into(),
            media: Vec::new(),
            link: None,
            first_comment: None,
            in_seconds: 0,
        };
        let publication = json!({
            "platform": "facebook_page", "state": state, "permalink": "http://x/1", "remote_id": "1",
            "scheduled_for": "2026-11-21T10:00:00Z", "published_at": "2026-11-21T10:00:01.26Z",
            "error": { "detail": "because" },
        });
        Posted::new(&row, json!({ "id": "1", "publications": [publication] }))
    }

    #[test]
    fn what_is_published_is_fine_and_its_lateness_is_shown() {
        let report = Report::of(vec![posted("published")]);
        assert!(report.is_fine());
        assert_eq!(report.json()["posts"][0]["publications"][0]["lateness_s"], 1.3);
        assert!(
            report.table().to_string().contains("a rather long caption that goes…"),
            "{}",
            report.table()
        );
    }

    #[test]
    fn what_failed_is_named_with_its_reason() {
        let report = Report::of(vec![posted("failed")]);
        assert!(!report.is_fine());
        assert_eq!(report.failures(), ["a rather long caption that goes…: facebook_page is failed: because"]);
    }

    #[test]
    fn a_second_effect_is_noticed() {
        let caption = posted("published").caption;
        let effect = json!({
            "platform": "facebook_page", "caption": caption, "permalink": "http://x/1", "object_id": "1",
        });
        let mut once = Report::of(vec![posted("published")]);
        once.count_effects(Some(vec![effect.clone()]));
        assert!(once.is_fine());
        let mut twice = Report::of(vec![posted("published")]);
        twice.count_effects(Some(vec![effect.clone(), effect.clone()]));
        assert!(!twice.is_fine());
        let mut another = effect;
        another["object_id"] = "2".into();
        let mut elsewhere = Report::of(vec![posted("published")]);
        elsewhere.count_effects(Some(vec![another]));
        assert!(!elsewhere.is_fine(), "it names another post than the public sees");
    }

    #[test]
    fn what_is_missing_unnamed_or_early_is_not_fine() {
        let mut missing = posted("published");
        missing.wanted = 2;
        let mut unnamed = posted("published");
        unnamed.publications[0]["permalink"] = Value::Null;
        let mut early = posted("published");
        early.publications[0]["published_at"] = "2026-11-21T09:59:59Z".into();
        for posted in [missing, unnamed, early] {
            assert!(!Report::of(vec![posted]).is_fine());
        }
    }
}
