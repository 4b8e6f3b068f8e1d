//! Proof by fire: seeded rounds on real processes, servers and links. `bin/chaos` runs many of them; a few are
//! part of every run of the checks. `docs/chaos.md` says what a round is.

mod blows;
mod dice;
mod door;
mod files;
mod found;
mod leaks;
mod lies;
mod oracles;
pub mod proxy;
mod report;
mod round;
mod schedule;
pub mod servers;
mod stage;
mod strike;
mod surfaces;
mod tally;

use std::{collections::BTreeSet, path::PathBuf, str::FromStr, time::Duration};

use leaks::Leaks;
use schedule::{Aims, Plan};
use stage::Stage;
use surfaces::{Sort, Surface};

/// The rounds that are part of every run of the checks, each of every surface.
const SMOKE: usize = 5;
/// The seed of their first; each round's is one more than that of the one before.
const SMOKE_SEED: u64 = 1012;

/// What `bin/chaos` was told.
struct Options {
    rounds: usize,
    seed: u64,
    aims: Aims,
    json: bool,
    /// Where a broken round leaves its logs.
    evidence: Option<PathBuf>,
}

impl Options {
    fn from_environment() -> Self {
        Self {
            rounds: told("ROUNDS").unwrap_or(SMOKE),
            seed: told("SEED").unwrap_or(SMOKE_SEED),
            aims: aims(told::<String>("SURFACES").as_deref().unwrap_or(EACH)),
            json: told::<String>("JSON").is_some(),
            evidence: told("EVIDENCE"),
        }
    }

    fn plans(&self) -> impl Iterator<Item = Plan> {
        (self.seed..).take(self.rounds).map(|seed| Plan::of(seed, &self.aims))
    }

    /// The most files of each sort that a round takes.
    fn files(&self) -> Vec<(Sort, usize)> {
        let most = |sort| (sort, self.plans().map(|plan| plan.files(sort)).max().unwrap_or(0));
        [Sort::Picture, Sort::Film].map(most).to_vec()
    }
}

/// Every surface once a round.
const EACH: &str = "all-each";
/// Any of them at random.
const ALL: &str = "all";

/// The surfaces of these names. One that no surface has is a mistake and not a smaller proof.
fn aims(names: &str) -> Aims {
    let all = || Surface::ALL.iter().copied().collect();
    match names {
        EACH => Aims { surfaces: all(), each: true },
        ALL => Aims { surfaces: all(), each: false },
        names => {
            let of = |name| {
                let found = Surface::named(name);
                assert!(!found.is_empty(), "no surface is called {name:?}");
                found
            };
            Aims { surfaces: names.split(',').flat_map(of).collect::<BTreeSet<_>>(), each: false }
        }
    }
}

fn told<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(format!("POSTROOM_CHAOS_{name}")).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("POSTROOM_CHAOS_{name}: {text:?} cannot be read")))
}

/// A line of the report. The mark tells it from what the test runner and its threads print.
fn say(lines: &str) {
    for line in lines.lines() {
        println!("chaos| {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_no_post_is_lost_doubled_or_stuck() {
    let options = Options::from_environment();
    let mut stage = Stage::set().await;
    let door = stage.door(&options.files()).await;
    let mut summary = report::Summary::default();
    let mut leaks = Leaks::default();
    println!();
    for (number, plan) in (1..).zip(options.plans()) {
        let round = round::play(&mut stage, &door, &plan).await;
        say(&if options.json { round.json(number).to_string() } else { round.line(number) });
        if !round.found.is_empty() {
            keep_evidence(&options, &stage, &plan).await;
        }
        summary.add(round);
        leaks.look_into_redis(&stage).await;
    }
    leaks.look_through_what_stays(&stage).await;
    summary.close(oracles::late(&stage.effects().await), leaks);
    say(&if options.json { summary.json().to_string() } else { summary.lines() });
    assert!(summary.good(), "{}", summary.lines());
}

/// Copies what a broken round left: its plan, the logs, the ledger's rows.
async fn keep_evidence(options: &Options, stage: &Stage, plan: &Plan) {
    let Some(folder) = options.evidence.as_ref().map(|root| root.join(format!("seed-{}", plan.seed))) else {
        return;
    };
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("plan.txt"), format!("{plan:#?}\nbound {:?}\n", round::bound(plan))).unwrap();
    for entry in std::fs::read_dir(stage.system.logs()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    let calls = stage.system.control("calls").await;
    std::fs::write(folder.join("calls.json"), format!("{calls:#}")).unwrap();
    for table in [
        "publication",
        "remote_call",
        "attempt",
        "job",
        "claim",
        "worker",
        "job_history",
        "media_fetch",
        "orphan_handle",
    ] {
        let query = format!("SELECT to_jsonb(t)::text FROM {table} t");
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(&stage.system.database.pool)
            .await
            .unwrap_or_default();
        std::fs::write(folder.join(format!("{table}.jsonl")), rows.join("\n")).unwrap();
    }
}

#[test]
fn the_bound_of_a_round_is_that_of_its_settings() {
    for (seed, names) in (0..100).flat_map(|seed| [(seed, ALL), (seed, EACH)]) {
        let bound = round::bound(&Plan::of(seed, &aims(names)));
        assert!(bound > Duration::from_secs(30) && bound < Duration::from_mins(4), "{seed}: {bound:?}");
    }
}
