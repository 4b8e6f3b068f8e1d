//! Copies of what is known of somebody: how they are asked for, what is shown of them, and how they are fetched, once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::{HOUSE, contract::Job, export::Export, hint::Hint};
use serde_json::json;
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{
    KeyRing, Ledger, LedgerError,
    audit::{self, Action, Entry},
    claims::interval,
    deletions::{META, Subject},
    letters::{self, Letter},
};

/// How long a link is good.
pub const LINK_LIFE: Duration = Duration::from_hours(7 * 24);
/// The slowest line that a file is kept for while it is fetched, in bytes a second.
const SLOWEST_LINE: f64 = 262_144.0;
/// Where the files are kept.
const FOLDER: &str = "exports/";

/// A copy as it is asked for.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Of whom.
    pub subject: Subject<'a>,
    /// The workspace's own, whoever it came through.
    pub whole: bool,
    /// Somebody on the staff, by our own id.
    pub person: Option<Uuid>,
    /// Of the link.
    pub link_digest: [u8; 32],
    /// What brings the link.
    pub letter: Option<Letter>,
}

/// What is shown of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// It.
    pub id: Uuid,
    /// `asked`, `gathered` or `made`.
    pub state: String,
    /// When it was asked for.
    pub asked_at: DateTime<Utc>,
    /// When it was made.
    pub made_at: Option<DateTime<Utc>>,
    /// When it was fetched, which is once.
    pub taken_at: Option<DateTime<Utc>>,
    /// When it goes, fetched or not.
    pub expires_at: DateTime<Utc>,
    /// How large it is.
    pub bytes: Option<i64>,
}

/// A file that is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Which copy.
    pub id: Uuid,
    /// Where it is.
    pub object_key: String,
    /// How large it is.
    pub bytes: i64,
}

impl Ledger {
    /// Writes down that a copy is to be made, with its job and the letter that brings the link, in one transaction. Of
    /// somebody unknown there is one too, with nothing in it: nobody learns of whom something is known.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn ask_export(&self, ring: &KeyRing, wanted: &Wanted<'_>) -> Result<(Uuid, Hint), LedgerError> {
        let (id, mut tx) = (Uuid::now_v7(), self.pool.begin().await?);
        sqlx::query!(
            "INSERT INTO export (id, workspace_id, whole, link_digest, object_key, expires_at)
             VALUES ($1, $2, $3, $4, $5, ledger_now() + $6)",
            id,
            wanted.subject.workspace_id,
            wanted.whole,
            &wanted.link_digest,
            format!("{FOLDER}{id}.zip"),
            interval(LINK_LIFE),
        )
        .execute(&mut *tx)
        .await?;
        cover(&mut tx, id, wanted).await?;
        if let Some(person) = wanted.person {
            replace(&mut tx, id, person).await?;
        }
        if let Some(letter) = &wanted.letter {
            letters::tell(&mut tx, ring, letters::About::Export, None, letter).await?;
        }
        let run_at = sqlx::query_scalar!(
            "INSERT INTO job (id, kind, workspace_id, run_at, payload) VALUES ($1, $2, $3, ledger_now(), $4) RETURNING run_at",
            id,
            Export::KIND,
            HOUSE,
            json!({ "export_id": id }),
        )
        .fetch_one(&mut *tx)
        .await?;
        let entry = Entry {
            who: self.who(),
            action: Action::ExportAsked,
            object: "export",
            object_id: id.to_string(),
            workspace_id: wanted.subject.workspace_id,
            detail: json!({ "whole": wanted.whole }),
        };
        audit::record(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok((id, Hint { kind: Export::KIND.to_owned(), workspace_id: HOUSE, job_id: id, run_at }))
    }

