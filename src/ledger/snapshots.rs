//! What is kept of metrics while they are asked for, bound to one claim.
//!
//! What a look came to and when the next one is are written together, fenced by the claim: a run that ends between two
//! looks has lost nothing, and one that was overtaken writes nothing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs::{
    contract::{Failure, JobError},
    desk::Account,
    metrics::{
        Due, Metric, Next, Object, Pace, Point, Said, Snapshots, Spread, Subject, Taken, ads::AdsTaken,
        packed::pack,
    },
};
use serde_json::json;
use uuid::Uuid;

use super::{Claim, Ledger, LedgerError, advertising::keep, claims::interval};

/// The notice that a metric is not told any more.
pub const REFUSED: &str = "metric_refused";
/// The notice that nothing can be asked about a kind of object.
pub const PUT_OFF: &str = "metrics_put_off";

/// The metrics of one claimed job.
pub struct ClaimedSnapshots<'a> {
    /// Where they are.
    pub ledger: &'a Ledger,
    /// The fence.
    pub claim: Claim,
    /// When objects are asked about.
    pub pace: &'a Pace,
}

#[async_trait]
impl Snapshots for ClaimedSnapshots<'_> {
    fn pace(&self) -> &Pace {
        self.pace
    }

    async fn due(&self, account: Uuid, most: i64) -> Result<Option<Due>, JobError> {
        Ok(self.ledger.due_for_snapshots(account, most, self.pace).await?)
    }

    async fn take(&self, taken: &Taken<'_>) -> Result<(), JobError> {
        let kept = self.ledger.kept_by_month(|| self.take_once(taken)).await?;
        if kept { Ok(()) } else { Err(JobError::Fenced) }
    }

    async fn take_ads(&self, taken: &AdsTaken<'_>) -> Result<u64, JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        let kept = keep(&mut tx, taken).await?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(kept)
    }

    async fn refused(
        &self,
        account: &Account,
        metric: &'static Metric,
        failure: &Failure,
    ) -> Result<(), JobError> {
        sqlx::query!(
            "INSERT INTO metric_refusal AS r (account_id, metric, code, words) VALUES ($1, $2, $3, $4)
             ON CONFLICT (account_id, metric) DO UPDATE
             SET tried_at = ledger_now(), code = excluded.code, words = excluded.words",
            account.id,
            kept_id(metric.id),
            failure.code,
            failure.message,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let subject = format!("{}/{}/{}", account.platform, metric.object.word(), metric.remote);
        if self.ledger.tell_once(REFUSED, &subject, &failure.code).await? {
            tracing::warn!(metric = subject, %failure, "a network does not tell a metric; the others are told as before");
        }
        Ok(())
    }

    async fn told_again(&self, account: &Account, metrics: &[u16]) -> Result<(), JobError> {
        let metrics: Vec<i16> = metrics.iter().copied().map(kept_id).collect();
        sqlx::query!(
            "DELETE FROM metric_refusal WHERE account_id = $1 AND metric = ANY ($2)",
            account.id,
            &metrics
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Ok(())
    }

    async fn put_off(
        &self,
        account: &Account,
        objects: &[Object],
        until: DateTime<Utc>,
        failure: &Failure,
    ) -> Result<(), JobError> {
        let words: Vec<String> = objects.iter().map(|object| object.word().to_owned()).collect();
        sqlx::query!(
            "UPDATE metric_plan SET due_at = $3
             WHERE account_id = $1 AND object = ANY ($2) AND due_at <= ledger_now()
               AND EXISTS (SELECT FROM claim WHERE job_id = $4 AND epoch = $5 AND worker_inc = $6)",
            account.id,
            &words,
            until,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let subject = format!("{}/{}/{}", account.platform, words.join("+"), failure.code);
        if self.ledger.tell_once(PUT_OFF, &subject, &failure.code).await? {
            tracing::warn!(account = %account.id, %failure, "metrics cannot be asked for; it is tried again later");
        }
        Ok(())
    }
}

impl ClaimedSnapshots<'_> {
    async fn take_once(&self, taken: &Taken<'_>) -> Result<bool, LedgerError> {
        let points = packed(&taken.points);
        let spread = Spreads::of(&taken.spreads);
        let (due_at, ended) = match taken.next {
            Next::At(at) => (Some(at), None),
            Next::Never(ending) => (None, Some(ending.word())),
        };
        let moved = sqlx::query_scalar!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               moved AS (
                   UPDATE metric_plan
                   SET due_at = $5, ended = $6,
                       absent_since = CASE WHEN $7::boolean IS NULL THEN absent_since
                                           WHEN $7 THEN coalesce(absent_since, ledger_now()) END,
                       captures = captures + CASE WHEN $8::bytea IS NULL THEN 0 ELSE 1 END,
                       captured_at = CASE WHEN $8 IS NULL THEN captured_at ELSE ledger_now() END
                   WHERE number = $4 AND EXISTS (SELECT FROM fence)
                   RETURNING number),
               kept AS (
                   INSERT INTO snapshot (captured_at, object, points)
                   SELECT date_trunc('second', ledger_now()), number, $8 FROM moved WHERE $8 IS NOT NULL
                   ON CONFLICT DO NOTHING), -- the same look twice is one
               spread AS (
                   INSERT INTO snapshot_spread (captured_at, object, metric, said, kinds)
                   SELECT date_trunc('second', ledger_now()), moved.number, x.metric, x.said, x.kinds::jsonb
                   FROM moved CROSS JOIN unnest($9::smallint[], $10::text[], $11::text[]) AS x (metric, said, kinds)
                   ON CONFLICT DO NOTHING)
               SELECT count(*) AS "moved!" FROM moved"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            taken.subject.number,
            due_at,
            ended,
            taken.absent,
            points,
            &spread.metrics,
            &spread.said,
            &spread.kinds as &[Option<String>],
        )
        .fetch_one(&self.ledger.pool)
        .await?;
        Ok(moved == 1)
    }
}

