//! Invitations to a workspace: asked for, withdrawn, and accepted once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Actor, Entry, Who},
    claims::interval,
    mail::{self, NewMail},
    members,
    people::MemberRole,
};

/// Somebody to be invited.
pub struct NewInvitation<'a> {
    /// Where to.
    pub workspace_id: Uuid,
    /// In lower case.
    pub email: &'a str,
    /// Given name, until they say otherwise.
    pub first_name: &'a str,
    /// Family name, likewise.
    pub last_name: &'a str,
    /// What they may do there.
    pub role: MemberRole,
    /// Of what the link carries.
    pub digest: [u8; 32],
    /// Who asks them.
    pub invited_by: Uuid,
    /// How long the link holds.
    pub lasts: Duration,
}

/// An invitation that nobody has accepted yet.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// The workspace.
    pub workspace_id: Uuid,
    /// What the workspace is called.
    pub workspace_name: String,
    /// Whom it was sent to.
    pub email: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// What they may do there.
    pub role: MemberRole,
    /// Who asked, if they are still known.
    pub invited_by: Option<String>,
    /// Until when the link holds.
    pub expires_at: DateTime<Utc>,
    /// Whether it has not ended.
    pub holds: bool,
    /// When the letter went out.
    pub sent_at: Option<DateTime<Utc>>,
    /// Why the letter does not go out.
    pub mail_error: Option<String>,
    /// Whether the letter is still to be sent.
    pub mail_waits: bool,
    /// Who has that address already.
    pub person_id: Option<Uuid>,
}

/// What somebody says of themselves who joins.
pub struct Joining<'a> {
    /// Given name.
    pub first_name: &'a str,
    /// Family name.
    pub last_name: &'a str,
    /// Argon2id, in the PHC form; none where they sign in elsewhere.
    pub password_hash: Option<&'a str>,
}

/// Somebody who has joined.
#[derive(Debug, Clone, Copy)]
pub struct Joined {
    /// The person.
    pub person_id: Uuid,
    /// Where.
    pub workspace_id: Uuid,
}

/// An invitation that is accepted: it is gone by that.
pub(super) struct Taken {
    workspace_id: Uuid,
    role: String,
    mail_id: Option<Uuid>,
}

struct Row {
    id: Uuid,
    workspace_id: Uuid,
    workspace_name: String,
    email: String,
    first_name: String,
    last_name: String,
    role: String,
    invited_by: Option<String>,
    expires_at: DateTime<Utc>,
    holds: bool,
    sent_at: Option<DateTime<Utc>>,
    mail_error: Option<String>,
    mail_waits: bool,
    person_id: Option<Uuid>,
}

impl Row {
    fn read(self) -> Result<Invitation, LedgerError> {
        Ok(Invitation {
            role: MemberRole::read(&self.role)?,
            id: self.id,
            workspace_id: self.workspace_id,
            workspace_name: self.workspace_name,
            email: self.email,
            first_name: self.first_name,
            last_name: self.last_name,
            invited_by: self.invited_by,
            expires_at: self.expires_at,
            holds: self.holds,
            sent_at: self.sent_at,
            mail_error: self.mail_error,
            mail_waits: self.mail_waits,
            person_id: self.person_id,
        })
    }
}

