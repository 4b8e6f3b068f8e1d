//! The freeze: what a request for deletion covers is frozen, and what was to go out on it is given up, in the transaction
//! that accepts the request. Arming locks the same rows and refuses what is frozen, so nothing is armed once that has
//! committed.

use jobs::contract::{Class, Failure};
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::{
    LedgerError, control,
    deletions::{META, Subject},
    settle::kept,
};

/// Freezes what the request covers, and writes down what that is. Arming reads these rows locked and refuses a frozen one,
/// so whichever comes first the other sees it.
pub(super) async fn freeze(
    tx: &mut PgTransaction<'_>,
    id: Uuid,
    of: &Subject<'_>,
) -> Result<Vec<Uuid>, LedgerError> {
    end_connections(tx, of).await?;
    end_dialogs(tx, of).await?;
    let accounts = sqlx::query_scalar!(
        r#"SELECT id FROM account
           WHERE (subject_id = $1 AND platform = ANY ($2) OR lower(subject_email) = lower($3) OR id = ANY ($4))
             AND ($5::uuid IS NULL OR workspace_id = $5)
           ORDER BY id -- one order for all
           FOR UPDATE"#,
        of.meta_user_id,
        &META.map(str::to_owned),
        of.email,
        of.accounts,
        of.workspace_id,
    )
    .fetch_all(&mut **tx)
    .await?;
    cover(tx, id, &accounts).await?;
    Ok(accounts)
}

/// The same for accounts by their ids, as far as they are there.
pub(super) async fn freeze_again(
    tx: &mut PgTransaction<'_>,
    id: Uuid,
    accounts: &[Uuid],
) -> Result<Vec<Uuid>, LedgerError> {
    end_connections(tx, &Subject { accounts, ..Subject::default() }).await?;
    let there =
        sqlx::query_scalar!("SELECT id FROM account WHERE id = ANY ($1) ORDER BY id FOR UPDATE", accounts);
    let there = there.fetch_all(&mut **tx).await?;
    cover(tx, id, &there).await?;
    Ok(there)
}

/// Why nothing more is connected of somebody.
pub(super) fn deleting() -> Failure {
    Failure::new(Class::Permanent, "deleting", "all that is known of whoever granted it is being deleted")
}

/// Ends what the same people have on its way to being connected: it was begun before. Whoever connects holds the connection
/// before the accounts, and so does this. What is secret of it is shredded by whoever may enter the vault.
async fn end_connections(tx: &mut PgTransaction<'_>, of: &Subject<'_>) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE connection c SET state = 'refused', why = $6, ended_at = ledger_now()
           WHERE c.ended_at IS NULL AND ($5::uuid IS NULL OR c.workspace_id = $5)
             AND (c.subject_id = $1 AND c.platform = ANY ($2)
                  OR EXISTS (
                      SELECT FROM account a
                      WHERE (a.subject_id = $1 AND a.platform = ANY ($2) OR lower(a.subject_email) = lower($3)
                             OR a.id = ANY ($4))
                        AND ($5 IS NULL OR a.workspace_id = $5)
                        AND (c.subject_id = a.subject_id
                             AND (c.platform = a.platform OR c.platform = ANY ($2) AND a.platform = ANY ($2))
                             OR c.offers @> jsonb_build_array(
                                 jsonb_build_object('platform', a.platform, 'external_id', a.external_id)))))"#,
        of.meta_user_id,
        &META.map(str::to_owned),
        of.email,
        of.accounts,
        of.workspace_id,
        kept(&deleting()),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends what somebody on the staff has on its way, whoever granted it. What was granted is given back like all that nobody went
