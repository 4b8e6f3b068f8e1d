//! Connected accounts, without their tokens.

use chrono::{DateTime, Utc};
pub use jobs::preflight::AccountState;
use jobs::{
    connections::Farewell,
    forecast::{self, Connection, End},
    preflight::Subject,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Ledger, LedgerError, audit::Actor};

/// The most accounts that a workspace may have connected at a time, and that a page shows of it.
pub const MOST: i64 = 500;

/// A connected account of a network.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// `facebook_page` and the like.
    pub platform: String,
    /// The network's id.
    pub external_id: String,
    /// What people call it.
    pub name: String,
    /// Whether it may be published on.
    pub state: AccountState,
    /// Why not.
    pub state_reason: Option<String>,
    /// When its access token ends, where the network names an end.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Something to renew its access with is kept.
    pub renewable: bool,
    /// When that ends, where the network says so.
    pub renewable_until: Option<DateTime<Utc>>,
    /// It should have been renewed by now.
    pub overdue: bool,
    /// When the network stops giving data.
    pub data_access_expires_at: Option<DateTime<Utc>>,
    /// Scopes that publishing needs and the grant lacks.
    pub missing_scopes: Vec<String>,
    /// Options a post may leave out.
    pub defaults: Value,
    /// When it was connected.
    pub created_at: DateTime<Utc>,
    /// Who connected it through the console, by name; none: it was connected otherwise, or they are known no more.
    pub connected_by: Option<String>,
    /// That somebody has disconnected it.
    pub parted: Option<Parted>,
}

/// How an account was disconnected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parted {
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: By,
    /// What became of its access; none: it is being taken back.
    pub access: Option<Farewell>,
}

/// Who disconnected an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Somebody of the staff, by name; none: they are known no more.
    Staff(Option<String>),
    /// A program with an API key.
    Key,
    /// Its owner, at the network.
    Network,
}

impl By {
    /// Who disconnects it that acts as this. Whoever has the operator's shell is of the staff.
    pub const fn of(actor: Actor) -> Self {
        match actor {
            Actor::Key(_) => Self::Key,
            Actor::Person(_) | Actor::Operator | Actor::System | Actor::Nobody => Self::Staff(None),
        }
    }

    /// The API's and the ledger's word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Staff(_) => "staff",
            Self::Key => "key",
            Self::Network => "network",
        }
    }
}

impl Account {
    /// What is looked at before something is published on it.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            name: &self.name,
            state: self.state,
            state_reason: self.state_reason.as_deref(),
            // what is renewed by itself ends with what renews it, and that is renewed too
            token_expires_at: match (self.renewable, self.overdue) {
                (true, true) => self.renewable_until,
                (true, false) => None,
                (false, _) => self.token_expires_at,
            },
            missing_scopes: &self.missing_scopes,
        }
    }

    /// When its connection ends, as far as that is known.
    pub fn end(&self, now: DateTime<Utc>) -> Option<End> {
        let connection = Connection {
            state: self.state,
            token_expires_at: self.token_expires_at,
            renewable: self.renewable,
            renewable_until: self.renewable_until,
            overdue: self.overdue,
            data_access_expires_at: self.data_access_expires_at,
            missing_scopes: &self.missing_scopes,
        };
        forecast::end(&connection, now)
    }
}

/// An account about to be connected.
#[derive(Debug, Clone, Copy)]
pub struct NewAccount<'a> {
    /// Whose it is.
    pub workspace_id: Uuid,
    /// `facebook_page` and the like.
    pub platform: &'a str,
    /// The network's id.
    pub external_id: &'a str,
    /// What people call it.
    pub name: &'a str,
    /// When its access token ends, where the network names an end.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Options a post may leave out, such as `privacy_level`.
    pub defaults: &'a Value,
    /// The person who granted the connection, by the network's app-scoped id.
    pub subject_id: Option<&'a str>,
    /// That person's address.
    pub subject_email: Option<&'a str>,
}

