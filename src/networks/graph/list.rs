//! Meta's lists, which come in pages.

use jobs::{contract::Failure, desk::Call};
use serde_json::Value;

use super::Graph;
use crate::networks::http::{Deadline, Fault};

/// The most pages of [`A_PAGE`] that are read of a list: ten times as much as a workspace may have connected. One bound for
/// whoever offers Pages and for whoever looks for the token of one again, or what was offered would not be found.
const MOST_PAGES: usize = 50;
const A_PAGE: &str = "100";

impl Graph {
    /// Reads a list page by page, as long as `each` wants more of it.
    pub(super) async fn walk(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        path: &[&str],
        fields: &str,
        mut each: impl FnMut(&[Value]) -> bool + Send,
    ) -> Result<(), Failure> {
        let mut after = String::new();
        for _ in 0..MOST_PAGES {
            let mut query = vec![("fields", fields), ("limit", A_PAGE)];
            if !after.is_empty() {
                query.push(("after", &after));
            }
            let page = self.get(call, deadline, path, &query).await.map_err(Fault::into_failure)?;
            if !each(page["data"].as_array().map_or(&[][..], Vec::as_slice)) {
                break;
            }
            match (&page["paging"]["next"], page["paging"]["cursors"]["after"].as_str()) {
                (Value::String(_), Some(cursor)) => cursor.clone_into(&mut after),
                (_, _) => break,
            }
        }
        Ok(())
    }

    /// A whole list, as far as it is read.
    pub(super) async fn list(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        path: &[&str],
        fields: &str,
    ) -> Result<Vec<Value>, Failure> {
        let mut found = Vec::new();
        let keep = |rows: &[Value]| {
            found.extend_from_slice(rows);
            true
        };
        self.walk(call, deadline, path, fields, keep).await?;
        Ok(found)
    }
}
