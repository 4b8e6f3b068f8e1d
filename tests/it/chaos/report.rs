//! What a run says: a line a round, and a summary.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

/// What was promised and not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// Accepted, and gone.
    Lost,
    /// Public, or sent for, more often than wished.
    Doubled,
    /// Neither done nor where it may rest.
    Stuck,
}

impl Breach {
    /// The summary's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Stuck => "stuck",
        }
    }
}

/// A breach that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Of which promise.
    pub breach: Breach,
    /// What it was.
    pub what: String,
}

/// How the publications of a round ended.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Public.
    pub published: usize,
    /// A person decides, as the protocol has it.
    pub held: usize,
    /// By wish.
    pub cancelled: usize,
}

/// One round.
#[derive(Debug)]
pub struct Round {
    /// What repeats its schedule.
    pub seed: u64,
    /// Workers.
    pub workers: usize,
    /// The blows, by name.
    pub blows: Vec<&'static str>,
    /// The failpoints that were reached.
    pub fired: Vec<&'static str>,
    /// Lies of the networks.
    pub lies: usize,
    /// Publications.
    pub tally: Tally,
    /// Breaches.
    pub found: Vec<Found>,
    /// From the end of the last blow until the last publication was settled.
    pub recovery: Duration,
    /// In all.
    pub took: Duration,
}

impl Round {
    /// For people.
    pub fn line(&self, number: usize) -> String {
        let Tally { published, held, cancelled } = self.tally;
        let line = format!(
            "round {number:4}  seed {:<6} {} workers  {:<40} {} lies  published {published} held {held} cancelled {cancelled}  recovery {:.1} s  took {:.1} s",
            self.seed,
            self.workers,
            self.blows.join("+"),
            self.lies,
            self.recovery.as_secs_f64(),
            self.took.as_secs_f64(),
        );
        let found = self
            .found
            .iter()
            .map(|found| format!("  {}: {}", found.breach.word().to_uppercase(), found.what));
        [line].into_iter().chain(found).collect::<Vec<_>>().join("\n")
    }

    /// For machines.
    pub fn json(&self, number: usize) -> Value {
        let found = self.found.iter().map(|it| json!({ "breach": it.breach.word(), "what": it.what }));
        json!({
            "round": number, "seed": self.seed, "workers": self.workers, "blows": self.blows, "fired": self.fired,
            "lies": self.lies, "published": self.tally.published, "held": self.tally.held,
            "cancelled": self.tally.cancelled, "found": found.collect::<Vec<_>>(),
            "recovery_s": seconds(self.recovery), "took_s": seconds(self.took),
        })
    }
}

/// All rounds of a run.
#[derive(Debug, Default)]
pub struct Summary {
    rounds: Vec<Round>,
}

impl Summary {
    /// Adds a round.
    pub fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// Breaches of one promise.
    pub fn count(&self, breach: Breach) -> usize {
        self.rounds.iter().flat_map(|round| &round.found).filter(|found| found.breach == breach).count()
    }

    /// Whether every promise was kept.
    pub fn good(&self) -> bool {
        self.rounds.iter().all(|round| round.found.is_empty())
    }

    fn sum(&self, of: impl Fn(&Tally) -> usize) -> usize {
        self.rounds.iter().map(|round| of(&round.tally)).sum()
    }

    fn counted(&self, names: impl Fn(&Round) -> Vec<&'static str>) -> BTreeMap<&'static str, usize> {
        let mut counted = BTreeMap::new();
        for name in self.rounds.iter().flat_map(names) {
            *counted.entry(name).or_default() += 1;
        }
        counted
    }

    /// The time that so many in a hundred rounds did not exceed.
    fn percentile(&self, hundredth: usize, of: impl Fn(&Round) -> Duration) -> f64 {
        let mut spans: Vec<_> = self.rounds.iter().map(of).collect();
        spans.sort_unstable();
        let at = (spans.len() * hundredth).div_ceil(100).max(1) - 1;
        spans.get(at).copied().map_or(0.0, seconds)
    }

    /// For people; the last line is the one that is promised.
    pub fn lines(&self) -> String {
        let listed = |counted: BTreeMap<_, usize>| {
            counted.iter().map(|(name, times)| format!("{name} {times}")).collect::<Vec<_>>().join(", ")
        };
        let bad: Vec<String> = self
            .rounds
            .iter()
            .filter(|round| !round.found.is_empty())
            .map(|round| round.seed.to_string())
            .collect();
        let mut lines = vec![
            format!("blows: {}", listed(self.counted(|round| round.blows.clone()))),
            format!("failpoints reached: {}", listed(self.counted(|round| round.fired.clone()))),
            format!(
                "publications: published {}, held {}, cancelled {}; lies {}",
                self.sum(|tally| tally.published),
                self.sum(|tally| tally.held),
                self.sum(|tally| tally.cancelled),
                self.rounds.iter().map(|round| round.lies).sum::<usize>(),
            ),
            format!(
                "recovery p50 {:.1} s, p99 {:.1} s; a round p50 {:.1} s, p99 {:.1} s",
                self.percentile(50, |round| round.recovery),
                self.percentile(99, |round| round.recovery),
                self.percentile(50, |round| round.took),
                self.percentile(99, |round| round.took),
            ),
        ];
        if !bad.is_empty() {
            lines.push(format!("seeds to repeat, each with bin/chaos --rounds 1 --seed: {}", bad.join(" ")));
        }
        lines.push(format!(
            "rounds={} lost={} doubled={} stuck={} held={} recovery_p99_s={:.1}",
            self.rounds.len(),
            self.count(Breach::Lost),
            self.count(Breach::Doubled),
            self.count(Breach::Stuck),
            self.sum(|tally| tally.held),
            self.percentile(99, |round| round.recovery),
        ));
        lines.join("\n")
    }

    /// For machines.
    pub fn json(&self) -> Value {
        json!({
            "rounds": self.rounds.len(),
            "lost": self.count(Breach::Lost), "doubled": self.count(Breach::Doubled), "stuck": self.count(Breach::Stuck),
            "published": self.sum(|tally| tally.published), "held": self.sum(|tally| tally.held),
            "cancelled": self.sum(|tally| tally.cancelled),
            "blows": self.counted(|round| round.blows.clone()),
            "failpoints": self.counted(|round| round.fired.clone()),
            "recovery_p50_s": self.percentile(50, |round| round.recovery),
            "recovery_p99_s": self.percentile(99, |round| round.recovery),
            "round_p50_s": self.percentile(50, |round| round.took),
            "round_p99_s": self.percentile(99, |round| round.took),
        })
    }
}

/// To a hundredth.
fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 100.0).round() / 100.0
}
