//! What networks keep unseen of somebody who is being deleted, as the holder of the request's claim takes it back.

use std::time::Duration;

use chrono::TimeDelta;
use jobs::{
    contract::{Class, Failure, JobError},
    desk::{Account, Handle},
    unseen::{Draft, Fate},
};
use serde_json::{Value, json};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{
    LedgerError,
    claims::interval,
    forgetting::{ClaimedForgetting, ask_again},
};

/// Those that are looked at in one round.
const MOST: i64 = 16;

/// Writes down what there may be, once nothing more is made: what was never committed, or nobody knows of.
pub(super) async fn find(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"INSERT INTO deletion_draft (request_id, account_id, handle_kind, handle_id, handle_detail)
           SELECT $1::uuid, p.account_id, p.handle_kind, p.handle_id, p.handle_detail
           FROM publication p JOIN deletion_account d ON d.account_id = p.account_id
           WHERE d.request_id = $1 AND p.handle_kind IS NOT NULL AND p.handle_id IS NOT NULL
             AND p.handle_state <> 'dead' AND p.state <> 'published'
           UNION ALL
           SELECT $1::uuid, o.account_id, o.handle_kind, o.handle_id, o.handle_detail
           FROM orphan_handle o JOIN deletion_account d ON d.account_id = o.account_id WHERE d.request_id = $1
           ON CONFLICT DO NOTHING"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes down what may be there under a name that was lost: one for each account, with the calls that nobody heard the
/// answer of. Those that were searched for already are over.
pub(super) async fn find_lost(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"INSERT INTO deletion_draft (request_id, account_id, handle_kind, handle_id, handle_detail)
           SELECT $1::uuid, c.account_id, $2::text, c.account_id::text,
                  jsonb_agg(jsonb_build_object('words', coalesce(p.caption, post.caption),
                                               'from', c.started_at, 'to', c.deadline_at))
           FROM deletion_account d JOIN remote_call c ON c.account_id = d.account_id
           JOIN publication p ON p.id = c.publication_id JOIN post ON post.id = p.post_id
           LEFT JOIN draft_search s ON s.account_id = c.account_id
           WHERE d.request_id = $1 AND c.kind = 'prepare' AND c.handle_id IS NULL
             AND (c.verdict IS NULL OR c.verdict = 'ambiguous' AND c.started_at >= s.since)
           GROUP BY c.account_id
           ON CONFLICT DO NOTHING"#,
        request,
        Draft::LOST,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What is of an account that another request has deleted meanwhile is out of reach.
async fn out_of_reach(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE deletion_draft f SET outcome = 'left', why = 'no_access'
           WHERE f.request_id = $1 AND f.outcome = 'open'
             AND NOT EXISTS (SELECT FROM account a WHERE a.id = f.account_id)"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The time for it is over.
pub(super) async fn give_up(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE deletion_draft SET outcome = 'left', why = coalesce(why, 'away') WHERE request_id = $1 AND outcome = 'open'",
        request,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Why one stays, in a word.
fn why(failure: &Failure) -> &'static str {
    match failure.class {
        Class::Auth => "no_access",
        Class::Permission | Class::Permanent => "refused",
        Class::Rate | Class::Transient | Class::Unknown => "away",
    }
}

/// The same for whoever reads the receipt.
fn in_words(why: &str) -> &'static str {
    match why {
        "no_access" => {
            "We had no access to the account any more. It was never public; whoever manages the account can remove it there."
        }
        "refused" => {
            "The network did not let us remove it. It was never public; whoever manages the account can remove it there."
        }
        _ => {
            "The network could not be asked before the access was given up. It was never public; whoever manages the \
             account can remove it there."
        }
    }
}

/// What a receipt says of it.
pub(super) async fn told(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<Vec<Value>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT d.platform,
                  CASE f.handle_kind WHEN $2 THEN 'a file of a draft' WHEN $3 THEN 'a draft that may be there'
                       ELSE 'a draft' END AS "what!",
                  f.outcome::text AS "outcome!", f.code, f.why, count(*) AS "many!"
           FROM deletion_draft f
           JOIN deletion_account d ON d.request_id = f.request_id AND d.account_id = f.account_id
           WHERE f.request_id = $1 AND f.outcome <> 'passing'
           GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"#,
        request,
        Draft::PART,
        Draft::LOST,
    )
    .fetch_all(&mut **tx)
    .await?;
    let told = rows.into_iter().map(|row| {
        let left = row.outcome == "left";
        let words = row.why.as_deref().filter(|_| left).map(in_words);
        json!({
            "platform": row.platform,
            "what": row.what,
            "many": row.many,
            "taken_back": !left,
            "code": row.code.filter(|_| left),
            "in_words": words,
        })
    });
    Ok(told.collect())
}

impl ClaimedForgetting<'_> {
    pub(super) async fn due_drafts(&self, request: Uuid) -> Result<Vec<Draft>, JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        find(&mut tx, request).await?;
        out_of_reach(&mut tx, request).await?;
        let rows = sqlx::query!(
            r#"SELECT f.account_id, a.platform, a.external_id, f.handle_kind, f.handle_id, f.handle_detail
               FROM deletion_draft f JOIN account a ON a.id = f.account_id
               WHERE f.request_id = $1 AND f.outcome = 'open' AND f.next_at <= ledger_now()
               ORDER BY f.next_at LIMIT $2"#,
            request,
            MOST,
        );
        let rows = rows.fetch_all(&mut *tx).await.map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        let drafts = rows.into_iter().map(|row| Draft {
            account: Account { id: row.account_id, platform: row.platform, external_id: row.external_id },
            handle: Handle { kind: row.handle_kind, id: row.handle_id, detail: row.handle_detail },
        });
        Ok(drafts.collect())
    }

    /// The write-ahead row of the call that takes one back.
    pub(super) async fn log_call_for(
        &self,
        request: Uuid,
        draft: &Draft,
        limit: Duration,
    ) -> Result<Uuid, JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        let call = sqlx::query_scalar!(
            r#"INSERT INTO remote_call (call_id, account_id, job_id, epoch, worker_inc, kind, handle_id, deadline_at)
               SELECT $4, f.account_id, $5, $6, $7, 'discard', f.handle_id, ledger_now() + $8
               FROM deletion_draft f JOIN deletion_request r ON r.id = f.request_id
               WHERE f.request_id = $1 AND f.handle_kind = $2 AND f.handle_id = $3 AND f.outcome = 'open'
                 AND r.stage = 'revoking'
               RETURNING call_id"#,
            request,
            draft.handle.kind,
            draft.handle.id,
            Uuid::now_v7(),
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            interval(limit),
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        call.ok_or(JobError::Fenced)
    }

    /// Keeps what became of one. What could not be done yet is left once what is open is waited for no longer: no access is
    /// kept for it.
    pub(super) async fn note_draft(
        &self,
        request: Uuid,
        draft: &Draft,
        call: Option<Uuid>,
        fate: &Fate,
    ) -> Result<(), JobError> {
        let none: &[String] = &[];
        let (outcome, failure, parts) = match fate {
            Fate::Passing | Fate::Found(_) => ("passing", None, none),
            Fate::Gone(parts) => ("gone", None, parts.as_slice()),
            Fate::Left(failure) => ("left", Some(failure), none),
            Fate::NotYet(failure) => ("open", Some(failure), none),
        };
        let mut tx = self.ledger.fenced(self.claim).await?;
        if let Some(call) = call {
            close_call(&mut tx, call, fate).await?;
        }
        let attempts = sqlx::query_scalar!(
            r#"UPDATE deletion_draft f
               SET outcome = CASE WHEN $4::text = 'open' AND coalesce(r.restored_at, r.received_at) + $7::interval <= ledger_now()
                             THEN 'left' ELSE $4::text END::draft_outcome,
                   attempts = f.attempts + 1, code = $5, why = $6
               FROM deletion_request r
               WHERE r.id = $1 AND f.request_id = $1 AND f.handle_kind = $2 AND f.handle_id = $3 AND f.outcome = 'open'
               RETURNING f.attempts"#,
            request,
            draft.handle.kind,
            draft.handle.id,
            outcome,
            failure.map(|failure| failure.code.as_str()),
            failure.map(why),
            interval(self.clocks.drain),
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        let Some(attempts) = attempts else { return Err(JobError::Fenced) };
        self.again_after(&mut tx, request, draft, attempts).await?;
        add_parts(&mut tx, request, draft, parts).await?;
        if let Fate::Found(found) = fate {
            add_found(&mut tx, request, draft, found).await?;
        }
        tx.commit().await.map_err(LedgerError::from)?;
        if let Some(failure) = failure {
            tracing::warn!(%request, account = %draft.account.id, %failure, "a draft at a network is not taken back");
        }
        Ok(())
    }

    async fn again_after(
        &self,
        tx: &mut PgTransaction<'_>,
        request: Uuid,
        draft: &Draft,
        attempts: i32,
    ) -> Result<(), LedgerError> {
        let wait: TimeDelta = ask_again(u32::try_from(attempts).unwrap_or_default());
        sqlx::query!(
            r#"WITH moved AS (UPDATE deletion_request SET moved_at = ledger_now() WHERE id = $1)
               UPDATE deletion_draft SET next_at = ledger_now() + $4
               WHERE request_id = $1 AND handle_kind = $2 AND handle_id = $3"#,
            request,
            draft.handle.kind,
            draft.handle.id,
            interval(wait.to_std().unwrap_or_default()),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

async fn close_call(tx: &mut PgTransaction<'_>, call: Uuid, fate: &Fate) -> Result<(), LedgerError> {
    let (verdict, failure) = match fate {
        Fate::Gone(_) | Fate::Found(_) => ("ok", None),
        Fate::Passing => ("definite_no", None),
        Fate::Left(failure) => ("definite_no", Some(failure)),
        Fate::NotYet(failure) => ("ambiguous", Some(failure)),
    };
    sqlx::query!(
        r#"UPDATE remote_call
           SET verdict = $2::text::call_verdict, finished_at = ledger_now(), remote_code = $3, remote_message = $4
           WHERE call_id = $1 AND kind = 'discard' AND verdict IS NULL"#,
        call,
        verdict,
        failure.map(|failure| failure.code.as_str()),
        failure.map(|failure| failure.message.as_str()),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a draft was made of is taken back after it.
async fn add_parts(
    tx: &mut PgTransaction<'_>,
    request: Uuid,
    draft: &Draft,
    parts: &[String],
) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"INSERT INTO deletion_draft (request_id, account_id, handle_kind, handle_id)
           SELECT $1::uuid, $2::uuid, $3::text, part FROM unnest($4::text[]) AS parts (part) ON CONFLICT DO NOTHING"#,
        request,
        draft.account.id,
        Draft::PART,
        parts,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What was found is taken back like what was known all along; but nothing that is somebody's, or that any call knows by its
/// name: that was not lost.
async fn add_found(
    tx: &mut PgTransaction<'_>,
    request: Uuid,
    draft: &Draft,
    found: &[Handle],
) -> Result<(), LedgerError> {
    let (kinds, ids): (Vec<String>, Vec<String>) =
        found.iter().map(|it| (it.kind.clone(), it.id.clone())).unzip();
    sqlx::query!(
        r#"INSERT INTO deletion_draft (request_id, account_id, handle_kind, handle_id)
           SELECT $1::uuid, $2::uuid, f.kind, f.id FROM unnest($3::text[], $4::text[]) AS f (kind, id)
           WHERE NOT is_somebodys($2, f.kind, f.id)
             AND NOT EXISTS (SELECT FROM remote_call c WHERE c.account_id = $2 AND c.handle_id = f.id)
           ON CONFLICT DO NOTHING"#,
        request,
        draft.account.id,
        &kinds,
        &ids,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_for_why_something_stays_has_words_of_its_own() {
        let failure = |class| Failure::new(class, "1", "no");
        let words: Vec<_> = [Class::Auth, Class::Permission, Class::Transient]
            .map(|class| in_words(why(&failure(class))))
            .into();
        assert!(words[0] != words[1] && words[1] != words[2] && words[0] != words[2]);
        assert!(words.iter().all(|words| words.contains("never public")));
    }
}
