//! Looks ahead: asks the networks about the accounts that something goes out on within a day, and checks
//! publications again before their time. What it finds is shown, and what would keep a post from going out is told by mail.
//!
//! It goes last: one account after the other, only where the network's rates are untouched, and where the gate does
//! not let it go it does not wait but leaves the account for its next turn.

use std::sync::Arc;

use chrono::TimeDelta;
use jobs::{
    contract::{Failure, JobError},
    desk::{Call, Network, Vault},
    gate::{Gate, Visit},
    preflight::{Fact, Finding, Plan, Who},
};
use secrecy::SecretString;

use super::{Worker, traffic::AttemptGate, vault::LedgerVault};
use crate::ledger::{
    LedgerError,
    preflight::{Check, CheckedFile, Known, ToAsk},
};

/// Looks ahead until the worker stops.
pub(super) async fn run(worker: Arc<Worker>) {
    let every = worker.parts.settings.lookout.look_every;
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        tokio::select! {
            () = worker.stop.cancelled() => return,
            () = worker.look_ahead() => {}
        }
    }
}

impl Worker {
    async fn look_ahead(&self) {
        if let Err(error) = self.ask_networks().await {
            tracing::warn!(%error, "the networks could not be asked about accounts; it is tried again");
        }
        if let Err(error) = self.check_publications().await {
            tracing::warn!(%error, "publications could not be checked before their time; it is tried again");
        }
        if let Err(error) = self.forewarn().await {
            tracing::warn!(%error, "people could not be told what was found; it is tried again");
        }
    }

    async fn ask_networks(&self) -> Result<(), LedgerError> {
        let pace = &self.parts.settings.lookout;
        let due = self.parts.duties.accounts_to_ask(pace.look_most.into(), pace.ask_every);
        let accounts = self.in_time(due).await?;
        for account in accounts {
            let asked = tokio::time::timeout(pace.look_timeout, self.ask(&account)).await;
            if let Err(error) = asked.unwrap_or_else(|late| Err(LedgerError::late(late))) {
                tracing::warn!(%error, account = %account.id, "a network could not be asked about an account");
            }
        }
        Ok(())
    }

    /// Asks an account's network about it, and keeps what it says.
    async fn ask(&self, account: &ToAsk) -> Result<(), LedgerError> {
        let Some(network) = self.parts.networks.of(&account.platform) else { return Ok(()) };
        let gate = self.last_gate();
        match self.facts(network, account, &gate).await {
            Ok(facts) => self.in_time(self.parts.duties.keep_facts(account.id, &facts)).await,
            Err(failure) => {
                tracing::debug!(%failure, account = %account.id, "nothing was learnt of an account");
                Ok(())
            }
        }
    }

    async fn facts(
        &self,
        network: &dyn Network,
        account: &ToAsk,
        gate: &AttemptGate<'_>,
    ) -> Result<Vec<Fact>, Failure> {
        let visit = Visit {
            network: &account.platform,
            account: account.id,
            allowance: network.allowance(),
            calls: network.fact_calls(),
            comes_back: false,
        };
        gate.enter(visit).await.map_err(|error| error.failure())?;
        match self.token(account).await {
            Ok(token) => {
                let call = Call {
                    id: None,
                    account: &account.external_id,
                    token: &token,
                    media: &*self.parts.media,
                    gate,
                    timeout: self.parts.settings.lookout.read_timeout,
                };
                network.facts(&call).await
            }
            Err(JobError::Unauthorised(failure)) => Fact::of_token(Err(failure)).map(|fact| vec![fact]),
            Err(other) => Err(other.failure()),
        }
    }

    async fn token(&self, account: &ToAsk) -> Result<SecretString, JobError> {
        let vault = LedgerVault { ledger: &self.parts.duties, ring: &self.parts.ring };
        vault.access_token(account.id).await
    }

    async fn check_publications(&self) -> Result<(), LedgerError> {
        let pace = &self.parts.settings.lookout;
        let due = self.parts.duties.checks_due(pace.look_most.into(), pace.check_lease);
        let checks = self.in_time(due).await?;
        for check in checks {
            let checked = tokio::time::timeout(pace.look_timeout, self.check(&check)).await;
            if let Err(error) = checked.unwrap_or_else(|late| Err(LedgerError::late(late))) {
                tracing::warn!(%error, publication = %check.id, "a publication could not be checked");
            }
        }
        Ok(())
    }

    async fn check(&self, check: &Check) -> Result<(), LedgerError> {
        let duties = &self.parts.duties;
        if !check.waits {
            return self.in_time(duties.end_checks(check.id)).await;
        }
        let mut findings: Vec<Finding> = check.subject().inactive().into_iter().collect();
        if findings.is_empty() {
            findings.extend(check.subject().access_ends(check.scheduled_for));
            findings.extend(check.subject().access_lacks());
            findings.extend(self.against_facts(check).await?);
        }
        findings.extend(self.missing_files(check).await);
        let within = self.parts.settings.publishing.repeat_within;
        findings.extend(self.in_time(duties.repeats(check.id, within)).await?);
        if !findings.is_empty() {
            tracing::info!(publication = %check.id, findings = findings.len(), "something stands in the way of a post");
        }
        self.in_time(duties.keep_check(check, &findings)).await
    }

    /// What the network says stands in the way, asked anew where that was long ago.
    async fn against_facts(&self, check: &Check) -> Result<Vec<Finding>, LedgerError> {
        let account = &check.account;
        let mut known = self.known(account).await?;
        let keep = self.parts.settings.lookout.facts_keep;
        let old = check.now - TimeDelta::from_std(keep).unwrap_or_default();
        if known.iter().all(|known| known.read_at < old) {
            self.ask(account).await?;
            known = self.known(account).await?;
        }
        let title = self.parts.networks.title(&account.platform);
        let plan = Plan {
            network: title.unwrap_or(&account.platform),
            scheduled_for: check.scheduled_for,
            now: check.now,
            privacy_level: check.options["privacy_level"].as_str(),
            film_ms: check.files.iter().filter_map(|file| file.duration_ms).max().map(i64::unsigned_abs),
        };
        Ok(known.iter().flat_map(|known| plan.against(&known.fact)).collect())
    }

    async fn known(&self, account: &ToAsk) -> Result<Vec<Known>, LedgerError> {
        let mut known = self.in_time(self.parts.duties.known(&[account.id])).await?;
        Ok(known.remove(&account.id).unwrap_or_default())
    }

    /// Files that the store has lost, or has otherwise than they came. A store that is away says nothing.
    async fn missing_files(&self, check: &Check) -> Vec<Finding> {
        let mut findings = Vec::new();
        for file in &check.files {
            match self.parts.media.size(&file.object_key).await {
                Ok(size) if size == Some(file.bytes.unsigned_abs()) => {}
                Ok(size) => findings.push(lost(file, size)),
                Err(failure) => tracing::warn!(%failure, "the media store could not be asked for a file"),
            }
        }
        findings
    }
}

fn lost(file: &CheckedFile, size: Option<u64>) -> Finding {
    let name = &file.name;
    let detail = match size {
        None => format!("The file “{name}” is not in the media store any more. Upload it again."),
        Some(size) => {
            let came = file.bytes;
            format!(
                "The file “{name}” has {size} bytes in the media store; it came with {came}. Upload it again."
            )
        }
    };
    Finding::new("media_ids", "media_missing", detail, Who::Author)
}
