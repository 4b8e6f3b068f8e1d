//! What ads came to, as it is kept and as it is shown. What a network said is never changed: when it says something else of a
//! day, that stands beside it from then on.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use jobs::metrics::{
    Next,
    ads::{AdsTaken, Level, Onward},
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Ledger, LedgerError};

/// One object on one day, as it was told last.
#[derive(Debug, Clone)]
pub struct AdDay {
    /// `account`, `campaign`, `adset` or `ad`.
    pub level: String,
    /// The network's id.
    pub remote_id: String,
    /// What people call it.
    pub name: Option<String>,
    /// The network's id of what it is in.
    pub parent_id: Option<String>,
    /// The day, in the ad account's own time zone.
    pub day: NaiveDate,
    /// Of every sum of money; none: the network did not say.
    pub currency: Option<String>,
    /// By which results were counted; none: the network did not say.
    pub attribution: Option<String>,
    /// The numbers by our names, as texts.
    pub numbers: Value,
    /// When the network said it.
    pub captured_at: DateTime<Utc>,
    /// How often it has said something else of that day before.
    pub revisions: i64,
}

/// Which days of which objects.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Of this level.
    pub level: Level,
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// What comes after this day and this object.
    pub after: Option<(NaiveDate, &'a str)>,
    /// The most.
    pub most: i64,
}

impl Ledger {
    /// What ads of an account came to, the latest day first. None: there is no such account in this workspace.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn ads_of_account(
        &self,
        workspace_id: Uuid,
        account_id: Uuid,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Vec<AdDay>>, LedgerError> {
        let known = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM account WHERE id = $1 AND workspace_id = $2 AND state <> 'erased') AS "known!""#,
            account_id,
            workspace_id,
        );
        if !known.fetch_one(&self.pool).await? {
            return Ok(None);
        }
        let days = sqlx::query_as!(
            AdDay,
            r#"SELECT o.level, o.remote_id, o.name, o.parent_id, d.day, d.currency, d.attribution, d.numbers, d.captured_at,
                      (SELECT count(*) FROM ad_day e
                       WHERE e.object = d.object AND e.day = d.day AND e.captured_at < d.captured_at) AS "revisions!"
               FROM ad_object o JOIN ad_day d ON d.object = o.number
               WHERE o.account_id = $1 AND o.level = $2 AND d.day BETWEEN $3 AND $4
                 AND ($5::date IS NULL OR d.day < $5 OR d.day = $5 AND o.remote_id > $6::text)
                 -- what was said last counts
                 AND NOT EXISTS (SELECT FROM ad_day n
                                 WHERE n.object = d.object AND n.day = d.day AND n.captured_at > d.captured_at)
               ORDER BY d.day DESC, o.remote_id LIMIT $7"#,
            account_id,
            wanted.level.word(),
            wanted.from,
            wanted.to,
            wanted.after.map(|(day, _)| day),
            wanted.after.map(|(_, object)| object),
            wanted.most,
        );
        Ok(Some(days.fetch_all(&self.pool).await?))
    }
}

/// Keeps a part of what was read, and where it goes on. How many days of objects were new or otherwise than before.
pub(super) async fn keep(tx: &mut PgConnection, taken: &AdsTaken<'_>) -> Result<u64, LedgerError> {
    keep_objects(tx, taken).await?;
    let kept = keep_days(tx, taken).await?;
    go_on(tx, taken).await?;
    Ok(kept)
}

