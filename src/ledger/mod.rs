//! Postgres, and the only SQL. One function a statement; every write that needs authority names the claim it
//! holds and the state it leaves, and counts its rows.

pub mod accept;
pub mod access;
pub mod accounts;
pub mod advertising;
pub mod analyses;
pub mod analysis_calls;
mod apart;
pub mod approval;
pub mod audit;
pub mod chain;
pub mod claims;
pub mod clock;
pub mod comments;
mod connecting;
pub mod connections;
pub mod consent;
pub mod control;
pub mod correction;
mod data_keys;
pub mod deletions;
pub mod deliveries;
pub mod draft_search;
mod drafts;
pub mod edit;
pub mod effects;
mod endings;
pub mod enqueue;
pub mod explain;
pub mod export;
pub mod exports;
pub mod figures;
pub mod finding_told;
pub mod flight;
pub mod forgetting;
mod freeze;
mod gathering;
mod grants;
pub mod group;
pub mod history;
pub mod idempotency;
pub mod identities;
pub mod invitations;
pub mod jobs;
pub mod keyring;
pub mod keys;
mod left_dialogs;
pub mod letters;
pub mod mail;
pub mod media;
pub mod members;
pub mod metric_plans;
mod offers;
pub mod origin;
pub mod orphans;
pub mod packing;
mod pair;
pub mod parting;
mod partings;
pub mod passes;
pub mod pauses;
pub mod people;
mod pool;
pub mod posts;
pub mod preflight;
pub mod publications;
mod purge;
mod receipts;
pub mod reconcile;
pub mod register;
mod rekey;
mod removals;
pub mod renewals;
pub mod repeats;
pub mod reports;
pub mod reseal;
pub mod rest;
pub mod restore;
pub mod retention;
pub mod schedules;
pub mod sendings;
pub mod series;
pub mod sessions;
pub mod settle;
mod shredding;
pub mod signing;
pub mod snapshots;
pub mod spare;
mod stages;
pub mod standing;
pub mod take_down;
mod telling;
pub mod tidings;
pub mod tombstones;
pub mod traffic;
pub mod uploads;
pub mod vault;
pub mod verdict;
pub mod webhooks;
mod withdraw;
pub mod workers;
pub mod workspaces;

use std::{str::FromStr, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, Executor, PgConnection, PgTransaction, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use apart::Bindings;
use audit::{Actor, Who};
use pool::{Plans, Pool};

pub use claims::{Back, Claim, Claimed, PutBack};
pub use connecting::ClaimedConnections;
pub use keyring::{KeyRing, Sealer};
pub use partings::ClaimedPartings;
pub use removals::ClaimedTakeDowns;

/// The longest that a connection which is taken or given back may need to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How often a write that met others is tried again before somebody is told, and the longest wait before that.
const TRIED_AGAIN: u32 = 4;
const AGAIN_WITHIN: Duration = Duration::from_millis(50);

/// How often, and how far apart, the ledger is asked what became of a commit whose answer was lost.
const FATE_ASKED: u32 = 20;
const FATE_AGAIN: Duration = Duration::from_millis(100);
/// A connection that was used a moment ago is used again without asking whether it is still good.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// The ledger, as one role sees it.
#[derive(Debug, Clone)]
pub struct Ledger {
    pool: Pool,
    who: Who,
}

/// Who asks: each role may touch only what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Changes the schema; the CLI's.
    Owner,
    /// Intake and console; cannot see a token.
    Web,
    /// Works on jobs.
    Worker,
}

