//! The gate that every call to a network passes: look into the ledger, play the fault, write the log.

use std::future::Future;
use std::io;
use std::sync::{Arc, PoisonError};

use chrono::TimeDelta;
use http::StatusCode;
use serde_json::json;

use crate::answer::{Answer, Reply};
use crate::calls::{Call, Phase};
use crate::event::Event;
use crate::faults::{Fault, GraphFault, Then, TiktokFault, Word};
use crate::graph::GraphError;
use crate::model::{ContainerState, Network};
use crate::openai;
use crate::state::Sandbox;
use crate::tiktok::{self, TiktokError};

/// Lets a call pass. `action` is what the network does; it is only run if the fault lets it.
///
/// All of it runs in a task of its own: a caller that goes away does not undo what it asked for.
pub async fn pass<A>(sandbox: Arc<Sandbox>, call: Call, action: A) -> Reply
where
    A: Future<Output = Answer> + Send + 'static,
{
    let network = call.network;
    let passing = tokio::spawn(async move { play_and_log(&sandbox, call, action).await });
    passing.await.unwrap_or_else(|_| Reply::Whole(broken(network)))
}

async fn play_and_log<A>(sandbox: &Arc<Sandbox>, call: Call, action: A) -> Reply
where
    A: Future<Output = Answer> + Send + 'static,
{
    let in_ledger = in_ledger(sandbox, &call).await;
    let (reply, fault) = if sandbox.rules.require_call_id && call.phase.mutates() && call.call_id.is_none() {
        (Reply::Whole(refused_without_id(call.network)), None)
    } else {
        let played = sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).take(&call);
        let text = played.text();
        let handle = call.handle.clone();
        let stale = stay_stale(sandbox, handle.as_deref(), played.stale_ms);
        let reply = play(sandbox, &call, played.fault, action).await;
        if !stale && let Reply::Whole(answer) | Reply::CutOff(answer) | Reply::Half(answer) = &reply {
            stay_stale(sandbox, answer.created().as_deref(), played.stale_ms);
        }
        (reply, text)
    };
    let mut calls = sandbox.calls.lock().unwrap_or_else(PoisonError::into_inner);
    calls.add(sandbox.clock.now(), call, in_ledger, fault, reply.status());
    reply
}

async fn in_ledger(sandbox: &Sandbox, call: &Call) -> Option<bool> {
    match (&sandbox.ledger, &call.call_id) {
        (Some(ledger), Some(call_id)) => ledger.knows(call_id, call.phase == Phase::Commit).await,
        (Some(_), None) if call.phase.mutates() => Some(false),
        (Some(_) | None, _) => None,
    }
}

/// Plays one fault on one call, or none.
async fn play<A>(sandbox: &Arc<Sandbox>, call: &Call, fault: Option<Fault>, action: A) -> Reply
where
    A: Future<Output = Answer> + Send + 'static,
{
    let network = call.network;
    match fault {
        // Stale reads were arranged beforehand; the call itself goes well.
        None | Some(Fault::StaleRead { .. }) => Reply::Whole(action.await),
        Some(Fault::Word(word)) => play_word(word, network, action).await,
        Some(Fault::Delay { delay_ms }) => {
            let _pending = sandbox.will_be_carried_out();
            wait(sandbox, delay_ms).await;
            Reply::Whole(action.await)
        }
        Some(Fault::AnswerAfter { answer_after_ms }) => {
            let answer = action.await;
            wait(sandbox, answer_after_ms).await;
            Reply::Whole(answer)
        }
        Some(Fault::Hang { hang_ms }) => {
            wait(sandbox, hang_ms).await;
            Reply::Nothing
        }
        Some(Fault::EffectAfter { effect_after_ms, then }) => {
            let later = Arc::clone(sandbox);
            // counted before the caller hears anything
            let pending = later.will_be_carried_out();
            tokio::spawn(async move {
                wait(&later, effect_after_ms).await;
                action.await;
                drop(pending);
            });
            match then {
                Then::Broken => Reply::Whole(broken(network)),
                Then::Drop => Reply::Nothing,
            }
        }
        Some(Fault::Graph { graph }) => {
            if graph.effect {
                action.await;
            }
            Reply::Whole(graph_answer(graph))
        }
        Some(Fault::Tiktok { tiktok }) => {
            if tiktok.effect {
                action.await;
            }
            Reply::Whole(if call.call == "token" { oauth_answer(tiktok) } else { tiktok_answer(tiktok) })
        }
        Some(Fault::Openai { openai }) => Reply::Whole(openai::scripted(openai, action).await),
        Some(Fault::Headers { headers }) => {
            let mut answer = action.await;
            answer.headers.extend(headers);
            Reply::Whole(answer)
        }
        Some(Fault::Status { status, retry_after_s, more }) => {
            let mut answer = bare_status(network, status, retry_after_s);
            answer.headers.extend(more);
            Reply::Whole(answer)
        }
        Some(Fault::ReadError { .. }) => Reply::Whole(unreadable(network, call.handle.as_deref())),
        Some(Fault::Container { container }) => force_container(sandbox, call, container, action).await,
        Some(Fault::FailReason { fail_reason }) => doom_upload(sandbox, call, fail_reason, action).await,
    }
}

