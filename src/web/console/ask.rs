//! Asking for help in writing, from the forms that have a button for it. A form that is sent twice asks once.

use std::sync::Arc;

use jobs::analysis::{Kind, Language};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    analyses::policy,
    form::Written,
    seat::{Author, Seat},
    texts::ENGLISH,
};
use crate::{
    ledger::{
        analyses::{NewAnalysis, Of},
        idempotency::{Answer, Asked, Once},
    },
    web::{
        App,
        analysis::{BRIEF_MOST, MOST_FILES, Refused},
        problem::Problem,
    },
};

/// Asks for captions for what is written in the form so far, or for a look at its files. Where to look for what comes of
/// it, or what is missing.
pub async fn of_form(
    app: &Arc<App>,
    seat: &Seat<Author>,
    written: &Written,
    kind: Kind,
) -> Result<Result<String, String>, Problem> {
    let t = &ENGLISH;
    let brief = written.caption.replace('\0', "").trim().to_owned();
    let length = brief.chars().count();
    let least = usize::from(kind == Kind::Caption);
    if !(least..=BRIEF_MOST).contains(&length) {
        return Ok(Err(t.suggest_brief.to_owned()));
    }
    let workspace_id = seat.member.workspace_id;
    if kind == Kind::VideoReview {
        if !policy(app, workspace_id).await?.is_some_and(|policy| policy.media) {
            return Ok(Err(t.review_off.to_owned()));
        }
        if written.media_ids.is_empty() {
            return Ok(Err(t.review_files.to_owned()));
        }
    }
    let accounts = seat.ledger.shown_accounts(workspace_id).await?;
    let mut platforms: Vec<String> = Vec::new();
    for account in accounts.iter().filter(|it| written.targets.contains(&it.id.to_string())) {
        if !platforms.contains(&account.platform) {
            platforms.push(account.platform.clone());
        }
    }
    let media_ids = written.media_ids.iter().filter_map(|id| id.parse().ok()).take(MOST_FILES).collect();
    let language = Language::parse(&written.language).unwrap_or(Language::English);
    let created_by = seat.member.person_id;
    let new = NewAnalysis { kind, language, platforms, brief, media_ids, results: None, created_by };
    let said = [kind.word().as_bytes(), language.word().as_bytes(), &written.content()].concat();
    let form = format!("{} {}", written.key, written.asking);
    put(app, once(seat, &form, &said), new).await
}

/// Asks for the results of a post, or of an account's month, in words.
pub async fn of_results(
    app: &Arc<App>,
    seat: &Seat<Author>,
    key: &str,
    of: Of,
    language: Language,
) -> Result<Result<String, String>, Problem> {
    let new = NewAnalysis {
        kind: Kind::Results,
        language,
        platforms: Vec::new(),
        brief: String::new(),
        media_ids: Vec::new(),
        results: Some(of),
        created_by: seat.member.person_id,
    };
    let said = format!("{of:?} {}", language.word());
    put(app, once(seat, key, said.as_bytes()), new).await
}

/// The key of a form: what was changed in it since it was sent is asked for too.
fn once(seat: &Seat<Author>, form: &str, said: &[u8]) -> Asked {
    let key = format!("{form} {}", hex::encode(Sha256::digest(said)));
    seat.asked(&key, "POST analysis", said)
}

fn address_of(answer: &Answer) -> String {
    let asked: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    asked["id"].as_str().map_or_else(|| "/analyses".to_owned(), |id| format!("/analyses/{id}"))
}

async fn put(app: &Arc<App>, asked: Asked, new: NewAnalysis) -> Result<Result<String, String>, Problem> {
    Ok(match app.ask_analysis(asked.workspace_id, new, Some(asked)).await? {
        Once::Done(Ok(row)) => Ok(format!("/analyses/{}", row.id)),
        Once::Done(Err(Refused::Wrong(finding))) => Err(finding.detail),
        Once::Done(Err(Refused::OffHere | Refused::Off)) => Err(ENGLISH.suggest_off.to_owned()),
        Once::Before(before) => Ok(address_of(&before)),
        Once::KeyReused => return Err(Problem::key_reused()),
    })
}
