//! Comments of an account under its own posts: sent by one call, and looked for by their words.
//!
//! A comment has no draft and no name before it is public, so its handle is a name of our own. What is found under the
//! post, once, with these words, by this account and since then, is it; that it is not found proves nothing, and a
//! comment in doubt is never sent again.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    comment::UNDER,
    contract::{Class, Failure},
    desk::{Call, Content, Handle, Readiness},
    gate::Errand,
    machine::{Answer, Public, Sight},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    super::http::{Deadline, Fault, Phase, id_of, unreadable},
    DEFINITE_NO, Graph,
};

/// The kind of a handle that is a comment's.
pub const HANDLE: &str = "comment";
/// How far Graph's clock may be behind ours.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(2);
/// The most comments that one read lists.
const LATEST: usize = 50;
/// As Graph writes times: `+0000`, not `Z`.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%z";

/// What differs between Meta's networks.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The field that holds a comment's words when it is read.
    pub words: &'static str,
    /// The field that holds its time.
    pub time: &'static str,
    /// What asks for the newest first, where that is not so anyway.
    pub order: Option<(&'static str, &'static str)>,
    /// What the access must allow.
    pub permission: &'static str,
    /// The field that holds its own address, where it has one.
    pub own_address: Option<&'static str>,
    /// The field that holds its post's.
    pub posts_address: &'static str,
}

/// What is kept with a comment's handle: all that it is found by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    /// The network's name of its post.
    under: String,
    /// Its words.
    words: String,
    /// It cannot have been public before.
    since: DateTime<Utc>,
}

impl Said {
    fn of(handle: &Handle) -> Result<Self, Failure> {
        let broken = |_| Failure::new(Class::Permanent, "handle", "the handle does not say what it is of");
        Self::deserialize(&handle.detail).map_err(broken)
    }
}

/// How many calls an errand takes that count: one for each, and one more for the address of what was sent.
pub fn counts(errand: Errand) -> u32 {
    match errand {
        Errand::Prepare | Errand::Look => 1,
        Errand::Commit => 2,
    }
}

/// Makes a name for the comment. Nothing of it leaves before the commit.
pub fn prepare(call: &Call<'_>, content: &Content) -> Result<(Handle, Readiness), Failure> {
    let under = content.options[UNDER].as_str();
    let nameless =
        || Failure::new(Class::Transient, "parent", "nobody knows yet what the network calls its post");
    let unlogged = || Failure::new(Class::Permanent, "no_call_id", "a preparation must be in the log");
    let under = under.ok_or_else(nameless)?;
    let id = call.id.ok_or_else(unlogged)?.to_string();
    let said = Said { under: under.to_owned(), words: content.caption.clone(), since: content.not_before };
    Ok((Handle { kind: HANDLE.into(), id, detail: json!(said) }, Readiness::Ready))
}

impl Graph {
    /// Sends a comment, once. That the access lacks a permission for comments is no reason to rest the account, which
    /// may publish posts all the same.
    pub async fn comment(&self, dialect: &Dialect, call: &Call<'_>, handle: &Handle) -> Answer {
        let said = match Said::of(handle) {
            Ok(said) => said,
            Err(failure) => return Answer::Unsent(failure),
        };
        let form = [("message", said.words.as_str())];
        let path = [said.under.as_str(), "comments"];
        match self.refusing(DEFINITE_NO).post(Phase::Commit, call, Deadline::of(call), &path, &form).await {
            Ok(body) => match id_of(&body["id"]) {
                Some(id) => Answer::Published(Public { id: Some(id), url: None }),
                None => unreadable(Phase::Commit, "the answer names no comment").into_answer(),
            },
            Err(fault) => fault.map(|failure| permitted(dialect, failure)).into_answer(),
        }
    }

    /// Whether a comment that was sent is there. Before it was sent there is nothing to look for.
    pub async fn comment_sight(
        &self,
        dialect: &Dialect,
        call: &Call<'_>,
        handle: &Handle,
        armed: bool,
    ) -> Result<Sight, Failure> {
        if !armed {
            return Ok(Sight::Ready);
        }
        let said = Said::of(handle)?;
        let address = dialect.own_address.map(|field| format!(",{field}")).unwrap_or_default();
        let fields = format!("id,{},{},from{address}", dialect.words, dialect.time);
        let most = LATEST.to_string();
        let mut query = vec![("fields", fields.as_str()), ("limit", most.as_str())];
        query.extend(dialect.order);
        let list = self.get(call, Deadline::of(call), &[&said.under, "comments"], &query).await;
        let list = list.map_err(Fault::into_failure)?;
        let unlisted = || unreadable(Phase::Read, "the answer lists no comments").into_failure();
        let comments = list["data"].as_array().ok_or_else(unlisted)?;
        Ok(only_match(comments, dialect, &said, call.account).map_or(Sight::Ready, Sight::Public))
    }

    /// Where a comment is to be seen: at its own address, or at its post's, where it has none.
    pub async fn describe_comment(
        &self,
        dialect: &Dialect,
        call: &Call<'_>,
        handle: &Handle,
        known: Public,
    ) -> Result<Public, Failure> {
        let (None, Some(id)) = (&known.url, &known.id) else { return Ok(known) };
        let said = Said::of(handle)?;
        let (node, field) = match dialect.own_address {
            Some(field) => (id.as_str(), field),
            None => (said.under.as_str(), dialect.posts_address),
        };
        let read = self.get(call, Deadline::of(call), &[node], &[("fields", field)]).await;
        let url = read.map_err(Fault::into_failure)?[field].as_str().map(str::to_owned);
        Ok(Public { url, ..known })
    }
}

