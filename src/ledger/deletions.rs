//! Requests that all that is known of a person be deleted: how they are accepted, and what is shown of them.
//!
//! Accepting freezes: in one transaction the request is written, its connections are frozen and what was to go out on them is
//! given up. Arming locks the same rows and refuses what is frozen, so nothing is armed once this has committed. What the
//! request goes on with is `forgetting`'s business.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    HOUSE,
    contract::Job,
    deletion::DeletionJob,
    erasure::{ALL_WITHIN, Stage, TOKENS_WITHIN},
    hint::Hint,
};
use serde_json::json;
use sqlx::{PgTransaction, postgres::types::PgInterval};
use uuid::Uuid;

use super::{
    KeyRing, Ledger, LedgerError,
    audit::{self, Action, Entry},
    claims::interval,
    freeze,
};

/// The platforms of Meta, whose person has one grant for all of them.
pub(super) const META: [&str; 3] = ["facebook_page", "instagram_business", jobs::metrics::ads::PLATFORM];

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Meta's callback.
    Meta,
    /// The public page, confirmed by a mailed link.
    Page,
    /// A mail that somebody on the staff has read.
    Mail,
    /// Somebody on the staff.
    Staff,
    /// The removal of single accounts.
    Account,
}

impl Origin {
    const ALL: &'static [Self] = &[Self::Meta, Self::Page, Self::Mail, Self::Staff, Self::Account];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Page => "page",
            Self::Mail => "mail",
            Self::Staff => "staff",
            Self::Account => "account",
        }
    }

    /// Whether somebody on the staff made it, and not the person or their network.
    const fn is_of_staff(self) -> bool {
        matches!(self, Self::Mail | Self::Staff | Self::Account)
    }

    /// The origin of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|origin| origin.word() == word)
    }
}

/// Whom a request is about. What is given is added up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// Meta's app-scoped id of a person.
    pub meta_user_id: Option<&'a str>,
    /// An address: of who connected an account, or of somebody on the staff.
    pub email: Option<&'a str>,
    /// Accounts by our ids.
    pub accounts: &'a [Uuid],
    /// Only what is of this workspace.
    pub workspace_id: Option<Uuid>,
}

/// A request as it comes.
#[derive(Debug, Clone)]
pub struct Asking<'a> {
    /// How it came.
    pub origin: Origin,
    /// Whom it is about.
    pub subject: Subject<'a>,
    /// Of the code that its state is looked up by.
    pub code_digest: [u8; 32],
    /// Of what came, keyed: the same again is the same request.
    pub asked_digest: Option<[u8; 32]>,
    /// From when it is and until when it was meant to be good, as it says.
    pub signed: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    /// `en` or `he`.
    pub language: &'a str,
    /// Why, in the words of the staff.
    pub reason: Option<&'a str>,
    /// Who asked for somebody else.
    pub asked_by: Option<Uuid>,
}

/// A request that is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The request.
    pub id: Uuid,
    /// It was there before, and nothing was done now.
    pub again: bool,
    /// How many connections it covers.
    pub accounts: usize,
}

/// What is shown of a request. It names nobody.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The request.
    pub id: Uuid,
    /// How it came.
    pub origin: Origin,
    /// Where it stands.
    pub stage: Stage,
    /// When it came, and all was frozen.
    pub received_at: DateTime<Utc>,
    /// From when its clocks run: from then on, or from a restore that brought it back.
    pub counted_from: DateTime<Utc>,
    /// When it last went on.
    pub moved_at: DateTime<Utc>,
    /// When the tokens were destroyed.
    pub shredded_at: Option<DateTime<Utc>>,
    /// When it was verified that nothing was left.
    pub verified_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub done_at: Option<DateTime<Utc>>,
    /// How many connections it covers.
    pub accounts: i64,
    /// There was an address to tell.
    pub told: bool,
    /// The receipt: what is signed, the signature, the key's id and what verifies it.
    pub receipt: Option<Signed>,
}

/// How far the stores and the networks are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What the networks have answered, and how often each.
    pub answers: Vec<(String, i64)>,
    /// Each store that was begun, how much of it has gone, and when that was done.
    pub stores: Vec<(String, i64, Option<DateTime<Utc>>)>,
}

/// A signed receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What is signed, byte for byte.
    pub text: String,
    /// Ed25519.
    pub signature: Vec<u8>,
    /// Which key.
    pub key_id: String,
    /// What verifies it.
    pub public: Vec<u8>,
}

