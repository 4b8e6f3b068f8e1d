//! A new post that begins with a suggestion. The address of its page names it, and has none of its words in it.

use serde::Deserialize;
use uuid::Uuid;

use super::form::Written;
use crate::web::{App, problem::Problem};

/// Which suggestion: its analysis, and its place there, from one. Empty: the post begins empty.
#[derive(Debug, Default, Deserialize)]
pub struct Suggestion {
    #[serde(default)]
    analysis: String,
    #[serde(default)]
    variant: String,
}

/// Where a post is written with the suggestion at this place, from nought.
pub fn address(analysis: Uuid, place: usize) -> String {
    format!("/posts/new?analysis={analysis}&variant={}", place + 1)
}

impl Suggestion {
    /// Puts its words into the form, with the files that they were written for.
    ///
    /// # Errors
    /// 404: the workspace has none there; or the ledger is away.
    pub async fn put_into(&self, written: &mut Written, app: &App, workspace: Uuid) -> Result<(), Problem> {
        if self.analysis.is_empty() {
            return Ok(());
        }
        let missing = || Problem::not_found("suggestion");
        let id = Uuid::try_parse(&self.analysis).map_err(|_| missing())?;
        let place = self.variant.parse::<usize>().ok().and_then(|variant| variant.checked_sub(1));
        let place = place.ok_or_else(missing)?;
        let row = app.within(workspace).analysis(workspace, id).await?.ok_or_else(missing)?;
        let text = row.result.as_ref().and_then(|result| result["variants"][place]["text"].as_str());
        text.ok_or_else(missing)?.clone_into(&mut written.caption);
        row.language.word().clone_into(&mut written.language);
        written.media_ids = row.media_ids.iter().map(ToString::to_string).collect();
        Ok(())
    }
}
