//! A database of its own for each test.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, postgres::PgConnectOptions};
use uuid::Uuid;

/// A database that is dropped with its test.
pub struct Database {
    /// Its address.
    pub url: String,
    /// Reads what the tests assert.
    pub pool: PgPool,
    name: String,
    server: String,
}

fn server() -> String {
    std::env::var("TEST_DATABASE_URL")
        .expect("TEST_DATABASE_URL is not set: run the tests with bin/test, which starts a private Postgres")
}

impl Database {
    /// A fresh, empty one.
    pub async fn create() -> Self {
        Self::create_on(&server()).await
    }

    /// The same on another server.
    pub async fn create_on(server: &str) -> Self {
        let name = format!("t_{}", Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(server).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&name);
        let pool = PgPool::connect_lazy(url.as_str()).unwrap();
        Self { url: url.into(), pool, name, server: server.to_owned() }
    }

    /// Takes the ledger's clock into the test's hand, for every connection there is and will be.
    pub async fn own_clock(&self) {
        for statement in [
            "CREATE TABLE test_clock (shift interval NOT NULL)",
            "INSERT INTO test_clock VALUES ('0')",
            "CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE \
             RETURN statement_timestamp() + (SELECT shift FROM test_clock)",
        ] {
            self.pool.execute(statement).await.unwrap();
        }
    }

    /// Sets the ledger's clock, which then goes on.
    pub async fn set_clock(&self, now: DateTime<Utc>) {
        let set = "UPDATE test_clock SET shift = $1 - statement_timestamp()";
        sqlx::query(set).bind(now).execute(&self.pool).await.unwrap();
    }

    /// What the ledger's clock shows.
    pub async fn now(&self) -> DateTime<Utc> {
        sqlx::query_scalar("SELECT ledger_now()").fetch_one(&self.pool).await.unwrap()
    }

    /// Copies all there is now; [`Self::restore`] brings it back. Cuts every connection.
    pub async fn back_up(&self) {
        self.copy(&self.name, &self.backup()).await;
    }

    /// Makes everything as it was when it was copied. Cuts every connection.
    pub async fn restore(&self) {
        self.copy(&self.backup(), &self.name).await;
    }

    fn backup(&self) -> String {
        format!("{}_backup", self.name)
    }

    async fn copy(&self, from: &str, to: &str) {
        let mut connection = PgConnection::connect(&self.server).await.unwrap();
        for statement in [
            format!("ALTER DATABASE {from} ALLOW_CONNECTIONS false"),
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"),
            format!("DROP DATABASE IF EXISTS {to} WITH (FORCE)"),
            format!("CREATE DATABASE {to} TEMPLATE {from}"),
            format!("ALTER DATABASE {from} ALLOW_CONNECTIONS true"),
        ] {
            connection.execute(AssertSqlSafe(statement)).await.unwrap();
        }
    }

    /// One number of the ledger.
    pub async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).fetch_one(&self.pool).await.unwrap()
    }

    /// One number of the ledger, about what `$1` names in the statement.
    pub async fn count_of(&self, statement: &'static str, name: &str) -> i64 {
        sqlx::query_scalar(statement).bind(name).fetch_one(&self.pool).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (name, options) = (self.name.clone(), PgConnectOptions::from_str(&self.server));
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&options.unwrap()).await.unwrap();
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                connection.execute(AssertSqlSafe(drop)).await.unwrap();
            });
        });
        // a leftover database ends with the private server it is in
        let _left = dropping.join();
    }
}
