//! The pool of connections, and which of them are not used again.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use futures_util::{
    TryFutureExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream, StreamExt},
};
use sqlx::{
    Describe, Either, Error, Execute, Executor, PgTransaction, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use uuid::Uuid;

use super::apart::{self, Bindings};

/// A pool that gave nobody a connection for this long, and has somebody waiting, is replaced.
const STUCK_AFTER: Duration = Duration::from_secs(4);

/// A pool that was replaced is not replaced again before its statements have ended: where the ledger itself is what stands
/// still, each new pool would add its connections to those of the one before.
const REPLACED_EVERY: Duration = Duration::from_secs(30);

/// The longest from when a connection is looked at to when the pool counts its age.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// A pool that hears of plans which are older than their tables, and is replaced when it is stuck: sqlx asks a connection
/// that comes back whether it is well and waits without end, so that one which goes half open just then keeps its place
/// for good.
#[derive(Clone)]
pub(super) struct Pool {
    bound: Option<Uuid>,
    now: Arc<RwLock<PgPool>>,
    had: Arc<Mutex<Had>>,
    open: Arc<dyn Fn() -> PgPool + Send + Sync>,
    plans: Plans,
    bindings: Bindings,
}

/// When somebody last had a connection, and when the pool was last replaced.
struct Had {
    one: Instant,
    replaced: Option<Instant>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.now).finish()
    }
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

    /// The same, with the one that is just being made: its age counts from when it is ready.
    pub fn outlive_newest(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + READY_WITHIN);
    }

    /// Whether a connection of this age may keep such a plan.
    pub fn outlived(&self, age: Duration) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some_and(|met| age >= met.elapsed())
    }
}

impl Pool {
    /// One that is opened so, now and whenever it is stuck.
    pub fn new(open: impl Fn() -> PgPool + Send + Sync + 'static, plans: Plans, bindings: Bindings) -> Self {
        let now = Arc::new(RwLock::new(open()));
        Self {
            bound: None,
            now,
            had: Arc::new(Mutex::new(Had { one: Instant::now(), replaced: None })),
            open: Arc::new(open),
            plans,
            bindings,
        }
    }

    /// The same, whose connections are each bound to this workspace while somebody has them (see [`apart`]). A statement by
    /// itself costs a round trip more; a transaction costs none, for it is bound along with its beginning.
    pub fn bound_to(&self, workspace: Uuid) -> Self {
        self.bindings.begin();
        Self { bound: Some(workspace), ..self.clone() }
    }

    /// See [`Plans::heed`]; for transactions, whose errors do not pass by here.
    pub fn heed(&self, error: &Error) {
        self.plans.heed(error);
    }

    /// The pool as sqlx knows it, for what it alone can do.
    pub fn now(&self) -> PgPool {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection.
    ///
    /// # Errors
    /// There is none, or none free in time.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        let waiting = Waiting(Some(self));
        let mut connection = waiting.over(self.now().acquire().await)?;
        if let Some(workspace) = self.bound {
            connection.execute(apart::bind(workspace)).await?;
        }
        Ok(connection)
    }

    /// A transaction.
    ///
    /// # Errors
    /// There is no connection, or none free in time.
    pub async fn begin(&self) -> Result<PgTransaction<'static>, Error> {
        let waiting = Waiting(Some(self));
        let pool = self.now();
        waiting.over(match self.bound {
            None => pool.begin().await,
            Some(workspace) => pool.begin_with(apart::begin(workspace)).await,
        })
    }

    fn had_one(&self) {
        self.had.lock().unwrap_or_else(PoisonError::into_inner).one = Instant::now();
    }

    fn had_none(&self) {
        let mut had = self.had.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = had.replaced.is_some_and(|at| at.elapsed() < REPLACED_EVERY);
        if had.one.elapsed() >= STUCK_AFTER && !lately {
            *had = Had { one: Instant::now(), replaced: Some(Instant::now()) };
            *self.now.write().unwrap_or_else(PoisonError::into_inner) = (self.open)();
            tracing::warn!("no connection to the ledger came free; a pool is opened anew");
        }
    }
}

/// A wait for a connection, whose end is noticed also where it is given up.
struct Waiting<'p>(Option<&'p Pool>);

impl Waiting<'_> {
    fn over<T>(mut self, got: Result<T, Error>) -> Result<T, Error> {
        if !matches!(got, Err(Error::PoolTimedOut))
            && let Some(pool) = self.0.take()
            && got.is_ok()
        {
            pool.had_one();
        }
        got
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(pool) = self.0 {
            pool.had_none();
        }
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = async move {
            let mut connection = self.acquire().await?;
            let rows: Vec<_> = connection.fetch_many(query).collect().await;
            Ok::<_, Error>(stream::iter(rows))
        };
        stream::once(rows).try_flatten().inspect_err(|error| self.plans.heed(error)).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let row = async move { self.acquire().await?.fetch_optional(query).await };
        Box::pin(row.inspect_err(|error| self.plans.heed(error)))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.acquire().await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.acquire().await?.describe(sql).await })
    }
}
