//! What the benches share: private servers, settings from the command line, and one line a measure.
#![expect(clippy::unwrap_used, dead_code, reason = "each bench uses its part; one that cannot go on stops")]

#[path = "../../tests/it/harness/mod.rs"]
pub mod harness;
pub mod lab;

use std::{fs, os::unix::process::CommandExt, process::Command, time::Duration};

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
    #[arg(long, default_value_t = 0)]
    pub jobs: usize,
    /// Jobs or requests in flight.
    #[arg(long, default_value_t = 0)]
    pub concurrency: usize,
    /// Minutes of the measure with a pinned horizon.
    #[arg(long, default_value_t = 15.0)]
    pub minutes: f64,
    /// Size of the film of the measure with a large one.
    #[arg(long, default_value_t = 1_000)]
    pub megabytes: u64,
    /// Uses the Postgres of `DATABASE_URL` (a role that may make databases) instead of a private one.
    #[arg(long)]
    pub external: bool,
    /// Cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Settings {
    /// Reads the command line, where so many jobs and so many at once are meant unless it says otherwise; starts
    /// the bench anew among private servers where it has none yet.
    pub fn read(jobs: usize, concurrency: usize) -> Self {
        let mut settings = Self::parse();
        let unless = |given: usize, meant| if given == 0 { meant } else { given };
        settings.jobs = unless(settings.jobs, jobs);
        settings.concurrency = unless(settings.concurrency, concurrency);
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

    /// How long the horizon is pinned.
    pub fn pinned(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
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

    /// Prints how many were done a second.
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    pub fn print_rate(&self, measure: &str, done: usize, span: Duration) {
        self.print(measure, done as f64 / span.as_secs_f64(), "1/s");
    }

    /// Prints the median and the 99th percentile of a series, in milliseconds.
    pub fn print_spans(&self, measure: &str, mut spans: Vec<f64>) {
        spans.sort_by(f64::total_cmp);
        let at = |share: usize| spans[(spans.len() * share / 100).min(spans.len() - 1)];
        self.print(&format!("{measure}_p50"), at(50), "ms");
        self.print(&format!("{measure}_p99"), at(99), "ms");
    }
}

/// Resident megabytes and CPU seconds of a process, by Linux' own account.
pub fn used(process: &harness::Process) -> (f64, f64) {
    (megabytes(process, "VmRSS:"), Stat::read(process.pid().unwrap()).unwrap().own)
}

fn megabytes(process: &harness::Process, line: &str) -> f64 {
    let pid = process.pid().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("this is measured on Linux");
    let found = status.lines().find_map(|told| told.strip_prefix(line)).unwrap();
    let kilobytes: f64 = found.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes / 1024.0
}

/// The most megabytes that were ever resident of a process, by Linux' own account.
pub fn peak(process: &harness::Process) -> f64 {
    megabytes(process, "VmHWM:")
}

/// CPU seconds of a server and of all its processes, those that have ended among them.
pub fn family_cpu(server: u32) -> f64 {
    let children = fs::read_dir("/proc").expect("this is measured on Linux");
    let children = children.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_it = children.filter_map(Stat::read).filter(|stat| stat.parent == server).map(|stat| stat.own);
    let server = Stat::read(server).unwrap();
    server.own + server.ended + of_it.sum::<f64>()
}

/// The server that one of its processes belongs to, where it is Postgres and runs here.
pub fn server_of(process: u32) -> Option<u32> {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    (name.trim() == "postgres").then(|| Stat::read(process).map(|stat| stat.parent))?
}

/// What Linux says of a process.
struct Stat {
    parent: u32,
    /// CPU seconds of it, and of its children that have ended.
    own: f64,
    ended: f64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<f64> =
            stat.rsplit(')').next()?.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
        let seconds = |first: usize| (fields[first] + fields[first + 1]) / 100.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the id of a process")]
        let parent = fields[1] as u32;
        Some(Self { parent, own: seconds(11), ended: seconds(13) })
    }
}

/// A span in milliseconds.
pub fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
