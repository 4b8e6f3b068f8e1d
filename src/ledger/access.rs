//! Whose access is looked after next, who asked for it, and what will end.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use jobs::{machine::State, preflight::is_ahead};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry},
    claims::interval,
    control::Refusal,
    idempotency::Once,
    jobs::{JobRow, Write, one},
    renewals::AS_NEW,
};

/// A publication that a connection will not last for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// It.
    pub publication_id: Uuid,
    /// Its post.
    pub post_id: Uuid,
    /// When it is due.
    pub scheduled_for: DateTime<Utc>,
}

/// What the end of a connection breaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaks {
    /// The first of them.
    pub first: Vec<Broken>,
    /// How many there are.
    pub total: u64,
}

impl Breaks {
    /// How many there are, as things are counted.
    pub fn count(&self) -> usize {
        usize::try_from(self.total).unwrap_or(usize::MAX)
    }
}

impl Ledger {
    /// What is scheduled on each of these accounts from its moment on, the first `most` of each.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn breaks(
        &self,
        ends: &[(Uuid, DateTime<Utc>)],
        most: i64,
    ) -> Result<HashMap<Uuid, Breaks>, LedgerError> {
        breaks_of(&mut *self.pool.acquire().await?, ends, most).await
    }

    /// Makes the job that renews an account's access, or brings forward the one that there is, because a person asked.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn ask_renewal(&self, write: &Write<'_>) -> Result<Once<Result<JobRow, Refusal>>, LedgerError> {
        let asked = write.keyed.map(|(asked, _)| asked);
        let mut tx = match self.begin_once(asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        let row = match wished(&mut tx, write).await? {
            Ok(id) => one(&mut tx, None, id).await?.ok_or(Refusal::Missing),
            Err(refusal) => Err(refusal),
        };
        if let Ok(row) = &row {
            let (object_id, workspace_id) = (write.id.to_string(), Some(row.workspace_id));
            let (action, detail) = (Action::RenewalAsked, json!({ "job": row.id }));
            let entry = Entry { who: self.who(), action, object: "account", object_id, workspace_id, detail };
            audit::record(&mut tx, &entry).await?;
        }
        let answer = row.as_ref().ok().zip(write.keyed).map(|(row, (_, answer))| answer(row));
        self.commit_once(tx, asked, answer.as_ref()).await?;
        Ok(Once::Done(row))
    }

    /// Makes the job that renews an account's access of the generation that was refused, where that can mend it and none
    /// is under way. True: there is a new one.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn need_renewal(&self, account: Uuid, seen: i64) -> Result<bool, LedgerError> {
        let made = sqlx::query_scalar!(
            r#"INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
               SELECT $2, 'token_refresh', workspace_id, id, ledger_now(),
                      jsonb_build_object('account_id', id, 'needed', true)
               FROM account WHERE id = $1 AND state = 'active' AND renewable AND token_generation = $3
                 AND coalesce(refreshed_at <= ledger_now() - $4::interval, true)
               ON CONFLICT DO NOTHING
               RETURNING id"#,
            account,
            Uuid::now_v7(),
            seen,
            interval(AS_NEW),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(made.is_some())
    }

    /// Makes the job of up to `most` accounts whose access is to be looked after, and puts their next turn off by
    /// `every`, which stands where a job comes to nothing. Returns how many accounts there were.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn renew_due(&self, most: i64, every: Duration) -> Result<i64, LedgerError> {
        let ids: Vec<Uuid> = (0..most).map(|_| Uuid::now_v7()).collect();
        let accounts = sqlx::query_scalar!(
            r#"WITH due AS (
                   SELECT id, refresh_asked_at IS NOT NULL AS asked FROM account
                   WHERE (state IN ('active', 'paused') AND refresh_due_at <= ledger_now())
                      OR (refresh_asked_at IS NOT NULL AND NOT EXISTS (
                              SELECT FROM job j WHERE j.account_id = account.id AND j.kind = 'token_refresh'))
                   ORDER BY refresh_due_at LIMIT $1
                   -- skip locked: two workers may look at once, and one that is published on can wait
                   FOR NO KEY UPDATE SKIP LOCKED),
               taken AS (
                   UPDATE account a
                   SET refresh_due_at = ledger_now() + $2,
                       -- a job that there is may be past heeding it: the wish waits for that to be over
                       refresh_asked_at = CASE WHEN EXISTS (
                           SELECT FROM job j WHERE j.account_id = a.id AND j.kind = 'token_refresh') THEN refresh_asked_at END
                   FROM due WHERE a.id = due.id
                   RETURNING a.id, a.workspace_id, due.asked),
               numbered AS (SELECT id, workspace_id, asked, row_number() OVER (ORDER BY id) AS n FROM taken),
               made AS (
                   INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
                   SELECT x.id, 'token_refresh', numbered.workspace_id, numbered.id, ledger_now(),
                          jsonb_build_object('account_id', numbered.id, 'asked', numbered.asked)
                   FROM numbered JOIN unnest($3::uuid[]) WITH ORDINALITY AS x (id, n) ON x.n = numbered.n
                   ON CONFLICT DO NOTHING) -- it has one
               SELECT count(*) AS "accounts!" FROM taken"#,
            most,
            interval(every),
            &ids,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(accounts)
    }
}

