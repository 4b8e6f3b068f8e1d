//! The drafts that a Page keeps, which nobody sees and Facebook forgets none of.

use chrono::{DateTime, Utc};
use jobs::{
    contract::Failure,
    desk::{Call, Handle, Unseen},
};
use serde_json::Value;

use super::{
    super::http::{Deadline, Fault, Phase, id_of, unreadable},
    DRAFT, Facebook,
};

/// As many are listed at once.
const LISTED: &str = "100";
/// What is asked of each of them; which app made it among that.
const FIELDS: &str = "id,message,created_time,is_published,application";
/// As Graph writes times: `+0000`, not `Z`.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%z";

impl Facebook {
    /// The latest drafts since then of which Facebook says that this app made them. A list that goes on beyond the first
    /// page is not followed: what is not found stays, and is seen by nobody.
    pub(super) async fn own_drafts(
        &self,
        call: &Call<'_>,
        since: DateTime<Utc>,
    ) -> Result<Vec<Unseen>, Failure> {
        let since = since.timestamp().to_string();
        let query =
            [("is_published", "false"), ("fields", FIELDS), ("since", since.as_str()), ("limit", LISTED)];
        let path = [call.account, "promotable_posts"];
        let listed = self.graph.get(call, Deadline::of(call), &path, &query).await;
        let listed = listed.map_err(Fault::into_failure)?;
        let Some(list) = listed["data"].as_array() else {
            return Err(unreadable(Phase::Read, "the answer lists no posts").into_failure());
        };
        Ok(list.iter().filter_map(|post| own(post, self.graph.app_id())).collect())
    }
}

/// A draft of this app's. What does not say that it is one, or whose it is, is left out.
fn own(post: &Value, app: &str) -> Option<Unseen> {
    let is_ours = id_of(&post["application"]["id"]).as_deref() == Some(app);
    if !is_ours || post["is_published"] != false {
        return None;
    }
    let made_at = DateTime::parse_from_str(post["created_time"].as_str()?, TIME).ok()?.to_utc();
    let words = post["message"].as_str().unwrap_or_default().to_owned();
    Some(Unseen {
        handle: Handle { kind: DRAFT.into(), id: id_of(&post["id"])?, detail: Value::Null },
        words,
        made_at,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_facebook_says_this_app_made_and_nobody_sees_is_a_draft_of_ours() {
        let post = json!({
            "id": "104_1", "message": "bread", "created_time": "2026-11-21T10:00:01+0000", "is_published": false,
            "application": { "id": "77", "name": "Postroom" },
        });
        let ours = own(&post, "77").expect("ours");
        assert_eq!((ours.handle.id.as_str(), ours.words.as_str()), ("104_1", "bread"));
        assert_eq!(ours.made_at.to_rfc3339(), "2026-11-21T10:00:01+00:00");
        assert_eq!(own(&post, "78"), None, "another app's");
        for (field, value) in [
            ("application", Value::Null),
            ("is_published", json!(true)),
            ("is_published", Value::Null),
            ("created_time", Value::Null),
            ("id", Value::Null),
        ] {
            let mut other = post.clone();
            other[field] = value;
            assert_eq!(own(&other, "77"), None, "{field}");
        }
    }
}
