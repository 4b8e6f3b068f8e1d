//! Who may go to a network now: rests, breakers and rates, shared by all workers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::gate::{Rate, Visit};
use sqlx::postgres::types::PgInterval;

use super::{Ledger, LedgerError, claims::interval};

/// The longest rest that strikes double to.
const STRIKE_MOST: Duration = Duration::from_hours(1);
/// What nobody has used for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// Whether a visit may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// It may.
    Free,
    /// It may, and shows whether a network that was broken is well again; known by the time it has for that.
    Probe(DateTime<Utc>),
    /// Not before then.
    Refused {
        /// Why: `app_rest`, `breaker`, `app_rate`, `workspace_rate` or `account_rate`.
        cause: String,
        /// When to ask again.
        ends_at: DateTime<Utc>,
    },
}

/// A network that is broken.
#[derive(Debug, Clone)]
pub struct Breaker {
    /// The platform's name.
    pub network: String,
    /// Nobody goes there until then; afterwards one looks.
    pub open_until: DateTime<Utc>,
    /// The time is over.
    pub half_open: bool,
}

impl Ledger {
    /// Takes a visit's calls out of the allowance, unless the app rests or the network is broken. A probe that is
    /// not answered for within `probing` is somebody else's.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn enter(&self, visit: &Visit<'_>, probing: Duration) -> Result<Entry, LedgerError> {
        self.enter_by(visit, probing, Rate::depth).await
    }

    /// The same for who goes last: in only where nobody else has lately been, so that nothing that others may need is
    /// taken.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn enter_last(&self, visit: &Visit<'_>, probing: Duration) -> Result<Entry, LedgerError> {
        self.enter_by(visit, probing, |_| 1).await
    }

    /// `depth` is how much of a bucket may be gone at most, as if no more than so many calls fitted into it.
    async fn enter_by(
        &self,
        visit: &Visit<'_>,
        probing: Duration,
        depth: fn(Rate) -> u32,
    ) -> Result<Entry, LedgerError> {
        let allowance = &visit.allowance;
        let app = allowance.app;
        let rates = [allowance.app_rate, allowance.workspace_rate, allowance.account_rate];
        let gaps = rates.map(|rate| rate.map(|rate| interval(rate.gap())));
        let depths = rates.map(|rate| i32::try_from(rate.map_or(1, depth)).unwrap_or(i32::MAX));
        let row = sqlx::query!(
            r#"SELECT cause AS "cause?", ends_at AS "ends_at?", probe AS "probe?"
               FROM enter_network($1, $2, $3, $4, $5, $6, $7, $8)"#,
            visit.network,
            app,
            visit.account,
            i32::try_from(visit.calls).unwrap_or(i32::MAX),
            &gaps as &[Option<PgInterval>],
            &depths,
            interval(probing),
            visit.comes_back,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(match (row.cause.zip(row.ends_at), row.probe) {
            (Some((cause, ends_at)), _) => Entry::Refused { cause, ends_at },
            (None, Some(until)) => Entry::Probe(until),
            (None, None) => Entry::Free,
        })
    }

    /// Leaves a network alone by an app for a while, because it asked for it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn rest_app(&self, app: &str, rest: Duration) -> Result<(), LedgerError> {
        sqlx::query!(
            "INSERT INTO app_rest (app, ends_at) VALUES ($1, ledger_now() + $2)
             ON CONFLICT (app) DO UPDATE SET ends_at = greatest(app_rest.ends_at, excluded.ends_at)",
            app,
            interval(rest),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The same where it did not say for how long: `first`, and twice as long each time that was too short, up to
    /// an hour. What was under way when the rest began is no other strike; an hour without one ends the series.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn strike_app(&self, app: &str, first: Duration) -> Result<(), LedgerError> {
        sqlx::query!(
            "INSERT INTO app_rest AS r (app, strikes, ends_at) VALUES ($1, 1, ledger_now() + $2::interval)
             ON CONFLICT (app) DO UPDATE
             SET strikes = CASE WHEN r.ends_at < ledger_now() - $3::interval THEN 1 ELSE r.strikes + 1 END,
                 ends_at = ledger_now() + CASE WHEN r.ends_at < ledger_now() - $3 THEN $2::interval
                                               ELSE least($2 * 2 ^ least(r.strikes, 20), greatest($2, $3)) END
             WHERE r.ends_at <= ledger_now()",
            app,
            interval(first),
            interval(STRIKE_MOST),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Lets nobody go to a network for a while. False: it is known to be broken already.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn open_breaker(&self, network: &str, lasting: Duration) -> Result<bool, LedgerError> {
        let rows = sqlx::query!(
            "INSERT INTO breaker (network, open_until) VALUES ($1, ledger_now() + $2) ON CONFLICT DO NOTHING",
            network,
            interval(lasting),
        )
        .execute(&self.pool)
        .await?;
        Ok(rows.rows_affected() == 1)
    }

    /// The probe found the network still broken: twice as long as the last time, up to `most`. One that came too late
    /// says nothing.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn keep_breaker(
        &self,
        network: &str,
        probe: DateTime<Utc>,
        first: Duration,
        most: Duration,
    ) -> Result<(), LedgerError> {
        sqlx::query!(
            "UPDATE breaker
             SET opened = opened + 1, probe_until = NULL, open_until = ledger_now() + least($2::interval * 2 ^ least(opened, 20), $3)
             WHERE network = $1 AND probe_until = $4",
            network,
            interval(first),
            interval(most),
            probe,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The probe ended before it had an answer: another may look at once.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn leave_probe(&self, network: &str, probe: DateTime<Utc>) -> Result<(), LedgerError> {
        sqlx::query!(
            "UPDATE breaker SET probe_until = NULL WHERE network = $1 AND probe_until = $2",
            network,
            probe,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The probe found the network well. One that came too late says nothing.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn close_breaker(&self, network: &str, probe: DateTime<Utc>) -> Result<(), LedgerError> {
        sqlx::query!("DELETE FROM breaker WHERE network = $1 AND probe_until = $2", network, probe)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The networks that are broken.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn breakers(&self) -> Result<Vec<Breaker>, LedgerError> {
        let rows = sqlx::query_as!(
            Breaker,
            r#"SELECT network, open_until, open_until <= ledger_now() AS "half_open!" FROM breaker ORDER BY network"#,
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Forgets what has not been used for long: buckets that are full, rests that are over.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn forget_traffic(&self) -> Result<(), LedgerError> {
        sqlx::query!(
            "WITH idle AS (DELETE FROM network_bucket WHERE greatest(full_at, promised) < ledger_now() - $1::interval)
             DELETE FROM app_rest WHERE ends_at < ledger_now() - $1::interval",
            interval(FORGOTTEN_AFTER),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
