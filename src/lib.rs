//! How work is taken in, kept, moved, done and shown. What work there is stands in the crate `jobs`.

pub mod cli;
pub mod config;
pub mod ledger;
pub mod networks;
pub mod queue;
pub mod telemetry;
pub mod web;
pub mod wiring;
pub mod worker;

/// Small things are made and dropped all the time, by every thread of a worker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