/// Why the ledger did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be reached, or is shutting down, or is full. Nothing is known to have happened.
    #[error("the ledger is away: {0}")]
    Away(#[source] sqlx::Error),
    /// It went away while a transaction was being committed: what was written may stand, or not.
    #[error("the ledger went away during a commit: {0}")]
    Undecided(#[source] sqlx::Error),
    /// A named constraint refused.
    #[error("the ledger refused: {constraint}")]
    Refused {
        /// The constraint's name.
        constraint: String,
    },
    /// A statement that should have worked did not.
    #[error("the ledger failed: {0}")]
    Broken(#[source] sqlx::Error),
    /// A row holds what this build cannot read.
    #[error("the ledger holds {0}")]
    Unreadable(String),
}

impl LedgerError {
    /// Whether what was to be written is at fault, so that trying again cannot help: a named constraint, data that
    /// Postgres cannot keep (22), or too much of it (54000). Everything else may pass.
    pub fn blames_data(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Broken(sqlx::Error::Database(db)) => {
                db.code().is_some_and(|code| code.starts_with("22") || code == "54000")
            }
            Self::Away(_) | Self::Undecided(_) | Self::Broken(_) | Self::Unreadable(_) => false,
        }
    }

    /// Whether a statement was ended because it took too long.
    pub fn took_too_long(&self) -> bool {
        let Self::Away(error) = self else { return false };
        error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| code == "57014")
    }

    /// It was waited for in vain.
    pub fn late(late: tokio::time::error::Elapsed) -> Self {
        Self::Away(sqlx::Error::Io(late.into()))
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) => match (db.constraint(), db.code().as_deref()) {
                (Some(constraint), _) => Self::Refused { constraint: constraint.to_owned() },
                (None, Some(code)) if is_away(code) => Self::Away(error),
                // a row without a partition names its table, not a constraint
                (None, Some("23514")) => {
                    Self::Refused { constraint: db.table().unwrap_or_default().to_owned() }
                }
                (None, _) => Self::Broken(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Away(error),
            _ => Self::Broken(error),
        }
    }
}

/// Connection trouble (08), shutdown or a statement out of time (57), too few resources (53), read-only (25006), a conflict
/// that another try resolves (40001, 40P01), a plan older than its table (0A000).
fn is_away(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("57")
        || code.starts_with("53")
        || ["25006", "40001", "40P01", "0A000"].contains(&code)
}

/// Whether the same at once may well do: it met others in an order of their own (40001, 40P01), or a plan older than
/// its table (0A000) on a connection that is not used again.
fn passes(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["40001", "40P01", "0A000"].contains(&code.as_ref()))
}

/// Whether a connection is still good, which it shows soon or not at all.
async fn answers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    in_time(connection.ping()).await.map(|()| true)
}

/// Whether a connection can write.
async fn writes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let asked = in_time(sqlx::raw_sql("SHOW transaction_read_only").fetch_one(connection)).await?;
    Ok(asked.try_get::<&str, _>(0)? == "off")
}

async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(ANSWERS_WITHIN, answer).await {
        Ok(answer) => answer,
        Err(late) => Err(sqlx::Error::Io(late.into())),
    }
}

impl Ledger {
    /// Opens a pool of at most `size` connections, each switched to the narrower role where there is one.
    ///
    /// Connects lazily: an unreachable ledger is an error of the first statement, not of this call.
    ///
    /// # Errors
    /// The address cannot be read.
    pub fn open(url: &SecretString, role: Role, size: u32) -> Result<Self, LedgerError> {
        let options =
            PgConnectOptions::from_str(url.expose_secret())?.application_name("postroom").options([
                ("idle_in_transaction_session_timeout", "10s"),
                ("statement_timeout", "30s"),
                // statements here take milliseconds; compiling one takes hundreds
                ("jit", "off"),
            ]);
        let (plans, bindings) = (Plans::default(), Bindings::default());
        let (opened, bound) = (plans.clone(), bindings.clone());
        let open = move || {
            let (kept, made, released) = (opened.clone(), opened.clone(), bound.clone());
            PgPoolOptions::new()
                .max_connections(size)
                .acquire_timeout(Duration::from_secs(5))
                // the pool's own check waits for ever where a connection is half open, and keeps its place meanwhile
                .test_before_acquire(false)
                .before_acquire(move |connection, was| {
                    let outlived = kept.outlived(was.age);
                    Box::pin(async move {
                        Ok(!outlived && (was.idle_for < TRUSTED_FOR || answers(connection).await?))
                    })
                })
                .after_release(move |connection, _| Box::pin(released.clone().end(connection)))
                .after_connect(move |connection, _| {
                    let made = made.clone();
                    Box::pin(async move {
                        if let Some(statement) = role.switch() {
                            connection.execute(statement).await?;
                        }
                        if !writes(connection).await? {
                            made.outlive_newest();
                        }
                        Ok(())
                    })
                })
                .connect_lazy_with(options.clone())
        };
        Ok(Self { pool: Pool::new(open, plans, bindings), who: Who::of(role.actor()) })
    }

