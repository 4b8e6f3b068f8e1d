//! Links by which clients look at numbers: made, listed, used, taken back. Only a digest of a link is kept.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use jobs::metrics::ads;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry, Who},
    claims::interval,
};

/// The most characters of a title.
pub const TITLE_MOST: usize = 100;
/// The most links that a list shows.
const LISTED: i64 = 500;

/// The days that a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covers {
    /// Always the last so many that are over.
    Last(i16),
    /// From the one to the other.
    Between(NaiveDate, NaiveDate),
}

impl Covers {
    fn read(
        days: Option<i16>,
        first: Option<NaiveDate>,
        last: Option<NaiveDate>,
    ) -> Result<Self, LedgerError> {
        match (days, first, last) {
            (Some(days), ..) => Ok(Self::Last(days)),
            (None, Some(first), Some(last)) => Ok(Self::Between(first, last)),
            (None, ..) => Err(LedgerError::Unreadable("a report about no days".to_owned())),
        }
    }

    const fn days(self) -> Option<i16> {
        match self {
            Self::Last(days) => Some(days),
            Self::Between(..) => None,
        }
    }

    const fn dates(self) -> (Option<NaiveDate>, Option<NaiveDate>) {
        match self {
            Self::Last(_) => (None, None),
            Self::Between(first, last) => (Some(first), Some(last)),
        }
    }
}

/// A link that is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewReport<'a> {
    /// Whose numbers.
    pub workspace_id: Uuid,
    /// What is kept of the link.
    pub digest: &'a [u8; 32],
    /// What stands above the report.
    pub title: &'a str,
    /// `en` or `he`.
    pub language: &'a str,
    /// Of which days.
    pub covers: Covers,
    /// Of which accounts, each once.
    pub accounts: &'a [Uuid],
    /// Who shares it.
    pub created_by: Uuid,
    /// When it ends, from now.
    pub lasts: Duration,
}

/// A link as people look at it who may take it back.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its id.
    pub id: Uuid,
    /// What stands above the report.
    pub title: String,
    /// Of which days.
    pub covers: Covers,
    /// What people call the accounts that it shows.
    pub accounts: Vec<String>,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When somebody last looked, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub taken_back_at: Option<DateTime<Utc>>,
    /// Whether it opens something.
    pub holds: bool,
}

/// What a link opens.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Whose numbers.
    pub workspace_id: Uuid,
    /// What stands above them.
    pub title: String,
    /// `en` or `he`.
    pub language: String,
    /// Of which days.
    pub covers: Covers,
    /// Of which accounts.
    pub accounts: Vec<Uuid>,
}

