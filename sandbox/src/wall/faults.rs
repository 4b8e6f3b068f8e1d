//! The page on which the common faults are switched on by hand.

use std::sync::{Arc, PoisonError};

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::page as render;
use crate::faults::{Active, Rule};
use crate::model::Network;
use crate::state::Sandbox;

type Shared = State<Arc<Sandbox>>;

/// A fault that can be had by a click.
#[derive(Debug, Clone, Copy)]
struct Preset {
    name: &'static str,
    title: &'static str,
    call: &'static str,
    fault: fn() -> Value,
}

const PRESETS: [Preset; 10] = [
    Preset {
        name: "published_no_answer",
        title: "The post is published, but no answer comes",
        call: "commit",
        fault: || json!("effect_then_drop"),
    },
    Preset {
        name: "published_500",
        title: "The post is published, but the answer is an error (500)",
        call: "commit",
        fault: || json!("effect_then_500"),
    },
    Preset {
        name: "published_spam",
        title: "The post is published, but the answer says spam (4/2207051)",
        call: "commit",
        fault: || json!({ "graph": { "code": 4, "subcode": 2_207_051, "http": 403, "effect": true } }),
    },
    Preset {
        name: "nothing_500",
        title: "Nothing is published, and the answer is an error (500)",
        call: "commit",
        fault: || json!("no_effect_then_500"),
    },
    Preset {
        name: "nothing_no_answer",
        title: "Nothing is published, and no answer comes",
        call: "commit",
        fault: || json!("no_effect_then_drop"),
    },
    Preset {
        name: "late",
        title: "No answer comes, and the post is published five seconds later",
        call: "commit",
        fault: || json!({ "effect_after_ms": 5000, "then": "drop" }),
    },
    Preset {
        name: "stale",
        title: "For twenty seconds reads say that it is not published yet",
        call: "commit",
        fault: || json!({ "stale_read_ms": 20_000 }),
    },
    Preset {
        name: "unreadable",
        title: "Reading back fails (100/33)",
        call: "observe",
        fault: || json!({ "read_error": true }),
    },
    Preset {
        name: "throttled",
        title: "Too many calls (429)",
        call: "any",
        fault: || json!({ "status": 429, "retry_after_s": 3 }),
    },
    Preset {
        name: "slow",
        title: "Every call takes five seconds",
        call: "any",
        fault: || json!({ "delay_ms": 5000 }),
    },
];

/// One rule as the page shows it.
struct RuleView {
    id: u64,
    call: String,
    network: &'static str,
    caption: String,
    fault: String,
    played: String,
}

#[derive(Template)]
#[template(path = "faults.html")]
struct FaultsPage {
    faults: usize,
    problem: Option<String>,
    presets: [Preset; 10],
    networks: [Network; 3],
    rules: Vec<RuleView>,
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub struct Chosen {
    preset: String,
    #[serde(default)]
    network: String,
    #[serde(default)]
    times: String,
    #[serde(default)]
    caption: String,
}

/// `GET /_faults`.
pub async fn page(State(sandbox): Shared) -> Response {
    show(&sandbox, StatusCode::OK, None)
}

/// `POST /_faults`: one more.
pub async fn add(State(sandbox): Shared, Form(chosen): Form<Chosen>) -> Response {
    match rule(&chosen) {
        Ok(rule) => {
            sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).add(rule);
            Redirect::to("/_faults").into_response()
        }
        Err(problem) => show(&sandbox, StatusCode::UNPROCESSABLE_ENTITY, Some(problem)),
    }
}

/// `POST /_faults/{id}/off`. One that is off already is as good.
pub async fn off(State(sandbox): Shared, Path(id): Path<u64>) -> Redirect {
    sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(Some(id));
    Redirect::to("/_faults")
}

/// `POST /_faults/off`.
pub async fn all_off(State(sandbox): Shared) -> Redirect {
    sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(None);
    Redirect::to("/_faults")
}

fn rule(chosen: &Chosen) -> Result<Rule, String> {
    let preset = PRESETS.iter().find(|preset| preset.name == chosen.preset);
    let preset = preset.ok_or_else(|| format!("There is no fault {:?}.", chosen.preset))?;
    let times: Option<u64> = match chosen.times.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| format!("How often: {text:?} is not a number."))?),
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    serde_json::from_value(json!({
        "call": preset.call,
        "network": text(&chosen.network),
        "caption_contains": text(&chosen.caption),
        "times": times,
        "fault": (preset.fault)(),
    }))
    .map_err(|error| error.to_string())
}

fn show(sandbox: &Sandbox, status: StatusCode, problem: Option<String>) -> Response {
    let rules: Vec<_> =
        sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).list().iter().map(view).collect();
    let (presets, networks) = (PRESETS, Network::ALL);
    render(status, &FaultsPage { faults: rules.len(), problem, presets, networks, rules })
}

fn view(active: &Active) -> RuleView {
    let rule = &active.rule;
    let most = rule.times.map(|times| format!(" of {times}")).unwrap_or_default();
    let each = rule.times_per_object.map(|times| format!(", {times} for each post")).unwrap_or_default();
    RuleView {
        id: active.id,
        call: rule.call.clone(),
        network: rule.network.map_or("any", Network::title),
        caption: rule.caption_contains.clone().unwrap_or_default(),
        fault: rule.fault.text(),
        played: format!("{}{most}{each}", active.hits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_rule() {
        for preset in PRESETS {
            let chosen = Chosen {
                preset: preset.name.into(),
                network: "tiktok".into(),
                times: "2".into(),
                caption: String::new(),
            };
            let rule = rule(&chosen).expect(preset.name);
            assert_eq!(rule.check(), Ok(()));
            assert_eq!(
                (rule.network, rule.times, rule.caption_contains),
                (Some(Network::Tiktok), Some(2), None)
            );
        }
    }
}