/// An account that was connected, perhaps again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connected {
    /// The account.
    pub id: Uuid,
    /// The generation its tokens are to be sealed under.
    pub token_generation: i64,
}

/// Connects an account, or connects it again: then it becomes active and its token generation grows.
///
/// Runs in the transaction that seals the tokens, so that no account stands without them.
///
/// # Errors
/// `account_platform_word`, `account_external_id_length`, `account_workspace_id_fkey`.
pub async fn connect_account(
    connection: &mut PgConnection,
    new: &NewAccount<'_>,
) -> Result<Connected, LedgerError> {
    let connected = sqlx::query_as!(
        Connected,
        "INSERT INTO account (id, workspace_id, platform, external_id, name, token_expires_at, defaults,
                              subject_id, subject_email)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         -- an account that is being erased is not connected again: another one takes its place
         ON CONFLICT (workspace_id, platform, external_id) WHERE deletion_id IS NULL DO UPDATE
         SET name = excluded.name, token_expires_at = excluded.token_expires_at,
             defaults = account.defaults || excluded.defaults,
             subject_id = coalesce(excluded.subject_id, account.subject_id),
             -- an address is a person's: of whoever granted it before nothing stays
             subject_email = CASE WHEN excluded.subject_email IS NULL AND excluded.subject_id <> account.subject_id THEN NULL
                                  ELSE coalesce(excluded.subject_email, account.subject_email) END,
             token_generation = account.token_generation + 1,
             connected_at = ledger_now(),
             -- what is being deleted, or was, does not come back to life by connecting
             state = CASE WHEN account.state IN ('frozen', 'erased') THEN account.state ELSE 'active' END,
             state_reason = CASE WHEN account.state IN ('frozen', 'erased') THEN account.state_reason END
         RETURNING id, token_generation",
        Uuid::now_v7(),
        new.workspace_id,
        new.platform,
        new.external_id,
        new.name,
        new.token_expires_at,
        new.defaults,
        new.subject_id,
        new.subject_email,
    )
    .fetch_one(connection)
    .await?;
    Ok(connected)
}

impl Ledger {
    /// Whether there is such an account, in any workspace.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn has_account(&self, id: Uuid, of: Option<Uuid>) -> Result<bool, LedgerError> {
        let found = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM account WHERE id = $1 AND ($2::uuid IS NULL OR workspace_id = $2)) AS "found!""#,
            id,
            of,
        );
        Ok(found.fetch_one(&self.pool).await?)
    }

    /// The workspace's accounts, as many as a page shows.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn shown_accounts(&self, workspace_id: Uuid) -> Result<Vec<Account>, LedgerError> {
        self.accounts(workspace_id, None, MOST).await
    }

    /// The workspace's accounts by id, after `after`, at most `limit`.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn accounts(
        &self,
        workspace_id: Uuid,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Account>, LedgerError> {
        self.find_accounts(workspace_id, None, after, limit).await
    }

    /// One of the workspace's accounts.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn account(&self, workspace_id: Uuid, id: Uuid) -> Result<Option<Account>, LedgerError> {
        Ok(self.find_accounts(workspace_id, Some(id), None, 1).await?.pop())
    }

    async fn find_accounts(
        &self,
        workspace_id: Uuid,
        id: Option<Uuid>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Account>, LedgerError> {
        find_accounts(&mut *self.pool.acquire().await?, workspace_id, id, after, limit).await
    }
}

