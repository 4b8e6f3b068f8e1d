//! What work there is: the kinds of job, the contract each fulfils, and the machine that publishing follows.
//!
//! This crate knows nothing of HTTP, SQL or Redis. A kind reads its payload and its [`desk::Desk`] and says
//! what came of it; keeping, moving and repeating jobs is the business of those who call it.

pub mod ai_analysis;
pub mod analysis;
pub mod comment;
pub mod connect;
pub mod connections;
pub mod consent;
pub mod contract;
pub mod control;
pub mod cron_line;
pub mod deletion;
#[cfg(test)]
mod deletion_model;
pub mod deliveries;
pub mod desk;
pub mod disconnect;
pub mod erasing;
pub mod erasure;
pub mod export;
#[cfg(test)]
mod export_trial;
pub mod failpoint;
pub mod forecast;
pub mod forgetting;
pub mod gate;
pub mod hint;
pub mod lost;
pub mod machine;
pub mod mail;
pub mod metric_snapshot;
pub mod metrics;
#[cfg(test)]
mod model;
pub mod packing;
pub mod preflight;
pub mod probe;
pub mod publish;
pub mod reach;
pub mod removal;
pub mod renewals;
pub mod retention;
pub mod ruling;
pub mod sign_in;
pub mod store;
pub mod sums;
pub mod surface;
pub mod take_down;
pub mod timetable;
#[cfg(test)]
mod token_model;
pub mod token_refresh;
pub mod tokens;
pub mod unseen;
pub mod webhook;
pub mod zip;
pub mod zones;

use contract::Kind;
use uuid::Uuid;

/// The workspace of jobs that belong to none: the house's own, such as those of schedules.
pub const HOUSE: Uuid = Uuid::nil();

/// Every kind of work, by the word that names its file, queue, settings table and log field.
pub const KINDS: &[Kind] = &[
    Kind::of::<publish::Publish>(),
    Kind::of::<take_down::TakeDown>(),
    Kind::of::<metric_snapshot::MetricSnapshot>(),
    Kind::of::<ai_analysis::AiAnalysis>(),
    Kind::of::<token_refresh::TokenRefresh>(),
    Kind::of::<deletion::DeletionJob>(),
    Kind::of::<export::Export>(),
    Kind::of::<connect::Connect>(),
    Kind::of::<disconnect::Disconnect>(),
    Kind::of::<webhook::Webhook>(),
];

/// What the engine is tried with.
pub const PROBE: Kind = Kind::of::<probe::Probe>();

/// Every kind that this build works on: [`KINDS`], and the probe where failpoints are compiled in.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().chain(cfg!(feature = "failpoints").then_some(&PROBE))
}

/// The kind of that name, if this build works on it.
pub fn kind(name: &str) -> Option<&'static Kind> {
    kinds().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_kind_is_one_file_of_its_name() {
        for kind in KINDS {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind.name).with_extension("rs");
            assert!(file.exists(), "{} has no file", kind.name);
        }
    }

    #[test]
    fn no_two_kinds_share_a_name() {
        for (n, kind) in KINDS.iter().enumerate() {
            assert!(KINDS[n + 1..].iter().all(|other| other.name != kind.name), "{} twice", kind.name);
        }
    }

    #[test]
    fn this_crate_names_no_transport() {
        let manifest = include_str!("Cargo.toml");
        for banned in ["sqlx", "redis", "reqwest", "axum", "postroom"] {
            assert!(!manifest.contains(&format!("\n{banned}")), "{banned} is not for this crate");
        }
    }
}
