//! People who sign in elsewhere: known by the provider's own name for them, and never by an address alone twice.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Actor, Entry, Who},
    invitations::{self, Joined},
    mail::{self, NewMail},
};

/// Somebody, as a provider knows them.
pub struct Known<'a> {
    /// Who says so.
    pub issuer: &'a str,
    /// What they call the person.
    pub subject: &'a str,
    /// An address that they have verified, in lower case.
    pub email: &'a str,
    /// Whether the provider knows that it is still theirs.
    pub vouched: bool,
    /// Given name.
    pub first_name: &'a str,
    /// Family name.
    pub last_name: &'a str,
    /// What tells them at that address that they are linked, where mail is sent.
    pub letter: Option<&'a NewMail>,
}

/// An account elsewhere by which somebody comes in.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Where it is.
    pub issuer: String,
    /// Since when they come in by it.
    pub linked_at: DateTime<Utc>,
}

/// What came of taking such an account away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlinked {
    /// Nobody comes in by it any more.
    Done,
    /// There is none.
    Missing,
    /// They could not come in at all then.
    LastWay,
}

/// What came of a sign-in elsewhere.
#[derive(Debug, Clone, Copy)]
pub enum Recognised {
    /// It is this person.
    Person(Uuid),
    /// It is somebody new, who has joined by the link that they followed.
    Joined(Joined),
    /// It is somebody new, who is invited and has followed none of the links: what they join is theirs to say.
    Invited,
    /// Nobody here has that account or that address, and nobody has invited them.
    Nobody,
    /// The provider does not know whether the address is still theirs, so it links them with nobody here.
    Unproved,
    /// Who has that address signs in with another account there.
    OtherAccount,
}

impl Ledger {
    /// Who that is: whoever is linked with the account; else, where the provider vouches for it, who has its address, and
    /// is linked from now on; else somebody new, who joins where the invitation leads whose link they followed.
    pub async fn recognise(
        &self,
        known: &Known<'_>,
        link: Option<&[u8; 32]>,
    ) -> Result<Recognised, LedgerError> {
        match self.recognise_once(known, link).await {
            // two sign-ins of one person at once: the other has linked them
            Err(LedgerError::Refused { .. }) => self.recognise_once(known, link).await,
            other => other,
        }
    }

