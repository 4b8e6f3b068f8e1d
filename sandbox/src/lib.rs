//! The networks' stand-in: Graph, TikTok and S3 on loopback, with scripted faults and a log of public effects.
//!
//! Every call to a network takes the same way: it is read ([`graph`], [`tiktok`]), passes the [`gate`], where the
//! ledger is asked for its id and a fault may be played, changes the [`state`] by an [`event`] that the [`journal`]
//! has first, and if something became public, answers only when the [`effects`] log has it on disk.

pub mod answer;
pub mod calls;
pub mod clock;
pub mod connection;
pub mod control;
pub mod demo;
pub mod dialog;
pub mod duration;
pub mod effects;
pub mod event;
pub mod faults;
pub mod gate;
pub mod graph;
pub mod hooks;
pub mod journal;
pub mod ledger;
pub mod mail;
pub mod media;
pub mod model;
pub mod numbers;
pub mod oidc;
pub mod openai;
pub mod s3;
pub mod serve;
pub mod state;
pub mod tiktok;
pub mod wall;
pub mod world;
