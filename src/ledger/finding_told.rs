//! Telling people by mail what keeps a post from going out, before its time: each finding once, one letter per post.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    claims::interval,
    mail::{self, NewMail},
    preflight::waiting,
};

/// A check of the same post that stays away for so many leases is not waited for.
const LEASES_MOST: f64 = 2.0;

/// What there is to tell of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The post.
    pub post_id: Uuid,
    /// When it is to go out.
    pub scheduled_for: DateTime<Utc>,
    /// The ledger's time.
    pub now: DateTime<Utc>,
    /// What was found: the account's network, and the finding's code. Nothing that anybody wrote.
    pub found: Vec<(String, String)>,
}

impl Ledger {
    /// Posts of which nobody was told yet what keeps them from going out, found longest ago first. While another of its
    /// checks is under way, or due within `within`, a post waits for it: so its people get one letter.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn posts_to_tell(&self, most: i64, within: Duration) -> Result<Vec<Uuid>, LedgerError> {
        let posts = sqlx::query_scalar!(
            r#"SELECT p.post_id AS "post_id!" FROM finding_told t JOIN publication p ON p.id = t.publication_id
               WHERE t.told_at IS NULL
                 AND (t.found_at < ledger_now() - $2::interval * $3::float8
                      OR NOT EXISTS (SELECT FROM publication o
                                     WHERE o.post_id = p.post_id AND o.check_at <= ledger_now() + $2::interval))
               GROUP BY p.post_id ORDER BY min(t.found_at) LIMIT $1"#,
            most,
            interval(within),
            LEASES_MOST,
        );
        Ok(posts.fetch_all(&self.pool).await?)
    }

    /// Tells its author, and whoever may publish in its workspace, what was found of a post since they were told last, by
    /// the letter that `letter` makes for each address. Tells how many letters that were: none, where others have told
    /// them, or where it does not wait for its time any more.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn tell_findings(
        &self,
        post_id: Uuid,
        letter: impl Fn(&Stopped, &str) -> NewMail + Send,
    ) -> Result<usize, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let rows = sqlx::query!(
            r#"UPDATE finding_told t SET told_at = ledger_now()
               FROM publication p, account a
               WHERE p.id = t.publication_id AND a.id = p.account_id AND p.post_id = $1 AND t.told_at IS NULL
               RETURNING a.platform AS "platform!", t.code AS "code!", p.scheduled_for AS "scheduled_for!",
                         ledger_now() AS "now!",
                         p.state = ANY ($2::text[]::publication_state[]) AND p.scheduled_for > ledger_now() AS "ahead!""#,
            post_id,
            &waiting(),
        )
        .fetch_all(&mut *tx)
        .await?;
        let ahead: Vec<_> = rows.into_iter().filter(|row| row.ahead).collect();
        let Some((scheduled_for, now)) = ahead.iter().map(|row| (row.scheduled_for, row.now)).min() else {
            tx.commit().await?;
            return Ok(0);
        };
        let mut found: Vec<(String, String)> =
            ahead.into_iter().map(|row| (row.platform, row.code)).collect();
        found.sort();
        found.dedup();
        let stopped = Stopped { post_id, scheduled_for, now, found };
        let addresses = sqlx::query_scalar!(
            r#"SELECT person.email AS "email!" FROM post
               JOIN membership m ON m.workspace_id = post.workspace_id
               JOIN person ON person.id = m.person_id
               -- what a key wrote has no author
               WHERE post.id = $1 AND (m.role IN ('publisher', 'admin') OR m.person_id = post.created_by)
               ORDER BY person.email"#,
            post_id,
        )
        .fetch_all(&mut *tx)
        .await?;
        for address in &addresses {
            mail::put(&mut tx, &letter(&stopped, address)).await?;
        }
        tx.commit().await?;
        Ok(addresses.len())
    }
}