impl Ledger {
    /// Invites somebody, with the letter that tells them; `false` where they are a member already. Whoever is invited
    /// again has the new link only.
    pub async fn invite(&self, new: &NewInvitation<'_>, letter: &NewMail) -> Result<bool, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let member = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM membership m JOIN person p ON p.id = m.person_id
                              WHERE m.workspace_id = $1 AND p.email = $2) AS "member!""#,
            new.workspace_id,
            new.email,
        );
        if member.fetch_one(&mut *tx).await? {
            return Ok(false);
        }
        let before = sqlx::query_scalar!(
            "DELETE FROM invitation WHERE workspace_id = $1 AND email = $2 RETURNING mail_id",
            new.workspace_id,
            new.email,
        );
        let before = before.fetch_optional(&mut *tx).await?.flatten();
        mail::take_back(&mut tx, before).await?;
        let (id, mail_id) = (Uuid::now_v7(), mail::put(&mut tx, letter).await?);
        sqlx::query!(
            "INSERT INTO invitation (id, workspace_id, email, first_name, last_name, role, digest, invited_by, mail_id,
                                     expires_at)
             VALUES ($1, $2, $3, $4, $5, $6::text::member_role, $7, $8, $9, ledger_now() + $10)",
            id,
            new.workspace_id,
            new.email,
            new.first_name,
            new.last_name,
            new.role.word(),
            &new.digest[..],
            new.invited_by,
            mail_id,
            interval(new.lasts),
        )
        .execute(&mut *tx)
        .await?;
        self.note_invitation(&mut tx, Action::Invited, (new.workspace_id, id), Some(new.role)).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn note_invitation(
        &self,
        tx: &mut PgConnection,
        action: Action,
        (workspace_id, id): (Uuid, Uuid),
        role: Option<MemberRole>,
    ) -> Result<(), LedgerError> {
        let entry = Entry {
            who: self.who(),
            action,
            object: "invitation",
            object_id: id.to_string(),
            workspace_id: Some(workspace_id),
            detail: role.map_or_else(|| json!({}), |role| json!({ "role": role.word() })),
        };
        audit::record(tx, &entry).await
    }

    /// The workspace's invitations that nobody has accepted, newest first; those that have ended are shown for a while.
    pub async fn invitations(&self, workspace_id: Uuid) -> Result<Vec<Invitation>, LedgerError> {
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT i.id, i.workspace_id, w.name AS workspace_name, i.email, i.first_name, i.last_name,
                      i.role::text AS "role!", p.first_name || ' ' || p.last_name AS invited_by, i.expires_at,
                      i.expires_at > ledger_now() AS "holds!", m.sent_at AS "sent_at?", m.error AS "mail_error?",
                      coalesce(m.try_at IS NOT NULL, false) AS "mail_waits!", known.id AS "person_id?"
               FROM invitation i JOIN workspace w ON w.id = i.workspace_id
                    LEFT JOIN person p ON p.id = i.invited_by LEFT JOIN mail m ON m.id = i.mail_id
                    LEFT JOIN person known ON known.email = i.email
               WHERE i.workspace_id = $1 ORDER BY i.id DESC"#,
            workspace_id,
        );
        rows.fetch_all(&self.pool).await?.into_iter().map(Row::read).collect()
    }

    /// The invitation that a link is of, if it still holds.
    pub async fn invitation(&self, digest: &[u8; 32]) -> Result<Option<Invitation>, LedgerError> {
        let row = sqlx::query_as!(
            Row,
            r#"SELECT i.id, i.workspace_id, w.name AS workspace_name, i.email, i.first_name, i.last_name,
                      i.role::text AS "role!", p.first_name || ' ' || p.last_name AS invited_by, i.expires_at,
                      true AS "holds!", m.sent_at AS "sent_at?", m.error AS "mail_error?",
                      coalesce(m.try_at IS NOT NULL, false) AS "mail_waits!", known.id AS "person_id?"
               FROM invitation i JOIN workspace w ON w.id = i.workspace_id
                    LEFT JOIN person p ON p.id = i.invited_by LEFT JOIN mail m ON m.id = i.mail_id
                    LEFT JOIN person known ON known.email = i.email
               WHERE i.digest = $1 AND i.expires_at > ledger_now()"#,
            &digest[..],
        );
        row.fetch_optional(&self.pool).await?.map(Row::read).transpose()
    }

    /// The invitations to an address that still hold, the first one first.
    pub async fn invitations_to(&self, email: &str) -> Result<Vec<Invitation>, LedgerError> {
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT i.id, i.workspace_id, w.name AS workspace_name, i.email, i.first_name, i.last_name,
                      i.role::text AS "role!", p.first_name || ' ' || p.last_name AS invited_by, i.expires_at,
                      true AS "holds!", m.sent_at AS "sent_at?", m.error AS "mail_error?",
                      coalesce(m.try_at IS NOT NULL, false) AS "mail_waits!", known.id AS "person_id?"
               FROM invitation i JOIN workspace w ON w.id = i.workspace_id
                    LEFT JOIN person p ON p.id = i.invited_by LEFT JOIN mail m ON m.id = i.mail_id
                    LEFT JOIN person known ON known.email = i.email
               WHERE i.email = $1 AND i.expires_at > ledger_now() ORDER BY i.id"#,
            email,
        );
        rows.fetch_all(&self.pool).await?.into_iter().map(Row::read).collect()
    }

    /// Takes an invitation back; `false` where there is none. Its link opens nothing any more.
    pub async fn withdraw_invitation(&self, workspace_id: Uuid, id: Uuid) -> Result<bool, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let row = sqlx::query!(
            "DELETE FROM invitation WHERE workspace_id = $1 AND id = $2 RETURNING mail_id",
            workspace_id,
            id,
        );
        let Some(row) = row.fetch_optional(&mut *tx).await? else { return Ok(false) };
        mail::take_back(&mut tx, row.mail_id).await?;
        self.note_invitation(&mut tx, Action::InvitationWithdrawn, (workspace_id, id), None).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Somebody new accepts the invitation of that link; `None` where it holds no more.
    ///
    /// # Errors
    /// `person_email_key`: somebody has that address meanwhile, who joins by signing in.
    pub async fn join_as_new(
        &self,
        digest: &[u8; 32],
        joining: &Joining<'_>,
    ) -> Result<Option<Joined>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let row = sqlx::query!(
            r#"DELETE FROM invitation WHERE digest = $1 AND expires_at > ledger_now()
               RETURNING workspace_id, email, role::text AS "role!", mail_id"#,
            &digest[..],
        );
        let Some(row) = row.fetch_optional(&mut *tx).await? else { return Ok(None) };
        let person_id = Uuid::now_v7();
        sqlx::query!(
            "INSERT INTO person (id, email, first_name, last_name, password_hash) VALUES ($1, $2, $3, $4, $5)",
            person_id,
            row.email,
            joining.first_name,
            joining.last_name,
            joining.password_hash,
        )
        .execute(&mut *tx)
        .await?;
        let it = Taken { workspace_id: row.workspace_id, role: row.role, mail_id: row.mail_id };
        let joined = enter(&mut tx, self.who(), person_id, it).await?;
        tx.commit().await?;
        Ok(Some(joined))
    }

    /// Somebody who is known accepts the invitation of that link, which was sent to their address; `None` where it
    /// was not, or holds no more.
    pub async fn join_as_known(
        &self,
        digest: &[u8; 32],
        person_id: Uuid,
    ) -> Result<Option<Joined>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let taken = sqlx::query_as!(
            Taken,
            r#"DELETE FROM invitation i USING person p
               WHERE i.digest = $1 AND i.expires_at > ledger_now() AND p.id = $2 AND p.email = i.email
               RETURNING i.workspace_id, i.role::text AS "role!", i.mail_id"#,
            &digest[..],
            person_id,
        );
        let Some(it) = taken.fetch_optional(&mut *tx).await? else { return Ok(None) };
        let joined = enter(&mut tx, self.who(), person_id, it).await?;
        tx.commit().await?;
        Ok(Some(joined))
    }
}

