//! Data keys: what the tokens of one account are sealed under, and nothing else is.
//!
//! A data key is random, is made with a pair of tokens and goes with it: the next pair has another one, and whoever shreds
//! the tokens shreds it. It is kept sealed under the key ring, bound to its account, its id and its cipher, in a table of its
//! own (`vault.data_key`), which no backup that is kept for long has to hold: without that row, whatever copies of the tokens
//! there are, nobody can read them, the holder of the ring included.
//!
//! What earlier versions have written is sealed under the ring itself. It is read like the rest, and a rotation gives it a data
//! key (`rekey`).

use sqlx::PgConnection;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    KeyRing, LedgerError,
    keyring::{Cipher, KEY_LEN, Key, KeyError, sealed_under},
    workers,
};

/// What a data key's id begins with where it stands beside what is sealed under it. No key of the ring is called so: a colon
/// ends its id in `POSTROOM_KEYS`. An earlier version takes it for a key that it was not given, and waits.
const PREFIX: &str = "data:";

/// Whose tokens a data key seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub workspace: Uuid,
    pub account: Uuid,
}

impl Owner {
    /// Names the row that a data key is sealed for: of another account, by another id or for another cipher it does not open.
    fn row_name(self, id: Uuid, cipher: &str) -> String {
        format!("vault.data_key|{}|{}|{id}|{cipher}", self.workspace, self.account)
    }
}

/// A key that is to seal one account's tokens, or has.
pub(super) struct DataKey {
    id: Uuid,
    key: Key,
}

impl DataKey {
    /// One that has sealed nothing yet.
    pub(super) fn fresh(cipher: Cipher) -> Self {
        let secret: [u8; KEY_LEN] = rand::random();
        Self::of(Uuid::now_v7(), cipher, Zeroizing::new(secret))
    }

    fn of(id: Uuid, cipher: Cipher, secret: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self { id, key: Key::of(format!("{PREFIX}{id}"), cipher, secret) }
    }

    /// Seals a token for the row that `row` names.
    pub(super) fn seal(&self, token: &[u8], row: &str) -> Vec<u8> {
        self.key.seal(token, row)
    }

    /// As it is kept: sealed under the first key of the ring.
    pub(super) fn sealed(&self, ring: &KeyRing, owner: Owner) -> SealedKey {
        let cipher = self.key.cipher().word();
        SealedKey {
            id: self.id,
            cipher: cipher.to_owned(),
            key_id: ring.sealing_key().to_owned(),
            sealed: ring.seal(self.key.secret(), &owner.row_name(self.id, cipher)),
        }
    }
}

/// A data key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SealedKey {
    /// Its id.
    pub id: Uuid,
    /// The word of its cipher.
    pub cipher: String,
    /// The key of the ring that it is sealed under.
    pub key_id: String,
    /// Itself.
    pub sealed: Vec<u8>,
}

impl SealedKey {
    /// The columns of a row that may be missing.
    pub(super) fn of(
        id: Option<Uuid>,
        cipher: Option<String>,
        key_id: Option<String>,
        sealed: Option<Vec<u8>>,
    ) -> Option<Self> {
        Some(Self { id: id?, cipher: cipher?, key_id: key_id?, sealed: sealed? })
    }

    /// Opens it.
    ///
    /// # Errors
    /// Its key is not in the ring, or it is damaged, or not of this account.
    pub(super) fn open(&self, ring: &KeyRing, owner: Owner) -> Result<DataKey, KeyError> {
        let cipher = Cipher::parse(&self.cipher).ok_or(KeyError::DoesNotOpen)?;
        let opened = ring.open(&self.sealed, &owner.row_name(self.id, &self.cipher))?;
        let secret = <[u8; KEY_LEN]>::try_from(opened.as_slice()).map_err(|_| KeyError::DoesNotOpen)?;
        Ok(DataKey::of(self.id, cipher, Zeroizing::new(secret)))
    }

    /// The same, sealed under the first key of the ring.
    ///
    /// # Errors
    /// It does not open.
    pub(super) fn anew(&self, ring: &KeyRing, owner: Owner) -> Result<Self, KeyError> {
        Ok(self.open(ring, owner)?.sealed(ring, owner))
    }
}

/// Opens what stands sealed in the row that `row` names: under the account's data key, or under the ring itself.
///
/// # Errors
/// Its key is not there, or it is damaged, or not of its row.
pub(super) fn open(
    ring: &KeyRing,
    owner: Owner,
    data_key: Option<&SealedKey>,
    blob: &[u8],
    row: &str,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let under = sealed_under(blob)?;
    if !under.starts_with(PREFIX) {
        return ring.open(blob, row);
    }
    let data_key = data_key.ok_or(KeyError::Shredded)?.open(ring, owner)?;
    // the one that was made with a later pair is another one
    if data_key.key.id() == under { data_key.key.open(blob, row) } else { Err(KeyError::Shredded) }
}

