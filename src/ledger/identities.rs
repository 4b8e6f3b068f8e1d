//! People who sign in elsewhere: known by the provider's own name for them, and never by an address alone twice.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Actor, Entry, Who},
    mail, members,
};

/// Somebody, as a provider knows them.
pub struct Known<'a> {
    /// Who says so.
    pub issuer: &'a str,
    /// What they call the person.
    pub subject: &'a str,
    /// An address that they have verified, in lower case.
    pub email: &'a str,
    /// Given name.
    pub first_name: &'a str,
    /// Family name.
    pub last_name: &'a str,
}

/// What came of a sign-in elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognised {
    /// It is this person.
    Person(Uuid),
    /// Nobody here has that account or that address, and nobody has invited them.
    Nobody,
    /// Who has that address signs in with another account there.
    OtherAccount,
}

impl Ledger {
    /// Who that is: whoever is linked with the account; else who has its address, and is linked from now on; else
    /// somebody new, where they are invited.
    pub async fn recognise(&self, known: &Known<'_>) -> Result<Recognised, LedgerError> {
        match self.recognise_once(known).await {
            // two sign-ins of one person at once: the other has linked them
            Err(LedgerError::Refused { .. }) => self.recognise_once(known).await,
            other => other,
        }
    }

    async fn recognise_once(&self, known: &Known<'_>) -> Result<Recognised, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let linked = sqlx::query_scalar!(
            "SELECT person_id FROM person_identity WHERE issuer = $1 AND subject = $2",
            known.issuer,
            known.subject,
        );
        if let Some(person) = linked.fetch_optional(&mut *tx).await? {
            return Ok(Recognised::Person(person));
        }
        let found = sqlx::query!(
            r#"SELECT p.id, EXISTS (SELECT FROM person_identity i WHERE i.person_id = p.id AND i.issuer = $2) AS "other!"
               FROM person p WHERE p.email = $1"#,
            known.email,
            known.issuer,
        );
        let person = match found.fetch_optional(&mut *tx).await? {
            Some(row) if row.other => return Ok(Recognised::OtherAccount),
            Some(row) => row.id,
            None => match enter(&mut tx, self.who(), known).await? {
                Some(person) => person,
                None => return Ok(Recognised::Nobody),
            },
        };
        sqlx::query!(
            "INSERT INTO person_identity (issuer, subject, person_id) VALUES ($1, $2, $3)",
            known.issuer,
            known.subject,
            person,
        )
        .execute(&mut *tx)
        .await?;
        let entry = Entry {
            who: Who { actor: Actor::Person(person), ..self.who() },
            action: Action::SignInLinked,
            object: "person",
            object_id: person.to_string(),
            workspace_id: None,
            detail: json!({ "issuer": known.issuer }),
        };
        audit::record(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok(Recognised::Person(person))
    }
}

/// Lets somebody new in wherever they are invited: the provider has verified the address that the invitations went to.
async fn enter(tx: &mut PgConnection, who: Who, known: &Known<'_>) -> Result<Option<Uuid>, LedgerError> {
    let invited = sqlx::query!(
        r#"DELETE FROM invitation WHERE email = $1 AND expires_at > ledger_now()
           RETURNING workspace_id, role::text AS "role!", mail_id"#,
        known.email,
    )
    .fetch_all(&mut *tx)
    .await?;
    if invited.is_empty() {
        return Ok(None);
    }
    let person = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO person (id, email, first_name, last_name) VALUES ($1, $2, $3, $4)",
        person,
        known.email,
        known.first_name,
        known.last_name,
    )
    .execute(&mut *tx)
    .await?;
    let who = Who { actor: Actor::Person(person), ..who };
    for it in invited {
        mail::take_back(tx, it.mail_id).await?;
        sqlx::query!(
            "INSERT INTO membership (person_id, workspace_id, role) VALUES ($1, $2, $3::text::member_role)",
            person,
            it.workspace_id,
            it.role,
        )
        .execute(&mut *tx)
        .await?;
        let said = json!({ "role": it.role });
        members::note(tx, who, Action::MemberSet, (it.workspace_id, person), said).await?;
    }
    Ok(Some(person))
}
