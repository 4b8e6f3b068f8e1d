//! A new pair of tokens, from the network's answer to the vault.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    renewals::{Access, Begun},
    tokens::{self, Turn},
};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    data_keys::{Owner, SealedKey, Sealing},
    renewals::words,
    telling::ANSWERS_WITHIN,
    vault::row_name,
};

/// The wait before a pair that could not be saved is saved again.
const SAVE_AGAIN: Duration = Duration::from_millis(200);

/// A pair of which nothing is missing.
pub(super) struct Whole {
    pub access: SecretString,
    pub refresh: SecretString,
    /// The access token stays as it is, and so does its life.
    pub stays: bool,
    /// When it ends then.
    pub ends_at: Option<DateTime<Utc>>,
    pub access_life: Option<Duration>,
    pub refresh_life: Option<Duration>,
    pub missing: Option<Vec<String>>,
}

/// The same, sealed for the generation it will be of, and ready to be kept.
#[derive(Debug)]
pub(super) struct Sealed {
    account: Uuid,
    /// The generation it is of.
    generation: i64,
    call: Uuid,
    key_id: String,
    /// The data key that both are sealed under.
    key: Option<SealedKey>,
    access: Vec<u8>,
    refresh: Vec<u8>,
    access_stays: bool,
    issued_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    refresh_expires_at: Option<DateTime<Utc>>,
    due_at: DateTime<Utc>,
    missing: Option<Vec<String>>,
}

impl Sealed {
    /// Seals a pair. Its life is counted from before it was asked for.
    pub fn of(it: &Access, begun: Begun, pair: Whole, sealing: &Sealing<'_>) -> Self {
        let (account, generation) = (it.account.id, it.generation + 1);
        let seal = |field: &str, secret: &SecretString| {
            let name = row_name(it.workspace_id, account, field, generation);
            sealing.seal(secret.expose_secret().as_bytes(), &name)
        };
        let ends = |life: Duration| begun.at + TimeDelta::from_std(life).unwrap_or(TimeDelta::days(36_500));
        let expires_at = pair.access_life.map(ends).or(pair.ends_at);
        let refresh_expires_at = pair.refresh_life.map(ends);
        // what a renewal does not change is no reason for another one
        let access = (begun.at, expires_at.filter(|_| !pair.stays));
        let from = tokens::renew_from(&[access, (begun.at, refresh_expires_at)]);
        Self {
            account,
            generation,
            call: begun.call,
            key_id: sealing.key_id().to_owned(),
            key: sealing.kept(Owner { workspace: it.workspace_id, account }),
            access: seal("access", &pair.access),
            refresh: seal("refresh", &pair.refresh),
            access_stays: pair.stays,
            issued_at: begun.at,
            expires_at,
            refresh_expires_at,
            due_at: tokens::look_after(from, begun.at),
            missing: pair.missing,
        }
    }
}

impl Ledger {
    /// Keeps a pair in one statement: it alone lies between the network's answer and the next generation.
    async fn keep_pair(&self, new: &Sealed) -> Result<bool, LedgerError> {
        let fields = ["access".to_owned(), "refresh".to_owned()];
        let sealed = [new.access.clone(), new.refresh.clone()];
        let key = new.key.as_ref();
        let kept = sqlx::query_scalar!(
            r#"WITH won AS (
                   UPDATE account a
                   SET token_generation = $3::bigint, refresh_state = 'idle', refresh_call = NULL, refreshed_at = ledger_now(),
                       refresh_asked_at = CASE WHEN refresh_asked_at > $10 THEN refresh_asked_at END,
                       refresh_due_at = $4, refresh_wait = DEFAULT, token_expires_at = $5, renewable_until = $6,
                       missing_scopes = coalesce($7, missing_scopes),
                       -- a pair is proof: whoever was told to connect the account need not
                       state = CASE WHEN state = 'reconnect' AND parting IS NULL THEN 'active' ELSE state END,
                       state_reason = CASE WHEN state = 'reconnect' AND parting IS NULL THEN NULL ELSE state_reason END
                   WHERE a.id = $1 AND a.token_generation = $3::bigint - 1
                     AND a.refresh_state = ANY ($8::text[]::refresh_state[])
                     -- of an account that is being deleted too: its grant is taken back by the newest pair
                     AND a.state <> 'erased'
                     -- by the call that it waits for, or by one that was given up on and answers after all, be it when
                     -- the account was told to be connected again
                     AND (a.refresh_call = $2
                          OR EXISTS (SELECT FROM remote_call c
                                     WHERE c.call_id = $2 AND c.account_id = a.id AND c.verdict = 'ambiguous'))
                   RETURNING a.id, a.parting),
               closed AS (
                   UPDATE remote_call c
                   SET verdict = CASE WHEN c.call_id = $2 THEN 'ok'::call_verdict ELSE 'ambiguous' END,
                       finished_at = coalesce(c.finished_at, ledger_now())
                   FROM won WHERE c.account_id = won.id AND c.kind = 'refresh' AND (c.call_id = $2 OR c.verdict IS NULL)),
               stored AS (
                   INSERT INTO vault.token (account_id, field, generation, key_id, sealed, issued_at, expires_at)
                   SELECT won.id, f.field, $3, $9, f.sealed, $10, CASE f.field WHEN 'access' THEN $5 ELSE $6 END
                   FROM won, unnest($11::text[], $12::bytea[]) AS f (field, sealed)
                   ON CONFLICT (account_id, field) DO UPDATE
                   SET generation = excluded.generation, key_id = excluded.key_id, sealed = excluded.sealed,
                       issued_at = CASE WHEN token.field = 'access' AND $13 THEN token.issued_at ELSE excluded.issued_at END,
                       expires_at = excluded.expires_at
                   RETURNING 1),
               keyed AS (
                   INSERT INTO vault.data_key (account_id, id, cipher, key_id, sealed)
                   SELECT won.id, $14::uuid, $15::text, $16::text, $17::bytea FROM won
                   -- after the tokens: whoever deletes them goes that way, too
                   WHERE $14::uuid IS NOT NULL AND (SELECT count(*) FROM stored) > 0
                   ON CONFLICT (account_id) DO UPDATE
                   SET id = excluded.id, cipher = excluded.cipher, key_id = excluded.key_id, sealed = excluded.sealed,
                       created_at = excluded.created_at),
               awake AS (
                   UPDATE job SET standing = 'active', epoch = job.epoch + 1
                   FROM won WHERE job.account_id = won.id AND job.kind = 'publish' AND job.standing = 'paused'
                     AND won.parting IS NULL)
               SELECT EXISTS (SELECT FROM won) AS "won!""#,
            new.account,
            new.call,
            new.generation,
            new.due_at,
            new.expires_at,
            new.refresh_expires_at,
            new.missing.as_deref(),
            &words(Turn::Save.from()),
            new.key_id,
            new.issued_at,
            &fields,
            &sealed,
            new.access_stays,
            key.map(|key| key.id),
            key.map(|key| key.cipher.as_str()),
            key.map(|key| key.key_id.as_str()),
            key.map(|key| key.sealed.as_slice()),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(kept)
    }