    /// What is shown of a copy that was asked for in this workspace.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn export_of(&self, workspace_id: Uuid, id: Uuid) -> Result<Option<Shown>, LedgerError> {
        let shown = sqlx::query_as!(
            Shown,
            r#"SELECT id, state::text AS "state!", asked_at, made_at, taken_at, expires_at, bytes
               FROM export WHERE id = $1 AND workspace_id = $2"#,
            id,
            workspace_id,
        );
        Ok(shown.fetch_optional(&self.pool).await?)
    }

    /// The last copies that were asked for in this workspace, newest first.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn exports_of(&self, workspace_id: Uuid, most: i64) -> Result<Vec<Shown>, LedgerError> {
        let shown = sqlx::query_as!(
            Shown,
            r#"SELECT id, state::text AS "state!", asked_at, made_at, taken_at, expires_at, bytes
               FROM export WHERE workspace_id = $1 ORDER BY asked_at DESC LIMIT $2"#,
            workspace_id,
            most,
        );
        Ok(shown.fetch_all(&self.pool).await?)
    }

    /// What is shown of the copy of this link, while that is good.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn export_by_link(&self, link_digest: &[u8; 32]) -> Result<Option<Shown>, LedgerError> {
        let shown = sqlx::query_as!(
            Shown,
            r#"SELECT id, state::text AS "state!", asked_at, made_at, taken_at, expires_at, bytes FROM export
               WHERE link_digest = $1 AND expires_at > ledger_now() AND taken_at IS NULL"#,
            link_digest,
        );
        Ok(shown.fetch_optional(&self.pool).await?)
    }

    /// The file of this link, while it can be fetched.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn export_file(&self, link_digest: &[u8; 32]) -> Result<Option<Taken>, LedgerError> {
        let file = sqlx::query_as!(
            Taken,
            r#"SELECT id, object_key, bytes AS "bytes!" FROM export
               WHERE link_digest = $1 AND state = 'made' AND taken_at IS NULL AND expires_at > ledger_now()"#,
            link_digest,
        );
        Ok(file.fetch_optional(&self.pool).await?)
    }

    /// Gives out the file of this link, once; it is removed when even a slow line has had the time to fetch it, an hour
    /// later at the earliest.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn take_export(&self, link_digest: &[u8; 32]) -> Result<Option<Taken>, LedgerError> {
        let taken = sqlx::query_as!(
            Taken,
            r#"WITH taken AS (
                   UPDATE export SET taken_at = ledger_now()
                   WHERE link_digest = $1 AND state = 'made' AND taken_at IS NULL AND expires_at > ledger_now()
                   RETURNING id, object_key, bytes),
               soon AS (
                   UPDATE spare_object s
                   SET remove_at = ledger_now() + interval '1 hour' + make_interval(secs => taken.bytes / $2::float8)
                   FROM taken WHERE s.object_key = taken.object_key)
               SELECT id AS "id!", object_key AS "object_key!", bytes AS "bytes!" FROM taken"#,
            link_digest,
            SLOWEST_LINE,
        );
        Ok(taken.fetch_optional(&self.pool).await?)
    }

    /// Gives its job back to each copy that is not made and has none; returns how many there were.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn mend_exports(&self) -> Result<u64, LedgerError> {
        let made = sqlx::query!(
            r#"INSERT INTO job (id, kind, workspace_id, run_at, payload)
               SELECT gen_random_uuid(), 'export', $1, ledger_now(), jsonb_build_object('export_id', e.id)
               FROM export e
               WHERE e.state <> 'made' AND e.expires_at > ledger_now()
                 AND NOT EXISTS (SELECT FROM job j WHERE j.kind = 'export' AND j.payload ->> 'export_id' = e.id::text)
               ON CONFLICT DO NOTHING"#,
            HOUSE,
        );
        Ok(made.execute(&self.pool).await?.rows_affected())
    }

    /// Drops what is known of copies whose link has ended. Their files are removed by their own time.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn end_exports(&self) -> Result<u64, LedgerError> {
        let ended = sqlx::query!("DELETE FROM export WHERE expires_at <= ledger_now()");
        Ok(ended.execute(&self.pool).await?.rows_affected())
    }
}

/// Whoever asks for their own anew gets that in the place of the one before: nobody fills the store with copies.
async fn replace(tx: &mut PgTransaction<'_>, id: Uuid, person: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"WITH gone AS (
               DELETE FROM export e USING export_covered c
               WHERE c.export_id = e.id AND c.id = $2 AND c.kind = 'person' AND e.id <> $1
                 AND e.workspace_id IS NULL AND NOT e.whole AND e.taken_at IS NULL
               RETURNING e.object_key)
           UPDATE spare_object s SET remove_at = ledger_now() FROM gone WHERE s.object_key = gone.object_key"#,
        id,
        person,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whom it is of. Somebody who belongs to other workspaces too is not one workspace's to give a copy of, but their own.
async fn cover(tx: &mut PgTransaction<'_>, id: Uuid, wanted: &Wanted<'_>) -> Result<(), LedgerError> {
    let of = &wanted.subject;
    // of all of a workspace also what is just being deleted, which does not go into it: whoever deletes that finds the copy by it
    sqlx::query!(
        r#"INSERT INTO export_covered (export_id, id, kind)
           SELECT $1::uuid, a.id, 'account' FROM account a
           WHERE (a.deletion_id IS NULL OR $7) AND ($6::uuid IS NULL OR a.workspace_id = $6)
             AND (a.subject_id = $2 AND a.platform = ANY ($3) OR lower(a.subject_email) = lower($4) OR a.id = ANY ($5)
                  OR $7 AND a.workspace_id = $6)
           UNION
           SELECT $1, p.id, 'person' FROM person p
           WHERE (p.id = $8
                  OR p.email = lower($4)
                     AND ($6::uuid IS NULL
                          OR EXISTS (SELECT FROM membership m WHERE m.person_id = p.id AND m.workspace_id = $6)
                             AND NOT EXISTS (SELECT FROM membership m WHERE m.person_id = p.id AND m.workspace_id <> $6)))
             AND NOT EXISTS (SELECT FROM deletion_mark d JOIN deletion_request r ON r.id = d.request_id
                             WHERE d.kind = 'person' AND d.id = p.id AND r.stage <> 'done')"#,
        id,
        of.meta_user_id,
        &META.map(str::to_owned),
        of.email,
        of.accounts,
        of.workspace_id,
        wanted.whole,
        wanted.person,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
