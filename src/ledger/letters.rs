//! Mails about deletions, written and not yet sent: address, subject and words are sealed together until a worker sends
//! them.

use std::time::Duration;

use jobs::contract::JobError;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    KeyRing, Ledger, LedgerError,
    claims::interval,
    deletions::{Origin, recipient_row},
    forgetting::ClaimedForgetting,
};

/// A link that nobody followed is forgotten after a day.
pub const LINK_LIFE: Duration = Duration::from_hours(24);
/// A mail that nobody has taken for so long is of no use any more.
const LETTER_LIFE: Duration = Duration::from_hours(7 * 24);

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The address.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// Its words.
    pub text: String,
}

/// A mail that was taken to be sent.
pub struct Taken {
    /// Its name, the same however often it is sent.
    pub id: Uuid,
    /// It, opened.
    pub letter: Letter,
    /// The how manieth try this is: what puts another try off does not put this one off.
    pub tries: i32,
}

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The link that proves an address.
    Confirm,
    /// All is deleted.
    Done,
    /// A copy is on its way.
    Export,
}

impl About {
    const fn word(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Done => "done",
            Self::Export => "export",
        }
    }
}

fn row_name(id: Uuid) -> String {
    format!("deletion_letter|{id}")
}

fn ask_row(digest: &[u8]) -> String {
    format!("deletion_ask|{}", hex::encode(digest))
}

