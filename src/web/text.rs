//! Small things about texts from outside.

/// A text from outside as it may be repeated in an answer: short, and without control characters.
pub fn shown(text: &str) -> String {
    let plain = || text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = plain().take(80).collect();
    if plain().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

/// A file's name for display: the last part of it, without control characters, at most 255 characters.
pub fn file_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control()).take(255).collect();
    if name.trim().is_empty() { "file".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_is_for_display_only() {
        assert_eq!(file_name("C:\\photos\\cat.jpg"), "cat.jpg");
        assert_eq!(file_name("../../etc/passwd"), "passwd");
        assert_eq!(file_name("a\u{0}b\nc.png"), "abc.png");
        assert_eq!(file_name(""), "file");
        assert_eq!(file_name(&"ש".repeat(300)).chars().count(), 255);
    }

    #[test]
    fn what_is_repeated_is_short_and_plain() {
        assert_eq!(shown("a\u{1b}[31mb"), "a [31mb");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 81);
    }
}
