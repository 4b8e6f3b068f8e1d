//! A line over time, drawn on the server: numbers as they were told, a gap where nothing was.
//!
//! Colours and widths are the style sheet's, so that it is legible in light and dark and on paper; time runs from left to
//! right in every language. What it shows stands beside it as a table.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::words;
use crate::web::spark::escaped;

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 150.0;
/// Room for the numbers at the start, and for the dates below.
pub(super) const START: f64 = 46.0;
pub(super) const END: f64 = 8.0;
pub(super) const TOP: f64 = 10.0;
pub(super) const BELOW: f64 = 22.0;
/// The most points that are drawn: of those between, the last of each part.
const MOST: usize = 400;

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// What people who do not see it are told; no markup.
    pub title: &'a str,
    /// The moments, ascending.
    pub at: &'a [DateTime<Utc>],
    /// A number for each, or a gap.
    pub values: &'a [Option<i64>],
}

/// The drawing; none where there is no number.
pub fn draw(line: &Line<'_>) -> Option<String> {
    let points = thinned(line);
    let (first, last) = (points.first()?.0, points.last()?.0);
    let highest = points.iter().filter_map(|(_, value)| *value).max()?;
    let lowest = points.iter().filter_map(|(_, value)| *value).min()?.min(0);
    let (floor, step, ceiling) = scale(lowest, highest);
    let span = float((last - first).num_seconds().max(1));
    let x = |at: DateTime<Utc>| START + (WIDTH - START - END) * float((at - first).num_seconds()) / span;
    let high = float(ceiling.saturating_sub(floor)).max(1.0);
    let y = |value: i64| HEIGHT - BELOW - (HEIGHT - TOP - BELOW) * float(value.saturating_sub(floor)) / high;
    let mut svg = format!(
        r#"<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" direction="ltr"><title>{}</title>"#,
        escaped(line.title)
    );
    rules(&mut svg, WIDTH, (floor, step, ceiling), y);
    for stretch in stretches(&points) {
        if let [(at, value)] = stretch[..] {
            // writing to a string does not fail
            let _written =
                write!(svg, r#"<circle class="dot" cx="{:.1}" cy="{:.1}" r="2.5"/>"#, x(at), y(value));
        } else {
            let path: Vec<String> =
                stretch.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
            let _written = write!(svg, r#"<polyline class="line" points="{}"/>"#, path.join(" "));
        }
    }
    let below = HEIGHT - 6.0;
    let _written = write!(svg, r#"<text class="tick" x="{START}" y="{below}">{}</text>"#, words::day(first));
    if words::day(first) != words::day(last) {
        let end = WIDTH - END;
        let _written = write!(
            svg,
            r#"<text class="tick" x="{end}" y="{below}" text-anchor="end">{}</text>"#,
            words::day(last)
        );
    }
    svg.push_str("</svg>");
    Some(svg)
}

type Drawn = (DateTime<Utc>, Option<i64>);

fn thinned(line: &Line<'_>) -> Vec<Drawn> {
    let all: Vec<Drawn> = line.at.iter().copied().zip(line.values.iter().copied()).collect();
    let part = all.len().div_ceil(MOST).max(1);
    all.chunks(part).filter_map(|part| part.last().copied()).collect()
}

/// What is drawn in one go: between two gaps.
fn stretches(points: &[Drawn]) -> Vec<Vec<(DateTime<Utc>, i64)>> {
    points
        .split(|(_, value)| value.is_none())
        .map(|stretch| stretch.iter().filter_map(|(at, value)| Some((*at, (*value)?))).collect::<Vec<_>>())
        .filter(|stretch| !stretch.is_empty())
        .collect()
}

/// The lines across a drawing of this width, each with its number.
pub(super) fn rules(
    svg: &mut String,
    width: f64,
    (floor, step, ceiling): (i64, i64, i64),
    y: impl Fn(i64) -> f64,
) {
    let ticks = std::iter::successors(Some(floor), |tick| tick.checked_add(step));
    for tick in ticks.take_while(|tick| *tick <= ceiling) {
        let at = y(tick);
        // writing to a string does not fail
        let _written = write!(
            svg,
            r#"<line class="rule" x1="{START}" x2="{:.1}" y1="{at:.1}" y2="{at:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            width - END,
            START - 6.0,
            at + 3.5,
            short(tick)
        );
    }
}

/// Where the numbers begin, how far apart the lines are, and where they end: round numbers, four lines or so.
pub(super) fn scale(least: i64, most: i64) -> (i64, i64, i64) {
    let rough = (most.saturating_sub(least) / 3).max(1);
    let mut unit = 1_i64;
    while unit <= rough / 10 {
        unit = unit.saturating_mul(10);
    }
    let step = [1, 2, 5, 10].map(|times| unit.saturating_mul(times)).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let floor = least.div_euclid(step).saturating_mul(step);
    let ceiling = most.div_euclid(step).saturating_add(1).saturating_mul(step);
    (floor, step, ceiling)
}

#[expect(clippy::cast_precision_loss, reason = "a drawing has a few hundred points across")]
pub(super) fn float(number: i64) -> f64 {
    number as f64
}

/// `12`, `3.4K`, `120K`, `5M`.
fn short(number: i64) -> String {
    let of = |unit: i64, sign: &str| {
        let tenths = number / (unit / 10);
        if tenths % 10 == 0 || tenths.abs() >= 1_000 {
            format!("{}{sign}", tenths / 10)
        } else {
            format!("{}.{}{sign}", tenths / 10, (tenths % 10).abs())
        }
    };
    match number.unsigned_abs() {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => of(1_000, "K"),
        1_000_000..1_000_000_000 => of(1_000_000, "M"),
        _ => of(1_000_000_000, "G"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn drawn(values: &[Option<i64>]) -> Option<String> {
        let hour = |n: usize| DateTime::UNIX_EPOCH + TimeDelta::hours(i64::try_from(n).expect("few"));
        let at: Vec<_> = (0..values.len()).map(hour).collect();
        draw(&Line { title: "Views <of> a & b", at: &at, values })
    }

    #[test]
    fn a_gap_breaks_the_line_and_a_number_alone_is_a_dot() {
        let svg = drawn(&[Some(1), Some(2), None, Some(4), None, Some(5), Some(6)]).expect("drawn");
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(svg.contains("<title>Views &lt;of&gt; a &amp; b</title>"), "{svg}");
    }

    #[test]
    fn where_nothing_was_told_nothing_is_drawn() {
        assert_eq!((drawn(&[]), drawn(&[None, None])), (None, None));
        assert!(drawn(&[Some(0)]).is_some() && drawn(&[Some(-5), Some(i64::MAX / 4)]).is_some());
        for values in [[Some(0), Some(i64::MAX)], [Some(i64::MIN), Some(i64::MAX)]] {
            let svg = drawn(&values).expect("drawn");
            assert!(svg.matches("class=\"rule\"").count() < 9, "{svg}");
        }
    }

    #[test]
    fn two_years_of_hours_are_a_few_kilobytes() {
        let values: Vec<_> = (0..17_520).map(|n| Some(n * 3)).collect();
        let svg = drawn(&values).expect("drawn");
        assert!(svg.len() < 8_000, "{}", svg.len());
    }

    #[test]
    fn lines_stand_at_round_numbers_around_what_is_drawn() {
        for (least, most) in [(0, 0), (0, 7), (0, 13), (0, 999), (-4, 12), (0, 5_000_000)] {
            let (floor, step, ceiling) = scale(least, most);
            assert!(
                floor <= least && ceiling > most && (ceiling - floor) / step <= 6,
                "{least} {most}: {step}"
            );
        }
        assert_eq!([999, 1_000, 3_400, 120_000, 5_000_000].map(short), ["999", "1K", "3.4K", "120K", "5M"]);
    }
}
