//! Who belongs to a workspace, and as what. There is always somebody who manages it.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry, Who},
    mail,
    people::MemberRole,
    reports,
};

/// A member, as whoever manages the workspace sees them.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The person.
    pub person_id: Uuid,
    /// What they are called.
    pub name: String,
    /// Their address.
    pub email: String,
    /// What they may do here.
    pub role: MemberRole,
}

/// What came of a change of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// It is so now.
    Changed,
    /// There is no such member.
    Missing,
    /// Nobody would be left to manage the workspace.
    LastAdmin,
}

impl Ledger {
    /// Everybody who belongs to a workspace, by name.
    pub async fn members(&self, workspace_id: Uuid) -> Result<Vec<Listed>, LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT p.id, p.first_name || ' ' || p.last_name AS "name!", p.email, m.role::text AS "role!"
               FROM membership m JOIN person p ON p.id = m.person_id
               WHERE m.workspace_id = $1 ORDER BY p.first_name, p.last_name, p.id"#,
            workspace_id,
        )
        .fetch_all(&self.pool)
        .await?;
        let listed = |row: (Uuid, String, String, String)| {
            let (person_id, name, email, role) = row;
            Ok(Listed { person_id, name, email, role: MemberRole::read(&role)? })
        };
        rows.into_iter().map(|row| listed((row.id, row.name, row.email, row.role))).collect()
    }

    /// Gives a member another role.
    pub async fn change_role(
        &self,
        workspace_id: Uuid,
        person_id: Uuid,
        role: MemberRole,
    ) -> Result<Membership, LedgerError> {
        let mut tx = self.pool.begin().await?;
        take_turns(&mut tx, workspace_id).await?;
        let done = sqlx::query!(
            "UPDATE membership SET role = $3::text::member_role
             WHERE workspace_id = $1 AND person_id = $2
               AND (role <> 'admin' OR $3 = 'admin'
                    OR EXISTS (SELECT FROM membership o
                               WHERE o.workspace_id = $1 AND o.role = 'admin' AND o.person_id <> $2))",
            workspace_id,
            person_id,
            role.word(),
        )
        .execute(&mut *tx)
        .await?;
        let came = came(&mut tx, done.rows_affected(), workspace_id, person_id).await?;
        if came == Membership::Changed {
            let (who, said) = (self.who(), json!({ "role": role.word() }));
            note(&mut tx, who, Action::MemberSet, (workspace_id, person_id), said).await?;
        }
        tx.commit().await?;
        Ok(came)
    }

    /// Takes a member out of a workspace. Wherever they are signed in, they are not any more.
    pub async fn remove_member(
        &self,
        workspace_id: Uuid,
        person_id: Uuid,
    ) -> Result<Membership, LedgerError> {
        let mut tx = self.pool.begin().await?;
        take_turns(&mut tx, workspace_id).await?;
        let done = sqlx::query!(
            "DELETE FROM membership
             WHERE workspace_id = $1 AND person_id = $2
               AND (role <> 'admin'
                    OR EXISTS (SELECT FROM membership o
                               WHERE o.workspace_id = $1 AND o.role = 'admin' AND o.person_id <> $2))",
            workspace_id,
            person_id,
        )
        .execute(&mut *tx)
        .await?;
        let came = came(&mut tx, done.rows_affected(), workspace_id, person_id).await?;
        if came == Membership::Changed {
            sqlx::query!("DELETE FROM session WHERE person_id = $1", person_id).execute(&mut *tx).await?;
            let sent = sqlx::query_scalar!(
                "DELETE FROM invitation WHERE workspace_id = $1 AND invited_by = $2 RETURNING mail_id",
                workspace_id,
                person_id,
            );
            for letter in sent.fetch_all(&mut *tx).await? {
                mail::take_back(&mut tx, letter).await?;
            }
            let about = (workspace_id, person_id);
            note(&mut tx, self.who(), Action::MemberRemoved, about, json!({})).await?;
            reports::take_back_of(&mut tx, self.who(), workspace_id, person_id).await?;
        }
        tx.commit().await?;
        Ok(came)
    }
}

/// Two who take each other's role at once do it one after the other: the second sees what the first has done.
async fn take_turns(tx: &mut PgConnection, workspace_id: Uuid) -> Result<(), LedgerError> {
    sqlx::query!("SELECT id FROM workspace WHERE id = $1 FOR NO KEY UPDATE", workspace_id)
        .fetch_optional(tx)
        .await?;
    Ok(())
}

/// Writes down what was done about somebody's membership.
pub(super) async fn note(
    tx: &mut PgConnection,
    who: Who,
    action: Action,
    (workspace_id, person_id): (Uuid, Uuid),
    detail: Value,
) -> Result<(), LedgerError> {
    let (object, object_id) = ("person", person_id.to_string());
    let entry = Entry { who, action, object, object_id, workspace_id: Some(workspace_id), detail };
    audit::record(tx, &entry).await
}

async fn came(
    tx: &mut PgConnection,
    rows: u64,
    workspace_id: Uuid,
    person_id: Uuid,
) -> Result<Membership, LedgerError> {
    if rows == 1 {
        return Ok(Membership::Changed);
    }
    let there = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM membership WHERE workspace_id = $1 AND person_id = $2) AS "there!""#,
        workspace_id,
        person_id,
    );
    Ok(if there.fetch_one(tx).await? { Membership::LastAdmin } else { Membership::Missing })
}