/// Writes a mail to be sent; one of a request is written once.
pub(super) async fn tell(
    connection: &mut PgConnection,
    ring: &KeyRing,
    about: About,
    request: Option<Uuid>,
    letter: &Letter,
) -> Result<(), LedgerError> {
    let id = Uuid::now_v7();
    let text = serde_json::to_vec(letter).map_err(|error| LedgerError::Unreadable(error.to_string()))?;
    sqlx::query!(
        r#"INSERT INTO deletion_letter (id, request_id, kind, sealed) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"#,
        id,
        request,
        about.word(),
        ring.seal(&text, &row_name(id)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Somebody who asked on the public page and has followed the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// The address.
    pub email: String,
    /// `en` or `he`.
    pub language: String,
    /// On the page, or by a mail.
    pub origin: Origin,
}

impl Ledger {
    /// Keeps that somebody asked, on the page or by a mail, and writes the mail with the link, whoever that is: no answer
    /// tells whether anything is known of an address. False: the same was asked before, and nothing is written.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn ask_deletion(
        &self,
        ring: &KeyRing,
        digest: &[u8; 32],
        language: &str,
        origin: Origin,
        letter: &Letter,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let kept = sqlx::query!(
            // what was followed already is a request: a mail that is told again brings no other link
            "INSERT INTO deletion_ask (digest, recipient, language, expires_at, origin)
             SELECT $1::bytea, $2::bytea, $3::text, ledger_now() + $4::interval, $5::text::deletion_origin
             WHERE NOT EXISTS (SELECT FROM deletion_request WHERE asked_digest = $1)
             ON CONFLICT (digest) DO NOTHING",
            digest,
            ring.seal(letter.to.as_bytes(), &ask_row(digest)),
            language,
            interval(LINK_LIFE),
            origin.word(),
        )
        .execute(&mut *tx)
        .await?;
        if kept.rows_affected() == 0 {
            return Ok(false);
        }
        tell(&mut tx, ring, About::Confirm, None, letter).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Who asked, where the link is still good. It stays good until [`Self::used_ask`].
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn asker(&self, ring: &KeyRing, digest: &[u8; 32]) -> Result<Option<Proved>, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT recipient, language, origin::text AS "origin!" FROM deletion_ask
               WHERE digest = $1 AND expires_at > ledger_now()"#,
            digest,
        );
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        let opened = ring.open(&row.recipient, &ask_row(digest));
        let email = opened.ok().and_then(|opened| String::from_utf8(opened.to_vec()).ok());
        let email = email.ok_or_else(|| LedgerError::Unreadable("an address that does not open".into()))?;
        let origin = Origin::parse(&row.origin);
        let origin = origin.ok_or_else(|| LedgerError::Unreadable(format!("the origin {}", row.origin)))?;
        Ok(Some(Proved { email, language: row.language, origin }))
    }

    /// The link was followed: it is good no more.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn used_ask(&self, digest: &[u8; 32]) -> Result<(), LedgerError> {
        sqlx::query!("DELETE FROM deletion_ask WHERE digest = $1", digest).execute(&self.pool).await?;
        Ok(())
    }

    /// The mails that wait, oldest first, opened.
    ///
    /// # Errors
    /// The ledger is away, or one does not open.
    pub async fn letters(&self, ring: &KeyRing, most: i64) -> Result<Vec<(Uuid, Letter)>, LedgerError> {
        let rows = sqlx::query!("SELECT id, sealed FROM deletion_letter ORDER BY created_at LIMIT $1", most);
        let open = |id: Uuid, sealed: &[u8]| {
            let opened = ring.open(sealed, &row_name(id)).map_err(|error| error.to_string())?;
            let letter = serde_json::from_slice(&opened).map_err(|error| error.to_string())?;
            Ok((id, letter))
        };
        let all = rows.fetch_all(&self.pool).await?.into_iter().map(|row| open(row.id, &row.sealed));
        all.collect::<Result<_, String>>().map_err(LedgerError::Unreadable)
    }

    /// Takes mails whose turn it is; others do not for `lease`. One that does not open stays until it is forgotten.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn take_letters(
        &self,
        ring: &KeyRing,
        most: i64,
        lease: Duration,
    ) -> Result<Vec<Taken>, LedgerError> {
        let rows = sqlx::query!(
            r#"UPDATE deletion_letter SET try_at = ledger_now() + $2, tries = tries + 1
               WHERE id IN (SELECT l.id FROM deletion_letter l WHERE l.try_at <= ledger_now()
                            -- while its step may be repeated, the row keeps it from being written twice
                              AND NOT EXISTS (SELECT FROM deletion_request r
                                              WHERE r.id = l.request_id AND r.stage = 'telling')
                            ORDER BY l.try_at LIMIT $1
                            -- skip locked: two workers may look at once
                            FOR UPDATE SKIP LOCKED)
               RETURNING id, sealed, tries"#,
            most,
            interval(lease),
        );
        let open = |id: Uuid, sealed: &[u8]| {
            let opened = ring.open(sealed, &row_name(id)).map_err(|error| error.to_string())?;
            serde_json::from_slice::<Letter>(&opened).map_err(|error| error.to_string())
        };
        let opened = rows.fetch_all(&self.pool).await?.into_iter().filter_map(|row| {
            let letter = open(row.id, &row.sealed)
                .inspect_err(|error| tracing::error!(letter = %row.id, %error, "a mail does not open"));
            letter.ok().map(|letter| Taken { id: row.id, letter, tries: row.tries })
        });
        Ok(opened.collect())
    }

    /// A mail could not be sent, and is tried again after so long.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn put_off_letter(&self, taken: &Taken, wait: Duration) -> Result<(), LedgerError> {
        sqlx::query!(
            "UPDATE deletion_letter SET try_at = ledger_now() + $3 WHERE id = $1 AND tries = $2",
            taken.id,
            taken.tries,
            interval(wait),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets a mail that was handed on.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn sent_letter(&self, id: Uuid) -> Result<(), LedgerError> {
        sqlx::query!("DELETE FROM deletion_letter WHERE id = $1", id).execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets links that nobody followed and mails that nobody took; returns how many mails that were.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn forget_letters(&self) -> Result<u64, LedgerError> {
        let gone = sqlx::query!(
            r#"WITH asks AS (DELETE FROM deletion_ask WHERE expires_at <= ledger_now())
               DELETE FROM deletion_letter
               -- a link that is not good any more would only confuse
               WHERE created_at < ledger_now() - CASE kind WHEN 'confirm' THEN $2::interval ELSE $1::interval END"#,
            interval(LETTER_LIFE),
            interval(LINK_LIFE),
        );
        Ok(gone.execute(&self.pool).await?.rows_affected())
    }
}

/// Something sealed beside the tokens.
struct Kept {
    table: &'static str,
    id: String,
    row: String,
    sealed: Vec<u8>,
}

impl Ledger {
    /// Seals what requests for deletion keep under the first key of the ring, and tells how much that was. There is little of
    /// it: all at once.
    ///
    /// # Errors
    /// The ledger is away, or something does not open.
    pub async fn reseal_deletions(&self, ring: &KeyRing) -> Result<u64, LedgerError> {
        let mut resealed = 0;
        for kept in self.kept_by_deletions().await? {
            let opened = ring.open(&kept.sealed, &kept.row).map_err(|error| {
                LedgerError::Unreadable(format!(
                    "a row of {} that stays sealed as it was: {error}",
                    kept.table
                ))
            })?;
            resealed += self.reseal_one(&kept, ring.seal(&opened, &kept.row)).await?;
        }
        Ok(resealed)
    }

    async fn kept_by_deletions(&self) -> Result<Vec<Kept>, LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT 'recipient' AS "what!", id::text AS "id!", recipient AS "sealed!" FROM deletion_request
               WHERE recipient IS NOT NULL
               UNION ALL SELECT 'ask', encode(digest, 'hex'), recipient FROM deletion_ask
               UNION ALL SELECT 'letter', id::text, sealed FROM deletion_letter
               UNION ALL SELECT 'seed', id, sealed FROM vault.receipt_seed"#
        );
        let rows = rows.fetch_all(&self.pool).await?.into_iter().map(|row| {
            let (table, name) = match row.what.as_str() {
                "recipient" => ("deletion_request", format!("deletion_request|{}|recipient", row.id)),
                "ask" => ("deletion_ask", format!("deletion_ask|{}", row.id)),
                "letter" => ("deletion_letter", format!("deletion_letter|{}", row.id)),
                _ => ("vault.receipt_seed", super::receipts::seed_row(&row.id)),
            };
            Kept { table, id: row.id, row: name, sealed: row.sealed }
        });
        Ok(rows.collect())
    }

    /// Where it is still what was read.
    async fn reseal_one(&self, kept: &Kept, sealed: Vec<u8>) -> Result<u64, LedgerError> {
        let done = sqlx::query!(
            r#"WITH request AS (
                   -- what is kept of it outside is sealed as it was
                   UPDATE deletion_request SET recipient = $3, stone_at = NULL
                   WHERE $1 = 'deletion_request' AND id::text = $2 AND recipient = $4 RETURNING 1),
               ask AS (
                   UPDATE deletion_ask SET recipient = $3
                   WHERE $1 = 'deletion_ask' AND encode(digest, 'hex') = $2 AND recipient = $4 RETURNING 1),
               letter AS (
                   UPDATE deletion_letter SET sealed = $3
                   WHERE $1 = 'deletion_letter' AND id::text = $2 AND sealed = $4 RETURNING 1),
               seed AS (
                   UPDATE vault.receipt_seed SET sealed = $3
                   WHERE $1 = 'vault.receipt_seed' AND id = $2 AND sealed = $4 RETURNING 1)
               SELECT (SELECT count(*) FROM request) + (SELECT count(*) FROM ask) + (SELECT count(*) FROM letter)
                      + (SELECT count(*) FROM seed) AS "resealed!""#,
            kept.table,
            kept.id,
            sealed,
            kept.sealed,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(done.resealed.unsigned_abs())
    }
}

