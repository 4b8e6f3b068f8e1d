//! A line of a few millimetres: a number a day, a gap where nothing was said, and in words what it shows for who does not
//! see it. Its colours are the style sheet's.

use std::fmt::Write as _;

const WIDTH: i64 = 112;
const HEIGHT: i64 = 28;
/// Room around the line, so that its ends are seen whole.
const ROOM: i64 = 3;

/// The drawing under this title; none where there is no number.
pub fn draw(title: &str, values: &[Option<i64>]) -> Option<String> {
    let most = values.iter().flatten().copied().max()?;
    let least = values.iter().flatten().copied().min()?;
    let width = i64::try_from(values.len()).ok()?.saturating_sub(1).max(1);
    let mut svg = format!(
        r#"<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" direction="ltr"><title>{}</title>"#,
        escaped(title)
    );
    for stretch in stretches(values) {
        let points: Vec<(i64, i64)> =
            stretch.iter().map(|(n, value)| (across(*n, width), down(*value, least, most))).collect();
        // writing to a string does not fail
        let _written = if let [(x, y)] = points[..] {
            write!(svg, r#"<circle class="dot" cx="{x}" cy="{y}" r="2"/>"#)
        } else {
            let path: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
            write!(svg, r#"<polyline class="line" points="{}"/>"#, path.join(" "))
        };
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// What is drawn in one go: between two gaps, each number with its place.
fn stretches(values: &[Option<i64>]) -> Vec<Vec<(i64, i64)>> {
    let mut all = vec![Vec::new()];
    for (n, value) in (0_i64..).zip(values) {
        match (value, all.last_mut()) {
            (Some(value), Some(stretch)) => stretch.push((n, *value)),
            (_, _) => all.push(Vec::new()),
        }
    }
    all.retain(|stretch| !stretch.is_empty());
    all
}

fn across(n: i64, last: i64) -> i64 {
    ROOM + (WIDTH - 2 * ROOM) * n / last
}

/// The least at the bottom and the most at the top; what is all the same in the middle.
fn down(value: i64, least: i64, most: i64) -> i64 {
    let high = i128::from(most) - i128::from(least);
    let room = i128::from(HEIGHT - 2 * ROOM);
    let up = if high == 0 { room / 2 } else { room * (i128::from(value) - i128::from(least)) / high };
    HEIGHT - ROOM - i64::try_from(up).unwrap_or_default()
}

/// A text that is no markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_breaks_the_line_and_a_day_alone_is_a_dot() {
        let svg = draw("Reach <of> us", &[Some(1), Some(2), None, Some(4), None, None]).expect("drawn");
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (1, 1));
        assert!(svg.contains("<title>Reach &lt;of&gt; us</title>") && !svg.contains("style="), "{svg}");
    }

    #[test]
    fn where_nothing_was_said_nothing_is_drawn_and_extremes_have_room() {
        assert_eq!((draw("x", &[]), draw("x", &[None])), (None, None));
        assert!(draw("x", &[Some(i64::MIN), Some(i64::MAX)]).is_some_and(|svg| svg.contains("3,25 109,3")));
        assert!(draw("x", &[Some(7); 3]).is_some_and(|svg| svg.contains("3,14 56,14 109,14")));
    }
}
