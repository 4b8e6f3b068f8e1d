//! The CSV of posts.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::DemoError;

/// One line of the CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The platforms it goes to.
    pub accounts: Vec<String>,
    /// `post`, `reel`, `story` or `carousel`.
    pub kind: String,
    /// Its text.
    pub caption: String,
    /// Its media, by file names relative to the CSV.
    pub media: Vec<String>,
    /// The link it shares.
    pub link: Option<String>,
    /// What is said under it first, where the network takes comments.
    pub first_comment: Option<String>,
    /// In how many seconds it is due; 0 is now.
    pub in_seconds: u32,
}

impl Row {
    /// What is said first under its post on this platform; TikTok has no way to say it.
    pub fn comment_on(&self, platform: &str) -> Option<&str> {
        self.first_comment.as_deref().filter(|_| platform != "tiktok")
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    accounts: String,
    kind: String,
    caption: String,
    media: String,
    link: String,
    in_seconds: Option<u32>,
    #[serde(default)]
    first_comment: String,
}

/// Reads the posts.
pub fn read(path: &Path) -> Result<Vec<Row>, DemoError> {
    let reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_path(path);
    let wrong = |error: csv::Error| DemoError::Input(format!("{}: {error}", path.display()));
    let lines: Result<Vec<Line>, _> = reader.map_err(wrong)?.deserialize().collect();
    let rows: Vec<Row> = lines.map_err(wrong)?.into_iter().map(Row::from).collect();
    if rows.is_empty() {
        return Err(DemoError::Input(format!("{}: there are no posts", path.display())));
    }
    Ok(rows)
}

/// Sees that every platform of every row has an account.
pub fn check_accounts(rows: &[Row], accounts: &BTreeMap<String, String>) -> Result<(), DemoError> {
    let unknown = |row: &Row| row.accounts.iter().find(|platform| !accounts.contains_key(*platform)).cloned();
    match rows.iter().enumerate().find_map(|(number, row)| Some((number + 2, unknown(row)?))) {
        Some((line, platform)) => {
            Err(DemoError::Input(format!("line {line}: no active account on {platform:?} is connected")))
        }
        None => Ok(()),
    }
}

impl From<Line> for Row {
    fn from(line: Line) -> Self {
        let parts = |text: &str| -> Vec<String> {
            text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Self {
            accounts: parts(&line.accounts),
            kind: line.kind.trim().to_owned(),
            caption: line.caption,
            media: parts(&line.media),
            link: text(&line.link),
            first_comment: text(&line.first_comment),
            in_seconds: line.in_seconds.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_name_many_accounts_and_leave_fields_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("posts.csv");
        let text = "accounts,kind,caption,media,link,in_seconds\n\
                    facebook_page;tiktok,post,\"Fresh, daily\nשלום\",a.jpg; b.jpg,,3\n\
                    facebook_page,post,Text,,https://example.org/,\n";
        std::fs::write(&path, text).expect("a file");
        let rows = read(&path).expect("rows");
        assert_eq!(rows[0].accounts, ["facebook_page", "tiktok"]);
        assert_eq!(rows[0].caption, "Fresh, daily\nשלום");
        assert_eq!(
            (rows[0].media.as_slice(), rows[0].in_seconds),
            (&["a.jpg".into(), "b.jpg".into()][..], 3)
        );
        assert_eq!((rows[1].link.as_deref(), rows[1].in_seconds), (Some("https://example.org/"), 0));
        assert_eq!(rows[1].first_comment, None);
    }

    #[test]
    fn a_line_may_say_what_is_said_first_under_its_post() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("posts.csv");
        let text = "accounts,kind,caption,media,link,in_seconds,first_comment\n\
                    facebook_page;tiktok,post,Text,a.jpg,,3,Where? At the corner.\n\
                    facebook_page,post,Text,,,3,\n";
        std::fs::write(&path, text).expect("a file");
        let rows = read(&path).expect("rows");
        assert_eq!(rows[0].comment_on("facebook_page"), Some("Where? At the corner."));
        assert_eq!(rows[0].comment_on("tiktok"), None, "it takes none");
        assert_eq!(rows[1].comment_on("facebook_page"), None);
    }

    #[test]
    fn a_missing_account_is_named_with_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("posts.csv");
        std::fs::write(&path, "accounts,kind,caption,media,link,in_seconds\ntiktok,post,x,,,0\n")
            .expect("a file");
        let error = check_accounts(&read(&path).expect("rows"), &BTreeMap::new()).expect_err("an error");
        assert_eq!(error.to_string(), "line 2: no active account on \"tiktok\" is connected");
    }
}