/// on with, and that is waited for: they are the only ones who know of it.
async fn end_dialogs(tx: &mut PgTransaction<'_>, of: &Subject<'_>) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE connection c
           SET state = 'refused', why = $3, ended_at = ledger_now(),
               parting = CASE WHEN c.granted_at IS NOT NULL THEN 'asked'::parting_state END
           FROM person p
           WHERE c.ended_at IS NULL AND p.id = c.person_id AND p.email = lower($1)
             AND ($2::uuid IS NULL
                  OR EXISTS (SELECT FROM membership m WHERE m.person_id = p.id AND m.workspace_id = $2)
                     AND NOT EXISTS (SELECT FROM membership m WHERE m.person_id = p.id AND m.workspace_id <> $2))"#,
        of.email,
        of.workspace_id,
        kept(&deleting()),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn cover(tx: &mut PgTransaction<'_>, id: Uuid, accounts: &[Uuid]) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"WITH covered AS (
               INSERT INTO deletion_account (request_id, account_id, workspace_id, platform)
               SELECT $1, a.id, a.workspace_id, a.platform FROM account a WHERE a.id = ANY ($2)
               -- what was answered before a restore is not known any more
               ON CONFLICT (request_id, account_id) DO UPDATE
               SET revocation = 'open', attempts = 0, next_at = ledger_now(), code = NULL, answered_at = NULL),
           marked AS (
               INSERT INTO deletion_mark (request_id, id, kind) SELECT $1, a.id, 'account' FROM account a WHERE a.id = ANY ($2)
               ON CONFLICT DO NOTHING)
           UPDATE account
           SET state = CASE WHEN state = 'erased' THEN state ELSE 'frozen' END, state_reason = $3,
               frozen_at = coalesce(frozen_at, ledger_now()), deletion_id = coalesce(deletion_id, $1)
           WHERE id = ANY ($2)"#,
        id,
        accounts,
        "it is being deleted",
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Somebody on the staff, by the address. One who belongs to other workspaces too is not one workspace's to delete.
pub(super) async fn mark_person(
    tx: &mut PgTransaction<'_>,
    id: Uuid,
    of: &Subject<'_>,
) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"INSERT INTO deletion_mark (request_id, id, kind)
           SELECT $1, p.id, 'person' FROM person p
           WHERE p.email = lower($2)
             AND ($3::uuid IS NULL
                  OR EXISTS (SELECT FROM membership m WHERE m.person_id = p.id AND m.workspace_id = $3)
                     AND NOT EXISTS (SELECT FROM membership m WHERE m.person_id = p.id AND m.workspace_id <> $3))"#,
        id,
        of.email,
        of.workspace_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Somebody who was asked to join and has not yet, likewise.
pub(super) async fn mark_invited(
    tx: &mut PgTransaction<'_>,
    id: Uuid,
    of: &Subject<'_>,
) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"WITH asked AS (SELECT i.id, i.mail_id FROM invitation i
                          WHERE i.email = lower($2) AND ($3::uuid IS NULL OR i.workspace_id = $3))
           INSERT INTO deletion_mark (request_id, id, kind)
           SELECT $1::uuid, a.id, 'invitation' FROM asked a
           UNION ALL SELECT $1, m.id, 'mail' FROM mail m
           WHERE m.id IN (SELECT a.mail_id FROM asked a)
              -- also of what was taken back or offered anew since
              OR m.to_address = lower($2) AND $3::uuid IS NULL"#,
        id,
        of.email,
        of.workspace_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives up what has not been sent. What may have been keeps its way to an end, and is waited for.
pub(super) async fn give_up(
    tx: &mut PgTransaction<'_>,
    id: Uuid,
    accounts: &[Uuid],
) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE deletion_request r
           SET was_armed = counted.sent, given_up = counted.unsent
           FROM (SELECT count(*) FILTER (WHERE sent)::integer AS sent, count(*) FILTER (WHERE NOT sent)::integer AS unsent
                 FROM (SELECT p.state IN ('armed', 'unknown') OR p.state = 'waiting' AND p.handle_state = 'spent' AS sent
                       FROM publication p
                       WHERE p.account_id = ANY ($2)
                         AND p.state NOT IN ('published', 'failed', 'cancelled', 'held')) open) counted
           WHERE r.id = $1"#,
        id,
        accounts,
    )
    .execute(&mut **tx)
    .await?;
    let wished = sqlx::query_scalar!(
        r#"UPDATE publication SET cancel_requested_at = coalesce(cancel_requested_at, ledger_now()), updated_at = ledger_now()
           WHERE account_id = ANY ($1) AND state NOT IN ('published', 'failed', 'cancelled', 'held')
           RETURNING id"#,
        accounts,
    )
    .fetch_all(&mut **tx)
    .await?;
    sqlx::query!(
        r#"UPDATE job SET run_at = least(run_at, ledger_now()), epoch = epoch + 1, standing = 'active'
           WHERE publication_id = ANY ($1) AND kind = 'publish'"#,
        &wished,
    )
    .execute(&mut **tx)
    .await?;
    control::honour_wishes(tx).await?;
    say_why(tx, &wished).await
}

/// What was given up says why: nobody wished this one post cancelled.
pub(super) async fn say_why(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(), LedgerError> {
    let why = "the account that it was to go out on is being deleted";
    let failure = Failure::new(Class::Permanent, "account_deleted", why);
    sqlx::query!(
        "UPDATE publication SET error = $2 WHERE id = ANY ($1) AND state = 'cancelled' AND error ->> 'code' = 'cancelled'",
        ids,
        kept(&failure),
    )
    .execute(connection)
    .await?;
    Ok(())
}
