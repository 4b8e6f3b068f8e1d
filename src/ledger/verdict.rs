//! T18: what people decide about publications that are held because nobody could prove whether they are public.
//!
//! A word is kept with who said it, when and why. Evidence of the network's outweighs it, whenever it comes.

use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure},
    control::{self as wishes, Decide},
    machine::{HandleState, Move},
};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry},
    control,
    idempotency::{Keyed, Once},
    origin::PULL,
    posts::{self, Publication},
    settle::{kept, words},
};

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Somebody at the console.
    Person(Uuid),
    /// An API key.
    Key(Uuid),
    /// Whoever has the operator's shell.
    Operator,
}

/// A publication that somebody decides about, as far as that never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its workspace.
    pub workspace_id: Uuid,
    /// Its post.
    pub post_id: Uuid,
    /// Its account's network.
    pub platform: String,
    /// `text`, `story` and the like.
    pub surface: String,
}

/// What somebody says of a publication.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// Which one.
    pub publication_id: Uuid,
    /// It is public.
    pub published: bool,
    /// Where it is to be seen.
    pub permalink: Option<&'a str>,
    /// Why.
    pub reason: Option<&'a str>,
    /// Whose word it is.
    pub by: By,
    /// The network gives no read that would prove it absent: for that a person's word stands, and the handle is dead.
    pub one_shot: bool,
    /// The key it came with, and how the publication is answered.
    pub keyed: Option<Keyed<'a, Publication>>,
}

/// Why a word changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// There is nothing of that id any more.
    #[error("there is no such publication")]
    Missing,
    /// It is not held.
    #[error("it is {0}, and only what is held is decided by people")]
    NotHeld(&'static str),
    /// Somebody was faster.
    #[error("it is decided already: since {} it counts as {}{}", .at.to_rfc3339(),
            if *.published { "published" } else { "not published" },
            .reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default())]
    Decided {
        /// What they said.
        published: bool,
        /// When.
        at: DateTime<Utc>,
        /// Why.
        reason: Option<String>,
    },
    /// It is held as too late.
    #[error(
        "it is held because it came too late, and it was never sent: there is nothing to decide. Try it again, or cancel it"
    )]
    NeverSent,
    /// What was sent may still be on its way.
    #[error("what was sent may still be on its way until {}; look again after that, and decide then", .0.to_rfc3339())]
    Later(DateTime<Utc>),
    /// The network has said the contrary.
    #[error(
        "the network itself has said meanwhile that it took what was sent; it can only be called published"
    )]
    Heard,
}

/// What a decision about a held publication rests on.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Which.
    pub publication_id: Uuid,
    /// The account's id at its network.
    pub external_id: String,
    /// The network's name for what was sent.
    pub handle: Option<String>,
    /// When the call was made that nobody can vouch for.
    pub sent_at: Option<DateTime<Utc>>,
    /// When its answer came, or when it was given up.
    pub answered_at: Option<DateTime<Utc>>,
    /// What the network answered.
    pub http_status: Option<i16>,
    /// Its code, or ours.
    pub code: Option<String>,
    /// Its words, or ours.
    pub message: Option<String>,
    /// No earlier than this it can be decided.
    pub quarantine_until: Option<DateTime<Utc>>,
    /// When it was held.
    pub held_at: DateTime<Utc>,
}

