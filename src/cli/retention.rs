//! `retention`: what is kept for how long, and what last went.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::{Failed, Output, owned_ledger};
use crate::{
    config::Settings,
    ledger::retention::{CLASSES, Class, Run},
};

#[derive(Debug, Args)]
pub(super) struct Retention {
    #[command(flatten)]
    output: Output,
}

impl Retention {
    pub(super) async fn run(self, config: Option<PathBuf>) -> Result<(), Failed> {
        let ages = Settings::load(config)?.retention.ages();
        let runs = owned_ledger()?.retention_runs().await?;
        let last = |class: &Class| runs.iter().find(|run| run.class == class.name);
        let keeps = |class: &Class| span((class.keeps)(&ages));
        if self.output.json {
            let told = CLASSES.iter().map(|class| shape(class, &keeps(class), last(class)));
            println!("{}", json!({ "data": told.collect::<Vec<_>>() }));
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["class", "kept for", "what", "last gone through", "dropped"]);
        for class in CLASSES {
            let (when, dropped) = last(class).map_or(("never".to_owned(), String::new()), |run| {
                let open = if run.done_at.is_some() { "" } else { ", goes on" };
                (format!("{}{open}", run.day), run.dropped.to_string())
            });
            table.add_row([class.name.to_owned(), keeps(class), class.what.to_owned(), when, dropped]);
        }
        println!("{table}");
        Ok(())
    }
}

/// As `worker.toml` has it.
fn span(of: Duration) -> String {
    let seconds = of.as_secs();
    match (seconds % 86_400, seconds % 3_600) {
        (0, _) => format!("{}d", seconds / 86_400),
        (_, 0) => format!("{}h", seconds / 3_600),
        _ => format!("{seconds}s"),
    }
}

fn shape(class: &Class, keeps: &str, last: Option<&Run>) -> Value {
    json!({
        "class": class.name,
        "what": class.what,
        "kept_for": keeps,
        "day": last.map(|run| run.day),
        "dropped": last.map(|run| run.dropped),
        "began_at": last.map(|run| run.began_at),
        "done_at": last.and_then(|run| run.done_at),
    })
}
