//! Keeping workspaces apart once more: a ledger that is bound to one says so to the database, whose policies then hide the
//! rows of all others from the web role (`migrations/20261123000400_bound_workspace_function.sql`).
//!
//! One pool of connections serves whoever is bound and whoever is not. No binding reaches anybody else, because a connection
//! that lies in the pool is bound to nothing:
//!
//! - One that is made is bound to nothing, and binding happens only after it was taken.
//! - It comes back by being dropped, whatever became of what was asked: an answer, an error, or a request that nobody waits
//!   for any more. Then the pool itself takes the binding from it ([`Bindings::end`]), in a task of its own that no request
//!   can end, and closes the connection unless it has said in time that this is done.
//! - Postgres does what it is sent in its order, and what was sent before is read to its end first: a binding that was cut
//!   short has been carried out by then, and so has the end of a transaction.
//! - A transaction binds itself alone, so that its end unbinds it. A connection that comes back within one (sqlx rolls back
//!   none whose beginning was cut short) is closed: what the next one wrote there would be lost besides.
//! - A pool that is replaced gets its own connections back, and unbinds or closes them likewise.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use super::{Ledger, LedgerError, answers, in_time};

impl Ledger {
    /// The same ledger, for what is done in one workspace: whatever a statement forgets to say, the web role sees, changes
    /// and adds nothing of another through it.
    #[must_use]
    pub fn within(&self, workspace: Uuid) -> Self {
        Self { pool: self.pool.bound_to(workspace), who: self.who }
    }

    /// Whether the database hides anything from this role: nothing from the owner of the tables, nor from who is above it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn is_kept_apart(&self) -> Result<bool, LedgerError> {
        let active = sqlx::query_scalar!(r#"SELECT row_security_active('account'::regclass) AS "active!""#);
        Ok(active.fetch_one(&self.pool).await?)
    }
}

/// Binds a connection until it comes back. What binds goes out as text, for what begins a transaction takes no parameters;
/// a [`Uuid`] is written in hexadecimal digits and hyphens, whatever it is.
pub(super) fn bind(workspace: Uuid) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("SET SESSION app.workspace = '{workspace}'"))
}

/// Begins a transaction that is bound until it ends.
pub(super) fn begin(workspace: Uuid) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("BEGIN; SET LOCAL app.workspace = '{workspace}'"))
}

/// Whether any connection of a pool may be bound. Workers bind none, and theirs are asked for less when they come back.
#[derive(Debug, Clone, Default)]
pub(super) struct Bindings(Arc<AtomicBool>);

impl Bindings {
    /// From now on some may be; said before the first one is.
    pub fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a connection that comes back is still good, which it shows by forgetting what it was bound to; one that is
    /// in the middle of a transaction is not.
    ///
    /// # Errors
    /// It is not, or does not say so in time.
    pub async fn end(self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if !self.0.load(Ordering::SeqCst) {
            return answers(connection).await;
        }
        // a statement by itself is as old as its transaction
        let unbind = "SELECT set_config('app.workspace', '', false), now() = statement_timestamp()";
        in_time(sqlx::raw_sql(unbind).fetch_one(connection)).await?.try_get(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_bound_along_with_its_beginning_and_for_itself_alone() {
        let AssertSqlSafe(text) = begin(Uuid::nil());
        assert_eq!(text, "BEGIN; SET LOCAL app.workspace = '00000000-0000-0000-0000-000000000000'");
    }
}