/// What the ends of connections break, each by its account and the moment from which on.
pub(super) async fn breaks_of(
    connection: &mut PgConnection,
    ends: &[(Uuid, DateTime<Utc>)],
    most: i64,
) -> Result<HashMap<Uuid, Breaks>, LedgerError> {
    let (accounts, moments): (Vec<Uuid>, Vec<DateTime<Utc>>) = ends.iter().copied().unzip();
    let ahead: Vec<String> =
        State::ALL.iter().filter(|state| is_ahead(**state)).map(|state| state.word().to_owned()).collect();
    let rows = sqlx::query!(
        r#"SELECT e.account AS "account!", p.id, p.post_id, p.scheduled_for, p.total AS "total!"
           FROM unnest($1::uuid[], $2::timestamptz[]) AS e (account, moment)
           CROSS JOIN LATERAL (
               SELECT p.id, p.post_id, p.scheduled_for, count(*) OVER () AS total
               FROM publication p
               WHERE p.account_id = e.account AND p.scheduled_for >= e.moment
                 AND p.state = ANY ($3::text[]::publication_state[])
               ORDER BY p.scheduled_for LIMIT $4) p"#,
        &accounts,
        &moments,
        &ahead,
        most,
    )
    .fetch_all(connection)
    .await?;
    let mut breaks: HashMap<Uuid, Breaks> = HashMap::new();
    for row in rows {
        let of_one = breaks.entry(row.account).or_default();
        of_one.total = row.total.unsigned_abs();
        of_one.first.push(Broken {
            publication_id: row.id,
            post_id: row.post_id,
            scheduled_for: row.scheduled_for,
        });
    }
    Ok(breaks)
}

async fn wished(tx: &mut PgConnection, write: &Write<'_>) -> Result<Result<Uuid, Refusal>, LedgerError> {
    let account = sqlx::query!(
        r#"SELECT workspace_id, CASE WHEN parting IS NULL THEN state::text ELSE 'disconnected' END AS "state!" FROM account
           WHERE id = $1 AND ($2::uuid IS NULL OR workspace_id = $2) AND state <> 'erased' FOR NO KEY UPDATE"#,
        write.id,
        write.workspace_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(account) = account else { return Ok(Err(Refusal::Missing)) };
    if ["frozen", "disconnected"].contains(&account.state.as_str()) {
        return Ok(Err(Refusal::Account(account.state)));
    }
    let new = Uuid::now_v7();
    let id = sqlx::query_scalar!(
        r#"INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
           VALUES ($1, 'token_refresh', $2, $3, ledger_now(), jsonb_build_object('account_id', $3::uuid, 'asked', true))
           ON CONFLICT (account_id) WHERE kind = 'token_refresh' DO UPDATE
           SET run_at = least(job.run_at, excluded.run_at), payload = excluded.payload, epoch = job.epoch + 1
           RETURNING id"#,
        new,
        account.workspace_id,
        write.id,
    )
    .fetch_one(&mut *tx)
    .await?;
    if id != new {
        // whoever runs it already may be past heeding this: what is left of the wish is taken up after that
        sqlx::query!("UPDATE account SET refresh_asked_at = ledger_now() WHERE id = $1", write.id)
            .execute(tx)
            .await?;
    }
    Ok(Ok(id))
}