/// Takes the invitation of that link, if it was sent to this address and still holds.
pub(super) async fn take_by_link(
    tx: &mut PgConnection,
    digest: &[u8; 32],
    email: &str,
) -> Result<Option<Taken>, LedgerError> {
    let taken = sqlx::query_as!(
        Taken,
        r#"DELETE FROM invitation WHERE digest = $1 AND email = $2 AND expires_at > ledger_now()
           RETURNING workspace_id, role::text AS "role!", mail_id"#,
        &digest[..],
        email,
    );
    Ok(taken.fetch_optional(tx).await?)
}

/// Takes an invitation that was offered to whoever has that address, if it still holds.
pub(super) async fn take_offered(
    tx: &mut PgConnection,
    id: Uuid,
    email: &str,
) -> Result<Option<Taken>, LedgerError> {
    let taken = sqlx::query_as!(
        Taken,
        r#"DELETE FROM invitation WHERE id = $1 AND email = $2 AND expires_at > ledger_now()
           RETURNING workspace_id, role::text AS "role!", mail_id"#,
        id,
        email,
    );
    Ok(taken.fetch_optional(tx).await?)
}

/// Lets somebody in where they were invited.
pub(super) async fn enter(
    tx: &mut PgConnection,
    who: Who,
    person_id: Uuid,
    it: Taken,
) -> Result<Joined, LedgerError> {
    mail::take_back(&mut *tx, it.mail_id).await?;
    let joined = Joined { person_id, workspace_id: it.workspace_id };
    admit(tx, who, joined, &it.role).await?;
    Ok(joined)
}

/// Who is a member already keeps the role they have. It is their own deed.
async fn admit(tx: &mut PgConnection, who: Who, joined: Joined, role: &str) -> Result<(), LedgerError> {
    let done = sqlx::query!(
        "INSERT INTO membership (person_id, workspace_id, role) VALUES ($1, $2, $3::text::member_role)
         ON CONFLICT (person_id, workspace_id) DO NOTHING",
        joined.person_id,
        joined.workspace_id,
        role,
    )
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    let who = Who { actor: Actor::Person(joined.person_id), ..who };
    let about = (joined.workspace_id, joined.person_id);
    members::note(tx, who, Action::MemberSet, about, json!({ "role": role })).await
}