    /// The same ledger, for what somebody does: their deeds are written down as theirs.
    #[must_use]
    pub fn of(&self, who: Who) -> Self {
        Self { who, ..self.clone() }
    }

    /// Who acts, as it is written down.
    pub const fn who(&self) -> Who {
        self.who
    }

    /// Applies the migrations.
    ///
    /// # Errors
    /// The ledger is away, or a migration failed; the message names it.
    pub async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        sqlx::migrate!().run(&self.pool.now()).await
    }

    /// Runs a transaction; one that met others, or an old plan, is run again, a few times and at random moments.
    async fn patiently<T, F>(&self, transaction: impl Fn() -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        for _ in 0..TRIED_AGAIN {
            match transaction().await {
                Err(LedgerError::Away(error)) if passes(&error) => {
                    self.pool.heed(&error);
                    tokio::time::sleep(AGAIN_WITHIN.mul_f64(rand::random())).await;
                }
                other => return other,
            }
        }
        transaction().await
    }

    /// Commits. Where the answer to the commit is lost, asks on another connection what became of it.
    async fn commit(&self, tx: PgTransaction<'_>, xid: &str) -> Result<(), LedgerError> {
        let error = match tx.commit().await {
            Ok(()) => return Ok(()),
            Err(refused @ sqlx::Error::Database(_)) => return Err(refused.into()),
            Err(lost) => lost,
        };
        for _ in 0..FATE_ASKED {
            match self.fate(xid).await {
                Ok(Some(true)) => return Ok(()),
                Ok(Some(false)) => return Err(LedgerError::Away(error)),
                Ok(None) | Err(_) => tokio::time::sleep(FATE_AGAIN).await,
            }
        }
        Err(LedgerError::Undecided(error))
    }

    /// Whether a transaction was committed; `None` while its connection is not known to be gone.
    async fn fate(&self, xid: &str) -> Result<Option<bool>, LedgerError> {
        let status = sqlx::query_scalar!("SELECT pg_xact_status($1::text::xid8)", xid);
        let status = status.fetch_one(&self.pool).await?;
        Ok(match status.as_deref() {
            Some("committed") => Some(true),
            Some("aborted") => Some(false),
            _ => None,
        })
    }

    /// Whether the ledger answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        (&self.pool).execute("SELECT 1").await?;
        Ok(())
    }

    /// Gives every connection back, and lets nobody have one any more.
    pub async fn close(&self) {
        self.pool.now().close().await;
    }
}

impl Role {
    /// Who acts where nobody else is named.
    const fn actor(self) -> Actor {
        match self {
            Self::Owner => Actor::Operator,
            Self::Web => Actor::Nobody,
            Self::Worker => Actor::System,
        }
    }

    /// Takes the narrower role where the database has it and this one may.
    fn switch(self) -> Option<&'static str> {
        match self {
            Self::Owner => None,
            Self::Web => Some(
                "SELECT set_config('role', rolname, false) FROM pg_roles
                 WHERE rolname = current_database() || '_web' AND pg_has_role(oid, 'MEMBER')",
            ),
            Self::Worker => Some(
                "SELECT set_config('role', rolname, false) FROM pg_roles
                 WHERE rolname = current_database() || '_worker' AND pg_has_role(oid, 'MEMBER')",
            ),
        }
    }
}
