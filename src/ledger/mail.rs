//! Letters: put down with what they tell of, sealed, and taken by the workers that open and send them.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{KeyRing, Ledger, LedgerError, Sealer, claims::interval, keyring::KeyError};

/// A letter to be sent. What it says is sealed from the start: who puts it down cannot read it again.
#[derive(Clone)]
pub struct NewMail {
    /// An address and nothing else.
    pub to: String,
    id: Uuid,
    subject: String,
    sealed: Vec<u8>,
    worth: Duration,
}

impl NewMail {
    /// Writes one, with a subject in words of ours, in which nothing stands that anybody wrote; it is not sent any more after
    /// `worth`.
    pub fn new(sealer: &Sealer, to: &str, subject: &str, body: &str, worth: Duration) -> Self {
        Self::sealed(to, subject, worth, |row| sealer.seal(body.as_bytes(), row).1)
    }

    /// The same, where the ring itself is at hand.
    pub fn by(ring: &KeyRing, to: &str, subject: &str, body: &str, worth: Duration) -> Self {
        Self::sealed(to, subject, worth, |row| ring.seal(body.as_bytes(), row))
    }

    fn sealed(to: &str, subject: &str, worth: Duration, seal: impl FnOnce(&str) -> Vec<u8>) -> Self {
        let id = Uuid::now_v7();
        Self { to: to.to_owned(), id, subject: subject.to_owned(), sealed: seal(&row_name(id)), worth }
    }
}

/// Names the row a sealed letter belongs to: moved elsewhere, it does not open.
fn row_name(id: Uuid) -> String {
    format!("mail|{id}")
}

/// A letter that was taken to be sent.
pub struct Due {
    /// Its name, the same however often it is sent.
    pub id: Uuid,
    /// To whom.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// What it says, where it opens.
    pub body: Result<String, KeyError>,
    /// The how manieth try this is: what ends another try does not end this one.
    pub tries: i32,
    /// What it offers has ended.
    pub worthless: bool,
}

impl Ledger {
    /// Takes letters whose turn it is, and opens them; others do not for `lease`.
    pub async fn take_mail(
        &self,
        ring: &KeyRing,
        most: i64,
        lease: Duration,
    ) -> Result<Vec<Due>, LedgerError> {
        let taken = sqlx::query!(
            r#"UPDATE mail SET try_at = ledger_now() + $2, tries = tries + 1
               WHERE id IN (SELECT id FROM mail WHERE try_at <= ledger_now() ORDER BY try_at LIMIT $1
                            -- skip locked: two workers may look at once
                            FOR UPDATE SKIP LOCKED)
               RETURNING id, to_address, subject, body, sealed, tries, worthless_at <= ledger_now() AS "worthless!""#,
            most,
            interval(lease),
        );
        let due = taken.fetch_all(&self.pool).await?.into_iter().map(|row| Due {
            body: match (row.sealed, row.body) {
                (Some(sealed), _) => opened(ring, row.id, &sealed),
                (None, Some(body)) => Ok(body),
                (None, None) => Err(KeyError::DoesNotOpen),
            },
            id: row.id,
            to: row.to_address,
            subject: row.subject,
            tries: row.tries,
            worthless: row.worthless,
        });
        Ok(due.collect())
    }

