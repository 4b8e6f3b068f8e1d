//! The sandbox over real HTTP: what a network does, and what it does when it is told to go wrong.

mod ads;
mod comments;
mod control;
mod demo;
mod dialogs;
mod facebook;
mod faults;
mod harness;
mod hooks;
mod insights;
mod instagram;
mod openai;
mod removals;
mod sdk;
mod store;
mod tiktok;
mod videos;
mod wall;
