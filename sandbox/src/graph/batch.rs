//! `POST /` with a batch: up to fifty parts, each answered as it would be alone, and each in the log by itself.

use std::sync::Arc;

use futures_util::future::join_all;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::{Asked, GraphError, Params, one};
use crate::answer::{Answer, Reply};
use crate::calls::{Call, Phase};
use crate::gate;
use crate::state::Sandbox;

/// "Batch Requests": no more.
const MOST_PARTS: usize = 50;

/// Whether this is one.
pub fn is_batch(asked: &Asked) -> bool {
    asked.method == Method::POST && asked.path.is_empty()
}

/// Answers its parts.
pub async fn answer(sandbox: Arc<Sandbox>, path: String, asked: Asked) -> Reply {
    let call = Call {
        network: None,
        call: "batch",
        phase: Phase::Observe,
        method: asked.method.to_string(),
        path,
        account: None,
        handle: None,
        caption: None,
        source: None,
        files: Vec::new(),
        call_id: asked.call_id.clone(),
    };
    let desk = Arc::clone(&sandbox);
    gate::pass(sandbox, call, async move { parts(&desk, &asked).await }).await
}

async fn parts(sandbox: &Arc<Sandbox>, asked: &Asked) -> Answer {
    if let Err(error) = asked.params.only(&["batch", "include_headers"]) {
        return error.into();
    }
    let parts = asked.params.list("batch");
    if parts.is_empty() || parts.len() > MOST_PARTS {
        return GraphError::parameter(format!("A batch has 1 to {MOST_PARTS} parts")).into();
    }
    let answered = join_all(parts.iter().map(|part| answered(sandbox, asked, part))).await;
    Answer::ok(answered.into())
}

/// One part, as it is in the answer; nothing where it was not finished.
async fn answered(sandbox: &Arc<Sandbox>, asked: &Asked, part: &Value) -> Value {
    let reply = match read(asked, part) {
        Ok((path, asked)) => one(Arc::clone(sandbox), path, asked).await,
        Err(error) => Reply::Whole(error.into()),
    };
    match reply {
        Reply::Whole(answer) => {
            json!({ "code": answer.status.as_u16(), "headers": [], "body": answer.text() })
        }
        Reply::CutOff(_) | Reply::Half(_) | Reply::Nothing => Value::Null,
    }
}

/// A part is a read here: with the token of the batch, and the proof of it.
fn read(asked: &Asked, part: &Value) -> Result<(String, Asked), GraphError> {
    if part["method"] != "GET" {
        return Err(GraphError::parameter("Parts that change something are not known here"));
    }
    let address = part["relative_url"].as_str().unwrap_or_default();
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let parts: Vec<String> = path.split('/').filter(|it| !it.is_empty()).map(str::to_owned).collect();
    if parts.is_empty() {
        return Err(GraphError::parameter("A part needs a relative_url"));
    }
    let inner = Asked {
        method: Method::GET,
        path: parts,
        params: Params::of_part(query, &asked.params),
        token: asked.token.clone(),
        call_id: asked.call_id.clone(),
        headers: HeaderMap::new(),
    };
    Ok((format!("/graph/{}/{path}", super::VERSION), inner))
}