/// A request that does not go on as promised.
#[derive(Debug, Clone, PartialEq)]
pub struct Late {
    /// The request.
    pub id: Uuid,
    /// Where it stands.
    pub stage: String,
    /// For how long it has not gone on.
    pub still_seconds: f64,
}

/// Half of a promised time.
fn half(promised: TimeDelta) -> PgInterval {
    interval((promised / 2).to_std().unwrap_or_default())
}

/// Names the row that an address is sealed for.
pub(super) fn recipient_row(request: Uuid) -> String {
    format!("deletion_request|{request}|recipient")
}

impl Ledger {
    /// Accepts a request: freezes all that it covers and gives it its job, in one transaction. What came before is accepted
    /// already; somebody unknown gets a request like everybody, which covers nothing.
    ///
    /// # Errors
    /// The ledger is away: nothing is known to have happened, and asking again is safe.
    pub async fn accept_deletion(
        &self,
        ring: &KeyRing,
        asking: &Asking<'_>,
    ) -> Result<(Accepted, Option<Hint>), LedgerError> {
        self.patiently(|| self.accept_deletion_once(ring, asking)).await
    }

    async fn accept_deletion_once(
        &self,
        ring: &KeyRing,
        asking: &Asking<'_>,
    ) -> Result<(Accepted, Option<Hint>), LedgerError> {
        let mut tx = self.pool.begin().await?;
        let id = Uuid::now_v7();
        if !insert(&mut tx, id, asking).await? {
            let id = before(&mut tx, asking).await?;
            return Ok((Accepted { id, again: true, accounts: 0 }, None));
        }
        let covered = freeze::freeze(&mut tx, id, &asking.subject).await?;
        freeze::mark_person(&mut tx, id, &asking.subject).await?;
        freeze::mark_invited(&mut tx, id, &asking.subject).await?;
        freeze::give_up(&mut tx, id, &covered).await?;
        if let Some(to) = address(&mut tx, id, &asking.subject).await? {
            let sealed = ring.seal(to.as_bytes(), &recipient_row(id));
            sqlx::query!(
                "UPDATE deletion_request SET recipient = $2, addressed = true WHERE id = $1",
                id,
                sealed
            )
            .execute(&mut *tx)
            .await?;
        }
        let hint = insert_job(&mut tx, id).await?;
        if asking.origin.is_of_staff() {
            audit::record(&mut tx, &self.about_deletion(id, asking, covered.len())).await?;
        }
        tx.commit().await?;
        tracing::info!(request = %id, origin = asking.origin.word(), accounts = covered.len(), "a deletion was asked for");
        metrics::counter!("postroom_deletions_asked_total", "origin" => asking.origin.word()).increment(1);
        Ok((Accepted { id, again: false, accounts: covered.len() }, Some(hint)))
    }

    /// What is written down of a request that the staff makes: whom it is about stands in the request, as long as it is
    /// needed there.
    fn about_deletion(&self, id: Uuid, asking: &Asking<'_>, accounts: usize) -> Entry<'static> {
        Entry {
            who: self.who(),
            action: Action::DeletionAsked,
            object: "deletion_request",
            object_id: id.to_string(),
            workspace_id: asking.subject.workspace_id,
            detail: json!({ "origin": asking.origin.word(), "accounts": accounts }),
        }
    }

    /// What is shown of the request of this code.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn deletion_by_code(&self, code_digest: &[u8; 32]) -> Result<Option<Shown>, LedgerError> {
        let id = sqlx::query_scalar!("SELECT id FROM deletion_request WHERE code_digest = $1", code_digest);
        match id.fetch_optional(&self.pool).await? {
            Some(id) => self.deletion(id).await,
            None => Ok(None),
        }
    }

