//! The one integration-test binary: real Postgres, real Redis, the binary itself, the networks over HTTP.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod browser;
mod cancels;
mod changes;
mod chaos;
mod compose;
mod console;
mod control;
mod doubts;
mod explain;
mod failures;
mod faults;
mod harness;
mod history;
mod house;
mod instagram;
mod intake;
mod isolation;
mod journeys;
mod media;
mod networks;
mod operators;
mod pages;
mod photos;
mod preflight;
mod queue;
mod redrive;
mod restore;
mod schedules;
mod support;
mod traffic;
mod uploads;
mod webhooks;
