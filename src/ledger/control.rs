//! What people do about publications: cancel them (T17), try them again (T21). What was sent stays in force.

use jobs::{
    contract::{Class, Failure},
    control::{self, Stand},
    machine::{Move, State},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    LedgerError, approval, comments,
    reconcile::{After, insert_publish_job},
    settle::{Outcome, bury, kept, words},
};

/// Why something is left as it is, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is nothing of that id, or it is somebody else's.
    #[error("there is no such job")]
    Missing,
    /// It has ended.
    #[error("it is over: {0}")]
    Over(String),
    /// Nothing is wrong with it.
    #[error("it is {0} and goes on by itself; only what has failed is tried again")]
    UnderWay(String),
    /// A commit may be in effect.
    #[error(
        "its outcome is not known: it may be public. The network is being asked, and nothing is sent again before \
         that is settled"
    )]
    Unknown,
    /// No evidence came in time.
    #[error("nobody could prove whether it is public. Look at the account, and decide that first")]
    Undecided,
    /// T17 in doubt.
    #[error(
        "it may be public already. The wish to cancel is kept, and honoured if it turns out that nothing went out"
    )]
    WishKept,
    /// It was given up by wish.
    #[error("somebody wished it cancelled; write a new post instead")]
    Wished,
    /// Its account cannot be used.
    #[error("its account is {0}; mend that first")]
    Account(String),
    /// A worker has it.
    #[error("it is being worked on, and what runs is not interrupted; ask again when this attempt has ended")]
    Running,
    /// A commit may be in effect, or take effect.
    #[error("it is being sent or may be public already; what was sent cannot be changed any more")]
    InEffect,
    /// What was armed once is not proved dead.
    #[error(
        "it was sent once, and the network has not ruled out that this still takes effect; it can be cancelled, and \
         changed only when what was sent is dead"
    )]
    Alive,
    /// What one of its publications shows to the public cannot be changed from here.
    #[error(
        "it is public on another account already, which what it is made of there would not change; give the other \
         accounts a caption of their own, or write a new post"
    )]
    Shown,
    /// It goes out after its post.
    #[error(
        "it is the first comment of a post that is not public; it goes out after that, so see to the post first"
    )]
    Follows,
    /// Somebody has to approve it.
    #[error("it waits for approval; once somebody has approved it, it can be tried again")]
    Unapproved,
    /// Somebody's words wait in it for a look that this change would spare them.
    #[error("it waits for approval; once somebody has approved it on its page, it can be changed")]
    Unseen,
    /// It is not any more what was looked at.
    #[error("somebody changed it since this form was opened; look at the post, then open the form again")]
    Overtaken,
    /// Whoever disconnected an account was promised that its access is taken back.
    #[error("it takes back the access of an account that was disconnected, and goes on until that is done")]
    Promised,
    /// The workspace does not want it.
    #[error("the workspace has withdrawn its consent to that; whoever gives it again can ask then")]
    Withdrawn,
    /// It was asked for too often; it may be again in so many seconds.
    #[error("the workspace has asked for that too often within the hour; it may again in {0} seconds")]
    TooOften(u32),
    /// It was redriven.
    #[error("it was tried again already, as job {0}")]
    Redriven(Uuid),
}

/// T21: a publication is tried again from what is known of it. Its earlier calls and its handle stay as they are, so
/// that nothing is sent before they are accounted for. Returns the new job.
pub(super) async fn retry_publication(
    tx: &mut PgConnection,
    id: Uuid,
) -> Result<Result<Uuid, Refusal>, LedgerError> {
    let Some(account) = lock(tx, id).await? else { return Ok(Err(Refusal::Missing)) };
    let it = stand(tx, id).await?;
    let refusal = match control::retry(&it) {
        control::Retry::Now if account != "active" => Refusal::Account(account),
        control::Retry::Now if approval::waits(tx, id).await? => Refusal::Unapproved,
        control::Retry::Now if comments::waits(tx, id).await? => Refusal::Follows,
        control::Retry::Now => return Ok(Ok(redrive(tx, id).await?)),
        control::Retry::UnderWay => Refusal::UnderWay(it.state.shown().to_owned()),
        control::Retry::Unknown => Refusal::Unknown,
        control::Retry::Decide => Refusal::Undecided,
        control::Retry::Wished => Refusal::Wished,
        control::Retry::Over => Refusal::Over(it.state.shown().to_owned()),
    };
    Ok(Err(refusal))
}

/// T17: cancels a publication, or keeps the wish until whoever may does.
pub(super) async fn cancel_publication(
    tx: &mut PgConnection,
    id: Uuid,
) -> Result<Result<(), Refusal>, LedgerError> {
    if lock(tx, id).await?.is_none() {
        return Ok(Err(Refusal::Missing));
    }
    let it = stand(tx, id).await?;
    match control::cancel(&it) {
        control::Cancel::Now => honour(tx, &[id]).await.map(Ok),
        control::Cancel::Promise => {
            wish(tx, id).await?;
            run_now(tx, id).await.map(Ok)
        }
        control::Cancel::Keep => {
            wish(tx, id).await?;
            run_now(tx, id).await.map(|()| Err(Refusal::WishKept))
        }
        control::Cancel::Decide => Ok(Err(Refusal::Undecided)),
        control::Cancel::Over => Ok(Err(Refusal::Over(it.state.shown().to_owned()))),
    }
}

