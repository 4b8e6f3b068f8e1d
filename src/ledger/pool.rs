//! The pool of connections, and which of them are not used again.

use std::{
    ops::Deref,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use futures_util::{
    TryFutureExt, TryStreamExt,
    future::BoxFuture,
    stream::{BoxStream, StreamExt},
};
use sqlx::{
    Describe, Either, Error, Execute, Executor, Postgres, SqlStr,
    postgres::{PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

/// A pool that hears of plans which are older than their tables.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pool: PgPool,
    plans: Plans,
}

/// What is known of the plans that connections keep, and of connections that cannot write. A plan whose columns have
/// changed their types since fails on its connection for ever, and a migration makes such plans on every connection at
/// once. A connection that was made while the ledger was read-only stays so when it can be written again.
#[derive(Debug, Clone, Default)]
pub(super) struct Plans(Arc<RwLock<Option<Instant>>>);

impl Plans {
    /// Notices an error that tells of an old plan: whoever tries again gets a connection that has none.
    pub fn heed(&self, error: &Error) {
        if error.as_database_error().is_some_and(|db| db.code().as_deref() == Some("0A000")) {
            self.outlive();
        }
    }

    /// What was made until now is not used again.
    pub fn outlive(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age may keep such a plan.
    pub fn outlived(&self, age: Duration) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some_and(|met| age >= met.elapsed())
    }
}

impl Pool {
    pub fn new(pool: PgPool, plans: Plans) -> Self {
        Self { pool, plans }
    }

    /// See [`Plans::heed`]; for transactions, whose errors do not pass by here.
    pub fn heed(&self, error: &Error) {
        self.plans.heed(error);
    }
}

impl Deref for Pool {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.pool
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.pool.fetch_many(query).inspect_err(|error| self.plans.heed(error)).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(self.pool.fetch_optional(query).inspect_err(|error| self.plans.heed(error)))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        self.pool.describe(sql)
    }
}
