//! Connections as the holder of one claim works on them: what is secret is opened here and nowhere else, and the accounts
//! that were chosen are connected in the transaction that ends the connection.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    connections::{Connections, Fresh, Granted, Missing, Offer, Offered, Offers, Stage, Standing, Taken},
    contract::{Failure, JobError},
    renewals::Begun,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Claim, KeyRing, Ledger, LedgerError,
    accounts::NewAccount,
    audit::{Actor, Who},
    claims::interval,
    connections::{CHOICE_LASTS, row_name},
    freeze,
    keyring::KeyError,
    offers::{end, is_being_deleted, is_being_revoked, known, ours, pair},
    settle::kept,
    telling::until_heard,
    vault::{VaultError, connect_in},
};

/// Connections, as the holder of one claim may touch them.
pub struct ClaimedConnections<'a> {
    ledger: &'a Ledger,
    ring: &'a KeyRing,
    claim: Claim,
}

impl<'a> ClaimedConnections<'a> {
    /// What the holder of `claim` may do.
    pub fn new(ledger: &'a Ledger, ring: &'a KeyRing, claim: Claim) -> Self {
        Self { ledger, ring, claim }
    }

    async fn opened(&self, connection: Uuid, field: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let sealed = sqlx::query_scalar!(
            "SELECT sealed FROM vault.connection_secret WHERE connection_id = $1 AND field = $2",
            connection,
            field,
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let open = |sealed: Vec<u8>| self.ring.open(&sealed, &row_name(connection, field));
        Ok(sealed.map(open).transpose()?)
    }

    async fn open(&self, connection: Uuid, field: &str) -> Result<Zeroizing<Vec<u8>>, JobError> {
        let opened = self.opened(connection, field).await.map_err(VaultError::into_job_error)?;
        opened.ok_or(JobError::Fenced)
    }

    /// Holds the claim, and the connection at that stage, for as long as the transaction lasts.
    async fn hold(&self, tx: &mut PgConnection, it: &Standing) -> Result<Held, JobError> {
        let row = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE)
               SELECT c.person_id, c.chosen, c.subject_id, c.offers FROM connection c
               WHERE c.id = $4 AND c.job_id = $1 AND c.state = $5::text::connection_state AND EXISTS (SELECT FROM fence)
               FOR UPDATE"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            it.id,
            it.stage.word(),
        )
        .fetch_optional(tx)
        .await
        .map_err(LedgerError::from)?;
        let row = row.ok_or(JobError::Fenced)?;
        let unreadable = |_| LedgerError::Unreadable("what a connection offered".into());
        let offers = serde_json::from_value(row.offers).map_err(unreadable)?;
        Ok(Held { person_id: row.person_id, chosen: row.chosen, subject_id: row.subject_id, offers })
    }
}

/// What was opened is not what was put away.
fn unopened() -> JobError {
    VaultError::from(KeyError::DoesNotOpen).into_job_error()
}

/// What is to be known of a connection that is held.
struct Held {
    person_id: Uuid,
    chosen: Vec<String>,
    subject_id: Option<String>,
    /// What somebody chose from.
    offers: Vec<Offer>,
}

impl Held {
    /// Whether it was chosen.
    fn wants(&self, offer: &Offer) -> bool {
        self.chosen.contains(&offer.key())
    }

    /// What was chosen and is offered no more.
    fn lost(&self, found: &[Offer]) -> Vec<Offer> {
        let gone = |it: &&Offer| self.wants(it) && found.iter().all(|found| found.key() != it.key());
        let lost = |it: &Offer| Offer { missing: vec![Missing::NoToken], ..it.clone() };
        self.offers.iter().filter(gone).map(lost).collect()
    }
}

impl Ledger {
    /// Keeps a grant: no fence, as long as the connection still waits for it. Kept again, it is kept.
    async fn keep_grant(
        &self,
        connection: Uuid,
        job: Uuid,
        key: &str,
        sealed: &[u8],
        call: Uuid,
    ) -> Result<bool, LedgerError> {
        let kept = sqlx::query_scalar!(
            r#"WITH moved AS (
                   UPDATE connection SET state = 'granted', granted_at = ledger_now()
                   WHERE id = $1 AND job_id = $2 AND state = 'coded' RETURNING id),
               gone AS (
                   DELETE FROM vault.connection_secret s USING moved
                   WHERE s.connection_id = moved.id AND s.field = 'code'),
               stored AS (
                   INSERT INTO vault.connection_secret (connection_id, field, key_id, sealed)
                   SELECT id, 'grant', $3, $4 FROM moved),
               closed AS (
                   UPDATE remote_call SET verdict = 'ok', finished_at = ledger_now() WHERE call_id = $5 AND verdict IS NULL)
               -- where only the answer was lost it stands already
               SELECT EXISTS (SELECT FROM moved)
                      OR EXISTS (SELECT FROM vault.connection_secret s
                                 WHERE s.connection_id = $1 AND s.field = 'grant' AND s.sealed = $4) AS "kept!""#,
            connection,
            job,
            key,
            sealed,
            call,
        );
        Ok(kept.fetch_one(&self.pool).await?)
    }
}