/// What a pair of tokens is sealed under.
pub(super) enum Sealing<'a> {
    /// A data key of its own, which is kept with it.
    Own(&'a KeyRing, DataKey),
    /// The ring itself: somebody is there who opens nothing else.
    Ring(&'a KeyRing),
}

impl<'a> Sealing<'a> {
    /// What a new pair is sealed under; with `older` as long as a worker of an earlier version lives.
    pub(super) fn new(ring: &'a KeyRing, older: bool) -> Self {
        if older { Self::Ring(ring) } else { Self::Own(ring, DataKey::fresh(ring.sealing_cipher())) }
    }

    /// The same, by who lives now.
    ///
    /// # Errors
    /// The ledger is away.
    pub(super) async fn now(ring: &'a KeyRing, connection: &mut PgConnection) -> Result<Self, LedgerError> {
        Ok(Self::new(ring, workers::older(connection).await?))
    }

    /// The id that is kept beside what it has sealed.
    pub(super) fn key_id(&self) -> &str {
        match self {
            Self::Own(_, data_key) => data_key.key.id(),
            Self::Ring(ring) => ring.sealing_key(),
        }
    }

    /// Seals a token for the row that `row` names.
    pub(super) fn seal(&self, token: &[u8], row: &str) -> Vec<u8> {
        match self {
            Self::Own(_, data_key) => data_key.seal(token, row),
            Self::Ring(ring) => ring.seal(token, row),
        }
    }

    /// What is to be kept with the tokens.
    pub(super) fn kept(&self, owner: Owner) -> Option<SealedKey> {
        match self {
            Self::Own(ring, data_key) => Some(data_key.sealed(ring, owner)),
            Self::Ring(_) => None,
        }
    }
}

/// Keeps the data key of a pair that was stored in this transaction, in the place of the one before it. After the tokens:
/// whoever deletes them goes that way, too.
pub(super) async fn keep(
    connection: &mut PgConnection,
    account: Uuid,
    key: &SealedKey,
) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"INSERT INTO vault.data_key (account_id, id, cipher, key_id, sealed) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (account_id) DO UPDATE
           SET id = excluded.id, cipher = excluded.cipher, key_id = excluded.key_id, sealed = excluded.sealed,
               created_at = excluded.created_at"#,
        account,
        key.id,
        key.cipher,
        key.key_id,
        key.sealed,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::{super::keyring::generate, *};

    const ROW: &str = "vault.token|w|a|access|1";

    fn ring(cipher: Cipher) -> KeyRing {
        KeyRing::parse(&generate(cipher)).expect("a generated ring parses")
    }

    fn owner(n: u128) -> Owner {
        Owner { workspace: Uuid::nil(), account: Uuid::from_u128(n) }
    }

    #[test]
    fn a_token_opens_by_its_own_data_key_in_its_own_row_and_by_nothing_else() {
        for cipher in [Cipher::XChaCha20Poly1305, Cipher::Aes256Gcm] {
            let (ring, mine, other) = (ring(cipher), owner(1), owner(2));
            let sealing = Sealing::new(&ring, false);
            let (token, key) = (sealing.seal(b"token", ROW), sealing.kept(mine).expect("a data key"));
            let opened = open(&ring, mine, Some(&key), &token, ROW).expect("opens");
            assert_eq!(opened.as_slice(), b"token");
            assert_eq!(sealed_under(&token), Ok(sealing.key_id()));
            let fails =
                |owner: Owner, key: Option<&SealedKey>, row: &str| open(&ring, owner, key, &token, row).err();
            // the token in another row, the key with another account, another id, another cipher
            assert_eq!(fails(mine, Some(&key), "vault.token|w|a|refresh|1"), Some(KeyError::DoesNotOpen));
            assert_eq!(fails(other, Some(&key), ROW), Some(KeyError::DoesNotOpen));
            let renamed = SealedKey { id: Uuid::from_u128(3), ..key.clone() };
            assert_eq!(fails(mine, Some(&renamed), ROW), Some(KeyError::DoesNotOpen));
            let swapped = match cipher {
                Cipher::XChaCha20Poly1305 => Cipher::Aes256Gcm,
                Cipher::Aes256Gcm => Cipher::XChaCha20Poly1305,
            };
            let recast = SealedKey { cipher: swapped.word().to_owned(), ..key.clone() };
            assert_eq!(fails(mine, Some(&recast), ROW), Some(KeyError::DoesNotOpen));
            // none, or that of a later pair
            assert_eq!(fails(mine, None, ROW), Some(KeyError::Shredded));
            let later = Sealing::new(&ring, false).kept(mine);
            assert_eq!(fails(mine, later.as_ref(), ROW), Some(KeyError::Shredded));
            // the ring alone takes it for a key that it was not given
            let alone = ring.open(&token, ROW).err();
            assert_eq!(alone, Some(KeyError::UnknownKey(sealing.key_id().to_owned())));
        }
    }

    #[test]
    fn a_data_key_goes_from_one_key_of_the_ring_to_the_next_and_its_tokens_stay_as_they_are() {
        let (old, new) = (generate(Cipher::XChaCha20Poly1305), generate(Cipher::XChaCha20Poly1305));
        let before = KeyRing::parse(&old).expect("parses");
        let sealing = Sealing::new(&before, false);
        let (token, key) = (sealing.seal(b"token", ROW), sealing.kept(owner(1)).expect("a data key"));
        let both = KeyRing::parse(&format!("{new},{old}")).expect("parses");
        let anew = key.anew(&both, owner(1)).expect("opens");
        assert_eq!((anew.id, &anew.cipher, anew.key_id.as_str()), (key.id, &key.cipher, both.sealing_key()));
        let after = KeyRing::parse(&new).expect("parses");
        let opened = open(&after, owner(1), Some(&anew), &token, ROW).expect("opens without the old key");
        assert_eq!(opened.as_slice(), b"token");
        let missing = open(&after, owner(1), Some(&key), &token, ROW).err();
        assert_eq!(missing, Some(KeyError::UnknownKey(before.sealing_key().to_owned())));
    }

    #[test]
    fn beside_an_earlier_version_tokens_are_sealed_as_it_reads_them() {
        let ring = ring(Cipher::Aes256Gcm);
        let sealing = Sealing::new(&ring, true);
        let token = sealing.seal(b"token", ROW);
        assert_eq!((sealing.key_id(), sealing.kept(owner(1))), (ring.sealing_key(), None));
        assert_eq!(ring.open(&token, ROW).expect("opens").as_slice(), b"token");
        // and so they are read here, whatever data key may stand there
        let stale = Sealing::new(&ring, false).kept(owner(1));
        for key in [None, stale.as_ref()] {
            let opened = open(&ring, owner(1), key, &token, ROW).expect("opens");
            assert_eq!(opened.as_slice(), b"token");
        }
    }

    #[test]
    fn what_is_sealed_is_the_same_to_the_byte() {
        // made by another implementation of both ciphers
        let id = Uuid::from_u128(0x0193_a5b2_7c1e_7d3f_9a4b_0000_0000_0003);
        let owner = Owner {
            workspace: Uuid::from_u128(0x0193_a5b2_7c1e_7d3f_9a4b_0000_0000_0001),
            account: Uuid::from_u128(0x0193_a5b2_7c1e_7d3f_9a4b_0000_0000_0002),
        };
        let row = super::super::vault::row_name(owner.workspace, owner.account, "access", 1);
        let bytes =
            |from: u8| Zeroizing::new(std::array::from_fn(|n| from + u8::try_from(n).expect("small")));
        for (cipher, nonce, token, key) in [
            (
                Cipher::XChaCha20Poly1305,
                24,
                "010129646174613a30313933613562322d376331652d376433662d396134622d303030303030303030303033634b0ec76c\
                 6cbe436465666768696a6b6c6d6e6f707172737475767778797a7b8fc90271d81657e3259c79799b8ecb9c8ead7876d3",
                "0101026b3128a8f5f3cac32455c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf59490aa766575a4170825c9d\
                 6cee114c28e5f7d493ae1c861bd74c34df83a0075acbe4d5af1a98869e8f98e9909c9b70",
            ),
            (
                Cipher::Aes256Gcm,
                12,
                "010229646174613a30313933613562322d376331652d376433662d396134622d303030303030303030303033634b0ec76c\
                 6cbe436465666768696a6b6c6d6e6fc102e5b6b1eac7abd1ace9124d2af2b343d635da3b",
                "0102026b3128a8f5f3cac32455c8c9cacbcccdcecfd0d1d2d3315943f8a2e9dd075c153595322bc53bd0b6de9b305e9e13\
                 d59001dae6ac95d6b172f4c65b6875846a59511758f41287",
            ),
        ] {
            let data_key = DataKey::of(id, cipher, bytes(32));
            let nonce = |from: u8| (from..).take(nonce).collect::<Vec<u8>>();
            assert_eq!(hex::encode(data_key.key.seal_with(&nonce(100), b"token", &row)), token);
            let of_ring = Key::of("k1".into(), cipher, bytes(0));
            let name = owner.row_name(id, cipher.word());
            let sealed = of_ring.seal_with(&nonce(200), data_key.key.secret(), &name);
            assert_eq!(hex::encode(&sealed), key);
            let entry = format!("k1:{}:{}", cipher.word(), STANDARD.encode(bytes(0).as_slice()));
            let ring = KeyRing::parse(&entry).expect("parses");
            let kept = SealedKey { id, cipher: cipher.word().into(), key_id: "k1".into(), sealed };
            let blob = hex::decode(token).expect("hex");
            let opened = open(&ring, owner, Some(&kept), &blob, &row).expect("opens");
            assert_eq!(opened.as_slice(), b"token");
        }
    }
}