/// T17 for wishes that no worker comes to look at, such as those of paused jobs.
///
/// What was sent is left to who can take it back.
pub(super) async fn honour_wishes(tx: &mut PgConnection) -> Result<(), LedgerError> {
    let wished = sqlx::query_scalar!(
        r#"SELECT p.id FROM publication p
           WHERE p.cancel_requested_at IS NOT NULL AND p.state = ANY($1::text[]::publication_state[])
             AND p.state NOT IN ('published', 'failed', 'cancelled', 'held') -- as the index has it
             AND p.state <> 'preparing' AND NOT (p.state = 'waiting' AND p.handle_state = 'spent')
             AND NOT EXISTS (SELECT FROM job j JOIN claim c ON c.job_id = j.id
                             WHERE j.publication_id = p.id AND j.kind = 'publish')
             AND (p.handle_state = 'dead' OR NOT was_sent(p.id, p.handle_id, interval '100 years'))
           LIMIT 1000 FOR UPDATE OF p SKIP LOCKED"#,
        &words(Move::Cancel.from()),
    )
    .fetch_all(&mut *tx)
    .await?;
    honour(tx, &wished).await
}

/// Locks a publication and its account, as arming does and in that order: whoever looks afterwards sees what is true
/// until the end. Returns the account's state; `None`: there is no such publication any more.
pub(super) async fn lock(tx: &mut PgConnection, id: Uuid) -> Result<Option<String>, LedgerError> {
    let account = sqlx::query_scalar!(
        r#"SELECT CASE WHEN frozen_at IS NULL THEN state ELSE 'frozen' END::text AS "state!" FROM account
           WHERE id = (SELECT account_id FROM publication WHERE id = $1) FOR SHARE"#,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let row =
        sqlx::query!("SELECT id FROM publication WHERE id = $1 FOR UPDATE", id).fetch_optional(tx).await?;
    Ok(account.filter(|_| row.is_some()))
}

/// Where it stands.
pub(super) async fn stand(tx: &mut PgConnection, id: Uuid) -> Result<Stand, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT p.state::text AS "state!", p.handle_state = 'spent' AS "committed!",
                  p.cancel_requested_at IS NOT NULL AS "wished!",
                  EXISTS (SELECT FROM remote_call c WHERE c.publication_id = p.id AND c.kind = 'commit'
                            AND (c.verdict IS NULL OR c.verdict IN ('ok', 'ambiguous', 'resolved_yes'))) AS "commit_open!",
                  EXISTS (SELECT FROM job j JOIN claim c ON c.job_id = j.id
                          WHERE j.publication_id = p.id AND j.kind = 'publish') AS "claimed!",
                  p.handle_state <> 'dead' AND EXISTS (
                      SELECT FROM remote_call c WHERE c.publication_id = p.id AND c.kind = 'commit'
                        AND c.handle_id = p.handle_id AND c.verdict IS DISTINCT FROM 'definite_no') AS "alive!"
           FROM publication p WHERE p.id = $1"#,
        id,
    )
    .fetch_one(tx)
    .await?;
    let state = State::parse(&row.state)
        .ok_or_else(|| LedgerError::Unreadable(format!("the publication state {}", row.state)))?;
    Ok(Stand {
        state,
        committed: row.committed,
        commit_open: row.commit_open,
        claimed: row.claimed,
        wished: row.wished,
        alive: row.alive,
    })
}

/// T21.
pub(super) async fn redrive(tx: &mut PgConnection, id: Uuid) -> Result<Uuid, LedgerError> {
    sqlx::query!(
        r#"UPDATE publication p
           SET state = $3::text::publication_state, hold_reason = NULL, restored_at = NULL, given_up = NULL, updated_at = ledger_now(),
               latest_at = greatest(p.scheduled_for, ledger_now()) + post.latest_after
           FROM post WHERE post.id = p.post_id AND p.id = $1 AND p.state = ANY($2::text[]::publication_state[])"#,
        id,
        &words(Move::Redrive.from()),
        Move::Redrive.to().word(),
    )
    .execute(&mut *tx)
    .await?;
    let job = insert_publish_job(tx, id, After::Word).await?;
    sqlx::query!(
        "UPDATE job_history SET redriven_as = $2 WHERE publication_id = $1 AND outcome <> 'done' AND redriven_as IS NULL",
        id,
        job,
    )
    .execute(tx)
    .await?;
    Ok(job)
}

async fn wish(tx: &mut PgConnection, id: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE publication SET cancel_requested_at = coalesce(cancel_requested_at, ledger_now()) WHERE id = $1",
        id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lets the publication's job run as soon as nobody works on it.
async fn run_now(tx: &mut PgConnection, id: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE job SET run_at = least(run_at, ledger_now()), epoch = epoch + 1
         WHERE publication_id = $1 AND kind = 'publish'",
        id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Cancels publications that are locked and of which nothing is armed, and ends their jobs.
async fn honour(tx: &mut PgConnection, ids: &[Uuid]) -> Result<(), LedgerError> {
    if ids.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(Class::Permanent, "cancelled", "cancelled by wish");
    sqlx::query!(
        r#"UPDATE publication
           SET state = $3::text::publication_state, cancel_requested_at = coalesce(cancel_requested_at, ledger_now()),
               error = $4, hold_reason = NULL, updated_at = ledger_now()
           WHERE id = ANY($1) AND state = ANY($2::text[]::publication_state[])"#,
        ids,
        &words(Move::Cancel.from()),
        Move::Cancel.to().word(),
        kept(&failure),
    )
    .execute(&mut *tx)
    .await?;
    let jobs =
        sqlx::query_scalar!("SELECT id FROM job WHERE publication_id = ANY($1) AND kind = 'publish'", ids)
            .fetch_all(&mut *tx)
            .await?;
    bury(tx, &jobs, Outcome::Cancelled, &failure).await?;
    Ok(())
}
