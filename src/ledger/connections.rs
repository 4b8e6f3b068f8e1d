//! Connections on their way, as the door sees them: begun, brought back by a dialog, chosen from. It puts secrets into the
//! vault, and takes none out.

use std::time::Duration;

use jobs::{
    connect::Connect,
    connections::{Offer, Stage},
    contract::{Class, Failure, Job},
    hint::Hint,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Ledger, LedgerError, Sealer, claims::interval, posts::failure, settle::kept};

/// How long a dialog may stay open.
pub const DIALOG_LASTS: Duration = Duration::from_mins(10);
/// How long somebody may take to choose.
pub const CHOICE_LASTS: Duration = Duration::from_mins(30);
/// How long a worker may take.
const WORK_LASTS: Duration = Duration::from_mins(15);
/// A connection that is over is forgotten after this.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// A connection about to begin.
#[derive(Debug, Clone, Copy)]
pub struct NewConnection<'a> {
    /// Whose accounts they will be.
    pub workspace_id: Uuid,
    /// Who connects them.
    pub person_id: Uuid,
    /// The network, by a platform of it.
    pub platform: &'a str,
    /// What the dialog will bring back.
    pub state: &'a str,
    /// The session in which it is begun.
    pub session: &'a str,
    /// Where the dialog will bring it back to.
    pub redirect_uri: &'a str,
}

/// What a dialog brought back.
#[derive(Debug, Clone, Copy)]
pub struct Returned<'a> {
    /// The workspace that the session looks at.
    pub workspace_id: Uuid,
    /// Who is signed in.
    pub person_id: Uuid,
    /// The network.
    pub platform: &'a str,
    /// What it was given.
    pub state: &'a str,
    /// The session that it came back to.
    pub session: &'a str,
    /// A code, or why there is none.
    pub said: Result<&'a str, &'a Failure>,
}

/// A connection as its person sees it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// It.
    pub id: Uuid,
    /// The network, by a platform of it.
    pub platform: String,
    /// How far it is.
    pub stage: Stage,
    /// What there is to choose from, or was.
    pub offers: Vec<Offer>,
    /// What was chosen of it.
    pub chosen: Vec<String>,
    /// Why it came to nothing.
    pub why: Option<Failure>,
}

/// A secret text as it is looked up: what is kept of it opens nothing.
fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Names the row that a sealed value belongs to.
pub(super) fn row_name(connection: Uuid, field: &str) -> String {
    format!("vault.connection_secret|{connection}|{field}")
}