#[async_trait]
impl Connections for ClaimedConnections<'_> {
    async fn look(&self, connection: Uuid) -> Result<Option<Standing>, JobError> {
        let row = sqlx::query!(
            r#"SELECT id, workspace_id, platform, state::text AS "state!", redirect_uri FROM connection
               WHERE id = $1 AND job_id = $2 AND ended_at IS NULL AND expires_at > ledger_now()"#,
            connection,
            self.claim.job_id,
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let Some(row) = row else { return Ok(None) };
        let unreadable = || LedgerError::Unreadable(format!("the stage {} of a connection", row.state));
        Ok(Some(Standing {
            id: row.id,
            workspace_id: row.workspace_id,
            platform: row.platform,
            stage: Stage::parse(&row.state).ok_or_else(unreadable)?,
            redirect_uri: row.redirect_uri,
        }))
    }

    async fn code(&self, connection: Uuid) -> Result<SecretString, JobError> {
        let code = self.open(connection, "code").await?;
        std::str::from_utf8(&code).map(SecretString::from).map_err(|_| unopened())
    }

    async fn begin(&self, connection: Uuid, limit: Duration) -> Result<Begun, JobError> {
        let row = sqlx::query!(
            "WITH fence AS MATERIALIZED (
                 SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
             -- whoever sent it before is gone, and nobody will ever know
             lost AS (
                 UPDATE remote_call SET verdict = 'ambiguous', finished_at = ledger_now()
                 WHERE job_id = $1 AND kind = 'connect' AND verdict IS NULL AND EXISTS (SELECT FROM fence))
             INSERT INTO remote_call (call_id, job_id, epoch, worker_inc, kind, deadline_at)
             SELECT $4, $1, $2, $3, 'connect', ledger_now() + $6 FROM connection c
             WHERE c.id = $5 AND c.job_id = $1 AND c.state = 'coded' AND EXISTS (SELECT FROM fence)
             RETURNING call_id, started_at",
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            Uuid::now_v7(),
            connection,
            interval(limit),
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let row = row.ok_or(JobError::Fenced)?;
        Ok(Begun { call: row.call_id, at: row.started_at })
    }

    async fn granted(&self, it: &Standing, begun: Begun, fresh: Fresh) -> Result<(), JobError> {
        let ends = |life: Duration| begun.at + TimeDelta::from_std(life).unwrap_or(TimeDelta::days(36_500));
        let whole = Zeroizing::new(
            json!({
                "access": fresh.access.expose_secret(),
                "refresh": fresh.refresh.as_ref().map(ExposeSecret::expose_secret),
                "issued_at": begun.at,
                "access_ends": fresh.access_life.map(ends),
                "refresh_ends": fresh.refresh_life.map(ends),
                "scopes": fresh.scopes,
            })
            .to_string(),
        );
        let sealed = self.ring.seal(whole.as_bytes(), &row_name(it.id, "grant"));
        let (ledger, connection, call) = (self.ledger.clone(), it.id, begun.call);
        let (job, key) = (self.claim.job_id, self.ring.sealing_key().to_owned());
        // the only copy of it: told until it is heard
        let keep = move || {
            let (ledger, key, sealed) = (ledger.clone(), key.clone(), sealed.clone());
            async move { ledger.keep_grant(connection, job, &key, &sealed, call).await }
        };
        if until_heard(keep).await? { Ok(()) } else { Err(JobError::Fenced) }
    }

    async fn not_granted(&self, call: Uuid, failure: &Failure, certainly: bool) -> Result<(), JobError> {
        sqlx::query!(
            "UPDATE remote_call
             SET verdict = $2::text::call_verdict, finished_at = ledger_now(), remote_code = $3, remote_message = $4
             WHERE call_id = $1 AND kind = 'connect' AND verdict IS NULL",
            call,
            if certainly { "definite_no" } else { "ambiguous" },
            failure.code,
            failure.message,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Ok(())
    }

    async fn grant(&self, connection: Uuid) -> Result<Granted, JobError> {
        let opened = self.open(connection, "grant").await?;
        let whole: Value = serde_json::from_slice(&opened).map_err(|_| unopened())?;
        let secret = |name: &str| whole[name].as_str().map(SecretString::from);
        let time = |name: &str| -> Option<DateTime<Utc>> { whole[name].as_str()?.parse().ok() };
        Ok(Granted {
            access: secret("access").ok_or_else(unopened)?,
            refresh: secret("refresh"),
            issued_at: time("issued_at").ok_or_else(unopened)?,
            access_ends: time("access_ends"),
            refresh_ends: time("refresh_ends"),
            scopes: serde_json::from_value(whole["scopes"].clone()).unwrap_or_default(),
        })
    }

    async fn offer(&self, it: &Standing, offers: Offers) -> Result<(), JobError> {
        let mut tx = self.ledger.pool.begin().await.map_err(LedgerError::from)?;
        let it = &Standing { stage: Stage::Granted, ..it.clone() };
        self.hold(&mut tx, it).await?;
        if is_being_deleted(&mut tx, it.id, offers.subject_id.as_deref()).await? {
            return Err(JobError::Refused(freeze::deleting()));
        }
        let mut found: Vec<Offer> = offers.offered.into_iter().map(|offered| offered.offer).collect();
        ours(&mut tx, it.workspace_id, &mut found, false).await?;
        sqlx::query!(
            "UPDATE connection SET state = 'offered', offers = $2, subject_id = $3, expires_at = ledger_now() + $4
             WHERE id = $1",
            it.id,
            json!(found),
            offers.subject_id,
            interval(CHOICE_LASTS),
        )
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(())
    }

    async fn take(&self, it: &Standing, granted: &Granted, offers: Offers) -> Result<Taken, JobError> {
        let mut tx = self.ledger.pool.begin().await.map_err(LedgerError::from)?;
        let held = self.hold(&mut tx, it).await?;
        let subject = offers.subject_id.as_deref().or(held.subject_id.as_deref());
        if is_being_revoked(&mut tx, &it.platform, subject, &held.chosen).await? {
            return Ok(Taken::NotNow);
        }
        let (mut found, mut own): (Vec<Offer>, HashMap<String, Option<SecretString>>) = Default::default();
        for Offered { offer, own: token } in offers.offered {
            own.insert(offer.key(), token);
            found.push(offer);
        }
        found.retain(|offer| held.wants(offer));
        found.extend(held.lost(&found));
        ours(&mut tx, it.workspace_id, &mut found, true).await?;
        // a worker does it, for whoever chose
        let who = Who::of(Actor::Person(held.person_id));
        for offer in found.iter().filter(|offer| offer.missing.is_empty()) {
            let pair = pair(granted, own.remove(&offer.key()).flatten());
            let new = NewAccount {
                workspace_id: it.workspace_id,
                platform: &offer.platform,
                external_id: &offer.external_id,
                name: &offer.name,
                token_expires_at: pair.expires_at,
                defaults: &json!({}),
                subject_id: subject,
                subject_email: None,
            };
            let id = connect_in(&mut tx, who, &new, self.ring, &pair).await?;
            known(&mut tx, id, held.person_id, offers.data_access_ends).await?;
        }
        end(&mut tx, it.id, &found).await?;
        let xid = sqlx::query_scalar!(r#"SELECT pg_current_xact_id()::text AS "xid!""#)
            .fetch_one(&mut *tx)
            .await
            .map_err(LedgerError::from)?;
        self.ledger.commit(tx, &xid).await?;
        Ok(Taken::Yes)
    }

    async fn refuse(&self, connection: Uuid, failure: &Failure) -> Result<(), JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        sqlx::query!(
            "WITH over AS (
                 UPDATE connection c SET state = 'refused', why = $3, ended_at = ledger_now(),
                     -- a grant of whom all is being deleted is taken back by that
                     parting = CASE WHEN $4 AND c.state IN ('granted', 'offered', 'chosen') THEN 'asked'::parting_state END
                 WHERE c.id = $1 AND c.job_id = $2 AND c.ended_at IS NULL RETURNING c.id, c.parting)
             DELETE FROM vault.connection_secret s USING over
             WHERE s.connection_id = over.id AND (s.field <> 'grant' OR over.parting IS NULL)",
            connection,
            self.claim.job_id,
            kept(failure),
            failure.code != freeze::deleting().code,
        )
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        Ok(tx.commit().await.map_err(LedgerError::from)?)
    }
}