impl Ledger {
    /// Keeps a link and returns its id; none: one of the accounts is none of the workspace's, is one of ads, or is being
    /// deleted; or who shares them is of the workspace no more.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn share_report(&self, new: &NewReport<'_>) -> Result<Option<Uuid>, LedgerError> {
        let id = Uuid::now_v7();
        let (first, last) = new.covers.dates();
        let mut tx = self.pool.begin().await?;
        // who is removed at this moment waits for this one, and has it taken back
        let member = sqlx::query!(
            "SELECT person_id FROM membership WHERE workspace_id = $1 AND person_id = $2 FOR KEY SHARE",
            new.workspace_id,
            new.created_by,
        );
        if member.fetch_optional(&mut *tx).await?.is_none() {
            return Ok(None);
        }
        sqlx::query!(
            "INSERT INTO report (id, workspace_id, digest, title, language, days, first_day, last_day, created_by, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, ledger_now() + $10)",
            id,
            new.workspace_id,
            &new.digest[..],
            new.title,
            new.language,
            new.covers.days(),
            first,
            last,
            new.created_by,
            interval(new.lasts),
        )
        .execute(&mut *tx)
        .await?;
        let shown = sqlx::query!(
            "INSERT INTO report_account (report_id, account_id)
             SELECT $1, a.id FROM account a
             WHERE a.id = ANY ($2) AND a.workspace_id = $3 AND a.deletion_id IS NULL AND a.state <> 'erased'
               AND a.platform <> $4",
            id,
            new.accounts,
            new.workspace_id,
            ads::PLATFORM,
        )
        .execute(&mut *tx)
        .await?;
        if shown.rows_affected() != u64::try_from(new.accounts.len()).unwrap_or_default() {
            return Ok(None);
        }
        let detail = json!({ "accounts": new.accounts, "lasts_seconds": new.lasts.as_secs() });
        let about = (new.workspace_id, id);
        audit::record(&mut tx, &entry(self.who(), Action::ReportShared, about, detail)).await?;
        tx.commit().await?;
        Ok(Some(id))
    }

    /// Takes a link back; `None`: there is no such link in that workspace. Whether it was taken back just now.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn take_back_report(&self, workspace_id: Uuid, id: Uuid) -> Result<Option<bool>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let held = sqlx::query_scalar!(
            r#"WITH it AS (
                   SELECT id, taken_back_at IS NULL AS held FROM report WHERE id = $1 AND workspace_id = $2 FOR UPDATE),
               taken AS (
                   UPDATE report SET taken_back_at = ledger_now() FROM it WHERE report.id = it.id AND it.held)
               SELECT held AS "held!" FROM it"#,
            id,
            workspace_id,
        )
        .fetch_optional(&mut *tx)
        .await?;
        if held == Some(true) {
            let about = (workspace_id, id);
            audit::record(&mut tx, &entry(self.who(), Action::ReportTakenBack, about, json!({}))).await?;
        }
        tx.commit().await?;
        Ok(held)
    }

    /// The links of a workspace: those that hold, and then those that have ended, each newest first.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn reports(&self, workspace_id: Uuid) -> Result<Vec<Listed>, LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT r.id, r.title, r.days, r.first_day, r.last_day, r.created_at, r.expires_at, r.last_used_at,
                      r.taken_back_at, r.expires_at > ledger_now() AND r.taken_back_at IS NULL AS "holds!",
                      p.first_name || ' ' || p.last_name AS "made_by!",
                      ARRAY(SELECT a.name FROM report_account c JOIN account a ON a.id = c.account_id
                            WHERE c.report_id = r.id AND a.deletion_id IS NULL AND a.state <> 'erased'
                            ORDER BY lower(a.name)) AS "accounts!"
               FROM report r JOIN person p ON p.id = r.created_by
               WHERE r.workspace_id = $1
               -- what can still be taken back comes before what has ended, however much of that there is
               ORDER BY (r.expires_at > ledger_now() AND r.taken_back_at IS NULL) DESC, r.created_at DESC, r.id DESC
               LIMIT $2"#,
            workspace_id,
            LISTED,
        )
        .fetch_all(&self.pool)
        .await?;
        let listed = rows.into_iter().map(|row| {
            Ok(Listed {
                id: row.id,
                title: row.title,
                covers: Covers::read(row.days, row.first_day, row.last_day)?,
                accounts: row.accounts,
                made_by: row.made_by,
                created_at: row.created_at,
                expires_at: row.expires_at,
                last_used_at: row.last_used_at,
                taken_back_at: row.taken_back_at,
                holds: row.holds,
            })
        });
        listed.collect()
    }

    /// What a link opens, and notes that it was used; none where it opens nothing, whatever the reason.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn open_report(&self, digest: &[u8; 32]) -> Result<Option<Opened>, LedgerError> {
        let row = sqlx::query!(
            r#"WITH it AS (
                   SELECT id, workspace_id, title, language, days, first_day, last_day FROM report
                   WHERE digest = $1 AND expires_at > ledger_now() AND taken_back_at IS NULL),
               used AS (
                   UPDATE report r SET last_used_at = ledger_now() FROM it
                   -- once a minute is enough
                   WHERE r.id = it.id AND (r.last_used_at IS NULL OR r.last_used_at < ledger_now() - interval '1 minute'))
               SELECT it.workspace_id AS "workspace_id!", it.title AS "title!", it.language AS "language!",
                      it.days AS "days?", it.first_day AS "first_day?", it.last_day AS "last_day?",
                      ARRAY(SELECT c.account_id FROM report_account c WHERE c.report_id = it.id) AS "accounts!"
               FROM it"#,
            &digest[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Opened {
            workspace_id: row.workspace_id,
            title: row.title,
            language: row.language,
            covers: Covers::read(row.days, row.first_day, row.last_day)?,
            accounts: row.accounts,
        }))
    }
}

/// What is written down of a link: never what somebody wrote.
fn entry(who: Who, action: Action, (workspace_id, id): (Uuid, Uuid), detail: Value) -> Entry<'static> {
    let object_id = id.to_string();
    Entry { who, action, object: "report", object_id, workspace_id: Some(workspace_id), detail }
}

/// Takes back what somebody has shared who is of the workspace no more: they know where it is.
pub(super) async fn take_back_of(
    tx: &mut PgConnection,
    who: Who,
    workspace_id: Uuid,
    person_id: Uuid,
) -> Result<(), LedgerError> {
    let theirs = sqlx::query_scalar!(
        "UPDATE report SET taken_back_at = ledger_now()
         WHERE workspace_id = $1 AND created_by = $2 AND taken_back_at IS NULL AND expires_at > ledger_now()
         RETURNING id",
        workspace_id,
        person_id,
    );
    for id in theirs.fetch_all(&mut *tx).await? {
        let taken_back = entry(who, Action::ReportTakenBack, (workspace_id, id), json!({}));
        audit::record(tx, &taken_back).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_about_some_days_or_cannot_be_read() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 1);
        assert!(matches!(Covers::read(Some(7), None, None), Ok(Covers::Last(7))));
        assert!(matches!(Covers::read(None, day, day), Ok(Covers::Between(..))));
        assert!(Covers::read(None, day, None).is_err() && Covers::read(None, None, None).is_err());
    }
}
