//! What networks tell of their own accord: a reason to look now, and where nobody looks any more, evidence.

use jobs::{hint::Hint, machine::Public};
use uuid::Uuid;

use super::{Ledger, LedgerError};

/// What a network tells of something that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It is public.
    Public,
    /// Something else; a look will show what.
    Moved,
}

impl Ledger {
    /// Takes in what TikTok tells of a post of this account, by the name that it has given the post. Told again it
    /// changes nothing more. Returns the jobs that may run now.
    ///
    /// # Errors
    /// The ledger is away; nothing was taken in.
    pub async fn told_by_tiktok(
        &self,
        open_id: &str,
        publish_id: &str,
        news: News,
    ) -> Result<Vec<Hint>, LedgerError> {
        if news == News::Public {
            self.name_the_only_nameless(open_id, publish_id).await?;
            for id in self.unwatched(open_id, publish_id).await? {
                self.seen(id, None, &Public::default()).await?;
            }
        }
        self.look_now(open_id, publish_id).await
    }

    /// A post that is public and was never named to us is the one whose naming was lost, if there is only one such:
    /// photos that were fetched, and whose commit nobody has judged to be without effect.
    async fn name_the_only_nameless(&self, open_id: &str, publish_id: &str) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"WITH named AS (
                   SELECT p.id FROM publication p JOIN account a ON a.id = p.account_id
                   WHERE a.platform = 'tiktok' AND a.external_id = $1
                     AND (p.handle_kind = 'publish_id' AND p.handle_id = $2
                          OR p.handle_kind = 'pull' AND p.handle_detail ->> 'publish_id' = $2)),
               nameless AS (
                   SELECT p.id FROM publication p JOIN account a ON a.id = p.account_id
                   WHERE a.platform = 'tiktok' AND a.external_id = $1 AND p.handle_kind = 'pull'
                     AND NOT p.handle_detail ? 'publish_id'
                     AND EXISTS (
                         SELECT FROM remote_call c JOIN media_fetch f ON f.call_id = c.call_id
                         WHERE c.publication_id = p.id AND c.kind = 'commit' AND c.handle_id = p.handle_id
                           AND (c.verdict IS NULL OR c.verdict IN ('ok', 'ambiguous', 'resolved_yes'))))
               UPDATE publication SET handle_detail = handle_detail || jsonb_build_object('publish_id', $2::text)
               WHERE id IN (SELECT id FROM nameless) AND (SELECT count(*) FROM nameless) = 1
                 AND NOT EXISTS (SELECT FROM named)
                 -- an upload that was left behind has its name all the same
                 AND NOT EXISTS (SELECT FROM remote_call c WHERE c.handle_id = $2)
                 AND NOT EXISTS (SELECT FROM orphan_handle o WHERE o.handle_id = $2)"#,
            open_id,
            publish_id,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Publications of that name that nobody would look at again.
    async fn unwatched(&self, open_id: &str, publish_id: &str) -> Result<Vec<Uuid>, LedgerError> {
        let ids = sqlx::query_scalar!(
            r#"SELECT p.id FROM publication p JOIN account a ON a.id = p.account_id
               WHERE a.platform = 'tiktok' AND a.external_id = $1
                 AND (p.handle_kind = 'publish_id' AND p.handle_id = $2
                          OR p.handle_kind = 'pull' AND p.handle_detail ->> 'publish_id' = $2)
                 AND p.state IN ('held', 'failed', 'cancelled')"#,
            open_id,
            publish_id,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids)
    }

    /// Brings the next look at what has that name forward to now.
    async fn look_now(&self, open_id: &str, publish_id: &str) -> Result<Vec<Hint>, LedgerError> {
        let rows = sqlx::query!(
            r#"WITH named AS (
                   SELECT p.id, p.state, p.handle_state, p.public_url
                   FROM publication p JOIN account a ON a.id = p.account_id
                   WHERE a.platform = 'tiktok' AND a.external_id = $1
                     AND (p.handle_kind = 'publish_id' AND p.handle_id = $2
                          OR p.handle_kind = 'pull' AND p.handle_detail ->> 'publish_id' = $2)),
               looked AS (
                   UPDATE publication p SET next_check_at = ledger_now()
                   FROM named WHERE p.id = named.id AND p.next_check_at > ledger_now()
                     AND (p.state = 'unknown' OR p.state = 'published' AND p.public_url IS NULL))
               -- with another epoch, whoever holds the job puts it back as it finds it: due now
               UPDATE job SET run_at = ledger_now(), epoch = job.epoch + 1
               FROM named
               WHERE job.publication_id = named.id AND job.kind = 'publish' AND job.standing = 'active'
                 AND named.state = 'waiting' AND named.handle_state = 'spent'
                 AND (job.run_at > ledger_now() OR EXISTS (SELECT FROM claim WHERE claim.job_id = job.id))
               RETURNING job.id, job.workspace_id, job.run_at"#,
            open_id,
            publish_id,
        )
        .fetch_all(&self.pool)
        .await?;
        let hint =
            |id, workspace_id, run_at| Hint { kind: "publish".into(), workspace_id, job_id: id, run_at };
        Ok(rows.into_iter().map(|row| hint(row.id, row.workspace_id, row.run_at)).collect())
    }
}
