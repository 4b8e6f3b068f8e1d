//! A look into postroom's ledger: was the call written down before it was made?

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

/// How long the ledger is waited for. A network does not stand still because postroom's database does.
const PATIENCE: Duration = Duration::from_secs(2);

/// A small pool of read connections to the ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    pool: PgPool,
}

impl Ledger {
    /// Prepares the pool. It connects by and by, so that on a busy machine no call has to wait for it.
    pub fn at(url: &str) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .min_connections(2)
            .max_connections(4)
            .acquire_timeout(PATIENCE)
            .connect_lazy(url)?;
        Ok(Self { pool })
    }

    /// Whether the ledger has a call of this id, for what it is used for: a commit was armed as one. None when the
    /// ledger cannot be asked.
    pub async fn knows(&self, call_id: &str, commit: bool) -> Option<bool> {
        let Ok(call_id) = Uuid::parse_str(call_id) else { return Some(false) };
        let looked_up =
            sqlx::query("SELECT 1 FROM remote_call WHERE call_id = $1 AND (kind = 'commit') = $2")
                .bind(call_id)
                .bind(commit)
                .fetch_optional(&self.pool);
        let found = tokio::time::timeout(PATIENCE, looked_up).await.ok()?;
        found.map(|row| row.is_some()).ok()
    }
}