impl ClaimedForgetting<'_> {
    /// Writes the mail that says that all is deleted, where it is known whom to.
    pub(super) async fn write_letter(&self, request: Uuid) -> Result<(), JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        let row = sqlx::query!(
            r#"SELECT recipient, language FROM deletion_request WHERE id = $1 AND stage = 'telling'"#,
            request,
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::from)?
        .ok_or(JobError::Fenced)?;
        let Some(sealed) = row.recipient else { return Ok(()) };
        let opened = self.ring.open(&sealed, &recipient_row(request));
        let to = match opened {
            Ok(opened) => String::from_utf8_lossy(&opened).into_owned(),
            // nobody can be told at an address that nobody can read; all else goes on
            Err(error) => {
                tracing::error!(%request, %error, "whom to tell of a deletion does not open");
                return Ok(());
            }
        };
        tell(&mut tx, self.ring, About::Done, Some(request), &done(to, &row.language, request)).await?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(())
    }
}

fn done(to: String, language: &str, request: Uuid) -> Letter {
    let (subject, text) = match language {
        "he" => (
            "הנתונים שלך נמחקו",
            format!(
                "כל מה שהבקשה שלך כללה נמחק כאן, והמפתחות שלנו לחשבונות שלך הושמדו; הקבלה מפרטת מה ענתה כל רשת.\nמספר הבקשה: {request}.\nכתובת זו נמחקת יחד עם הודעה זו."
            ),
        ),
        _ => (
            "Your data is deleted",
            format!(
                "What your request covered is deleted here, and our keys to your accounts are destroyed; the receipt says what each network answered.\nThe request's number is {request}.\nThis address is forgotten with this mail."
            ),
        ),
    };
    Letter { to, subject: subject.to_owned(), text }
}
