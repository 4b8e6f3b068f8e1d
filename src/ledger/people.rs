//! Staff, and what they may do where.

use serde_json::json;
use uuid::Uuid;

use super::{Ledger, LedgerError, audit::Action, members};

/// What a member of a workspace may do. Ordered: each may do what the one before may.
///
/// `Privacy` stands beside the others: it looks, and works on privacy requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    /// Looks.
    Viewer,
    /// Writes posts, which wait for approval.
    Author,
    /// Schedules, approves, decides what is held, cancels and takes down.
    Publisher,
    /// Connects accounts, manages people and API keys.
    Admin,
    /// Looks, and works on privacy requests.
    Privacy,
}

impl MemberRole {
    /// Every role.
    pub const ALL: &'static [Self] =
        &[Self::Viewer, Self::Author, Self::Publisher, Self::Admin, Self::Privacy];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Author => "author",
            Self::Publisher => "publisher",
            Self::Admin => "admin",
            Self::Privacy => "privacy",
        }
    }

    /// The role of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.word() == word)
    }

    /// The role of a word that stands in a row.
    pub(super) fn read(word: &str) -> Result<Self, LedgerError> {
        Self::parse(word).ok_or_else(|| LedgerError::Unreadable(format!("the role {word}")))
    }

    /// Whether this role may do what `asked` may.
    pub const fn covers(self, asked: Self) -> bool {
        match (self.rank(), asked.rank()) {
            (Some(own), Some(asked)) => own >= asked,
            (None, Some(asked)) => asked == 0,
            (None, None) => true,
            (Some(own), None) => own == 3,
        }
    }

    const fn rank(self) -> Option<u8> {
        match self {
            Self::Viewer => Some(0),
            Self::Author => Some(1),
            Self::Publisher => Some(2),
            Self::Admin => Some(3),
            Self::Privacy => None,
        }
    }
}

/// Somebody new.
#[derive(Debug, Clone, Copy)]
pub struct NewPerson<'a> {
    /// Kept in lower case.
    pub email: &'a str,
    /// Given name.
    pub first_name: &'a str,
    /// Family name.
    pub last_name: &'a str,
    /// Argon2id, in the PHC form.
    pub password_hash: &'a str,
}

/// What sign-in compares with.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Whose.
    pub person_id: Uuid,
    /// Argon2id, in the PHC form; none of who signs in elsewhere.
    pub password_hash: Option<String>,
}

/// A person in one workspace.
#[derive(Debug, Clone)]
pub struct Member {
    /// The person.
    pub person_id: Uuid,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The workspace.
    pub workspace_id: Uuid,
    /// What the workspace is called.
    pub workspace_name: String,
    /// What the person may do there.
    pub role: MemberRole,
}

impl Ledger {
    /// Adds a person and returns their id.
    ///
    /// # Errors
    /// `person_email_key`: the address is taken.
    pub async fn add_person(&self, new: &NewPerson<'_>) -> Result<Uuid, LedgerError> {
        let id = Uuid::now_v7();
        sqlx::query!(
            "INSERT INTO person (id, email, first_name, last_name, password_hash)
             VALUES ($1, lower($2), $3, $4, $5)",
            id,
            new.email,
            new.first_name,
            new.last_name,
            new.password_hash,
        )
        .execute(&self.pool)
        .await?;
        Ok(id)
    }

    /// Lets a person into a workspace, or changes what they may do there.
    ///
    /// # Errors
    /// `membership_person_id_fkey`, `membership_workspace_id_fkey`: there is no such person or workspace.
    pub async fn add_membership(
        &self,
        person_id: Uuid,
        workspace_id: Uuid,
        role: MemberRole,
    ) -> Result<(), LedgerError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query!(
            "INSERT INTO membership (person_id, workspace_id, role) VALUES ($1, $2, $3::text::member_role)
             ON CONFLICT (person_id, workspace_id) DO UPDATE SET role = excluded.role",
            person_id,
            workspace_id,
            role.word(),
        )
        .execute(&mut *tx)
        .await?;
        let (about, said) = ((workspace_id, person_id), json!({ "role": role.word() }));
        members::note(&mut tx, self.who(), Action::MemberSet, about, said).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What the sign-in of that address compares with.
    pub async fn credential(&self, email: &str) -> Result<Option<Credential>, LedgerError> {
        let found = sqlx::query_as!(
            Credential,
            "SELECT id AS person_id, password_hash FROM person WHERE email = lower($1)",
            email,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found)
    }

    /// What a person's password is compared with, if they have one.
    pub async fn password_of(&self, person_id: Uuid) -> Result<Option<String>, LedgerError> {
        let hash = sqlx::query_scalar!("SELECT password_hash FROM person WHERE id = $1", person_id);
        Ok(hash.fetch_optional(&self.pool).await?.flatten())
    }

    /// Every workspace the person is a member of, by name.
    pub async fn memberships(&self, person_id: Uuid) -> Result<Vec<Member>, LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT p.first_name, p.last_name, w.id AS workspace_id, w.name AS workspace_name,
                      m.role::text AS "role!"
               FROM membership m JOIN person p ON p.id = m.person_id JOIN workspace w ON w.id = m.workspace_id
               WHERE m.person_id = $1 ORDER BY w.name"#,
            person_id,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let role = MemberRole::read(&row.role)?;
                Ok(Member {
                    person_id,
                    first_name: row.first_name,
                    last_name: row.last_name,
                    workspace_id: row.workspace_id,
                    workspace_name: row.workspace_name,
                    role,
                })
            })
            .collect()
    }

    /// What those are called who manage a workspace, the first few by name.
    pub async fn administrators(&self, workspace_id: Uuid) -> Result<Vec<String>, LedgerError> {
        let names = sqlx::query_scalar!(
            r#"SELECT p.first_name || ' ' || p.last_name AS "name!"
               FROM membership m JOIN person p ON p.id = m.person_id
               WHERE m.workspace_id = $1 AND m.role = 'admin' ORDER BY 1 LIMIT 3"#,
            workspace_id,
        );
        Ok(names.fetch_all(&self.pool).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_covers_itself_and_what_is_below() {
        use MemberRole::{Admin, Author, Privacy, Publisher, Viewer};
        for (own, asked, may) in [
            (Viewer, Viewer, true),
            (Viewer, Author, false),
            (Author, Viewer, true),
            (Author, Publisher, false),
            (Admin, Publisher, true),
            (Privacy, Viewer, true),
            (Privacy, Author, false),
            (Admin, Privacy, true),
            (Publisher, Privacy, false),
        ] {
            assert_eq!(own.covers(asked), may, "{own:?} {asked:?}");
        }
    }
}
