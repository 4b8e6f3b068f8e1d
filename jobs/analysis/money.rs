//! What asking costs: set aside before, counted after, and how a month goes on.

use chrono::{DateTime, Datelike, Months, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

/// Millionths of a dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// The most that a month may cost; the ledger's too.
    pub const MOST: Self = Self(1_000_000_000_000);

    /// So many dollars as people write them, to a millionth: `20`, `0.05`. None: they are none, or more than [`Self::MOST`].
    pub fn of_dollars(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = (1..=7).contains(&whole.len()) && part.len() <= 6 && digits(whole) && digits(part);
        let micros = fits.then(|| format!("{whole}{part:0<6}").parse().ok()).flatten();
        micros.map(Self).filter(|sum| *sum <= Self::MOST)
    }

    /// As people write it, without what adds nothing: `20`, `0.05`.
    pub fn dollars(self) -> String {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0.unsigned_abs() % 1_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl std::fmt::Display for Micros {
    /// In dollars, as far as a hundredth of a cent.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, part) = (self.0 / 1_000_000, self.0.unsigned_abs() % 1_000_000 / 100);
        write!(f, "${whole}.{part:04}")
    }
}

/// What a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens that went there.
    pub input: u64,
    /// Tokens that came back, what the model thought among them.
    pub output: u64,
}

/// What a provider takes, in billionths of a dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tariff {
    /// For a token that goes there.
    pub input: u64,
    /// For a token that comes back.
    pub output: u64,
    /// The most tokens that one picture counts for.
    pub picture_tokens: u64,
    /// For a second of speech.
    pub speech: u64,
}

/// What a request takes besides its words, in tokens: roles, names, the frame around a shape.
const FRAME: u64 = 500;

impl Tariff {
    /// The most that a question can cost: a token has a byte at least.
    pub fn most(&self, bytes: usize, pictures: usize, most_tokens: u32) -> Micros {
        let pictures = self.picture_tokens.saturating_mul(pictures as u64);
        let input = (bytes as u64).saturating_add(pictures).saturating_add(FRAME);
        self.of(Usage { input, output: most_tokens.into() })
    }

    /// What so many seconds of speech cost, rounded up.
    pub fn of_speech(&self, seconds: u64) -> Micros {
        Micros(i64::try_from(self.speech.saturating_mul(seconds).div_ceil(1_000)).unwrap_or(i64::MAX))
    }

    /// What a call has cost, rounded up.
    pub fn of(&self, usage: Usage) -> Micros {
        let nanos =
            self.input.saturating_mul(usage.input).saturating_add(self.output.saturating_mul(usage.output));
        Micros(i64::try_from(nanos.div_ceil(1_000)).unwrap_or(i64::MAX))
    }
}

/// What the month will have cost at its end if it goes on as it has so far. In its first hours what was spent is all
/// that is known.
pub fn forecast(spent: Micros, now: DateTime<Utc>) -> Micros {
    let first = now.date_naive().with_day(1).map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let next = first.and_then(|first| first.checked_add_months(Months::new(1)));
    let (Some(first), Some(next)) = (first, next) else { return spent };
    let (gone, all) = ((now - first).num_seconds().max(0), (next - first).num_seconds());
    if gone < 6 * 3_600 {
        return spent;
    }
    let forecast = i128::from(spent.0) * i128::from(all) / i128::from(gone);
    Micros(i64::try_from(forecast).unwrap_or(i64::MAX)).max(spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARIFF: Tariff = Tariff { input: 400, output: 1_600, picture_tokens: 2_000, speech: 100_000 };

    #[test]
    fn what_is_set_aside_is_never_less_than_what_it_costs() {
        let text = "לחם טרי fresh bread";
        let most = TARIFF.most(text.len(), 1, 100);
        // a token has a letter or more
        let usage = Usage { input: text.chars().count() as u64 + 2_000 + FRAME, output: 100 };
        assert!(TARIFF.of(usage) <= most);
        assert_eq!(TARIFF.of_speech(60), Micros(6_000));
        assert_eq!(TARIFF.of(Usage { input: 1, output: 0 }), Micros(1), "rounded up");
        assert_eq!(TARIFF.of(Usage { input: 1_000_000, output: 1_000_000 }), Micros(2_000_000));
        let dear = Tariff { input: u64::MAX, ..TARIFF }.most(9, 9, 9);
        assert!(dear > Micros(1_000_000_000_000), "it does not turn over: {dear}");
    }

    #[test]
    fn money_is_written_in_dollars() {
        assert_eq!(Micros(20_000_000).to_string(), "$20.0000");
        assert_eq!(Micros(1_234_599).to_string(), "$1.2345");
    }

    #[test]
    fn dollars_are_read_as_people_write_them_and_written_alike() {
        for (text, micros, again) in [
            ("20", 20_000_000, "20"),
            ("0.05", 50_000, "0.05"),
            ("0", 0, "0"),
            ("5.50", 5_500_000, "5.5"),
            ("7.", 7_000_000, "7"),
            ("0.000001", 1, "0.000001"),
            ("1000000", 1_000_000_000_000, "1000000"),
        ] {
            let read = Micros::of_dollars(text).expect("dollars");
            assert_eq!((read, read.dollars().as_str()), (Micros(micros), again), "{text}");
        }
        for text in
            ["", ".", ".5", "-1", "+1", "1e3", "1,5", "0.0000001", "1000001", "10000000", "٣", "$5", " 5"]
        {
            assert_eq!(Micros::of_dollars(text), None, "{text}");
        }
    }

    #[test]
    fn a_month_goes_on_as_it_began() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        assert_eq!(forecast(Micros(100), at("2026-11-16T00:00:00Z")), Micros(200));
        assert_eq!(forecast(Micros(100), at("2026-11-01T01:00:00Z")), Micros(100), "too early to tell");
        assert_eq!(forecast(Micros(100), at("2026-11-30T23:59:59Z")), Micros(100));
    }
}
