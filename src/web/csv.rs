//! Tables as CSV (RFC 4180) that whoever opens them in a spreadsheet can trust: words are words, whatever they begin with.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

/// What a spreadsheet takes for the beginning of a formula; some take the wide signs of Asia for the same.
const BEGINS_FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// A table on its way.
#[derive(Debug, Default)]
pub struct Table(String);

/// One cell.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    /// Somebody's words.
    Words(&'a str),
    /// A number of ours, which may well begin with a minus.
    Number(i64),
    /// A number that was read as one, as it was written.
    Decimal(&'a str),
    /// A gap.
    Gap,
}

impl From<Option<i64>> for Cell<'_> {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::Gap, Self::Number)
    }
}

impl Table {
    /// One with these columns.
    pub fn of(columns: &[&str]) -> Self {
        let mut table = Self::default();
        table.line(&columns.iter().map(|name| Cell::Words(name)).collect::<Vec<_>>());
        table
    }

    /// One more line.
    pub fn line(&mut self, cells: &[Cell<'_>]) {
        for (n, cell) in cells.iter().enumerate() {
            if n > 0 {
                self.0.push(',');
            }
            match cell {
                Cell::Words(words) => self.0.push_str(&quoted(words)),
                Cell::Number(number) => self.0.push_str(&number.to_string()),
                Cell::Decimal(number) => self.0.push_str(number),
                Cell::Gap => {}
            }
        }
        self.0.push_str("\r\n");
    }

    /// The whole.
    pub fn text(self) -> String {
        self.0
    }

    /// The whole as a file to be kept.
    pub fn file(self, name: &'static str) -> Response {
        let disposition = format!("attachment; filename=\"{name}.csv\"");
        let headers = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
            (header::CONTENT_DISPOSITION, disposition),
        ];
        (headers, self.0).into_response()
    }
}

/// Words as a cell: in quotes where a comma or a line's end would tear them apart, and behind an apostrophe where a
/// spreadsheet would reckon with them.
fn quoted(words: &str) -> String {
    // what is blank before it does not keep every spreadsheet from it
    let rest = words.trim_start();
    let formula = rest.starts_with(BEGINS_FORMULA) || words.starts_with(['\t', '\r', '\n']);
    let words = if formula { format!("'{words}") } else { words.to_owned() };
    if words.contains([',', '"', '\r', '\n']) || formula {
        format!("\"{}\"", words.replace('"', "\"\""))
    } else {
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_a_formula_is_words() {
        for words in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "  =x", " \n\u{a0}=x", "＝1＋1"]
        {
            assert_eq!(quoted(words), format!("\"'{words}\""), "{words:?}");
        }
        assert_eq!(quoted("=HYPERLINK(\"x\",\"y\")"), "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
    }

    #[test]
    fn words_stay_as_they_are_and_in_their_cell() {
        for words in ["", "bread", "a - b", "פתיחה", "3 = 3"] {
            assert_eq!(quoted(words), words);
        }
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"hi\"\nnow"), "\"say \"\"hi\"\"\nnow\"");
    }

    #[test]
    fn a_number_may_be_less_than_nothing_and_a_gap_is_empty() {
        let mut table = Table::of(&["name", "growth", "reach"]);
        table.line(&[Cell::Words("x"), Cell::Number(-5), Cell::from(None)]);
        table.line(&[Cell::Words("y"), Cell::Decimal("-0.10"), Cell::Gap]);
        assert_eq!(table.0, "name,growth,reach\r\nx,-5,\r\ny,-0.10,\r\n");
    }
}