    /// What is shown of a request.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn deletion(&self, id: Uuid) -> Result<Option<Shown>, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT r.id, r.origin::text AS "origin!", r.stage::text AS "stage!", r.received_at,
                      coalesce(r.restored_at, r.received_at) AS "counted_from!", r.moved_at, r.shredded_at, r.verified_at,
                      r.done_at, r.receipt, r.signature, r.key_id, k.public AS "public?", r.addressed AS told,
                      (SELECT count(*) FROM deletion_account d WHERE d.request_id = r.id) AS "accounts!"
               FROM deletion_request r LEFT JOIN receipt_key k ON k.id = r.key_id WHERE r.id = $1"#,
            id,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let unreadable = |what: &str| LedgerError::Unreadable(format!("the deletion's {what}"));
        let receipt = match (row.receipt, row.signature, row.key_id, row.public) {
            (Some(text), Some(signature), Some(key_id), Some(public)) => {
                Some(Signed { text, signature, key_id, public })
            }
            (_, _, _, _) => None,
        };
        Ok(Some(Shown {
            id: row.id,
            origin: Origin::parse(&row.origin).ok_or_else(|| unreadable(&row.origin))?,
            stage: Stage::parse(&row.stage).ok_or_else(|| unreadable(&row.stage))?,
            received_at: row.received_at,
            counted_from: row.counted_from,
            moved_at: row.moved_at,
            shredded_at: row.shredded_at,
            verified_at: row.verified_at,
            done_at: row.done_at,
            accounts: row.accounts,
            told: row.told,
            receipt,
        }))
    }

    /// How far the stores and the networks of a request are.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn deletion_progress(&self, id: Uuid) -> Result<Progress, LedgerError> {
        let answers = sqlx::query!(
            r#"SELECT revocation::text AS "answer!", count(*) AS "many!" FROM deletion_account
               WHERE request_id = $1 GROUP BY revocation ORDER BY revocation"#,
            id,
        );
        let answers = answers.fetch_all(&self.pool).await?;
        let stores = sqlx::query!(
            r#"SELECT store, sum(erased)::bigint AS "erased!",
                      -- one that is gone through once more is not done yet
                      CASE WHEN bool_and(done_at IS NOT NULL) THEN max(done_at) END AS at
               FROM deletion_step WHERE request_id = $1 GROUP BY store ORDER BY min(began_at), store"#,
            id,
        );
        let stores = stores.fetch_all(&self.pool).await?;
        Ok(Progress {
            answers: answers.into_iter().map(|row| (row.answer, row.many)).collect(),
            stores: stores.into_iter().map(|row| (row.store, row.erased, row.at)).collect(),
        })
    }

    /// Whether a request was asked for in this workspace.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn is_deletion_of(&self, workspace_id: Uuid, id: Uuid) -> Result<bool, LedgerError> {
        let found = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM deletion_request WHERE id = $1 AND workspace_id = $2) AS "found!""#,
            id,
            workspace_id,
        );
        Ok(found.fetch_one(&self.pool).await?)
    }

    /// The last requests, newest first.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn deletions(&self, most: i64) -> Result<Vec<Shown>, LedgerError> {
        let ids =
            sqlx::query_scalar!("SELECT id FROM deletion_request ORDER BY received_at DESC LIMIT $1", most);
        let mut all = Vec::new();
        for id in ids.fetch_all(&self.pool).await? {
            all.extend(self.deletion(id).await?);
        }
        Ok(all)
    }

    /// The last requests that were asked for in this workspace or cover something there, newest first; of connections those
    /// that are there are counted.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn deletions_of(&self, workspace_id: Uuid, most: i64) -> Result<Vec<Shown>, LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT r.id, (SELECT count(*) FROM deletion_account d
                             WHERE d.request_id = r.id AND d.workspace_id = $1) AS "accounts!"
               FROM deletion_request r
               WHERE r.workspace_id = $1
                  OR EXISTS (SELECT FROM deletion_account d WHERE d.request_id = r.id AND d.workspace_id = $1)
               ORDER BY r.received_at DESC LIMIT $2"#,
            workspace_id,
            most,
        );
        let mut all = Vec::new();
        for row in rows.fetch_all(&self.pool).await? {
            let shown = self.deletion(row.id).await?;
            all.extend(shown.map(|it| Shown { accounts: row.accounts, ..it }));
        }
        Ok(all)
    }

    /// Whether there is such an account in the workspace that is not being deleted yet.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn is_deletable(&self, workspace_id: Uuid, account: Uuid) -> Result<bool, LedgerError> {
        let there = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM account WHERE id = $1 AND workspace_id = $2 AND deletion_id IS NULL) AS "there!""#,
            account,
            workspace_id,
        );
        Ok(there.fetch_one(&self.pool).await?)
    }

    /// How many requests are not over.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn open_deletions(&self) -> Result<f64, LedgerError> {
        let open = sqlx::query_scalar!(
            r#"SELECT count(*)::float8 AS "open!" FROM deletion_request WHERE stage <> 'done'"#
        );
        Ok(open.fetch_one(&self.pool).await?)
    }

    /// Requests that have not gone on for an hour, or are past half of what is promised of them: all, or those that were asked
    /// for in one workspace or cover something there.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn late_deletions(&self, of: Option<Uuid>) -> Result<Vec<Late>, LedgerError> {
        let rows = sqlx::query_as!(
            Late,
            r#"SELECT r.id, r.stage::text AS "stage!", extract(epoch FROM ledger_now() - r.moved_at)::float8 AS "still_seconds!"
               FROM deletion_request r
               WHERE r.stage <> 'done'
                 AND (r.moved_at < ledger_now() - interval '1 hour'
                      OR r.shredded_at IS NULL AND coalesce(r.restored_at, r.received_at) < ledger_now() - $1::interval
                      OR coalesce(r.restored_at, r.received_at) < ledger_now() - $2::interval)
                 AND ($3::uuid IS NULL OR r.workspace_id = $3
                      OR EXISTS (SELECT FROM deletion_account d WHERE d.request_id = r.id AND d.workspace_id = $3))
               ORDER BY r.moved_at LIMIT 100"#,
            half(TOKENS_WITHIN),
            half(ALL_WITHIN),
            of,
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Gives its job back to each request that is not over and has none; returns how many there were.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn mend_deletions(&self) -> Result<u64, LedgerError> {
        let made = sqlx::query!(
            r#"INSERT INTO job (id, kind, workspace_id, run_at, payload)
               SELECT gen_random_uuid(), 'deletion', $1, ledger_now(), jsonb_build_object('request_id', r.id)
               FROM deletion_request r
               WHERE r.stage <> 'done'
                 AND NOT EXISTS (SELECT FROM job j WHERE j.kind = 'deletion' AND j.payload ->> 'request_id' = r.id::text)
               ON CONFLICT DO NOTHING"#,
            HOUSE,
        )
        .execute(&self.pool)
        .await?;
        Ok(made.rows_affected())
    }
}

