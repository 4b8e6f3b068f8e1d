//! Correcting what is wrong about somebody on the staff: their name at once, their address once they have followed a link that
//! was sent to the new one.

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Actor, Entry, Who},
    claims::interval,
    mail::{self, NewMail},
};

/// Somebody as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Their address.
    pub email: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
}

impl Ledger {
    /// What is known of somebody.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn person(&self, id: Uuid) -> Result<Option<Known>, LedgerError> {
        let known =
            sqlx::query_as!(Known, "SELECT email, first_name, last_name FROM person WHERE id = $1", id);
        Ok(known.fetch_optional(&self.pool).await?)
    }

    /// Who has that address and belongs to this workspace and to no other: what others rely on too is not one workspace's to
    /// change.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn own_person(&self, workspace_id: Uuid, email: &str) -> Result<Option<Uuid>, LedgerError> {
        let id = sqlx::query_scalar!(
            "SELECT p.id FROM person p JOIN membership m ON m.person_id = p.id AND m.workspace_id = $1
             WHERE p.email = lower($2)
               AND NOT EXISTS (SELECT FROM membership o WHERE o.person_id = p.id AND o.workspace_id <> $1)",
            workspace_id,
            email,
        );
        Ok(id.fetch_optional(&self.pool).await?)
    }

    /// Gives somebody their right name.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn rename(&self, person_id: Uuid, first: &str, last: &str) -> Result<bool, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query!(
            "UPDATE person SET first_name = $2, last_name = $3
             WHERE id = $1 AND (first_name, last_name) IS DISTINCT FROM ($2, $3)",
            person_id,
            first,
            last,
        )
        .execute(&mut *tx)
        .await?;
        let changed = done.rows_affected() == 1;
        if changed {
            note(&mut tx, self.who(), person_id, "name").await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// Keeps that somebody wishes to be known by another address, and sends the link there, unless that is somebody's
    /// already: who asks is not told. Within a minute of the last wish it stays with that.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn ask_email_change(
        &self,
        person_id: Uuid,
        digest: &[u8; 32],
        lasts: Duration,
        letter: &NewMail,
    ) -> Result<(), LedgerError> {
        let mut tx = self.pool.begin().await?;
        let asked = sqlx::query!(
            "INSERT INTO email_change (person_id, email, digest, expires_at)
             SELECT $1, $2, $3, ledger_now() + $4 WHERE NOT EXISTS (SELECT FROM person WHERE email = $2)
             ON CONFLICT (person_id) DO UPDATE
             SET email = excluded.email, digest = excluded.digest, created_at = excluded.created_at,
                 expires_at = excluded.expires_at
             WHERE email_change.created_at < ledger_now() - interval '1 minute'",
            person_id,
            letter.to,
            &digest[..],
            interval(lasts),
        )
        .execute(&mut *tx)
        .await?;
        if asked.rows_affected() == 1 {
            of_person(&mut tx, person_id, letter).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The address that a link proves, if it still does.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn email_link(&self, digest: &[u8; 32]) -> Result<Option<String>, LedgerError> {
        let email = sqlx::query_scalar!(
            "SELECT email FROM email_change WHERE digest = $1 AND expires_at > ledger_now()",
            &digest[..],
        );
        Ok(email.fetch_optional(&self.pool).await?)
    }

    /// Gives whoever has followed the link their new address, also where they connected accounts by the old one, and tells
    /// the old one by the letter that `letter` makes for it. False: the link holds no more, or the address is somebody
    /// else's by now.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn change_email(
        &self,
        digest: &[u8; 32],
        letter: impl FnOnce(&str) -> NewMail,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let changed = sqlx::query!(
            "WITH used AS (DELETE FROM email_change WHERE digest = $1 AND expires_at > ledger_now()
                           RETURNING person_id, email),
             before AS (SELECT p.id, p.email AS old, u.email AS new FROM person p JOIN used u ON u.person_id = p.id
                        WHERE NOT EXISTS (SELECT FROM person o WHERE o.email = u.email) FOR UPDATE OF p),
             connected AS (UPDATE account SET subject_email = b.new FROM before b
                           WHERE account.connected_by = b.id AND lower(account.subject_email) = b.old),
             -- links that were sent to the old one open nothing any more
             links AS (DELETE FROM password_reset r USING before b WHERE r.person_id = b.id)
             UPDATE person SET email = b.new FROM before b WHERE person.id = b.id RETURNING b.id, b.old",
            &digest[..],
        );
        let changed = match changed.fetch_optional(&mut *tx).await.map_err(LedgerError::from) {
            Ok(Some(changed)) => changed,
            Ok(None) => {
                tx.commit().await?;
                return Ok(false);
            }
            Err(LedgerError::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let who = Who { actor: Actor::Person(changed.id), ..self.who() };
        note(&mut tx, who, changed.id, "email").await?;
        of_person(&mut tx, changed.id, &letter(&changed.old)).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// A letter to an address that is not, or not any more, that of the person whom it is to.
async fn of_person(tx: &mut PgConnection, person_id: Uuid, letter: &NewMail) -> Result<(), LedgerError> {
    let id = mail::put(&mut *tx, letter).await?;
    sqlx::query!("UPDATE mail SET person_id = $2 WHERE id = $1", id, person_id).execute(tx).await?;
    Ok(())
}

async fn note(tx: &mut PgConnection, who: Who, person_id: Uuid, what: &str) -> Result<(), LedgerError> {
    let entry = Entry {
        who,
        action: Action::PersonCorrected,
        object: "person",
        object_id: person_id.to_string(),
        workspace_id: None,
        detail: json!({ "what": what }),
    };
    audit::record(tx, &entry).await
}
