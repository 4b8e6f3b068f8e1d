//! Sessions of people, and links to a new password, which ends them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Actor, Entry, Who},
    claims::interval,
    mail::{self, NewMail},
};

/// A session as it is kept.
#[derive(Debug, Clone)]
pub struct StoredSession {
    /// What it remembers.
    pub data: Value,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// A session as its person sees it.
#[derive(Debug, Clone)]
pub struct OwnSession {
    /// What the ledger knows it by. Nobody comes in with it.
    pub handle: String,
    /// When it began, in seconds since the epoch.
    pub began: Option<i64>,
    /// When it was last looked at, likewise.
    pub seen: Option<i64>,
    /// What the browser calls itself.
    pub agent: Option<String>,
}

impl Ledger {
    /// Keeps a new session; `false` where the id is taken.
    pub async fn create_session(&self, id: &str, session: &StoredSession) -> Result<bool, LedgerError> {
        let done = sqlx::query!(
            "INSERT INTO session (id, data, expires_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
            id,
            session.data,
            session.expires_at,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Replaces what a session remembers. One that was signed out meanwhile stays gone, and what is retired stays as it is:
    /// what it was to remember, the one that goes on remembers, but for its role.
    pub async fn save_session(&self, id: &str, session: &StoredSession) -> Result<(), LedgerError> {
        sqlx::query!(
            "WITH heir AS (UPDATE session h SET data = h.data || ($2::jsonb - ARRAY['retired', 'role'])
                           FROM session r WHERE r.id = $1 AND h.id = r.passed_to)
             UPDATE session SET data = $2, expires_at = $3 WHERE id = $1 AND retired_at IS NULL",
            id,
            session.data,
            session.expires_at,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The session of that id, unless it has ended, and whether it is retired.
    pub async fn load_session(&self, id: &str) -> Result<Option<(StoredSession, bool)>, LedgerError> {
        let found = sqlx::query!(
            r#"SELECT data, expires_at, retired_at IS NOT NULL AS "retired!" FROM session
               WHERE id = $1 AND expires_at > ledger_now()"#,
            id,
        );
        let found = found.fetch_optional(&self.pool).await?;
        Ok(found.map(|row| (StoredSession { data: row.data, expires_at: row.expires_at }, row.retired)))
    }

    /// Ends a session, unless it is retired and ends by itself; and, since somebody is here anyway, forgets those that have.
    pub async fn delete_session(&self, id: &str) -> Result<(), LedgerError> {
        sqlx::query!(
            "DELETE FROM session WHERE id = $1 AND retired_at IS NULL OR expires_at < ledger_now()",
            id
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Lets a session answer for `lasts` what is on its way, and no longer; `false` where it is retired already, or gone.
    pub async fn retire_session(&self, id: &str, lasts: Duration) -> Result<bool, LedgerError> {
        let done = sqlx::query!(
            "UPDATE session SET retired_at = ledger_now(), expires_at = least(expires_at, ledger_now() + $2)
             WHERE id = $1 AND retired_at IS NULL AND expires_at > ledger_now()",
            id,
            interval(lasts),
        );
        Ok(done.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Notes under what id a retired session goes on; it ends with that at the latest.
    pub async fn pass_session(&self, id: &str, to: &str) -> Result<(), LedgerError> {
        sqlx::query!("UPDATE session SET passed_to = $2 WHERE id = $1 AND retired_at IS NOT NULL", id, to)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Whether a session is retired.
    pub async fn is_retired(&self, id: &str) -> Result<bool, LedgerError> {
        let retired = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM session WHERE id = $1 AND retired_at IS NOT NULL) AS "retired!""#,
            id,
        );
        Ok(retired.fetch_one(&self.pool).await?)
    }

    /// Ends a retired session, and the one that goes on, however often it was passed on since.
    pub async fn end_retired(&self, id: &str) -> Result<(), LedgerError> {
        sqlx::query!(
            "WITH RECURSIVE chain AS (
                 SELECT id, passed_to FROM session WHERE id = $1 AND retired_at IS NOT NULL
                 UNION SELECT s.id, s.passed_to FROM session s JOIN chain ON s.id = chain.passed_to)
             DELETE FROM session USING chain WHERE session.id = chain.id",
            id,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Where a person is signed in, the latest first.
    pub async fn sessions_of(&self, person_id: Uuid) -> Result<Vec<OwnSession>, LedgerError> {
        let own = sqlx::query_as!(
            OwnSession,
            r#"SELECT id AS handle, (data ->> 'began')::bigint AS began, (data ->> 'seen')::bigint AS seen, data ->> 'agent' AS agent
               FROM session WHERE person_id = $1 AND expires_at > ledger_now() AND retired_at IS NULL ORDER BY 3 DESC NULLS LAST"#,
            person_id,
        );
        Ok(own.fetch_all(&self.pool).await?)
    }

    /// Ends one of a person's sessions; `false` where they have no such. What was passed on since they looked is ended where
    /// it goes on.
    pub async fn end_session(&self, person_id: Uuid, handle: &str) -> Result<bool, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query!(
            "WITH RECURSIVE chain AS (
                 SELECT id, passed_to FROM session WHERE person_id = $1 AND id = $2
                 UNION SELECT s.id, s.passed_to FROM session s JOIN chain ON s.id = chain.passed_to)
             DELETE FROM session USING chain WHERE session.id = chain.id",
            person_id,
            handle,
        )
        .execute(&mut *tx)
        .await?;
        // whatever ids it went by, it is one
        let ended = done.rows_affected().min(1);
        note_ended(&mut tx, self.who(), Action::SessionsEnded, person_id, ended).await?;
        tx.commit().await?;
        Ok(ended == 1)
    }

    /// Ends all of a person's sessions but one.
    pub async fn end_other_sessions(&self, person_id: Uuid, handle: &str) -> Result<(), LedgerError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query!(
            "DELETE FROM session
             WHERE person_id = $1 AND id <> $2 AND retired_at IS NULL
               -- who asks by an id that was passed on a moment ago sits at the one that goes on
               AND id IS DISTINCT FROM (SELECT r.passed_to FROM session r WHERE r.id = $2)",
            person_id,
            handle,
        )
        .execute(&mut *tx)
        .await?;
        note_ended(&mut tx, self.who(), Action::SessionsEnded, person_id, done.rows_affected()).await?;
        Ok(tx.commit().await?)
    }

    /// Gives whoever has that address a link to a new password, with the letter that brings it. An address that nobody
    /// has gets nothing, and who has asked within a quarter of an hour has a link
    /// already: nobody ends it by asking in their place. The steps are the same for every address, and each leaves something
    /// written: how long it takes tells nobody who is known.
    pub async fn ask_for_password(
        &self,
        email: &str,
        digest: &[u8; 32],
        lasts: Duration,
        letter: &NewMail,
    ) -> Result<(), LedgerError> {
        let mut tx = self.pool.begin().await?;
        let person = sqlx::query_scalar!("SELECT id FROM person WHERE email = $1", email);
        let person = person.fetch_optional(&mut *tx).await?;
        let asked = sqlx::query!(
            "INSERT INTO password_reset (person_id, digest, expires_at)
             SELECT id, $2, ledger_now() + $3 FROM person WHERE email = $1
             ON CONFLICT (person_id) DO UPDATE
             SET digest = excluded.digest, created_at = excluded.created_at, expires_at = excluded.expires_at
             WHERE password_reset.created_at < ledger_now() - interval '15 minutes'",
            email,
            &digest[..],
            interval(lasts),
        )
        .execute(&mut *tx)
        .await?;
        mail::put_if(&mut tx, letter, asked.rows_affected() == 1).await?;
        let entry = Entry {
            who: self.who(),
            action: Action::PasswordAsked,
            object: "person",
            object_id: person.map_or_else(|| "unknown".to_owned(), |id| id.to_string()),
            workspace_id: None,
            detail: json!({}),
        };
        audit::record(&mut tx, &entry).await?;
        Ok(tx.commit().await?)
    }

    /// Whether a link to a new password still holds.
    pub async fn password_link_holds(&self, digest: &[u8; 32]) -> Result<bool, LedgerError> {
        let holds = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM password_reset WHERE digest = $1 AND expires_at > ledger_now()) AS "holds!""#,
            &digest[..],
        );
        Ok(holds.fetch_one(&self.pool).await?)
    }

    /// Sets the password of whoever has that link, ends all their sessions, and lets them be told by the letter that
    /// `letter` makes for their address. `None`: the link holds no more.
    pub async fn set_password(
        &self,
        digest: &[u8; 32],
        password_hash: &str,
        letter: impl FnOnce(&str) -> NewMail,
    ) -> Result<Option<Uuid>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let person = sqlx::query!(
            "WITH used AS (DELETE FROM password_reset WHERE digest = $1 AND expires_at > ledger_now() RETURNING person_id)
             UPDATE person SET password_hash = $2 FROM used WHERE person.id = used.person_id
             RETURNING person.id, person.email",
            &digest[..],
            password_hash,
        );
        let Some(person) = person.fetch_optional(&mut *tx).await? else { return Ok(None) };
        let ended = end_all(&mut tx, person.id).await?;
        let who = Who { actor: Actor::Person(person.id), ..self.who() };
        note_ended(&mut tx, who, Action::PasswordSet, person.id, ended).await?;
        mail::put(&mut tx, &letter(&person.email)).await?;
        tx.commit().await?;
        Ok(Some(person.id))
    }
}

async fn end_all(tx: &mut PgConnection, person_id: Uuid) -> Result<u64, LedgerError> {
    let done = sqlx::query!("DELETE FROM session WHERE person_id = $1", person_id).execute(tx).await?;
    Ok(done.rows_affected())
}

/// Writes down what ended how many of a person's sessions; a wish that ended none is no deed.
async fn note_ended(
    tx: &mut PgConnection,
    who: Who,
    action: Action,
    person_id: Uuid,
    ended: u64,
) -> Result<(), LedgerError> {
    if ended == 0 && action == Action::SessionsEnded {
        return Ok(());
    }
    let (object, object_id, detail) = ("person", person_id.to_string(), json!({ "ended": ended }));
    audit::record(tx, &Entry { who, action, object, object_id, workspace_id: None, detail }).await
}
