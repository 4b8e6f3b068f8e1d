//! First comments: publications that stand under another one and go out after it. What becomes of the other one
//! becomes of them by the trigger `publication_takes_its_comment_along`; here is what people ask for and change.

use jobs::comment;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{LedgerError, accept::NewTarget, posts::Publication};

/// The words that options ask for.
pub fn asked(options: &Value) -> Option<&str> {
    options[comment::OPTION].as_str()
}

/// Writes what a change of its post makes of a comment: other words, none any more, a first one, or another time.
/// What has been sent already is left as it is.
pub(super) async fn change(
    connection: &mut PgConnection,
    post: &Publication,
    target: &NewTarget,
) -> Result<(), LedgerError> {
    match (asked(&post.options), asked(&target.options)) {
        (before, Some(words)) if before != Some(words) => put(connection, post.id, words).await,
        (Some(_), None) => remove(connection, post.id).await,
        (Some(_), Some(_)) => move_along(connection, post.id).await,
        (None, _) => Ok(()),
    }
}

async fn put(connection: &mut PgConnection, post: Uuid, words: &str) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"INSERT INTO publication AS c (id, workspace_id, account_id, post_id, parent_id, surface, caption, state,
                                         scheduled_for, latest_at, error, hold_reason)
           SELECT $2, p.workspace_id, p.account_id, p.post_id, p.id, $4, $3,
                  -- as if it had been there when its post failed, or was held
                  CASE p.state WHEN 'failed' THEN 'cancelled' WHEN 'held' THEN 'held' ELSE 'scheduled' END::publication_state,
                  p.scheduled_for, p.latest_at,
                  CASE WHEN p.state IN ('failed', 'held') THEN
                      jsonb_build_object('class', 'permanent', 'code', 'parent_' || p.state::text, 'message', $5::text) END,
                  CASE WHEN p.state = 'held' THEN $5::text END
           FROM publication p WHERE p.id = $1
           ON CONFLICT ON CONSTRAINT publication_effect_key DO UPDATE
           SET caption = excluded.caption, state = excluded.state, error = excluded.error, hold_reason = excluded.hold_reason,
               scheduled_for = excluded.scheduled_for, latest_at = excluded.latest_at, cancel_requested_at = NULL,
               version = c.version + 1, updated_at = ledger_now()
           WHERE c.state IN ('scheduled', 'cancelled') OR c.state = 'held' AND c.error ->> 'code' = 'parent_held'"#,
        post,
        Uuid::now_v7(),
        words,
        comment::SURFACE.name,
        "the post that it belongs to has not gone out",
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn remove(connection: &mut PgConnection, post: Uuid) -> Result<(), LedgerError> {
    let why = json!({
        "class": "permanent", "code": "comment_removed", "message": "the post was changed and asks for no comment any more"
    });
    sqlx::query!(
        r#"UPDATE publication SET state = 'cancelled', error = $2, hold_reason = NULL, updated_at = ledger_now()
           WHERE parent_id = $1 AND (state = 'scheduled' OR state = 'held' AND error ->> 'code' = 'parent_held')"#,
        post,
        why,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn move_along(connection: &mut PgConnection, post: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE publication c SET scheduled_for = p.scheduled_for, latest_at = p.latest_at
           FROM publication p WHERE p.id = $1 AND c.parent_id = p.id AND c.state = 'scheduled'"#,
        post,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether it is a comment that cannot go out before its post.
pub(super) async fn waits(connection: &mut PgConnection, id: Uuid) -> Result<bool, LedgerError> {
    let waits = sqlx::query_scalar!(
        r#"SELECT waits_for_parent(parent_id) AS "waits!" FROM publication WHERE id = $1"#,
        id,
    );
    Ok(waits.fetch_one(connection).await?)
}
