//! The page on which faults are switched on by hand.

use std::sync::{Arc, PoisonError};

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::page as render;
use super::presets::{self, GROUPS, Group};
use crate::faults::{Active, Rule};
use crate::model::Network;
use crate::state::Sandbox;

type Shared = State<Arc<Sandbox>>;

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
    groups: &'static [Group],
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
    let preset = presets::named(&chosen.preset);
    let preset = preset.ok_or_else(|| format!("There is no fault {:?}.", chosen.preset))?;
    let network = match preset.network.map(Network::name) {
        Some(only) if !["", only].contains(&chosen.network.as_str()) => {
            let title = preset.network.map_or("", Network::title);
            return Err(format!("“{}” is of {title} alone.", preset.title));
        }
        Some(only) => Some(only.to_owned()),
        None => (!chosen.network.is_empty()).then(|| chosen.network.clone()),
    };
    let times: Option<u64> = match chosen.times.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| format!("How often: {text:?} is not a number."))?),
    };
    serde_json::from_value(json!({
        "call": preset.call,
        "network": network,
        "caption_contains": Some(&chosen.caption).filter(|caption| !caption.is_empty()),
        "times": times,
        "fault": (preset.fault)(),
    }))
    .map_err(|error| error.to_string())
}

fn show(sandbox: &Sandbox, status: StatusCode, problem: Option<String>) -> Response {
    let rules: Vec<_> =
        sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).list().iter().map(view).collect();
    let (groups, networks) = (GROUPS, Network::ALL);
    render(status, &FaultsPage { faults: rules.len(), problem, groups, networks, rules })
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

    fn chosen(preset: &str, network: &str) -> Chosen {
        Chosen { preset: preset.into(), network: network.into(), times: "2".into(), caption: String::new() }
    }

    #[test]
    fn every_preset_is_a_rule() {
        for preset in GROUPS.iter().flat_map(|group| group.presets) {
            let rule = rule(&chosen(preset.name, "")).expect(preset.name);
            assert_eq!(rule.check(), Ok(()));
            assert_eq!((rule.network, rule.times), (preset.network, Some(2)), "{}", preset.name);
            assert_eq!(rule.caption_contains, None);
        }
    }

    #[test]
    fn a_fault_of_one_network_is_refused_on_another() {
        assert_eq!(rule(&chosen("stale", "tiktok")).expect("a rule").network, Some(Network::Tiktok));
        assert!(rule(&chosen("inits", "tiktok")).is_ok());
        assert!(rule(&chosen("inits", "facebook_page")).expect_err("refused").contains("TikTok alone"));
    }
}
