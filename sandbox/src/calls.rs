//! The call log: who asked what, under which id, and what was answered. Bounded, in memory, without tokens.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::model::Network;

/// How many calls are kept.
const KEPT: usize = 100_000;

/// What a call does to the public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Makes or changes something nobody sees.
    Prepare,
    /// Makes something public.
    Commit,
    /// Only reads.
    Observe,
    /// Changes something else: a token, a deletion.
    Manage,
}

impl Phase {
    /// Whether a call of this phase changes anything.
    pub fn mutates(self) -> bool {
        match self {
            Self::Prepare | Self::Commit | Self::Manage => true,
            Self::Observe => false,
        }
    }
}

/// One call as it arrived, before it is answered.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// The network, where the address tells.
    pub network: Option<Network>,
    /// What is called, by the name that fault rules use.
    pub call: &'static str,
    /// What it does.
    pub phase: Phase,
    /// The HTTP method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The account's external id.
    pub account: Option<String>,
    /// The draft, container or publish id.
    pub handle: Option<String>,
    /// The text, where the call or its handle has one.
    #[serde(skip)]
    pub caption: Option<String>,
    /// The media that it names, without the signature of their address.
    #[serde(skip)]
    pub source: Option<String>,
    /// What else it tells of files: the SHA-256 of those that its handle holds, and the size of one that it announces,
    /// as `4096 bytes`.
    #[serde(skip)]
    pub files: Vec<String>,
    /// The call's `X-Call-Id`.
    pub call_id: Option<String>,
}

impl Call {
    /// What a rule that counts by object counts: the handle, or failing that what the call would make.
    pub fn object(&self) -> String {
        let known = [&self.handle, &self.caption, &self.source];
        known.into_iter().flatten().find(|text| !text.is_empty()).cloned().unwrap_or_default()
    }

    /// Whether this is a part of its text, of an address that it names, or of what it tells of files.
    pub fn is_about(&self, part: &str) -> bool {
        let told = self.caption.iter().chain(&self.source).chain(&self.files);
        told.into_iter().any(|text| text.contains(part))
    }
}

/// One call with its answer.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Its number.
    pub seq: u64,
    /// When it was answered, by the networks' clock.
    pub at: DateTime<Utc>,
    /// What it was.
    #[serde(flatten)]
    pub call: Call,
    /// Whether the ledger had it when it arrived; null where nobody could tell.
    pub in_ledger: Option<bool>,
    /// The fault that was played.
    pub fault: Option<String>,
    /// The status that was answered; null when the connection was dropped.
    pub status: Option<u16>,
}

/// The last hundred thousand calls.
#[derive(Debug, Default)]
pub struct CallLog {
    seq: u64,
    records: VecDeque<Record>,
}

impl CallLog {
    /// Adds one call.
    pub fn add(
        &mut self,
        at: DateTime<Utc>,
        call: Call,
        in_ledger: Option<bool>,
        fault: Option<String>,
        status: Option<u16>,
    ) {
        self.seq += 1;
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records.push_back(Record { seq: self.seq, at, call, in_ledger, fault, status });
    }

    /// The calls, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.records.clear();
    }
}
