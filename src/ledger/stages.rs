//! The turns of a request for deletion, and what else is true from each of them on.

use jobs::erasure::Turn;
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{LedgerError, drafts, freeze};

/// Goes on to the next stage inside a transaction; false: it stands elsewhere by now.
pub(super) async fn go_on(
    tx: &mut PgTransaction<'_>,
    request: Uuid,
    turn: Turn,
) -> Result<bool, LedgerError> {
    let moved = sqlx::query!(
        r#"UPDATE deletion_request
           SET stage = $3::text::deletion_stage, moved_at = ledger_now(),
               drained_at = CASE $2 WHEN 'draining' THEN ledger_now() ELSE drained_at END,
               revoked_at = CASE $2 WHEN 'revoking' THEN ledger_now() ELSE revoked_at END,
               shredded_at = CASE $2 WHEN 'shredding' THEN ledger_now() ELSE shredded_at END,
               purged_at = CASE $2 WHEN 'purging' THEN ledger_now() ELSE purged_at END,
               verified_at = CASE WHEN $3 = 'telling' THEN ledger_now() ELSE verified_at END,
               told_at = CASE $2 WHEN 'telling' THEN ledger_now() ELSE told_at END,
               done_at = CASE $3 WHEN 'done' THEN ledger_now() ELSE done_at END,
               round = round + CASE WHEN $2 = 'verifying' AND $3 = 'purging' THEN 1 ELSE 0 END
           WHERE id = $1 AND stage = $2::text::deletion_stage"#,
        request,
        turn.from().word(),
        turn.to().word(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// What else is true from a turn on.
pub(super) async fn follow(tx: &mut PgTransaction<'_>, request: Uuid, turn: Turn) -> Result<(), LedgerError> {
    match turn {
        Turn::Drained => {
            sqlx::query!(
                r#"UPDATE deletion_request r
                   SET not_provable = (
                       SELECT count(*) FROM publication p JOIN deletion_account d ON d.account_id = p.account_id
                       WHERE d.request_id = r.id
                         AND (p.state IN ('armed', 'unknown', 'held') OR p.state = 'waiting' AND p.handle_state = 'spent'))
                   WHERE r.id = $1"#,
                request,
            )
            .execute(&mut **tx)
            .await?;
            drafts::find(tx, request).await?;
            drafts::find_lost(tx, request).await?;
            let given_up = sqlx::query_scalar!(
                r#"SELECT p.id FROM publication p JOIN deletion_account d ON d.account_id = p.account_id
                   WHERE d.request_id = $1 AND p.state = 'cancelled' AND p.error ->> 'code' = 'cancelled'"#,
                request,
            );
            let given_up = given_up.fetch_all(&mut **tx).await?;
            freeze::say_why(tx, &given_up).await
        }
        Turn::Revoked => {
            drafts::give_up(tx, request).await?;
            sqlx::query!(
                "UPDATE deletion_account SET revocation = 'given_up' WHERE request_id = $1 AND revocation = 'open'",
                request,
            )
            .execute(&mut **tx)
            .await?;
            Ok(())
        }
        // what has come back after it was erased is erased once more
        Turn::Found => {
            sqlx::query!("UPDATE deletion_object SET erased = false WHERE request_id = $1", request)
                .execute(&mut **tx)
                .await?;
            Ok(())
        }
        // what is kept outside does not say yet that its tokens are gone
        Turn::Shredded => {
            sqlx::query!("UPDATE deletion_request SET stone_at = NULL WHERE id = $1", request)
                .execute(&mut **tx)
                .await?;
            Ok(())
        }
        Turn::Purged | Turn::Clean | Turn::Told | Turn::Forgot => Ok(()),
    }
}