    /// The same, from memory until it stands or somebody was first: there is no other copy of it.
    pub(super) async fn keep_pair_surely(&self, new: &Sealed) -> Result<bool, LedgerError> {
        until_kept(new.account, ANSWERS_WITHIN, || self.keep_pair(new)).await
    }
}

/// Tries again for as long as trying again can help. An answer that does not come is not waited for: its connection is
/// half open.
async fn until_kept<F>(account: Uuid, within: Duration, keep: impl Fn() -> F) -> Result<bool, LedgerError>
where
    F: Future<Output = Result<bool, LedgerError>>,
{
    loop {
        let kept = tokio::time::timeout(within, keep()).await;
        match kept.unwrap_or_else(|late| Err(LedgerError::late(late))) {
            Err(error) if !error.blames_data() => {
                tracing::warn!(%error, %account, "a new pair of tokens could not be saved yet");
            }
            other => return other,
        }
        tokio::time::sleep(SAVE_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use jobs::{
        desk::Account,
        preflight::AccountState,
        tokens::{Phase, Standing},
    };

    use super::{
        super::{KeyRing, keyring},
        *,
    };

    fn access() -> Access {
        Access {
            account: Account {
                id: Uuid::now_v7(),
                platform: "facebook_page".into(),
                external_id: "1".into(),
            },
            workspace_id: Uuid::now_v7(),
            generation: 1,
            ends_at: None,
            standing: Standing {
                state: AccountState::Active,
                phase: Phase::Idle,
                open_until: None,
                renew_from: None,
                renewable: true,
            },
            now: DateTime::UNIX_EPOCH,
        }
    }

    fn sealed(stays: bool, ends_at: Option<DateTime<Utc>>, access_life: Option<Duration>) -> Sealed {
        let ring = KeyRing::parse(&keyring::generate(keyring::Cipher::XChaCha20Poly1305)).expect("parses");
        let begun = Begun { call: Uuid::now_v7(), at: DateTime::UNIX_EPOCH };
        let whole = Whole {
            access: SecretString::from("a"),
            refresh: SecretString::from("r"),
            stays,
            ends_at,
            access_life,
            refresh_life: None,
            missing: None,
        };
        Sealed::of(&access(), begun, whole, &Sealing::new(&ring, false))
    }

    #[tokio::test]
    async fn a_pair_is_saved_until_it_stands_whatever_goes_wrong_but_the_pair_itself() {
        let tries = AtomicU32::new(0);
        let soon = Duration::from_millis(20);
        let kept = until_kept(Uuid::nil(), soon, || async {
            match tries.fetch_add(1, Ordering::SeqCst) {
                0 => std::future::pending().await,
                1 => Err(LedgerError::Broken(sqlx::Error::Protocol("half an answer".into()))),
                2 => Err(LedgerError::Away(sqlx::Error::PoolTimedOut)),
                3 => Err(LedgerError::Unreadable("an answer".into())),
                _ => Ok(true),
            }
        });
        assert!(kept.await.expect("it stands"));
        assert_eq!(tries.load(Ordering::SeqCst), 5);
        let refused = || async { Err(LedgerError::Refused { constraint: "a_rule".into() }) };
        until_kept(Uuid::nil(), soon, refused).await.expect_err("it will never stand");
    }

    #[test]
    fn an_access_token_that_stays_as_it_is_asks_for_no_other_renewal() {
        let hour = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let stayed = sealed(true, Some(hour), None);
        assert!(stayed.access_stays);
        assert_eq!(
            (stayed.expires_at, stayed.due_at),
            (Some(hour), DateTime::UNIX_EPOCH + tokens::LOOK_AFTER)
        );
        let new = sealed(false, None, Some(Duration::from_hours(1)));
        assert_eq!((new.expires_at, new.due_at), (Some(hour), DateTime::UNIX_EPOCH + TimeDelta::minutes(30)));
    }
}
