//! What TikTok tells of a film that is on its way.

use jobs::{
    contract::{Class, Failure},
    machine::{Public, Sight},
};
use serde_json::Value;

use super::{
    super::http::{Phase, id_of, unreadable},
    TABLES,
};

/// What `status/fetch` shows of a film on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is being uploaded; how many bytes are there, where that was said.
    Uploading(Option<u64>),
    /// All else.
    Past(Sight),
}

impl Progress {
    /// Reads `data` of an answer.
    ///
    /// # Errors
    /// A state that is not documented, which is no evidence.
    pub fn read(data: &Value) -> Result<Self, Failure> {
        match data["status"].as_str() {
            Some("PROCESSING_UPLOAD") => Ok(Progress::Uploading(count(&data["uploaded_bytes"]))),
            Some("PROCESSING_DOWNLOAD") => Ok(Progress::Past(Sight::Processing)),
            Some("PUBLISH_COMPLETE") => {
                Ok(Progress::Past(Sight::Public(Public { id: public_id(data), url: None })))
            }
            Some("FAILED") => Ok(Progress::Past(Sight::Dead(failed(data)))),
            Some(_) | None => {
                Err(unreadable(Phase::Read, "the upload is in none of the known states").into_failure())
            }
        }
    }

    /// What it means for a handle of `size` bytes. Before a commit what was not said to be there is not there;
    /// after it, silence about the bytes is no evidence.
    ///
    /// # Errors
    /// No evidence.
    pub fn sight(self, size: u64, armed: bool) -> Result<Sight, Failure> {
        match self {
            Self::Uploading(Some(have)) if have >= size => Ok(Sight::Processing),
            Self::Uploading(None) if armed => {
                Err(unreadable(Phase::Read, "TikTok does not say how much it has").into_failure())
            }
            Self::Uploading(Some(_) | None) => Ok(Sight::Ready),
            Self::Past(sight) => Ok(sight),
        }
    }
}

/// The id of what is public; the field's name is TikTok's own. One upload gives one post.
fn public_id(data: &Value) -> Option<String> {
    let ids = data["publicaly_available_post_id"].as_array()?;
    if ids.len() > 1 {
        tracing::error!(count = ids.len(), "one upload became several posts");
    }
    id_of(ids.first()?)
}

fn failed(data: &Value) -> Failure {
    let reason = data["fail_reason"].as_str().unwrap_or("unknown");
    let row = TABLES.row(reason);
    let class = row.map_or(Class::Transient, |row| row.class);
    let why = format!("TikTok took the film and then refused it: {reason}");
    Failure::new(class, reason, why).resting(row.and_then(|row| row.rest))
}

/// A number, or one that came as text, as 64-bit numbers may.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_film_is_what_its_status_says() {
        let seen = |data: Value, armed| Progress::read(&data).and_then(|progress| progress.sight(10, armed));
        let at = |bytes: u64| json!({ "status": "PROCESSING_UPLOAD", "uploaded_bytes": bytes });
        assert_eq!(seen(at(9), true), Ok(Sight::Ready));
        assert_eq!(seen(at(10), true), Ok(Sight::Processing));
        let silent = json!({ "status": "PROCESSING_UPLOAD" });
        assert_eq!(seen(silent.clone(), false), Ok(Sight::Ready));
        assert!(seen(silent, true).is_err(), "silence after a commit is no evidence");
        assert_eq!(seen(json!({ "status": "PROCESSING_DOWNLOAD" }), true), Ok(Sight::Processing));
        let done = json!({ "status": "PUBLISH_COMPLETE", "publicaly_available_post_id": [7_500_000_000_000_000_123_u64] });
        let public = Public { id: Some("7500000000000000123".into()), url: None };
        assert_eq!(seen(done, true), Ok(Sight::Public(public)));
        let hidden = json!({ "status": "PUBLISH_COMPLETE", "publicaly_available_post_id": [] });
        assert_eq!(seen(hidden, true), Ok(Sight::Public(Public::default())));
        assert!(seen(json!({ "status": "PONDERING" }), true).is_err());
    }

    #[test]
    fn a_failed_film_fails_by_its_reason() {
        let class = |reason: &str| failed(&json!({ "fail_reason": reason })).class;
        assert_eq!(class("internal"), Class::Transient);
        assert_eq!(class("frame_rate_check_failed"), Class::Permanent);
        assert_eq!(class("auth_removed"), Class::Auth);
        assert_eq!(class("spam_risk_too_many_posts"), Class::Rate);
        assert_eq!(class("something new"), Class::Transient);
    }
}
