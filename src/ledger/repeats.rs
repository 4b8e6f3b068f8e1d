//! Posts that say the same to the same account: found by a digest that is kept of what each publication says.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use jobs::preflight::Finding;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Ledger, LedgerError, accept::Facts, claims::interval};

/// What a post would say to an account.
#[derive(Debug, Clone)]
pub struct Words {
    /// The account.
    pub account_id: Uuid,
    /// What it gets.
    pub caption: String,
}

/// What a post would say to all its accounts, and when.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The link, as it was written.
    pub link: Option<&'a str>,
    /// The files, in order.
    pub media_ids: &'a [Uuid],
    /// When it goes out.
    pub at: DateTime<Utc>,
}

/// A post that says the same to the same account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// The account.
    pub account_id: Uuid,
    /// The other post.
    pub post_id: Uuid,
    /// When that one is due, or went out.
    pub at: DateTime<Utc>,
}

impl Twin {
    /// What there is to say about it, by the account's name.
    pub fn finding(&self, facts: &Facts) -> Finding {
        let account = facts.accounts.iter().find(|account| account.id == self.account_id);
        Finding::repeats(account.map_or("", |account| &account.name), self.post_id, self.at)
    }
}

impl Ledger {
    /// Posts that say the same to one of these accounts not further than `within` from its time.
    pub async fn twins(
        &self,
        words: &[Words],
        said: Said<'_>,
        within: Duration,
    ) -> Result<Vec<Twin>, LedgerError> {
        let (accounts, captions): (Vec<Uuid>, Vec<String>) =
            words.iter().map(|words| (words.account_id, words.caption.clone())).unzip();
        let twins = sqlx::query_as!(
            Twin,
            r#"SELECT w.account AS "account_id!", twin.post_id AS "post_id!", twin.at AS "at!"
               FROM unnest($1::uuid[], $2::text[]) AS w (account, caption)
               CROSS JOIN LATERAL said_before(w.account, content_digest(w.caption, $3, $4::uuid[]), $5, $6, NULL) AS twin"#,
            &accounts,
            &captions,
            said.link,
            said.media_ids,
            said.at,
            interval(within),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(twins)
    }

    /// What there is to say about a post that says the same as this publication.
    pub async fn repeats(&self, publication: Uuid, within: Duration) -> Result<Option<Finding>, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT a.name, twin.post_id AS "post_id!", twin.at AS "at!"
               FROM publication_content c
               JOIN publication p ON p.id = c.publication_id
               JOIN account a ON a.id = p.account_id
               CROSS JOIN LATERAL said_before(p.account_id, c.digest, p.scheduled_for, $2, p.post_id) AS twin
               WHERE c.publication_id = $1"#,
            publication,
            interval(within),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Finding::repeats(&row.name, row.post_id, row.at)))
    }
}

/// Takes down anew what the publications of a post say, and which of them repeat another post.
pub(super) async fn take_down(
    connection: &mut PgConnection,
    post_id: Uuid,
    facts: &Facts,
    within: Duration,
) -> Result<(), LedgerError> {
    let rows = sqlx::query!(
        r#"WITH said AS (
               INSERT INTO publication_content AS c (publication_id, account_id, digest)
               SELECT p.id, p.account_id, content_digest(coalesce(p.caption, post.caption), post.link, ARRAY(
                          SELECT pm.media_id FROM post_media pm WHERE pm.post_id = p.post_id ORDER BY pm.position))
               FROM publication p JOIN post ON post.id = p.post_id WHERE p.post_id = $1 AND p.parent_id IS NULL
               ON CONFLICT (publication_id) DO UPDATE SET digest = excluded.digest
               RETURNING publication_id, account_id, digest)
           SELECT p.id, said.account_id, twin.post_id AS "post_id?", twin.at AS "at?"
           FROM said JOIN publication p ON p.id = said.publication_id
           LEFT JOIN LATERAL said_before(said.account_id, said.digest, p.scheduled_for, $2, $1) AS twin ON true"#,
        post_id,
        interval(within),
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut warnings = HashMap::new();
    for row in rows {
        let twin = row.post_id.zip(row.at);
        let twin = twin.map(|(post_id, at)| Twin { account_id: row.account_id, post_id, at });
        warnings.insert(row.id, twin.map(|twin| twin.finding(facts)));
    }
    warn(connection, &warnings).await
}

/// Keeps, beside what a check may have found, which publications repeat another post, and which do not.
pub(super) async fn warn(
    connection: &mut PgConnection,
    warnings: &HashMap<Uuid, Option<Finding>>,
) -> Result<(), LedgerError> {
    let ids: Vec<Uuid> = warnings.keys().copied().collect();
    let findings: Vec<serde_json::Value> =
        warnings.values().map(|it| it.as_ref().map_or_else(|| json!([]), |it| json!([it]))).collect();
    sqlx::query!(
        "INSERT INTO publication_check AS k (publication_id, checked_at, findings)
         SELECT w.id, ledger_now(), w.findings FROM unnest($1::uuid[], $2::jsonb[]) AS w (id, findings)
         WHERE w.findings <> '[]' OR EXISTS (SELECT FROM publication_check o WHERE o.publication_id = w.id)
         ON CONFLICT (publication_id) DO UPDATE SET findings = excluded.findings || coalesce((
             SELECT jsonb_agg(f) FROM jsonb_array_elements(k.findings) AS f WHERE f ->> 'code' <> $3), '[]')",
        &ids,
        &findings,
        Finding::REPETITION,
    )
    .execute(connection)
    .await?;
    Ok(())
}
