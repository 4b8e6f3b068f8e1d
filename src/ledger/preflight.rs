//! What is looked at before a post's time: what networks said of accounts, and what the checks found.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use jobs::{
    forecast::is_overdue,
    machine::State,
    preflight::{AccountState, Fact, Finding, Subject, is_ahead},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Ledger, LedgerError, claims::interval};

/// Something a network said of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What.
    pub fact: Fact,
    /// When.
    pub read_at: DateTime<Utc>,
}

/// An account whose network is to be asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToAsk {
    /// Its id.
    pub id: Uuid,
    /// `facebook_page` and the like.
    pub platform: String,
    /// The network's id.
    pub external_id: String,
}

/// A publication that is checked before its time.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its id.
    pub id: Uuid,
    /// The version of its content.
    pub version: i64,
    /// Its account.
    pub account: ToAsk,
    /// Whether it still waits for its time.
    pub waits: bool,
    /// When it is due.
    pub scheduled_for: DateTime<Utc>,
    /// What the author chose for its network.
    pub options: Value,
    /// Its files.
    pub files: Vec<CheckedFile>,
    /// The ledger's time.
    pub now: DateTime<Utc>,
    name: String,
    state: AccountState,
    state_reason: Option<String>,
    token_expires_at: Option<DateTime<Utc>>,
    missing_scopes: Vec<String>,
}

/// A file of such a publication.
#[derive(Debug, Clone)]
pub struct CheckedFile {
    /// Its key in the object store.
    pub object_key: String,
    /// What the uploader called it.
    pub name: String,
    /// Its size.
    pub bytes: i64,
    /// Of a film.
    pub duration_ms: Option<i64>,
}

impl Check {
    /// The account as it stands.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            name: &self.name,
            state: self.state,
            state_reason: self.state_reason.as_deref(),
            token_expires_at: self.token_expires_at,
            missing_scopes: &self.missing_scopes,
        }
    }
}

