//! What stands between a connection and its accounts: whose locks are taken, what is in the way on our side, and what is
//! written of an account beside its tokens.

use chrono::{DateTime, Utc};
use jobs::connections::{Granted, Missing, Offer};
use secrecy::SecretString;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{LedgerError, accounts, deletions::META, grants, vault::TokenPair};

/// An account that has a token of its own is renewed by what the person granted; any other is the grant itself.
pub(super) fn pair(granted: &Granted, own: Option<SecretString>) -> TokenPair {
    let issued_at = Some(granted.issued_at);
    match own {
        Some(access) => TokenPair {
            access,
            refresh: Some(granted.access.clone()),
            issued_at,
            expires_at: None,
            refresh_expires_at: granted.access_ends,
        },
        None => TokenPair {
            access: granted.access.clone(),
            refresh: granted.refresh.clone(),
            issued_at,
            expires_at: granted.access_ends,
            refresh_expires_at: granted.refresh_ends,
        },
    }
}

/// Whether access that this person granted, or that one of these accounts rests on, is being taken back at this moment: a
/// new one would go with it. Whoever takes it back waits from here on until the transaction is over.
pub(super) async fn is_being_revoked(
    tx: &mut PgConnection,
    platform: &str,
    subject: Option<&str>,
    keys: &[String],
) -> Result<bool, LedgerError> {
    if let Some(subject) = subject {
        grants::lock(tx, platform, subject).await?;
    }
    lock_accounts(tx, keys).await?;
    let open = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM remote_call c JOIN account a ON a.id = c.account_id
               WHERE c.kind = 'revoke' AND c.verdict IS NULL AND c.deadline_at > ledger_now()
                 AND (a.platform || '/' || a.external_id = ANY ($3)
                      OR a.subject_id = $1
                         AND (a.platform = $2 OR a.platform = ANY ($4) AND $2 = ANY ($4))))
               -- or what a dialog gave that nobody went on with
               OR EXISTS (
               SELECT FROM connection o JOIN remote_call c ON c.job_id = o.job_id
               WHERE c.kind = 'revoke' AND c.account_id IS NULL AND c.verdict IS NULL AND c.deadline_at > ledger_now()
                 AND o.subject_id = $1
                 AND (o.platform = $2 OR o.platform = ANY ($4) AND $2 = ANY ($4))) AS "open!""#,
        subject,
        platform,
        keys,
        &META.map(str::to_owned),
    );
    Ok(open.fetch_one(tx).await?)
}

/// Whether all that is known of whoever granted it is to be deleted since this was begun. Before the network has said who that
/// is, no request could find it.
pub(super) async fn is_being_deleted(
    tx: &mut PgConnection,
    connection: Uuid,
    subject: Option<&str>,
) -> Result<bool, LedgerError> {
    let asked = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM connection c
               JOIN account a ON a.subject_id = $2
                             AND (a.platform = c.platform OR a.platform = ANY ($3) AND c.platform = ANY ($3))
               JOIN deletion_request r ON r.id = a.deletion_id
               WHERE c.id = $1 AND r.received_at >= c.created_at
                 AND (r.workspace_id IS NULL OR r.workspace_id = c.workspace_id)) AS "asked!""#,
        connection,
        subject,
        &META.map(str::to_owned),
    );
    Ok(asked.fetch_one(tx).await?)
}

/// All of them in one order for all.
async fn lock_accounts(tx: &mut PgConnection, keys: &[String]) -> Result<(), LedgerError> {
    let mut keys = keys.to_vec();
    keys.sort();
    for key in keys {
        grants::lock_account(tx, &key).await?;
    }
    Ok(())
}

/// Adds what stands in the way on our side: another workspace has it, or there is no room. What is being deleted stands in
/// nobody's way: another row takes its place. Where they are connected now, each takes room from the next.
pub(super) async fn ours(
    tx: &mut PgConnection,
    workspace: Uuid,
    found: &mut [Offer],
    now: bool,
) -> Result<(), LedgerError> {
    let column = |of: fn(&Offer) -> &String| found.iter().map(|it| of(it).clone()).collect::<Vec<_>>();
    let rows = sqlx::query!(
        r#"SELECT own.id IS NOT NULL AS "known!", own.id IS NOT NULL AND own.parting IS NULL AS "counted!",
                  EXISTS (SELECT FROM account o
                          WHERE o.platform = x.platform AND o.external_id = x.external_id AND o.workspace_id <> $1
                            AND o.deletion_id IS NULL AND o.parting IS NULL) AS "elsewhere!",
                  (SELECT count(*) FROM account o WHERE o.workspace_id = $1 AND o.deletion_id IS NULL AND o.parting IS NULL)
                      AS "there!"
           FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS x (platform, external_id, n)
           LEFT JOIN account own
             ON own.workspace_id = $1 AND own.platform = x.platform AND own.external_id = x.external_id
            AND own.deletion_id IS NULL
           ORDER BY x.n"#,
        workspace,
        &column(|it| &it.platform),
        &column(|it| &it.external_id),
    )
    .fetch_all(tx)
    .await?;
    let mut room = rows.first().map_or(0, |row| accounts::MOST - row.there);
    for (offer, row) in found.iter_mut().zip(rows) {
        offer.known = row.known;
        if row.elsewhere {
            offer.missing.push(Missing::Elsewhere);
        } else if !row.counted && offer.missing.is_empty() {
            if room < 1 {
                offer.missing.push(Missing::Limit);
            }
            room -= i64::from(now);
        }
    }
    Ok(())
}

/// Who connected it, at which address they are told of it and found by it, and until when the network gives its data.
pub(super) async fn known(
    tx: &mut PgConnection,
    account: Uuid,
    person: Uuid,
    data_access_ends: Option<DateTime<Utc>>,
) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE account a
         SET connected_by = $2, data_access_expires_at = $3,
             -- one that the shell was given stays; that of whoever connected it before goes with them
             subject_email = CASE WHEN a.subject_email IS NULL
                                    OR EXISTS (SELECT FROM person o
                                               WHERE o.id = a.connected_by AND o.email = lower(a.subject_email))
                                  THEN (SELECT p.email FROM person p WHERE p.id = $2)
                                  ELSE a.subject_email END
         WHERE a.id = $1",
        account,
        person,
        data_access_ends,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The connection is done, and everything secret of it is gone; where no account rests on the grant, it is given back first.
pub(super) async fn end(tx: &mut PgConnection, connection: Uuid, found: &[Offer]) -> Result<(), LedgerError> {
    let connected = found.iter().any(|offer| offer.missing.is_empty());
    sqlx::query!(
        "WITH over AS (
             UPDATE connection SET state = 'done', offers = $2, ended_at = ledger_now(),
                                   parting = CASE WHEN NOT $3 THEN 'asked'::parting_state END
             WHERE id = $1 RETURNING id)
         DELETE FROM vault.connection_secret s USING over
         WHERE s.connection_id = over.id AND (s.field <> 'grant' OR $3)",
        connection,
        json!(found),
        connected,
    )
    .execute(tx)
    .await?;
    Ok(())
}