async fn insert(tx: &mut PgTransaction<'_>, id: Uuid, asking: &Asking<'_>) -> Result<bool, LedgerError> {
    let done = sqlx::query!(
        r#"INSERT INTO deletion_request (id, origin, code_digest, asked_digest, signed_at, signed_until, language, reason, asked_by,
                                         workspace_id)
           VALUES ($1, $2::text::deletion_origin, $3, $4, $5, $6, $7, $8, $9, $10)
           ON CONFLICT DO NOTHING"#,
        id,
        asking.origin.word(),
        &asking.code_digest,
        asking.asked_digest.as_ref().map(<[u8; 32]>::as_slice),
        asking.signed.0,
        asking.signed.1,
        asking.language,
        asking.reason,
        asking.asked_by,
        asking.subject.workspace_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn before(tx: &mut PgTransaction<'_>, asking: &Asking<'_>) -> Result<Uuid, LedgerError> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM deletion_request WHERE asked_digest = $1 OR code_digest = $2",
        asking.asked_digest.as_ref().map(<[u8; 32]>::as_slice),
        &asking.code_digest,
    );
    Ok(id.fetch_one(&mut **tx).await?)
}

/// Where the person is told: the address that was given, else the one that the connections know.
async fn address(
    tx: &mut PgTransaction<'_>,
    id: Uuid,
    of: &Subject<'_>,
) -> Result<Option<String>, LedgerError> {
    if let Some(email) = of.email {
        return Ok(Some(email.to_owned()));
    }
    let known = sqlx::query_scalar!(
        r#"SELECT a.subject_email AS "email!" FROM deletion_account d JOIN account a ON a.id = d.account_id
           WHERE d.request_id = $1 AND a.subject_email IS NOT NULL ORDER BY a.connected_at DESC LIMIT 1"#,
        id,
    );
    Ok(known.fetch_optional(&mut **tx).await?)
}

async fn insert_job(tx: &mut PgTransaction<'_>, id: Uuid) -> Result<Hint, LedgerError> {
    let row = sqlx::query!(
        r#"INSERT INTO job (id, kind, workspace_id, run_at, payload) VALUES ($1, $2, $3, ledger_now(), $4)
           RETURNING id, run_at"#,
        Uuid::now_v7(),
        DeletionJob::KIND,
        HOUSE,
        json!({ "request_id": id }),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(Hint { kind: DeletionJob::KIND.to_owned(), workspace_id: HOUSE, job_id: row.id, run_at: row.run_at })
}