impl Ledger {
    /// What networks last said of these accounts.
    pub async fn known(&self, accounts: &[Uuid]) -> Result<HashMap<Uuid, Vec<Known>>, LedgerError> {
        let rows = sqlx::query!(
            "SELECT account_id, kind, value, read_at FROM account_fact WHERE account_id = ANY ($1) ORDER BY kind",
            accounts,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut known: HashMap<Uuid, Vec<Known>> = HashMap::new();
        for row in rows {
            if let Some(fact) = Fact::read(&row.kind, &row.value) {
                known.entry(row.account_id).or_default().push(Known { fact, read_at: row.read_at });
            }
        }
        Ok(known)
    }

    /// Keeps what a network has just said of an account.
    pub async fn keep_facts(&self, account: Uuid, facts: &[Fact]) -> Result<(), LedgerError> {
        let kinds: Vec<String> = facts.iter().map(|fact| fact.kind().to_owned()).collect();
        let values: Vec<Value> = facts.iter().map(Fact::value).collect();
        sqlx::query!(
            "INSERT INTO account_fact (account_id, kind, value)
             SELECT $1, f.kind, f.value FROM unnest($2::text[], $3::jsonb[]) AS f (kind, value)
             ON CONFLICT (account_id, kind) DO UPDATE SET value = excluded.value, read_at = excluded.read_at",
            account,
            &kinds,
            &values,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes up to `most` accounts whose turn it is to be asked about and puts their next turn off by `every`; returns
    /// those of them that something goes out on within a day.
    pub async fn accounts_to_ask(&self, most: i64, every: Duration) -> Result<Vec<ToAsk>, LedgerError> {
        let rows = sqlx::query_as!(
            ToAsk,
            r#"WITH due AS (
                   SELECT id FROM account WHERE state = 'active' AND facts_due_at <= ledger_now()
                   ORDER BY facts_due_at LIMIT $1
                   -- skip locked: two workers may look at once, and one that is published on can wait
                   FOR NO KEY UPDATE SKIP LOCKED),
               taken AS (
                   UPDATE account a SET facts_due_at = ledger_now() + $2 FROM due WHERE a.id = due.id
                   RETURNING a.id, a.platform, a.external_id)
               SELECT id, platform, external_id FROM taken
               WHERE EXISTS (SELECT FROM publication p
                             WHERE p.account_id = taken.id AND p.state = ANY ($3::text[]::publication_state[])
                               AND p.scheduled_for >= ledger_now()
                               AND p.scheduled_for < ledger_now() + interval '24 hours')"#,
            most,
            interval(every),
            &waiting(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }

    /// Takes up to `most` publications whose check is due, and puts it off by `lease`, so that workers do not all do
    /// the same one.
    pub async fn checks_due(&self, most: i64, lease: Duration) -> Result<Vec<Check>, LedgerError> {
        let rows = sqlx::query!(
            r#"WITH due AS (
                   SELECT id FROM publication WHERE check_at <= ledger_now() ORDER BY check_at LIMIT $1
                   -- skip locked: two workers may look at once
                   FOR NO KEY UPDATE SKIP LOCKED)
               UPDATE publication p SET check_at = ledger_now() + $2
               FROM due, account a WHERE p.id = due.id AND a.id = p.account_id
               RETURNING p.id, p.version, p.state = ANY ($3::text[]::publication_state[]) AS "waits!", p.scheduled_for, p.options,
                         p.account_id, a.platform, a.external_id, a.name, a.state::text AS "state!", a.state_reason,
                         a.token_expires_at, a.renewable, a.renewable_until, a.missing_scopes,
                         greatest(a.connected_at, a.refreshed_at) AS "renewed_at!",
                         ledger_now() AS "now!""#,
            most,
            interval(lease),
            &waiting(),
        )
        .fetch_all(&self.pool)
        .await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let mut files = self.files_to_check(&ids).await?;
        let mut checks = Vec::with_capacity(rows.len());
        for row in rows {
            let state = AccountState::parse(&row.state)
                .ok_or_else(|| LedgerError::Unreadable(format!("the account state {}", row.state)))?;
            checks.push(Check {
                id: row.id,
                version: row.version,
                account: ToAsk { id: row.account_id, platform: row.platform, external_id: row.external_id },
                waits: row.waits,
                scheduled_for: row.scheduled_for,
                options: row.options,
                files: files.remove(&row.id).unwrap_or_default(),
                now: row.now,
                name: row.name,
                state,
                state_reason: row.state_reason,
                token_expires_at: if row.renewable {
                    row.renewable_until.filter(|_| is_overdue(row.renewed_at, row.renewable_until, row.now))
                } else {
                    row.token_expires_at
                },
                missing_scopes: row.missing_scopes,
            });
        }
        Ok(checks)
    }

    async fn files_to_check(
        &self,
        publications: &[Uuid],
    ) -> Result<HashMap<Uuid, Vec<CheckedFile>>, LedgerError> {
        let rows = sqlx::query!(
            "SELECT p.id, m.object_key, m.name, m.bytes, m.duration_ms
             FROM publication p JOIN post_media pm ON pm.post_id = p.post_id JOIN media m ON m.id = pm.media_id
             WHERE p.id = ANY ($1) ORDER BY p.id, pm.position",
            publications,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut files: HashMap<Uuid, Vec<CheckedFile>> = HashMap::new();
        for row in rows {
            files.entry(row.id).or_default().push(CheckedFile {
                object_key: row.object_key,
                name: row.name,
                bytes: row.bytes,
                duration_ms: row.duration_ms,
            });
        }
        Ok(files)
    }

    /// Keeps what a check found, in the place of what the one before it did; the next is due as the time says. Of content
    /// or a time that was changed meanwhile nothing was found: that is checked anew.
    pub async fn keep_check(&self, check: &Check, findings: &[Finding]) -> Result<(), LedgerError> {
        let stopping = findings.iter().filter(|found| Finding::stopping(&found.code).is_some());
        let stopping: Vec<String> = stopping.map(|found| found.code.clone()).collect();
        sqlx::query!(
            "WITH done AS (
                 UPDATE publication SET check_at = next_check(scheduled_for, ledger_now())
                 WHERE id = $1 AND version = $2 AND scheduled_for = $4 AND check_at IS NOT NULL RETURNING id),
             kept AS (
                 INSERT INTO publication_check (publication_id, checked_at, findings)
                 SELECT id, ledger_now(), $3 FROM done
                 ON CONFLICT (publication_id) DO UPDATE
                 SET checked_at = excluded.checked_at, findings = excluded.findings),
             found AS (
                 INSERT INTO finding_told (publication_id, code)
                 SELECT done.id, stopping.code FROM done CROSS JOIN unnest($5::text[]) AS stopping (code)
                 ON CONFLICT ON CONSTRAINT finding_told_key DO NOTHING)
             -- what was mended before anybody was told is no news
             DELETE FROM finding_told t USING done
             WHERE t.publication_id = done.id AND t.told_at IS NULL AND t.code <> ALL ($5::text[])",
            check.id,
            check.version,
            json!(findings),
            check.scheduled_for,
            &stopping,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// It waits for its time no more: it is checked no more.
    pub async fn end_checks(&self, publication: Uuid) -> Result<(), LedgerError> {
        sqlx::query!("UPDATE publication SET check_at = NULL WHERE id = $1", publication)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// The states of a publication whose time, or whose commit, is still to come.
pub(super) fn waiting() -> Vec<String> {
    State::ALL.iter().filter(|state| is_ahead(**state)).map(|state| state.word().to_owned()).collect()
}