async fn keep_objects(tx: &mut PgConnection, taken: &AdsTaken<'_>) -> Result<(), LedgerError> {
    // a page has an object once for each day
    let objects: BTreeMap<_, _> = taken
        .days
        .iter()
        .map(|day| ((day.level.word(), &day.remote_id), (&day.parent_id, &day.name)))
        .collect();
    let levels: Vec<String> = objects.keys().map(|(level, _)| (*level).to_owned()).collect();
    let ids: Vec<String> = objects.keys().map(|(_, id)| (*id).clone()).collect();
    let parents: Vec<Option<String>> = objects.values().map(|(parent, _)| (*parent).clone()).collect();
    let names: Vec<Option<String>> = objects.values().map(|(_, name)| (*name).clone()).collect();
    sqlx::query!(
        "INSERT INTO ad_object AS o (workspace_id, account_id, level, remote_id, parent_id, name)
         SELECT p.workspace_id, p.account_id, x.level, x.remote_id, x.parent_id, x.name
         FROM metric_plan p
         CROSS JOIN unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS x (level, remote_id, parent_id, name)
         WHERE p.number = $1
         ON CONFLICT (account_id, level, remote_id) DO UPDATE
         SET parent_id = coalesce(excluded.parent_id, o.parent_id), name = coalesce(excluded.name, o.name),
             seen_at = ledger_now()",
        taken.subject.number,
        &levels,
        &ids,
        &parents as &[Option<String>],
        &names as &[Option<String>],
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn keep_days(tx: &mut PgConnection, taken: &AdsTaken<'_>) -> Result<u64, LedgerError> {
    let days = taken.days;
    let levels: Vec<String> = days.iter().map(|day| day.level.word().to_owned()).collect();
    let ids: Vec<String> = days.iter().map(|day| day.remote_id.clone()).collect();
    let dates: Vec<NaiveDate> = days.iter().map(|day| day.day).collect();
    let currencies: Vec<Option<String>> = days.iter().map(|day| day.currency.clone()).collect();
    let attributions: Vec<Option<String>> = days.iter().map(|day| day.attribution.clone()).collect();
    let numbers: Vec<String> = days.iter().map(|day| day.told().to_string()).collect();
    let kept = sqlx::query!(
        "INSERT INTO ad_day (captured_at, object, day, currency, attribution, numbers)
         SELECT date_trunc('second', ledger_now()), o.number, x.day, x.currency, x.attribution, x.numbers::jsonb
         FROM unnest($2::text[], $3::text[], $4::date[], $5::text[], $6::text[], $7::text[])
              AS x (level, remote_id, day, currency, attribution, numbers)
         JOIN metric_plan p ON p.number = $1
         JOIN ad_object o ON o.account_id = p.account_id AND o.level = x.level AND o.remote_id = x.remote_id
         LEFT JOIN LATERAL (
             SELECT d.currency, d.attribution, d.numbers FROM ad_day d
             WHERE d.object = o.number AND d.day = x.day ORDER BY d.captured_at DESC LIMIT 1) last ON true
         -- what stands as it did is not kept again, so that whoever reads it twice changes nothing
         WHERE (last.currency, last.attribution, last.numbers)
               IS DISTINCT FROM (x.currency, x.attribution, x.numbers::jsonb)
         ON CONFLICT DO NOTHING",
        taken.subject.number,
        &levels,
        &ids,
        &dates,
        &currencies as &[Option<String>],
        &attributions as &[Option<String>],
        &numbers,
    )
    .execute(tx)
    .await?;
    Ok(kept.rows_affected())
}

async fn go_on(tx: &mut PgConnection, taken: &AdsTaken<'_>) -> Result<(), LedgerError> {
    let (resume, next) = match &taken.then {
        Onward::Resume(place) => (Some(place.as_str()), None),
        Onward::Done(next) => (None, Some(*next)),
    };
    let (due_at, ended) = match next {
        Some(Next::At(at)) => (Some(at), None),
        Some(Next::Never(ending)) => (None, Some(ending.word())),
        None => (None, None),
    };
    sqlx::query!(
        "UPDATE metric_plan
         SET resume = $2,
             due_at = CASE WHEN $2::text IS NULL THEN $3::timestamptz ELSE due_at END,
             ended = CASE WHEN $2 IS NULL THEN $4::text ELSE ended END,
             captures = captures + CASE WHEN $2 IS NULL THEN 1 ELSE 0 END,
             captured_at = CASE WHEN $2 IS NULL THEN ledger_now() ELSE captured_at END
         WHERE number = $1",
        taken.subject.number,
        resume,
        due_at,
        ended,
    )
    .execute(tx)
    .await?;
    Ok(())
}
