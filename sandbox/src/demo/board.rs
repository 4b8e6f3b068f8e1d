//! Live progress: a line for each publication on a terminal, plain lines elsewhere.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::report::Posted;

/// Where progress is shown. It goes to stderr, so that stdout has the result alone.
#[derive(Debug)]
pub struct Board {
    lines: Option<MultiProgress>,
    bars: RefCell<HashMap<String, ProgressBar>>,
    states: RefCell<HashMap<String, String>>,
}

impl Board {
    /// A board for a number of posts.
    pub fn new(posts: usize) -> Self {
        let lines = std::io::stderr().is_terminal().then(MultiProgress::new);
        let board = Self { lines, bars: RefCell::default(), states: RefCell::default() };
        board.say(&format!("{posts} posts"));
        board
    }

    /// One remark.
    pub fn say(&self, text: &str) {
        match &self.lines {
            // What cannot be drawn is only progress.
            Some(lines) => drop(lines.println(text)),
            None => eprintln!("{text}"),
        }
    }

    /// Shows a post that was accepted.
    pub fn add(&self, posted: &Posted) {
        self.update(posted);
    }

    /// Shows how far a post is.
    pub fn update(&self, posted: &Posted) {
        for publication in &posted.publications {
            let text = |name: &str| publication[name].as_str().unwrap_or_default();
            let key = format!("{}/{}", posted.id, text("id"));
            let state = text("state").to_owned();
            let known = self.states.borrow_mut().insert(key.clone(), state.clone());
            if known.as_ref() != Some(&state) {
                self.show(&key, posted, publication, &state);
            }
        }
    }

    /// Takes the live lines away before the result is printed.
    pub fn finish(&self) {
        if let Some(lines) = &self.lines {
            // What cannot be cleared is only progress.
            let _ = lines.clear();
        }
    }

    fn show(&self, key: &str, posted: &Posted, publication: &Value, state: &str) {
        let platform = publication["platform"].as_str().unwrap_or_default();
        let line = format!("{state:<10} {platform:<18} {}", posted.short(publication));
        let Some(lines) = &self.lines else { return eprintln!("{line}") };
        let mut bars = self.bars.borrow_mut();
        let bar = bars.entry(key.to_owned()).or_insert_with(|| spinner(lines));
        if matches!(state, "published" | "failed" | "held" | "cancelled") {
            bar.finish_with_message(line);
        } else {
            bar.set_message(line);
        }
    }
}

fn spinner(lines: &MultiProgress) -> ProgressBar {
    let bar = lines.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
