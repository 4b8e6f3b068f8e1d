//! Several lines in one drawing, told apart by how they are dashed and by the marks on them, and by colour only besides.

use std::fmt::Write as _;

use super::chart::{BELOW, END, START, TOP, float, rules, scale};
use crate::web::spark::escaped;

/// The most lines of a drawing: there are so many ways to draw one.
pub const MOST: usize = 4;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
/// With more places than this a line has marks at some of them only, and its ends alone are named below.
const MARKED: usize = 31;
const NAMED: usize = 12;

/// The drawing; none where there is no number. Each line has one number, or a gap, for each of the first places.
pub fn draw(title: &str, places: &[String], strands: &[Vec<Option<i64>>]) -> Option<String> {
    let told = || strands.iter().flatten().flatten().copied();
    let (floor, step, ceiling) = scale(told().min()?.min(0), told().max()?);
    let last = float(count(places.len()).saturating_sub(1).max(1));
    let x = |n: usize| START + (WIDTH - START - END) * float(count(n)) / last;
    let high = float(ceiling.saturating_sub(floor)).max(1.0);
    let y = |value: i64| HEIGHT - BELOW - (HEIGHT - TOP - BELOW) * float(value.saturating_sub(floor)) / high;
    let mut svg = format!(
        r#"<svg class="chart strands" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" direction="ltr"><title>{}</title>"#,
        escaped(title)
    );
    rules(&mut svg, WIDTH, (floor, step, ceiling), y);
    for (which, values) in strands.iter().enumerate() {
        let at: Vec<Option<(f64, f64)>> =
            values.iter().enumerate().map(|(n, value)| value.map(|value| (x(n), y(value)))).collect();
        strand(&mut svg, which, &at);
    }
    names(&mut svg, places, x);
    svg.push_str("</svg>");
    Some(svg)
}

/// What a line looks like, for the legend.
pub fn sample(which: usize) -> String {
    let mut svg =
        String::from(r#"<svg class="chart sample" viewBox="0 0 48 12" aria-hidden="true" direction="ltr">"#);
    strand(&mut svg, which, &[Some((2.0, 6.0)), Some((24.0, 6.0)), Some((46.0, 6.0))]);
    svg.push_str("</svg>");
    svg
}

/// One line, broken off at its gaps, with its marks.
fn strand(svg: &mut String, which: usize, at: &[Option<(f64, f64)>]) {
    let every = at.len().div_ceil(MARKED).max(1);
    for stretch in at.split(Option::is_none) {
        let path: Vec<String> = stretch.iter().flatten().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        if path.len() > 1 {
            // writing to a string does not fail
            let _written =
                write!(svg, r#"<polyline class="strand strand-{which}" points="{}"/>"#, path.join(" "));
        }
        // a number alone, and the last of a line, are always seen
        let last = path.len().saturating_sub(1);
        for (n, (x, y)) in stretch.iter().flatten().enumerate() {
            if n.is_multiple_of(every) || n == last {
                let _written =
                    write!(svg, r#"<path class="mark mark-{which}" d="{}"/>"#, mark(which, *x, *y));
            }
        }
    }
}

/// A disc, a square, a triangle, a diamond.
fn mark(which: usize, x: f64, y: f64) -> String {
    match which % MOST {
        0 => format!("M{:.1} {y:.1}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z", x - 3.5),
        1 => format!("M{:.1} {:.1}h6v6h-6z", x - 3.0, y - 3.0),
        2 => format!("M{x:.1} {:.1}l4 7h-8z", y - 4.5),
        _ => format!("M{x:.1} {:.1}l4.5 4.5l-4.5 4.5l-4.5 -4.5z", y - 4.5),
    }
}

/// What the places are called: all of them where they are few, else the first and the last.
fn names(svg: &mut String, places: &[String], x: impl Fn(usize) -> f64) {
    let last = places.len().saturating_sub(1);
    for (n, name) in places.iter().enumerate() {
        if places.len() > NAMED && n != 0 && n != last {
            continue;
        }
        let anchor = match n {
            0 => "start",
            _ if n == last => "end",
            _ => "middle",
        };
        let below = HEIGHT - 6.0;
        let name = escaped(name);
        let _written = write!(
            svg,
            r#"<text class="tick" x="{:.1}" y="{below}" text-anchor="{anchor}">{name}</text>"#,
            x(n)
        );
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("<{n}>")).collect()
    }

    #[test]
    fn each_line_has_its_own_dashes_and_marks_and_breaks_off_at_its_gaps() {
        let strands = [vec![Some(1), Some(2), None, Some(4)], vec![Some(3), Some(3), Some(3)]];
        let svg = draw("Reach <of> two", &places(4), &strands).expect("drawn");
        assert_eq!(svg.matches("class=\"strand strand-0\"").count(), 1);
        assert_eq!(svg.matches("class=\"mark mark-0\"").count(), 3, "the one alone is seen");
        assert_eq!(svg.matches("class=\"strand strand-1\"").count(), 1);
        assert!(svg.contains("<title>Reach &lt;of&gt; two</title>") && svg.contains("&lt;0&gt;"), "{svg}");
        assert!(!svg.contains("style="), "{svg}");
        let marks: std::collections::BTreeSet<_> = (0..MOST).map(|which| mark(which, 9.0, 9.0)).collect();
        assert_eq!(marks.len(), MOST, "no two are alike");
    }

    #[test]
    fn where_nothing_was_told_nothing_is_drawn_and_of_many_places_the_ends_are_named() {
        assert_eq!((draw("x", &places(2), &[vec![None, None]]), draw("x", &[], &[])), (None, None));
        let svg = draw("x", &places(90), &[(0..90).map(Some).collect()]).expect("drawn");
        assert_eq!(svg.matches("&lt;").count(), 2);
        assert!(svg.matches("mark-0").count() <= MARKED + 1, "{svg}");
    }
}