impl Ledger {
    /// The publication of that id; of another workspace there is none.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn place(&self, workspace_id: Option<Uuid>, id: Uuid) -> Result<Option<Place>, LedgerError> {
        let place = sqlx::query_as!(
            Place,
            "SELECT p.workspace_id, p.post_id, a.platform, p.surface
             FROM publication p JOIN account a ON a.id = p.account_id
             WHERE p.id = $1 AND ($2::uuid IS NULL OR p.workspace_id = $2)",
            id,
            workspace_id,
        );
        Ok(place.fetch_optional(&self.pool).await?)
    }

    /// Decides a held publication (T18), once: whoever comes later is told what was decided.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn decide_held(
        &self,
        place: &Place,
        word: &Word<'_>,
    ) -> Result<Once<Result<Publication, Undecided>>, LedgerError> {
        self.patiently(|| self.decide_held_once(place, word)).await
    }

    async fn decide_held_once(
        &self,
        place: &Place,
        word: &Word<'_>,
    ) -> Result<Once<Result<Publication, Undecided>>, LedgerError> {
        let asked = word.keyed.map(|(asked, _)| asked);
        let mut tx = match self.begin_once(asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        if let Err(why) = carry_out(&mut tx, word).await? {
            return Ok(Once::Done(Err(why)));
        }
        let entry = Entry {
            who: self.who(),
            action: Action::Decided,
            object: "publication",
            object_id: word.publication_id.to_string(),
            workspace_id: Some(place.workspace_id),
            detail: json!({ "published": word.published }),
        };
        audit::record(&mut tx, &entry).await?;
        let post = posts::select(&mut tx, place.workspace_id, place.post_id).await?;
        let decided =
            post.and_then(|post| post.publications.into_iter().find(|it| it.id == word.publication_id));
        let Some(decided) = decided else { return Ok(Once::Done(Err(Undecided::Missing))) };
        self.commit_once(tx, asked, word.keyed.map(|(_, answer)| answer(&decided)).as_ref()).await?;
        tracing::info!(publication = %decided.id, published = word.published, by = ?word.by, "a person has decided");
        Ok(Once::Done(Ok(decided)))
    }

    /// What decisions about the held publications of a post rest on. One that was never sent is not among them.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn evidence(&self, post_id: Uuid) -> Result<Vec<Evidence>, LedgerError> {
        let rows = sqlx::query_as!(
            Evidence,
            r#"SELECT p.id AS publication_id, a.external_id, p.handle_kind || ' ' || p.handle_id AS handle,
                      c.started_at AS "sent_at?", c.finished_at AS answered_at, c.http_status, c.remote_code AS code,
                      c.remote_message AS message, p.quarantine_until, p.updated_at AS held_at
               FROM publication p JOIN account a ON a.id = p.account_id
               -- what is in doubt, or what was sent last for a handle that may still become public
               JOIN LATERAL (
                   SELECT started_at, finished_at, http_status, remote_code, remote_message FROM remote_call c
                   WHERE c.publication_id = p.id AND c.kind = 'commit'
                     AND (c.verdict IS NULL OR c.verdict IN ('ok', 'ambiguous', 'resolved_yes')
                          OR p.handle_state <> 'dead' AND c.handle_id = p.handle_id AND c.verdict <> 'definite_no')
                   ORDER BY c.seq DESC LIMIT 1) c ON true
               WHERE p.post_id = $1 AND p.state = 'held' ORDER BY p.id"#,
            post_id,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}

/// Carries a word out, or says why not.
async fn carry_out(tx: &mut PgConnection, word: &Word<'_>) -> Result<Result<(), Undecided>, LedgerError> {
    let id = word.publication_id;
    let Some(_) = control::lock(tx, id).await? else { return Ok(Err(Undecided::Missing)) };
    let it = control::stand(tx, id).await?;
    let seen = sqlx::query!(
        r#"SELECT CASE WHEN quarantine_until > ledger_now() THEN quarantine_until END AS quarantined_until,
                  EXISTS (SELECT FROM remote_call c WHERE c.publication_id = p.id AND c.kind = 'commit'
                            AND c.verdict IN ('ok', 'resolved_yes') AND c.remote_ids IS NOT NULL) AS "heard!"
           FROM publication p WHERE id = $1"#,
        id,
    )
    .fetch_one(&mut *tx)
    .await?;
    let measured = wishes::Word {
        published: word.published,
        quarantined: seen.quarantined_until.is_some(),
        heard: seen.heard,
    };
    match (wishes::decide(&it, measured), seen.quarantined_until) {
        (Decide::Now(step), _) => {
            keep(tx, word).await?;
            if word.published {
                attest(tx, word, step).await?;
            } else {
                deny(tx, word, step).await?;
            }
            Ok(Ok(()))
        }
        (Decide::Later, Some(until)) => Ok(Err(Undecided::Later(until))),
        (Decide::NeverSent, _) => Ok(Err(Undecided::NeverSent)),
        (Decide::Heard, _) => Ok(Err(Undecided::Heard)),
        (Decide::NotHeld | Decide::Later, _) => {
            let before = decided(tx, id).await?.filter(|(step, _)| step.to() == it.state);
            Ok(Err(before.map_or(Undecided::NotHeld(it.state.shown()), |(_, before)| before)))
        }
    }
}

/// What was said last of a publication, and the move that was.
async fn decided(tx: &mut PgConnection, id: Uuid) -> Result<Option<(Move, Undecided)>, LedgerError> {
    let last = sqlx::query!(
        "SELECT published, reason, decided_at FROM verdict WHERE publication_id = $1
         ORDER BY decided_at DESC, id DESC LIMIT 1",
        id,
    );
    let decided = last.fetch_optional(tx).await?.map(|row| {
        let step = if row.published { Move::Attest } else { Move::Deny };
        (step, Undecided::Decided { published: row.published, at: row.decided_at, reason: row.reason })
    });
    Ok(decided)
}

async fn keep(tx: &mut PgConnection, word: &Word<'_>) -> Result<(), LedgerError> {
    let (said_by, person, key) = match word.by {
        By::Person(id) => ("person", Some(id), None),
        By::Key(id) => ("key", None, Some(id)),
        By::Operator => ("operator", None, None),
    };
    sqlx::query!(
        "INSERT INTO verdict (id, publication_id, published, reason, permalink, said_by, person_id, api_key_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        Uuid::now_v7(),
        word.publication_id,
        word.published,
        word.reason,
        word.permalink,
        said_by,
        person,
        key,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// It is public, as of when it was sent. What the network calls it, and where it is to be seen, is asked for as far as it
/// was not said.
async fn attest(tx: &mut PgConnection, word: &Word<'_>, step: Move) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE publication
           SET state = $3::text::publication_state, public_url = coalesce($4, public_url),
               published_at = coalesce(published_at, armed_at, ledger_now()),
               handle_state = CASE WHEN handle_id IS NULL THEN 'none' ELSE 'spent' END::handle_state,
               error = NULL, hold_reason = NULL, given_up = NULL,
               next_check_at = CASE WHEN public_id IS NULL OR coalesce($4, public_url) IS NULL THEN ledger_now() END,
               updated_at = ledger_now()
           WHERE id = $1 AND state = ANY($2::text[]::publication_state[])"#,
        word.publication_id,
        &words(step.from()),
        step.to().word(),
        word.permalink,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        r#"UPDATE remote_call SET verdict = 'resolved_yes', finished_at = coalesce(finished_at, ledger_now())
           WHERE publication_id = $1 AND kind = 'commit' AND (verdict IS NULL OR verdict = 'ambiguous')"#,
        word.publication_id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// It is not public: the call that nobody could vouch for is judged, and who tries again sends anew. Where no read of
/// the network's would show what becomes of the handle, the word stands for that, too (R1): the handle is dead, and
/// what a network might still pull for it is pulled no more.
async fn deny(tx: &mut PgConnection, word: &Word<'_>, step: Move) -> Result<(), LedgerError> {
    let why = format!("somebody looked, and it is not public: {}", word.reason.unwrap_or_default());
    let failure = Failure::new(Class::Unknown, "not_published", why);
    let row = sqlx::query!(
        r#"UPDATE publication
           SET state = $3::text::publication_state, error = $4, hold_reason = NULL, next_check_at = NULL,
               absent_since = NULL, updated_at = ledger_now(),
               handle_state = CASE
                   WHEN handle_id IS NOT NULL
                        AND ($5 OR (handle_kind = $6 AND NOT handle_detail ? 'publish_id')) THEN $7::text::handle_state
                   ELSE handle_state END
           WHERE id = $1 AND state = ANY($2::text[]::publication_state[])
           RETURNING handle_state = $7::text::handle_state AS "dead!""#,
        word.publication_id,
        &words(step.from()),
        step.to().word(),
        kept(&failure),
        word.one_shot,
        PULL,
        HandleState::Dead.word(),
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!(
        r#"UPDATE remote_call
           SET verdict = CASE WHEN verdict IS NULL OR verdict IN ('ok', 'ambiguous', 'resolved_yes')
                              THEN 'resolved_no' ELSE verdict END::call_verdict,
               finished_at = coalesce(finished_at, ledger_now()), revoked = revoked OR $2
           WHERE publication_id = $1 AND kind = 'commit'"#,
        word.publication_id,
        row.dead,
    )
    .execute(tx)
    .await?;
    Ok(())
}
