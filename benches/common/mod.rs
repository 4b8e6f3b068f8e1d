//! What the benches share: private servers, settings from the command line, and one line a measure.
#![expect(clippy::unwrap_used, dead_code, reason = "each bench uses its part; one that cannot go on stops")]

#[path = "../../tests/it/harness/mod.rs"]
pub mod harness;

use std::{os::unix::process::CommandExt, process::Command, time::Duration};

use clap::Parser;
use serde_json::json;

/// Settings of a bench.
#[derive(Debug, Parser)]
pub struct Settings {
    /// One JSON object a measure.
    #[arg(long)]
    pub json: bool,
    /// The measures to take, with commas between them; all, unless given.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Jobs of a measure.
    #[arg(long, default_value_t = 200)]
    pub jobs: usize,
    /// Requests in flight.
    #[arg(long, default_value_t = 1)]
    pub concurrency: usize,
    /// Uses the Postgres of `DATABASE_URL` (a role that may make databases) instead of a private one.
    #[arg(long)]
    pub external: bool,
    /// Cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Settings {
    /// Reads the command line; starts the bench anew among private servers where it has none yet.
    pub fn read() -> Self {
        let settings = Self::parse();
        if std::env::var_os("TEST_DATABASE_URL").is_none() {
            let servers = concat!(env!("CARGO_MANIFEST_DIR"), "/bin/lib/with-servers");
            let mut again = match (settings.external, std::env::var("DATABASE_URL")) {
                (true, Ok(url)) => {
                    let mut again = Command::new(std::env::current_exe().unwrap());
                    again.env("TEST_DATABASE_URL", url);
                    again
                }
                (true, Err(_)) => panic!("--external needs DATABASE_URL"),
                (false, _) => {
                    let mut again = Command::new(servers);
                    again.arg(std::env::current_exe().unwrap());
                    again
                }
            };
            panic!("the bench cannot be started anew: {}", again.args(std::env::args_os().skip(1)).exec());
        }
        settings
    }

    /// Whether this measure is wanted.
    pub fn wants(&self, measure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == measure)
    }

    /// Prints one measure.
    pub fn print(&self, measure: &str, value: f64, unit: &str) {
        if self.json {
            let settings = json!({ "jobs": self.jobs, "concurrency": self.concurrency });
            println!("{}", json!({ "measure": measure, "value": value, "unit": unit, "settings": settings }));
        } else {
            println!("{measure:<32} {value:>10.3} {unit}");
        }
    }

    /// Prints the median and the 99th percentile of a series, in milliseconds.
    pub fn print_spans(&self, measure: &str, mut spans: Vec<f64>) {
        spans.sort_by(f64::total_cmp);
        let at = |share: usize| spans[(spans.len() * share / 100).min(spans.len() - 1)];
        self.print(&format!("{measure}_p50"), at(50), "ms");
        self.print(&format!("{measure}_p99"), at(99), "ms");
    }
}

/// A span in milliseconds.
pub fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