impl Ledger {
    /// Begins a connection.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn begin_connection(&self, new: &NewConnection<'_>) -> Result<(), LedgerError> {
        sqlx::query!(
            "INSERT INTO connection (id, workspace_id, person_id, platform, state_digest, session_digest, redirect_uri,
                                     expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, ledger_now() + $8)",
            Uuid::now_v7(),
            new.workspace_id,
            new.person_id,
            new.platform,
            &digest(new.state),
            &digest(new.session),
            new.redirect_uri,
            interval(DIALOG_LASTS),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes what a dialog brought back, once: by the person, in the session and for the workspace that it was begun with,
    /// and in time. Anything else is nobody's, and changes nothing. The code goes sealed into the vault, and a job is made
    /// that exchanges it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn return_connection(
        &self,
        returned: &Returned<'_>,
        sealer: &Sealer,
    ) -> Result<Option<(Uuid, Option<Hint>)>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let (job, why) = (Uuid::now_v7(), returned.said.err().map(kept));
        let id = sqlx::query_scalar!(
            "UPDATE connection
             SET state = CASE WHEN $7::jsonb IS NULL THEN 'coded' ELSE 'refused' END::connection_state,
                 why = $7, ended_at = CASE WHEN $7::jsonb IS NULL THEN NULL ELSE ledger_now() END,
                 job_id = CASE WHEN $7::jsonb IS NULL THEN $6::uuid END, expires_at = ledger_now() + $8
             WHERE state_digest = $1 AND session_digest = $2 AND workspace_id = $3 AND person_id = $4 AND platform = $5
               AND state = 'asked' AND expires_at > ledger_now()
             RETURNING id",
            &digest(returned.state),
            &digest(returned.session),
            returned.workspace_id,
            returned.person_id,
            returned.platform,
            job,
            why,
            interval(WORK_LASTS),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(id) = id else { return Ok(None) };
        let Ok(code) = returned.said else {
            tx.commit().await?;
            return Ok(Some((id, None)));
        };
        put_away(&mut tx, id, code, sealer).await?;
        let due = begin_job(&mut tx, job, returned.workspace_id, id).await?;
        tx.commit().await?;
        Ok(Some((id, Some(due))))
    }

    /// A person's connection. One whose job was given up has come to nothing, and so has one that is past its time.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn connection(
        &self,
        workspace_id: Uuid,
        person_id: Uuid,
        id: Uuid,
    ) -> Result<Option<Connection>, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT c.id, c.platform, c.state::text AS "state!", c.offers, c.chosen, c.why,
                      c.state IN ('coded', 'granted', 'chosen') AND NOT EXISTS (SELECT FROM job WHERE job.id = c.job_id)
                          AS "given_up!",
                      c.ended_at IS NULL AND c.expires_at <= ledger_now() AS "late!"
               FROM connection c WHERE c.id = $1 AND c.workspace_id = $2 AND c.person_id = $3"#,
            id,
            workspace_id,
            person_id,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let unreadable = |what: &str| LedgerError::Unreadable(format!("the connection's {what}"));
        let stage = Stage::parse(&row.state).ok_or_else(|| unreadable(&row.state))?;
        let (stage, why) = match (row.late, row.given_up) {
            (true, _) => (Stage::Refused, Some(too_late())),
            (false, true) => (Stage::Refused, Some(given_up())),
            (false, false) => (stage, row.why.map(failure)),
        };
        Ok(Some(Connection {
            id: row.id,
            platform: row.platform,
            stage,
            offers: serde_json::from_value(row.offers).map_err(|_| unreadable("offers"))?,
            chosen: row.chosen,
            why,
        }))
    }

    /// Chooses what is to be connected, once, and makes the job that does it. None: it is not waiting for that.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn choose(
        &self,
        workspace_id: Uuid,
        person_id: Uuid,
        id: Uuid,
        keys: &[String],
    ) -> Result<Option<Hint>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let job = Uuid::now_v7();
        let chosen = sqlx::query_scalar!(
            "UPDATE connection SET state = 'chosen', chosen = $4, job_id = $5, expires_at = ledger_now() + $6
             WHERE id = $1 AND workspace_id = $2 AND person_id = $3 AND state = 'offered' AND expires_at > ledger_now()
             RETURNING id",
            id,
            workspace_id,
            person_id,
            keys,
            job,
            interval(WORK_LASTS),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(id) = chosen else { return Ok(None) };
        let due = begin_job(&mut tx, job, workspace_id, id).await?;
        tx.commit().await?;
        Ok(Some(due))
    }

    /// Ends connections that are past their time, shreds what is secret of all that are over, but for a grant that is to be
    /// given back, and forgets those that were over long ago. Returns how many were ended.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn end_connections(&self) -> Result<u64, LedgerError> {
        let done = sqlx::query!(
            "WITH forgotten AS (
                 DELETE FROM connection
                 WHERE ended_at < ledger_now() - $2::interval AND parting IS DISTINCT FROM 'asked'),
             shredded AS (
                 DELETE FROM vault.connection_secret s USING connection c
                 WHERE c.id = s.connection_id AND (c.ended_at IS NOT NULL OR c.expires_at <= ledger_now())
                   AND (s.field <> 'grant' OR c.ended_at IS NOT NULL AND c.parting IS DISTINCT FROM 'asked'))
             UPDATE connection c SET state = 'refused', why = $1, ended_at = ledger_now(),
                 -- by its own row, which is seen as it is now: a grant may be put away beside this
                 parting = CASE WHEN c.state IN ('granted', 'offered', 'chosen') THEN 'asked'::parting_state END
             WHERE c.ended_at IS NULL AND c.expires_at <= ledger_now()",
            kept(&too_late()),
            interval(FORGOTTEN_AFTER),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

fn too_late() -> Failure {
    Failure::new(Class::Permanent, "too_late", "it took too long")
}

fn given_up() -> Failure {
    Failure::new(Class::Transient, "given_up", "the network did not answer")
}

async fn put_away(
    connection: &mut PgConnection,
    id: Uuid,
    code: &str,
    sealer: &Sealer,
) -> Result<(), LedgerError> {
    let (key, blob) = sealer.seal(code.as_bytes(), &row_name(id, "code"));
    let kept = sqlx::query_scalar!("SELECT keep_connection_secret($1, 'code', $2, $3)", id, key, &blob)
        .fetch_one(connection)
        .await?;
    if kept == Some(true) {
        return Ok(());
    }
    Err(LedgerError::Unreadable(format!("no open connection {id} whose code could be kept")))
}

async fn begin_job(
    connection: &mut PgConnection,
    job: Uuid,
    workspace_id: Uuid,
    id: Uuid,
) -> Result<Hint, LedgerError> {
    let payload = json!(Connect { connection_id: id });
    let run_at = sqlx::query_scalar!(
        "INSERT INTO job (id, kind, workspace_id, run_at, payload) VALUES ($1, $2, $3, ledger_now(), $4) RETURNING run_at",
        job,
        Connect::KIND,
        workspace_id,
        payload,
    )
    .fetch_one(connection)
    .await?;
    Ok(Hint { kind: Connect::KIND.into(), workspace_id, job_id: job, run_at })
}
