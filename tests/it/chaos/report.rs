//! What a run says: a line a round, and a summary with a line a surface.

use std::{collections::BTreeMap, time::Duration};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::{
    leaks::Leaks,
    oracles::Tallies,
    surfaces::Surface,
    tally::{Tally, sum},
};

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
    const ALL: &'static [Self] = &[Self::Lost, Self::Doubled, Self::Stuck];

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
    /// Where, if it is of one surface.
    pub surface: Option<Surface>,
    /// What it was.
    pub what: String,
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
    /// Publications, by surface.
    pub tallies: Tallies,
    /// Breaches.
    pub found: Vec<Found>,
    /// From the end of the last blow until the last publication was settled.
    pub recovery: Duration,
    /// In all.
    pub took: Duration,
}

impl Round {
    fn tally(&self) -> Tally {
        sum(self.tallies.values())
    }

    /// For people.
    pub fn line(&self, number: usize) -> String {
        let Tally { published, cancelled, failed, lies, .. } = self.tally();
        let line = format!(
            "round {number:4}  seed {:<6} {} workers  {:<40} {lies} lies  published {published} held {} cancelled {cancelled} failed {failed}  recovery {:.1} s  took {:.1} s",
            self.seed,
            self.workers,
            self.blows.join("+"),
            self.tally().all_held(),
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
        let found = self.found.iter().map(|it| {
            json!({ "breach": it.breach.word(), "surface": it.surface.map(Surface::label), "what": it.what })
        });
        let tally = self.tally();
        json!({
            "round": number, "seed": self.seed, "workers": self.workers, "blows": self.blows, "fired": self.fired,
            "lies": tally.lies, "published": tally.published, "held": tally.all_held(),
            "cancelled": tally.cancelled, "failed": tally.failed, "found": found.collect::<Vec<_>>(),
            "recovery_s": seconds(self.recovery), "took_s": seconds(self.took),
        })
    }
}

/// All rounds of a run.
#[derive(Debug, Default)]
pub struct Summary {
    rounds: Vec<Round>,
    /// What was found when all rounds were over.
    late: Vec<Found>,
    /// Secrets that stand where they may be read.
    leaks: Leaks,
}

impl Summary {
    /// Adds a round.
    pub fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// Adds what was found when all rounds were over, unless a round has found as much, and what has leaked.
    pub fn close(&mut self, late: Vec<Found>, leaks: Leaks) {
        if self.good() {
            self.late = late;
        }
        self.leaks = leaks;
    }

    fn found(&self) -> impl Iterator<Item = &Found> {
        self.rounds.iter().flat_map(|round| &round.found).chain(&self.late)
    }

    /// Breaches of one promise.
    fn count(&self, breach: Breach) -> usize {
        self.found().filter(|found| found.breach == breach).count()
    }

    /// Whether every promise was kept.
    pub fn good(&self) -> bool {
        self.found().next().is_none() && self.leaks.found.is_empty()
    }