    async fn recognise_once(
        &self,
        known: &Known<'_>,
        link: Option<&[u8; 32]>,
    ) -> Result<Recognised, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let linked = sqlx::query_scalar!(
            "SELECT person_id FROM person_identity WHERE issuer = $1 AND subject = $2",
            known.issuer,
            known.subject,
        );
        if let Some(person) = linked.fetch_optional(&mut *tx).await? {
            return Ok(Recognised::Person(person));
        }
        // whoever had the address once may keep their account there for ever
        if !known.vouched {
            return Ok(Recognised::Unproved);
        }
        let found = sqlx::query!(
            r#"SELECT p.id, EXISTS (SELECT FROM person_identity i WHERE i.person_id = p.id AND i.issuer = $2) AS "other!"
               FROM person p WHERE p.email = $1"#,
            known.email,
            known.issuer,
        );
        let came = match found.fetch_optional(&mut *tx).await? {
            Some(row) if row.other => Recognised::OtherAccount,
            Some(row) => {
                self.link(&mut tx, known, row.id).await?;
                Recognised::Person(row.id)
            }
            None => self.welcome(&mut tx, known, link).await?,
        };
        tx.commit().await?;
        Ok(came)
    }

    /// Somebody new: the invitation whose link they followed lets them in, where it went to the address that the provider
    /// vouches for. What other workspaces have asked is not answered by that.
    async fn welcome(
        &self,
        tx: &mut PgConnection,
        known: &Known<'_>,
        link: Option<&[u8; 32]>,
    ) -> Result<Recognised, LedgerError> {
        let followed = match link {
            Some(digest) => invitations::take_by_link(&mut *tx, digest, known.email).await?,
            None => None,
        };
        if let Some(it) = followed {
            let person = self.add_known(&mut *tx, known).await?;
            return Ok(Recognised::Joined(invitations::enter(tx, self.who(), person, it).await?));
        }
        let invited = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM invitation WHERE email = $1 AND expires_at > ledger_now()) AS "invited!""#,
            known.email,
        );
        Ok(if invited.fetch_one(tx).await? { Recognised::Invited } else { Recognised::Nobody })
    }

    /// Somebody whom a provider vouches for accepts one of the invitations to their address; who is new is known by that.
    /// `None`: it holds no more, or was somebody else's.
    ///
    /// # Errors
    /// Two of them at once: the other has made them known.
    pub async fn join_as_vouched(&self, id: Uuid, known: &Known<'_>) -> Result<Option<Joined>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let Some(it) = invitations::take_offered(&mut tx, id, known.email).await? else { return Ok(None) };
        let linked = sqlx::query_scalar!(
            "SELECT p.id FROM person_identity i JOIN person p ON p.id = i.person_id
             WHERE i.issuer = $1 AND i.subject = $2 AND p.email = $3",
            known.issuer,
            known.subject,
            known.email,
        );
        let person = match linked.fetch_optional(&mut *tx).await? {
            Some(person) => person,
            None => self.add_known(&mut tx, known).await?,
        };
        let joined = invitations::enter(&mut tx, self.who(), person, it).await?;
        tx.commit().await?;
        Ok(Some(joined))
    }

    /// Adds a person as the provider knows them.
    async fn add_known(&self, tx: &mut PgConnection, known: &Known<'_>) -> Result<Uuid, LedgerError> {
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
        self.link(tx, known, person).await?;
        Ok(person)
    }

    /// From now on that is this person.
    async fn link(&self, tx: &mut PgConnection, known: &Known<'_>, person: Uuid) -> Result<(), LedgerError> {
        sqlx::query!(
            "INSERT INTO person_identity (issuer, subject, person_id) VALUES ($1, $2, $3)",
            known.issuer,
            known.subject,
            person,
        )
        .execute(&mut *tx)
        .await?;
        if let Some(letter) = known.letter {
            mail::put(&mut *tx, letter).await?;
        }
        self.note_identity(tx, Action::SignInLinked, person, known.issuer).await
    }

    /// The accounts elsewhere by which a person comes in, the first one first.
    pub async fn identities_of(&self, person_id: Uuid) -> Result<Vec<Identity>, LedgerError> {
        let all = sqlx::query_as!(
            Identity,
            "SELECT issuer, created_at AS linked_at FROM person_identity WHERE person_id = $1 ORDER BY created_at, issuer",
            person_id,
        );
        Ok(all.fetch_all(&self.pool).await?)
    }

    /// Takes away the account elsewhere by which a person comes in, unless it is the last way in. No session ends by that.
    pub async fn unlink(&self, person_id: Uuid, issuer: &str) -> Result<Unlinked, LedgerError> {
        let mut tx = self.pool.begin().await?;
        // one after the other: of two that are taken away at once one stays
        let person = sqlx::query!(
            r#"SELECT password_hash IS NOT NULL AS "password!",
                      EXISTS (SELECT FROM person_identity i WHERE i.person_id = p.id AND i.issuer = $2) AS "linked!"
               FROM person p WHERE p.id = $1 FOR NO KEY UPDATE"#,
            person_id,
            issuer,
        );
        let person = person.fetch_optional(&mut *tx).await?.filter(|person| person.linked);
        let Some(person) = person else { return Ok(Unlinked::Missing) };
        let done = sqlx::query!(
            "DELETE FROM person_identity
             WHERE person_id = $1 AND issuer = $2
               AND ($3 OR EXISTS (SELECT FROM person_identity o WHERE o.person_id = $1 AND o.issuer <> $2))",
            person_id,
            issuer,
            person.password,
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(Unlinked::LastWay);
        }
        self.note_identity(&mut tx, Action::SignInUnlinked, person_id, issuer).await?;
        tx.commit().await?;
        Ok(Unlinked::Done)
    }

    /// Writes it down as the person's own deed.
    async fn note_identity(
        &self,
        tx: &mut PgConnection,
        action: Action,
        person: Uuid,
        issuer: &str,
    ) -> Result<(), LedgerError> {
        let entry = Entry {
            who: Who { actor: Actor::Person(person), ..self.who() },
            action,
            object: "person",
            object_id: person.to_string(),
            workspace_id: None,
            detail: json!({ "issuer": issuer }),
        };
        audit::record(tx, &entry).await
    }
}
