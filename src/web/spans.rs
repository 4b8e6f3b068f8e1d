//! Spans of time as ISO 8601 writes them: `PT2H`, `P1D`, `P1DT12H30M`.

use std::time::Duration;

use super::finding::Finding;

/// A year: longer makes no sense, and keeps the arithmetic far from its edges.
const LONGEST: u64 = 366 * 86_400;

/// Reads `latest_after`.
///
/// # Errors
/// It is no span, or negative, or longer than a year.
pub fn parse(text: &str) -> Result<Duration, Finding> {
    let find = |code, detail: &str| Finding::new("latest_after", code, detail);
    if let Some(positive) =
        text.strip_prefix('-').or_else(|| text.strip_prefix("P-")).or_else(|| text.strip_prefix("PT-"))
        && !positive.is_empty()
    {
        return Err(find("span_negative", "It is negative: a post cannot expire before its time."));
    }
    let seconds = seconds(text).ok_or_else(|| {
        let detail = format!(
            "“{}” is not a span of time. Write PT30M, PT2H, P1D or P1DT12H: weeks or days, hours, minutes, seconds, in whole numbers.",
            super::text::shown(text)
        );
        find("span_format", &detail)
    })?;
    if seconds > LONGEST {
        return Err(find("span_too_long", "It is longer than a year, which is the most."));
    }
    Ok(Duration::from_secs(seconds))
}

/// Writes it as [`parse`] reads it.
pub fn show(span: Duration) -> String {
    let seconds = span.as_secs();
    let part = |number: u64, unit| if number == 0 { String::new() } else { format!("{number}{unit}") };
    let days = part(seconds / 86_400, "D");
    let time =
        [part(seconds / 3_600 % 24, "H"), part(seconds / 60 % 60, "M"), part(seconds % 60, "S")].concat();
    match (days.as_str(), time.as_str()) {
        ("", "") => "PT0S".to_owned(),
        (_, "") => format!("P{days}"),
        _ => format!("P{days}T{time}"),
    }
}

fn seconds(text: &str) -> Option<u64> {
    let rest = text.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    if let Some(weeks) = date.strip_suffix('W') {
        return (time.is_empty()).then(|| number(weeks)?.checked_mul(604_800))?;
    }
    parts(date, &[('D', 86_400)])?.checked_add(parts(time, &[('H', 3_600), ('M', 60), ('S', 1)])?)
}

/// Adds up numbers behind their units, each unit at most once and in this order.
fn parts(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum = 0_u64;
    for (unit, seconds) in units {
        if let Some((before, after)) = text.split_once(*unit) {
            sum = sum.checked_add(number(before)?.checked_mul(*seconds)?)?;
            text = after;
        }
    }
    text.is_empty().then_some(sum)
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        for (text, seconds) in [
            ("PT2H", 7_200),
            ("P1D", 86_400),
            ("PT90S", 90),
            ("P1DT12H30M", 131_400),
            ("P2W", 1_209_600),
            ("PT0S", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for seconds in [0, 1, 59, 60, 7_200, 21_600, 86_400, 131_400, LONGEST] {
            let span = Duration::from_secs(seconds);
            assert_eq!(parse(&show(span)), Ok(span));
        }
        assert_eq!(show(Duration::from_hours(2)), "PT2H");
        assert_eq!(show(Duration::from_hours(6)), "PT6H");
    }

    #[test]
    fn a_negative_span_is_called_so() {
        for text in ["-PT2H", "P-1D", "PT-5M"] {
            assert_eq!(parse(text).expect_err(text).code, "span_negative");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "P",
            "PT",
            "P1DT",
            "2h",
            "PT2",
            "PT1.5H",
            "PT1M2H",
            "P1Y",
            "P1M",
            "P1W2D",
            "pt2h",
            "PT٢H",
            "PT2H\u{0}",
            "-",
        ] {
            assert_eq!(parse(text).expect_err(text).code, "span_format", "{text}");
        }
        assert_eq!(parse("P367D").expect_err("long").code, "span_too_long");
        assert_eq!(parse("PT999999999999999999999H").expect_err("long").code, "span_format");
        assert_eq!(parse("P999999999W").expect_err("long").code, "span_too_long");
    }
}
