//! What a workspace lets a provider of AI be asked, for those who manage it. That what networks have counted goes along, and
//! that a month costs more than elsewhere, is theirs to allow only where the house says so.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use jobs::analysis::{Policy, money::Micros};
use serde::Deserialize;

use super::{
    Choice, Shell, analyses, render_as,
    seat::{Admin, Seat},
    texts::{ENGLISH, Texts, fill},
};
use crate::{
    ledger::analyses::{BRAND_MOST, Decided},
    web::{App, problem::Problem},
};

#[derive(Template)]
#[template(path = "policy.html")]
struct Page {
    shell: Shell,
    saved: bool,
    wrong: Option<String>,
    switches: Vec<Switch>,
    budget: String,
    budget_hint: String,
    brand: String,
    /// What the month costs.
    month: Option<String>,
}

/// Something that is on, off, or left to the house.
struct Switch {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    choices: Vec<Choice>,
}

/// What the form sends.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Written {
    #[serde(default)]
    token: String,
    #[serde(default)]
    asked: String,
    #[serde(default)]
    media: String,
    #[serde(default)]
    numbers: String,
    #[serde(default)]
    budget: String,
    #[serde(default)]
    brand: String,
}

/// What was done before the page came.
#[derive(Debug, Deserialize)]
pub struct Done {
    #[serde(default)]
    done: String,
}

/// What may be decided here.
struct Bounds {
    /// What is so where nothing is decided.
    house: Policy,
    /// Whether what was counted may be let go along.
    numbers: bool,
    /// The most that a month may cost.
    budget: Micros,
}

impl Bounds {
    /// Those of a workspace for which this is decided; whoever runs the house may have allowed it more.
    fn of(app: &App, decided: &Decided) -> Result<Self, Problem> {
        let house = app.house.analyses.ok_or_else(|| Problem::conflict(ENGLISH.policy_off_here))?;
        let more = app.house.owners_allow_more;
        let allowed = decided.monthly.unwrap_or_default().max(house.monthly);
        Ok(Self {
            house,
            numbers: more || house.numbers || decided.numbers == Some(true),
            budget: if more { Micros::MOST } else { allowed },
        })
    }
}

impl Written {
    /// What is decided, as the form shows it.
    fn of(decided: &Decided) -> Self {
        let word = |it: Option<bool>| word(it).to_owned();
        Self {
            token: String::new(),
            asked: word(decided.enabled),
            media: word(decided.media),
            numbers: word(decided.numbers),
            budget: decided.monthly.map(Micros::dollars).unwrap_or_default(),
            brand: decided.brand.clone(),
        }
    }

    /// What it decides, or what is wrong with it.
    fn read(&self, bounds: &Bounds) -> Result<Decided, String> {
        let t = &ENGLISH;
        let numbers = switch(&self.numbers);
        if numbers == Some(true) && !bounds.numbers {
            return Err(t.policy_numbers_more.to_owned());
        }
        let monthly = match self.budget.trim() {
            "" => None,
            text => {
                let sum = Micros::of_dollars(text).filter(|sum| *sum <= bounds.budget);
                Some(sum.ok_or_else(|| fill(t.policy_budget_wrong, &[&bounds.budget.dollars()]))?)
            }
        };
        let brand = self.brand.replace("\r\n", "\n").replace('\0', "").trim().to_owned();
        if brand.chars().count() > BRAND_MOST {
            return Err(t.policy_brand_wrong.to_owned());
        }
        Ok(Decided { enabled: switch(&self.asked), media: switch(&self.media), numbers, monthly, brand })
    }
}

/// Whatever is neither on nor off is left to the house.
fn switch(word: &str) -> Option<bool> {
    match word {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

const fn word(switch: Option<bool>) -> &'static str {
    match switch {
        Some(true) => "on",
        Some(false) => "off",
        None => "default",
    }
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Query(query): Query<Done>,
) -> Result<Response, Problem> {
    let decided = seat.ledger.analysis_policy(seat.member.workspace_id).await?;
    let bounds = Bounds::of(&app, &decided)?;
    let page = view(&app, &seat, &headers, &bounds, Written::of(&decided)).await?;
    render_as(StatusCode::OK, &Page { saved: query.done == "set", ..page })
}

/// Keeps what was decided. What cannot be taken comes back as it was written.
pub async fn set(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Form(written): Form<Written>,
) -> Result<Response, Problem> {
    seat.check(&written.token)?;
    let (ledger, workspace) = (&seat.ledger, seat.member.workspace_id);
    let before = ledger.analysis_policy(workspace).await?;
    let bounds = Bounds::of(&app, &before)?;
    let (status, wrong) = match written.read(&bounds) {
        Ok(decided) => {
            // what may be decided may be something else by now, too
            if decided == before || ledger.replace_analysis_policy(workspace, &before, &decided).await? {
                return Ok(Redirect::to("/analyses/policy?done=set").into_response());
            }
            (StatusCode::CONFLICT, ENGLISH.policy_changed.to_owned())
        }
        Err(wrong) => (StatusCode::UNPROCESSABLE_ENTITY, wrong),
    };
    let page = view(&app, &seat, &headers, &bounds, written).await?;
    render_as(status, &Page { wrong: Some(wrong), ..page })
}

async fn view(
    app: &App,
    seat: &Seat<Admin>,
    headers: &HeaderMap,
    bounds: &Bounds,
    written: Written,
) -> Result<Page, Problem> {
    let t = &ENGLISH;
    let house = bounds.house;
    let numbers_hint = if bounds.numbers { t.policy_numbers_hint } else { t.policy_numbers_more };
    let switches = [
        ("asked", t.policy_asked, t.policy_asked_hint, house.enabled, true, &written.asked),
        ("media", t.policy_media, t.policy_media_hint, house.media, true, &written.media),
        ("numbers", t.policy_numbers, numbers_hint, house.numbers, bounds.numbers, &written.numbers),
    ];
    let sums = [house.monthly, bounds.budget].map(Micros::dollars);
    Ok(Page {
        shell: Shell::seated(app, headers, seat, "posts", "/analyses/policy"),
        saved: false,
        wrong: None,
        switches: switches
            .map(|(name, label, hint, house, on, chosen)| Switch {
                name,
                label,
                hint,
                choices: choices(t, house, on, switch(chosen)),
            })
            .into(),
        budget_hint: fill(t.policy_budget_hint, &sums.each_ref().map(String::as_str)),
        budget: written.budget,
        brand: written.brand,
        month: analyses::cost_of_month(app, seat.member.workspace_id).await?,
    })
}

/// What can be chosen: what the house has, on where that may be, and off.
fn choices(t: &Texts, house: bool, on: bool, chosen: Option<bool>) -> Vec<Choice> {
    let left = if house { t.policy_default_on } else { t.policy_default_off };
    let all = [(None, left), (Some(true), t.policy_on), (Some(false), t.policy_off)];
    let offered = all.into_iter().filter(|(switch, _)| on || *switch != Some(true));
    let choice = |(switch, label): (Option<bool>, &'static str)| Choice {
        value: word(switch).to_owned(),
        label: label.to_owned(),
        chosen: switch == chosen,
    };
    offered.map(choice).collect()
}