/// The workspace's accounts by id, after `after`, at most `limit`; or the one.
pub(super) async fn find_accounts(
    connection: &mut PgConnection,
    workspace_id: Uuid,
    id: Option<Uuid>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Account>, LedgerError> {
    let rows = sqlx::query_as!(
        AccountRow,
        r#"SELECT id, platform, external_id, name, state::text AS "state!", state_reason, token_expires_at,
                  renewable, renewable_until, data_access_expires_at, missing_scopes, defaults, created_at,
                  greatest(connected_at, refreshed_at) AS "renewed_at!", ledger_now() AS "now!",
                  disconnected_at, disconnected_how, parting::text,
                  (SELECT first_name || ' ' || last_name FROM person WHERE person.id = disconnected_by) AS disconnected_name,
                  (SELECT first_name || ' ' || last_name FROM person WHERE person.id = connected_by) AS connected_name
           FROM account
           WHERE workspace_id = $1 AND state <> 'erased' AND ($2::uuid IS NULL OR id > $2)
             AND ($4::uuid IS NULL OR id = $4)
           ORDER BY id LIMIT $3"#,
        workspace_id,
        after,
        limit,
        id,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Account::try_from).collect()
}

/// The workspace's accounts among `ids`, locked so that none is paused or frozen before this commits.
pub(super) async fn lock_accounts(
    connection: &mut PgConnection,
    workspace_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Account>, LedgerError> {
    let rows = sqlx::query_as!(
        AccountRow,
        r#"SELECT id, platform, external_id, name, state::text AS "state!", state_reason, token_expires_at,
                  renewable, renewable_until, data_access_expires_at, missing_scopes, defaults, created_at,
                  greatest(connected_at, refreshed_at) AS "renewed_at!", ledger_now() AS "now!",
                  disconnected_at, disconnected_how, parting::text,
                  (SELECT first_name || ' ' || last_name FROM person WHERE person.id = disconnected_by) AS disconnected_name,
                  (SELECT first_name || ' ' || last_name FROM person WHERE person.id = connected_by) AS connected_name
           FROM account
           WHERE workspace_id = $1 AND id = ANY ($2) AND state <> 'erased'
           ORDER BY id -- one order for all, or two posts could wait for each other
           FOR SHARE"#,
        workspace_id,
        ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Account::try_from).collect()
}

struct AccountRow {
    id: Uuid,
    platform: String,
    external_id: String,
    name: String,
    state: String,
    state_reason: Option<String>,
    token_expires_at: Option<DateTime<Utc>>,
    renewable: bool,
    renewable_until: Option<DateTime<Utc>>,
    data_access_expires_at: Option<DateTime<Utc>>,
    missing_scopes: Vec<String>,
    defaults: Value,
    created_at: DateTime<Utc>,
    renewed_at: DateTime<Utc>,
    now: DateTime<Utc>,
    disconnected_at: Option<DateTime<Utc>>,
    disconnected_how: Option<String>,
    parting: Option<String>,
    disconnected_name: Option<String>,
    connected_name: Option<String>,
}

impl AccountRow {
    fn parted(&self) -> Option<Parted> {
        let by = match self.disconnected_how.as_deref() {
            Some("key") => By::Key,
            Some("network") => By::Network,
            Some(_) | None => By::Staff(self.disconnected_name.clone()),
        };
        let access = self.parting.as_deref().and_then(Farewell::parse);
        Some(Parted { at: self.disconnected_at?, by, access })
    }
}

impl TryFrom<AccountRow> for Account {
    type Error = LedgerError;

    fn try_from(row: AccountRow) -> Result<Self, LedgerError> {
        let state = AccountState::parse(&row.state)
            .ok_or_else(|| LedgerError::Unreadable(format!("the account state {}", row.state)))?;
        let parted = row.parted();
        Ok(Self {
            parted,
            id: row.id,
            platform: row.platform,
            external_id: row.external_id,
            name: row.name,
            state,
            state_reason: row.state_reason,
            token_expires_at: row.token_expires_at,
            renewable: row.renewable,
            renewable_until: row.renewable_until,
            overdue: forecast::is_overdue(row.renewed_at, row.renewable_until, row.now),
            data_access_expires_at: row.data_access_expires_at,
            missing_scopes: row.missing_scopes,
            defaults: row.defaults,
            created_at: row.created_at,
            connected_by: row.connected_name,
        })
    }
}
