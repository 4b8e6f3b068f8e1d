//! Numbers as people read them.

/// `12,345`.
pub fn thousands(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

/// A difference: `+12`, `-3`, `0`.
pub fn signed(value: i64) -> String {
    if value > 0 { format!("+{}", thousands(value)) } else { thousands(value) }
}

/// A difference in tenths of a percent: `+12.3%`, `-0.5%`, `0.0%`.
pub fn percent(tenths: i64) -> String {
    let (whole, part) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
    let sign = match tenths {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}.{part}%", thousands(i64::try_from(whole).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_people_read_them() {
        assert_eq!([0, 12, 1_234, -1_234_567].map(thousands), ["0", "12", "1,234", "-1,234,567"]);
        assert_eq!([0, 12, -1_234].map(signed), ["0", "+12", "-1,234"]);
        assert_eq!([0, 123, -5, 12_345].map(percent), ["0.0%", "+12.3%", "-0.5%", "+1,234.5%"]);
        assert_eq!(thousands(i64::MIN), "-9,223,372,036,854,775,808");
    }
}