async fn play_word<A: Future<Output = Answer>>(word: Word, network: Option<Network>, action: A) -> Reply {
    match word {
        Word::EffectThen500 => {
            action.await;
            Reply::Whole(broken(network))
        }
        Word::EffectThenDrop => {
            action.await;
            Reply::Nothing
        }
        Word::EffectThenHalf => Reply::Half(action.await),
        Word::NoEffectThen500 => Reply::Whole(broken(network)),
        Word::NoEffectThenDrop => Reply::Nothing,
        Word::Redirect => Reply::Whole(
            Answer::with(StatusCode::FOUND, serde_json::Value::Null).header("location", "/elsewhere"),
        ),
        Word::MalformedJson => Reply::CutOff(action.await),
    }
}

async fn wait(sandbox: &Sandbox, ms: u32) {
    sandbox.clock.reach(sandbox.clock.now() + TimeDelta::milliseconds(ms.into())).await;
}

/// Arranges for stale reads; says whether it could.
fn stay_stale(sandbox: &Sandbox, handle: Option<&str>, ms: Option<u32>) -> bool {
    let (Some(handle), Some(ms)) = (handle, ms) else { return false };
    sandbox.book().stale.insert(handle.to_owned(), ms.into());
    true
}

/// Puts the container into a state: before the call where it exists, after it where the call makes it.
async fn force_container<A: Future<Output = Answer>>(
    sandbox: &Sandbox,
    call: &Call,
    state: ContainerState,
    action: A,
) -> Reply {
    let force = |id: Option<String>| match id {
        Some(id) => sandbox.book().record(Event::ContainerForced { id, state }),
        None => Ok(()),
    };
    let before = force(call.handle.clone());
    let answer = action.await;
    let after = if call.handle.is_none() { force(answer.created()) } else { Ok(()) };
    whole_unless_failed(call.network, answer, &before.and(after))
}

/// Lets TikTok accept an upload whose processing will fail.
async fn doom_upload<A: Future<Output = Answer>>(
    sandbox: &Sandbox,
    call: &Call,
    reason: String,
    action: A,
) -> Reply {
    let doom = |id: Option<String>| match id {
        Some(publish_id) => sandbox.book().record(Event::UploadDoomed { publish_id, reason: reason.clone() }),
        None => Ok(()),
    };
    let before = doom(call.handle.clone());
    let answer = action.await;
    let after = if call.handle.is_none() { doom(answer.created()) } else { Ok(()) };
    whole_unless_failed(call.network, answer, &before.and(after))
}

fn whole_unless_failed(network: Option<Network>, answer: Answer, written: &io::Result<()>) -> Reply {
    match written {
        Ok(()) => Reply::Whole(answer),
        Err(_) => Reply::Whole(broken(network)),
    }
}

/// A 500 in the network's envelope.
fn broken(network: Option<Network>) -> Answer {
    match network {
        Some(Network::FacebookPage | Network::InstagramBusiness) => GraphError::broken().into(),
        Some(Network::Tiktok) => TiktokError::broken().into(),
        None => Answer::numbered(500, json!({"error": "internal"})),
    }
}

fn bare_status(network: Option<Network>, status: u16, retry_after_s: Option<u32>) -> Answer {
    let mut answer = match network {
        Some(Network::FacebookPage | Network::InstagramBusiness) => GraphError::of_status(status).into(),
        Some(Network::Tiktok) => TiktokError::of_status(status).into(),
        None => Answer::numbered(status, json!({"error": "scripted"})),
    };
    if let Some(seconds) = retry_after_s {
        answer = answer.header("retry-after", seconds.to_string());
    }
    answer
}

fn unreadable(network: Option<Network>, handle: Option<&str>) -> Answer {
    match network {
        Some(Network::Tiktok) => TiktokError::broken().into(),
        Some(Network::FacebookPage | Network::InstagramBusiness) | None => {
            GraphError::missing(handle.unwrap_or("unknown")).into()
        }
    }
}

fn graph_answer(fault: GraphFault) -> Answer {
    let message = fault.message.unwrap_or_else(|| format!("(#{}) Scripted error", fault.code));
    let mut error = GraphError::new(fault.code, message).http(fault.http.unwrap_or(400));
    error.subcode = fault.subcode;
    let mut answer = Answer::from(error);
    answer.headers.extend(fault.headers);
    answer
}

/// TikTok's OAuth has a shape of its own for errors.
fn oauth_answer(fault: TiktokFault) -> Answer {
    let description = fault.message.unwrap_or_else(|| "Scripted error".into());
    tiktok::refused(fault.http.unwrap_or(400), &fault.code, &description)
}

fn tiktok_answer(fault: TiktokFault) -> Answer {
    let message = fault.message.unwrap_or_else(|| "Scripted error".into());
    TiktokError::new(fault.http.unwrap_or(400), fault.code, message).into()
}

fn refused_without_id(network: Option<Network>) -> Answer {
    let message = "a mutating call must carry X-Call-Id";
    match network {
        Some(Network::Tiktok) => TiktokError::new(400, "invalid_params", message).into(),
        Some(Network::FacebookPage | Network::InstagramBusiness) | None => {
            GraphError::new(100, message).into()
        }
    }
}