/// What was said by kinds of people, column by column.
#[derive(Debug, Default)]
struct Spreads {
    metrics: Vec<i16>,
    said: Vec<String>,
    kinds: Vec<Option<String>>,
}

impl Spreads {
    fn of(spreads: &[Spread]) -> Self {
        let kinds = |spread: &Spread| match &spread.said {
            Said::Kinds(kinds) => Some(json!(kinds).to_string()),
            Said::TooFew | Said::Nothing => None,
        };
        Self {
            metrics: spreads.iter().map(|spread| kept_id(spread.metric.id)).collect(),
            said: spreads.iter().map(|spread| spread.said.word().to_owned()).collect(),
            kinds: spreads.iter().map(kinds).collect(),
        }
    }
}

/// What was told, sorted by the span that it is about and by metric; none: nothing.
fn packed(points: &[Point]) -> Option<Vec<u8>> {
    let mut told: BTreeMap<(Option<DateTime<Utc>>, u16), Option<i64>> = BTreeMap::new();
    for point in points {
        told.insert((point.ends_at, point.metric.id), point.value);
    }
    let told: Vec<_> = told.into_iter().map(|((ends_at, metric), value)| (ends_at, metric, value)).collect();
    (!told.is_empty()).then(|| pack(&told))
}

/// The ledger's type has no numbers above 32,767; the catalogue is far from there.
fn kept_id(id: u16) -> i16 {
    i16::try_from(id).unwrap_or(i16::MAX)
}

fn read_id(id: i16) -> u16 {
    u16::try_from(id).unwrap_or_default()
}

impl Ledger {
    async fn due_for_snapshots(
        &self,
        account: Uuid,
        most: i64,
        pace: &Pace,
    ) -> Result<Option<Due>, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT a.id, a.platform, a.external_id, a.token_generation, ledger_now() AS "now!",
                      array(SELECT metric FROM metric_refusal r
                            WHERE r.account_id = a.id AND r.tried_at > ledger_now() - $2::interval) AS "refused!",
                      array(SELECT metric FROM metric_refusal r
                            WHERE r.account_id = a.id AND r.tried_at <= ledger_now() - $2) AS "doubted!"
               FROM account a
               WHERE a.id = $1 AND a.state = 'active' AND (a.resting_until IS NULL OR a.resting_until <= ledger_now())"#,
            account,
            interval(pace.try_refused),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let subjects = sqlx::query!(
            r#"SELECT m.number, m.object, m.since, m.captures, m.absent_since, m.captured_at, m.resume,
                      CASE WHEN m.publication_id IS NULL THEN $3 ELSE p.public_id END AS remote_id
               FROM metric_plan m LEFT JOIN publication p ON p.id = m.publication_id
               WHERE m.account_id = $1 AND m.due_at <= ledger_now()
               ORDER BY m.due_at LIMIT $2"#,
            account,
            most,
            row.external_id,
        )
        .fetch_all(&self.pool)
        .await?;
        let read = subjects.into_iter().map(|it| {
            let unknown = || LedgerError::Unreadable(format!("the unknown object {}", it.object));
            Ok::<_, LedgerError>(Subject {
                number: it.number,
                object: Object::parse(&it.object).ok_or_else(unknown)?,
                remote_id: it.remote_id,
                since: it.since,
                captures: it.captures,
                absent_since: it.absent_since,
                captured_at: it.captured_at,
                resume: it.resume,
            })
        });
        Ok(Some(Due {
            account: Account { id: row.id, platform: row.platform, external_id: row.external_id },
            generation: row.token_generation,
            subjects: read.collect::<Result<_, _>>()?,
            refused: row.refused.into_iter().map(read_id).collect(),
            doubted: row.doubted.into_iter().map(read_id).collect(),
            now: row.now,
        }))
    }

    /// Tells operators something once. Whether this was the time. The detail is a code, never a network's words: those may
    /// be of somebody, and notices stay.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn tell_once(&self, topic: &str, subject: &str, detail: &str) -> Result<bool, LedgerError> {
        let told = sqlx::query!(
            "INSERT INTO notice (topic, subject, detail) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            topic,
            subject,
            detail,
        )
        .execute(&self.pool)
        .await?;
        Ok(told.rows_affected() == 1)
    }
}

#[cfg(test)]
mod tests {
    use jobs::metrics::catalogue::by_id;

    use super::*;

    #[test]
    fn what_is_of_one_span_stands_together_sorted_by_metric() {
        let (day, other) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + chrono::TimeDelta::days(1));
        let (day, other) = (Some(day + chrono::TimeDelta::days(9)), Some(other + chrono::TimeDelta::days(9)));
        let point = |id, ends_at, value| Point { metric: by_id(id).expect("a metric"), ends_at, value };
        let points = [
            point(91, day, Some(2)),
            point(90, other, None),
            point(102, None, Some(7)),
            point(90, day, Some(1)),
        ];
        let sorted = [(None, 102, Some(7)), (day, 90, Some(1)), (day, 91, Some(2)), (other, 90, None)];
        assert_eq!(packed(&points), Some(pack(&sorted)));
        assert_eq!(packed(&[]), None);
    }
}
