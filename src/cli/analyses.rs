//! `workspace analyses`: what a workspace lets a provider of AI be asked.

use std::path::PathBuf;

use clap::Args;
use jobs::analysis::money::{Micros, forecast};

use super::{Failed, owned_ledger, workspace};
use crate::{
    config::Settings,
    ledger::analyses::{BRAND_MOST, Decided},
};

/// The most dollars of a month; the ledger's too.
const BUDGET_MOST: f64 = 1_000_000.0;

#[derive(Debug, Args)]
pub(super) struct Analyses {
    /// The workspace's id or name.
    workspace: String,
    /// Whether anything is asked for it at all: on, off, or default, which leaves it to worker.toml.
    #[arg(long, value_name = "on|off|default", value_parser = switch)]
    asked: Option<Switch>,
    /// Whether its pictures, and what is seen and heard in its films, go along.
    #[arg(long, value_name = "on|off|default", value_parser = switch)]
    media: Option<Switch>,
    /// Whether what networks have counted goes there, to be put in words. An agency leaves it off.
    #[arg(long, value_name = "on|off|default", value_parser = switch)]
    numbers: Option<Switch>,
    /// What a calendar month may cost, in dollars; or default.
    #[arg(long, value_name = "DOLLARS|default", value_parser = budget)]
    budget: Option<Budget>,
    /// How the workspace wants to sound; it goes along with each brief.
    #[arg(long, value_name = "TEXT", value_parser = brand)]
    brand: Option<String>,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// What is decided; none leaves it to the settings.
#[derive(Debug, Clone, Copy)]
struct Switch(Option<bool>);

#[derive(Debug, Clone, Copy)]
struct Budget(Option<Micros>);

fn switch(word: &str) -> Result<Switch, String> {
    match word {
        "on" => Ok(Switch(Some(true))),
        "off" => Ok(Switch(Some(false))),
        "default" => Ok(Switch(None)),
        other => Err(format!("{other:?}: accepted are on, off, default")),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is checked to be in range")]
fn budget(word: &str) -> Result<Budget, String> {
    if word == "default" {
        return Ok(Budget(None));
    }
    let dollars = word.parse::<f64>().ok().filter(|dollars| (0.0..=BUDGET_MOST).contains(dollars));
    let dollars =
        dollars.ok_or_else(|| format!("{word:?}: accepted are 0 to {BUDGET_MOST} dollars, or default"))?;
    Ok(Budget(Some(Micros((dollars * 1_000_000.0).round() as i64))))
}

fn brand(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if length > BRAND_MOST {
        return Err(format!("it has {length} characters; accepted are {BRAND_MOST}"));
    }
    Ok(text.trim().to_owned())
}

impl Analyses {
    pub(super) async fn run(self, config: Option<PathBuf>) -> Result<(), Failed> {
        let settings = Settings::load(config)?;
        let ledger = owned_ledger()?;
        let id = workspace(&ledger, &self.workspace).await?.id;
        let before = ledger.analysis_policy(id).await?;
        let decided = self.decided(&before);
        if decided != before {
            ledger.set_analysis_policy(id, &decided).await?;
        }
        let policy = decided.over(settings.analysis.policy());
        let (spent, now) = ledger.analysis_spent(id).await?;
        let forecast = forecast(spent, now);
        if self.json {
            let told = serde_json::json!({
                "enabled": policy.enabled, "media": policy.media, "numbers": policy.numbers, "brand": decided.brand,
                "monthly_micros": policy.monthly, "spent_micros": spent, "forecast_micros": forecast,
            });
            println!("{told}");
            return Ok(());
        }
        let word = |on: bool| if on { "on" } else { "off" };
        println!(
            "asked {}, media {}, numbers {}",
            word(policy.enabled),
            word(policy.media),
            word(policy.numbers)
        );
        println!("this month {spent} of {}, {forecast} at its end if it goes on like this", policy.monthly);
        if !decided.brand.is_empty() {
            println!("brand: {}", decided.brand);
        }
        Ok(())
    }

    fn decided(&self, before: &Decided) -> Decided {
        Decided {
            enabled: self.asked.map_or(before.enabled, |it| it.0),
            media: self.media.map_or(before.media, |it| it.0),
            numbers: self.numbers.map_or(before.numbers, |it| it.0),
            monthly: self.budget.map_or(before.monthly, |it| it.0),
            brand: self.brand.clone().unwrap_or_else(|| before.brand.clone()),
        }
    }
}