    fn tally(&self) -> Tally {
        sum(self.rounds.iter().flat_map(|round| round.tallies.values()))
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

    /// The surfaces that took part, each with its rounds, how its publications ended, and its breaches.
    fn surfaces(&self) -> Vec<(Surface, usize, Tally, Vec<usize>)> {
        let of = |surface: Surface| {
            let here: Vec<&Tally> =
                self.rounds.iter().filter_map(|round| round.tallies.get(&surface)).collect();
            let breach = |breach: &Breach| {
                self.found().filter(|it| it.surface == Some(surface) && it.breach == *breach).count()
            };
            let tally = sum(here.iter().copied());
            (!here.is_empty()).then(|| (surface, here.len(), tally, Breach::ALL.iter().map(breach).collect()))
        };
        Surface::ALL.iter().filter_map(|surface| of(*surface)).collect()
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let heads = ["surface", "rounds", "posts", "published", "cancelled", "failed", "held", "lies"];
        table.set_header(heads.into_iter().chain(Breach::ALL.iter().map(|breach| breach.word())));
        for (surface, rounds, tally, breaches) in self.surfaces() {
            let (published, cancelled, failed) = (tally.published, tally.cancelled, tally.failed);
            let before = [rounds, tally.posts, published, cancelled, failed].map(|number| number.to_string());
            let after = [tally.held_in_words(), tally.lies.to_string()];
            let breaches = breaches.iter().map(ToString::to_string);
            table.add_row([surface.label()].into_iter().chain(before).chain(after).chain(breaches));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.trim_fmt()
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
        let tally = self.tally();
        let mut lines = vec![
            self.table(),
            format!("blows: {}", listed(self.counted(|round| round.blows.clone()))),
            format!("failpoints reached: {}", listed(self.counted(|round| round.fired.clone()))),
            format!(
                "publications: published {}, held {}, cancelled {}, failed {}; lies {}",
                tally.published,
                tally.held_in_words(),
                tally.cancelled,
                tally.failed,
                tally.lies,
            ),
            format!(
                "recovery p50 {:.1} s, p99 {:.1} s; a round p50 {:.1} s, p99 {:.1} s",
                self.percentile(50, |round| round.recovery),
                self.percentile(99, |round| round.recovery),
                self.percentile(50, |round| round.took),
                self.percentile(99, |round| round.took),
            ),
        ];
        lines.extend(
            self.late.iter().map(|found| format!("{}: {}", found.breach.word().to_uppercase(), found.what)),
        );
        lines.extend(self.leaks.lines());
        if !bad.is_empty() {
            lines.push(format!("seeds to repeat, each with bin/chaos --rounds 1 --seed: {}", bad.join(" ")));
        }
        lines.push(format!(
            "rounds={} lost={} doubled={} stuck={} held={} recovery_p99_s={:.1}",
            self.rounds.len(),
            self.count(Breach::Lost),
            self.count(Breach::Doubled),
            self.count(Breach::Stuck),
            tally.all_held(),
            self.percentile(99, |round| round.recovery),
        ));
        lines.join("\n")
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let tally = self.tally();
        let surfaces: BTreeMap<String, Value> = self
            .surfaces()
            .into_iter()
            .map(|(surface, rounds, tally, breaches)| {
                (surface.label(), of_surface(rounds, &tally, &breaches))
            })
            .collect();
        json!({
            "rounds": self.rounds.len(),
            "lost": self.count(Breach::Lost), "doubled": self.count(Breach::Doubled), "stuck": self.count(Breach::Stuck),
            "published": tally.published, "held": tally.all_held(), "held_by_reason": by_reason(&tally),
            "cancelled": tally.cancelled, "failed": tally.failed, "lies": tally.lies,
            "surfaces": surfaces,
            "late": self.late.iter().map(|found| &found.what).collect::<Vec<_>>(),
            "leaks": self.leaks.found,
            "blows": self.counted(|round| round.blows.clone()),
            "failpoints": self.counted(|round| round.fired.clone()),
            "recovery_p50_s": self.percentile(50, |round| round.recovery),
            "recovery_p99_s": self.percentile(99, |round| round.recovery),
            "round_p50_s": self.percentile(50, |round| round.took),
            "round_p99_s": self.percentile(99, |round| round.took),
        })
    }
}

fn of_surface(rounds: usize, tally: &Tally, breaches: &[usize]) -> Value {
    let mut told = json!({
        "rounds": rounds, "posts": tally.posts, "published": tally.published, "cancelled": tally.cancelled,
        "failed": tally.failed, "held": tally.all_held(), "held_by_reason": by_reason(tally), "lies": tally.lies,
    });
    for (breach, times) in Breach::ALL.iter().zip(breaches) {
        told[breach.word()] = json!(times);
    }
    told
}

fn by_reason(tally: &Tally) -> BTreeMap<&'static str, usize> {
    tally.held.iter().map(|(hold, times)| (hold.word(), *times)).collect()
}

/// To a hundredth.
fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::{super::tally::Hold, *};

    fn round(surface: Surface, tally: Tally, breach: Option<Breach>) -> Round {
        let found = breach.map(|breach| Found { breach, surface: Some(surface), what: "it".into() });
        Round {
            seed: 1,
            workers: 1,
            blows: vec![],
            fired: vec![],
            tallies: [(surface, tally)].into(),
            found: found.into_iter().collect(),
            recovery: Duration::ZERO,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn each_surface_is_counted_by_itself_and_the_last_line_is_the_promised_one() {
        let mut summary = Summary::default();
        let held = Tally { posts: 2, published: 1, held: [(Hold::OneShot, 1)].into(), ..Tally::default() };
        let public = Tally { posts: 1, published: 1, lies: 3, ..Tally::default() };
        summary.add(round(Surface::FacebookVideoStory, held.clone(), None));
        summary.add(round(Surface::FacebookVideoStory, held, None));
        assert!(summary.good(), "a story may be held");
        summary.add(round(Surface::TiktokPhotos, public, Some(Breach::Doubled)));
        assert!(!summary.good());
        let told = summary.json();
        let story = &told["surfaces"]["facebook_page/video_story"];
        assert_eq!((&story["rounds"], &story["posts"], &story["held"]), (&json!(2), &json!(4), &json!(2)));
        assert_eq!(story["held_by_reason"], json!({ "one_shot": 2 }));
        let photos = &told["surfaces"]["tiktok/photos"];
        assert_eq!((&photos["lies"], &photos["doubled"], &photos["held"]), (&json!(3), &json!(1), &json!(0)));
        let lines = summary.lines();
        let last = lines.lines().last().unwrap();
        assert_eq!(last, "rounds=3 lost=0 doubled=1 stuck=0 held=2 recovery_p99_s=0.0");
        assert!(lines.contains("2 (one_shot 2)"), "{lines}");
        let mut leaky = Summary::default();
        leaky.close(vec![], Leaks { found: ["a key is in a log".to_owned()].into(), ..Leaks::default() });
        assert!(!leaky.good() && leaky.lines().contains("LEAKED: a key is in a log"));
    }
}