fn permitted(dialect: &Dialect, failure: Failure) -> Failure {
    if failure.class != Class::Permission {
        return failure;
    }
    let message = format!(
        "The access does not allow comments: whoever owns the account connects it again and grants {} ({}).",
        dialect.permission, failure.message
    );
    Failure { class: Class::Permanent, message, ..failure }
}

/// The one comment with these words, by this account, since then. Where the list ends before it reaches that far back,
/// another one may lie beyond its end, and none is taken.
fn only_match(comments: &[Value], dialect: &Dialect, said: &Said, account: &str) -> Option<Public> {
    let since = said.since - CLOCKS_APART;
    let time = |it: &Value| DateTime::parse_from_str(it[dialect.time].as_str()?, TIME).ok();
    let recent = |it: &&Value| time(it).is_some_and(|at| at >= since);
    if comments.len() >= LATEST && comments.iter().all(|it| recent(&it)) {
        return None;
    }
    let fits = |it: &&Value| {
        let words = it[dialect.words].as_str().unwrap_or_default().trim() == said.words.trim();
        words && id_of(&it["from"]["id"]).as_deref() == Some(account)
    };
    let mut matches = comments.iter().filter(recent).filter(fits);
    match (matches.next(), matches.next()) {
        (Some(one), None) => {
            let url = dialect.own_address.and_then(|field| one[field].as_str()).map(str::to_owned);
            Some(Public { id: Some(id_of(&one["id"])?), url })
        }
        (Some(_) | None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::{
        super::{
            super::http::{self, Rest, Tables, classify},
            ERRORS,
        },
        *,
    };

    const DIALECT: Dialect = Dialect {
        words: "message",
        time: "created_time",
        order: None,
        permission: "pages_manage_engagement",
        own_address: None,
        posts_address: "permalink",
    };

    fn said() -> Said {
        let since = "2026-11-21T10:00:00Z".parse::<DateTime<Utc>>().expect("a time") + CLOCKS_APART;
        Said { under: "104_1".into(), words: "first!".into(), since }
    }

    fn comment(id: &str, words: &str, from: &str, time: &str) -> Value {
        json!({ "id": id, "message": words, "from": { "id": from }, "created_time": time })
    }

    fn found(comments: &[Value]) -> Option<String> {
        only_match(comments, &DIALECT, &said(), "104").and_then(|public| public.id)
    }

    #[test]
    fn only_the_one_with_our_words_by_our_account_since_then_is_ours() {
        let time = "2026-11-21T10:00:01+0000";
        let ours = comment("7", " first!\n", "104", time);
        let others = [
            comment("1", "first!", "105", time),
            comment("2", "first", "104", time),
            comment("3", "first!", "104", "2026-11-21T09:59:59+0000"),
            json!({ "id": "4", "message": "first!", "created_time": time }),
        ];
        assert_eq!(found(&others), None);
        let with_ours = [&others[..], std::slice::from_ref(&ours)].concat();
        assert_eq!(found(&with_ours).as_deref(), Some("7"));
        assert_eq!(found(&[ours.clone(), comment("8", "first!", "104", time)]), None, "either may be ours");
        let full = vec![comment("9", "nice", "105", time); LATEST - 1];
        assert_eq!(found(&[&full[..], &[ours]].concat()), None, "another may lie beyond the list's end");
    }

    #[test]
    fn a_permission_that_is_missing_for_comments_does_not_rest_the_account() {
        let said = permitted(&DIALECT, Failure::new(Class::Permission, "200", "(#200) no"));
        assert_eq!(said.class, Class::Permanent);
        assert!(said.message.contains("pages_manage_engagement"), "{}", said.message);
        let auth = Failure::new(Class::Auth, "190", "expired");
        assert_eq!(permitted(&DIALECT, auth.clone()), auth);
    }

    #[test]
    fn a_missing_permission_is_no_answer_of_a_server_that_has_lost_its_way() {
        let tables = Tables { rows: &[ERRORS], definite_no: DEFINITE_NO };
        let of = |status, code: &str| {
            let message = String::new();
            classify(
                Phase::Commit,
                http::Said { status, code: code.into(), message, transient: false, rest: Rest::Unsaid },
                &tables,
            )
        };
        for code in ["10", "200", "294", "190/463"] {
            assert!(matches!(of(StatusCode::FORBIDDEN, code), Fault::Refused(_)), "{code}");
            assert!(matches!(of(StatusCode::INTERNAL_SERVER_ERROR, code), Fault::Unknown(_)), "{code}");
        }
        assert!(matches!(of(StatusCode::BAD_REQUEST, "368"), Fault::Unknown(_)));
    }

    #[test]
    fn what_a_comment_is_found_by_is_kept_with_its_handle() {
        let handle = Handle { kind: HANDLE.into(), id: "x".into(), detail: json!(said()) };
        assert_eq!(Said::of(&handle), Ok(said()));
        let other = Handle { detail: Value::Null, ..handle };
        assert!(Said::of(&other).is_err_and(|failure| failure.class == Class::Permanent));
    }
}
