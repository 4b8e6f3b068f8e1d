//! Letters: put down with what they tell of, taken by the workers that send them.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Ledger, LedgerError, claims::interval};

/// A letter to be sent.
#[derive(Clone)]
pub struct NewMail {
    /// An address and nothing else.
    pub to: String,
    /// Words of ours: nothing that anybody wrote.
    pub subject: String,
    /// What it says.
    pub body: String,
    /// Not sent any more after so long.
    pub worth: Duration,
}

/// A letter that was taken to be sent.
pub struct Due {
    /// Its name, the same however often it is sent.
    pub id: Uuid,
    /// To whom.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub body: String,
    /// The how manieth try this is: what ends another try does not end this one.
    pub tries: i32,
    /// What it offers has ended.
    pub worthless: bool,
}

impl Ledger {
    /// Takes letters whose turn it is; others do not for `lease`.
    pub async fn take_mail(&self, most: i64, lease: Duration) -> Result<Vec<Due>, LedgerError> {
        let taken = sqlx::query_as!(
            Due,
            r#"UPDATE mail SET try_at = ledger_now() + $2, tries = tries + 1
               WHERE id IN (SELECT id FROM mail WHERE try_at <= ledger_now() ORDER BY try_at LIMIT $1
                            -- skip locked: two workers may look at once
                            FOR UPDATE SKIP LOCKED)
               RETURNING id, to_address AS "to", subject, body AS "body!", tries,
                         worthless_at <= ledger_now() AS "worthless!""#,
            most,
            interval(lease),
        );
        Ok(taken.fetch_all(&self.pool).await?)
    }

    /// A letter is over: sent, or given up for that reason. What it said is forgotten.
    pub async fn end_mail(&self, due: &Due, given_up: Option<&str>) -> Result<(), LedgerError> {
        sqlx::query!(
            "UPDATE mail SET try_at = NULL, body = NULL, error = $3,
                             sent_at = CASE WHEN $3::text IS NULL THEN ledger_now() END
             WHERE id = $1 AND tries = $2",
            due.id,
            due.tries,
            given_up,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A letter could not be sent, and is tried again after so long.
    pub async fn put_off_mail(&self, due: &Due, wait: Duration, error: &str) -> Result<(), LedgerError> {
        sqlx::query!(
            "UPDATE mail SET try_at = ledger_now() + $3, error = $4
             WHERE id = $1 AND tries = $2 AND try_at IS NOT NULL",
            due.id,
            due.tries,
            interval(wait),
            error,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Puts a letter down; it is sent once the transaction is committed.
pub(super) async fn put(tx: &mut PgConnection, new: &NewMail) -> Result<Uuid, LedgerError> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO mail (id, to_address, subject, body, worthless_at, try_at)
         VALUES ($1, $2, $3, $4, ledger_now() + $5, ledger_now())",
        id,
        new.to,
        new.subject,
        new.body,
        interval(new.worth),
    )
    .execute(tx)
    .await?;
    Ok(id)
}

/// Takes a letter back, if it has not gone out yet.
pub(super) async fn take_back(tx: &mut PgConnection, id: Option<Uuid>) -> Result<(), LedgerError> {
    sqlx::query!("UPDATE mail SET try_at = NULL, body = NULL WHERE id = $1 AND try_at IS NOT NULL", id)
        .execute(tx)
        .await?;
    Ok(())
}