    /// Seals the letters that lie in the clear, and tells how many that were.
    pub async fn seal_mail(&self, ring: &KeyRing) -> Result<u64, LedgerError> {
        let rows = sqlx::query!(r#"SELECT id, body AS "body!" FROM mail WHERE body IS NOT NULL"#);
        let mut done = 0;
        for row in rows.fetch_all(&self.pool).await? {
            let sealed = sqlx::query!(
                // one that is over by now stays so
                "UPDATE mail SET body = NULL, sealed = $2 WHERE id = $1 AND body IS NOT NULL",
                row.id,
                ring.seal(row.body.as_bytes(), &row_name(row.id)),
            );
            done += sealed.execute(&self.pool).await?.rows_affected();
        }
        Ok(done)
    }

    /// Seals every letter that waits under the first key of the ring, and tells how many those were. There are few: all at
    /// once.
    ///
    /// # Errors
    /// The ledger is away, or some do not open: those stay as they are, and all others are sealed anew.
    pub async fn reseal_mail(&self, ring: &KeyRing) -> Result<u64, LedgerError> {
        let mut done = self.seal_mail(ring).await?;
        let rows = sqlx::query!(r#"SELECT id, sealed AS "sealed!" FROM mail WHERE sealed IS NOT NULL"#);
        let mut closed = Vec::new();
        for row in rows.fetch_all(&self.pool).await? {
            let opened = match ring.open(&row.sealed, &row_name(row.id)) {
                Ok(opened) => opened,
                Err(why) => {
                    closed.push(why);
                    continue;
                }
            };
            let anew = sqlx::query!(
                "UPDATE mail SET sealed = $2 WHERE id = $1 AND sealed = $3",
                row.id,
                ring.seal(&opened, &row_name(row.id)),
                row.sealed,
            );
            done += anew.execute(&self.pool).await?.rows_affected();
        }
        match closed.first() {
            None => Ok(done),
            Some(why) => {
                let many = closed.len();
                Err(LedgerError::Unreadable(format!("{many} letters that stay sealed as they were: {why}")))
            }
        }
    }

    /// A letter is over: sent, or given up for that reason. What it said is forgotten.
    pub async fn end_mail(&self, due: &Due, given_up: Option<&str>) -> Result<(), LedgerError> {
        sqlx::query!(
            "UPDATE mail SET try_at = NULL, body = NULL, sealed = NULL, error = $3,
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

fn opened(ring: &KeyRing, id: Uuid, sealed: &[u8]) -> Result<String, KeyError> {
    let opened = ring.open(sealed, &row_name(id))?;
    String::from_utf8(opened.to_vec()).map_err(|_| KeyError::DoesNotOpen)
}

/// Puts a letter down; it is sent once the transaction is committed.
pub(super) async fn put(tx: &mut PgConnection, new: &NewMail) -> Result<Uuid, LedgerError> {
    put_if(tx, new, true).await
}

/// The same where it is wanted; where it is not, that takes as long.
pub(super) async fn put_if(tx: &mut PgConnection, new: &NewMail, wanted: bool) -> Result<Uuid, LedgerError> {
    sqlx::query!(
        "INSERT INTO mail (id, to_address, subject, sealed, worthless_at, try_at)
         SELECT $1, $2, $3, $4, ledger_now() + $5, ledger_now() WHERE $6",
        new.id,
        new.to,
        new.subject,
        new.sealed,
        interval(new.worth),
        wanted,
    )
    .execute(tx)
    .await?;
    Ok(new.id)
}

/// Writes the same to each administrator of a workspace. Returns to how many.
pub(super) async fn tell_admins(
    tx: &mut PgConnection,
    ring: &KeyRing,
    workspace_id: Uuid,
    subject: &str,
    body: &str,
    worth: Duration,
) -> Result<usize, LedgerError> {
    let addresses = sqlx::query_scalar!(
        "SELECT p.email FROM membership m JOIN person p ON p.id = m.person_id
         WHERE m.workspace_id = $1 AND m.role = 'admin' ORDER BY p.email",
        workspace_id,
    )
    .fetch_all(&mut *tx)
    .await?;
    for to in &addresses {
        put(&mut *tx, &NewMail::by(ring, to, subject, body, worth)).await?;
    }
    Ok(addresses.len())
}

/// Takes a letter back, if it has not gone out yet.
pub(super) async fn take_back(tx: &mut PgConnection, id: Option<Uuid>) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE mail SET try_at = NULL, body = NULL, sealed = NULL WHERE id = $1 AND try_at IS NOT NULL",
        id,
    )
    .execute(tx)
    .await?;
    Ok(())
}
