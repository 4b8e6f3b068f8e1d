//! The key ring that seals tokens: each entry an id, a cipher and a key. The first seals, all open.
//!
//! A sealed blob is `version | cipher | key id | key check | nonce | ciphertext`, whether a key of the ring has sealed it or
//! a data key that is sealed under the ring itself (`data_keys`). The associated data names the row it belongs to,
//! so a blob moved to another row does not open; the key check ties it to one key, which neither cipher does by itself.

use std::{fmt, sync::Arc};

use aes_gcm::Aes256Gcm;
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    XChaCha20Poly1305,
    aead::{Aead, KeyInit, Payload},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const CHECK_LEN: usize = 8;
/// The version, the cipher, and how long the key's id is.
const HEAD_LEN: usize = 3;
/// The bytes of a key.
pub(super) const KEY_LEN: usize = 32;

/// The keys of a deployment, in the order of `POSTROOM_KEYS`.
pub struct KeyRing(Vec<Key>);

/// What seals and opens, and what it is called.
pub(super) struct Key {
    id: String,
    cipher: Cipher,
    secret: Zeroizing<[u8; KEY_LEN]>,
}

/// The ciphers a key may be used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// 192-bit random nonces: no practical limit of messages. The default.
    XChaCha20Poly1305,
    /// For those who must; 96-bit random nonces allow 2^32 messages a key.
    Aes256Gcm,
}

/// Seals, and cannot open: for who has to put something away that is not theirs to read.
#[derive(Debug)]
pub struct Sealer(Arc<KeyRing>);

impl Sealer {
    /// What the ring seals with.
    pub const fn new(ring: Arc<KeyRing>) -> Self {
        Self(ring)
    }

    /// Seals `secret` for the row that `row` names; the id of the key comes with it.
    pub fn seal(&self, secret: &[u8], row: &str) -> (String, Vec<u8>) {
        (self.0.sealing_key().to_owned(), self.0.seal(secret, row))
    }
}

/// Why a ring cannot be read, or a blob not be opened. Never says more than it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An entry of `POSTROOM_KEYS`.
    #[error("POSTROOM_KEYS: entry {0}: {1}; accepted is id:cipher:base64key[,…] with 32 bytes of key")]
    Entry(usize, &'static str),
    /// The blob was sealed under a key that is not in the ring.
    #[error("sealed under key {0:?}, which is not in POSTROOM_KEYS")]
    UnknownKey(String),
    /// The blob is not of this row, not of this key, or damaged.
    #[error("a sealed value does not open: it is damaged, or not of its row")]
    DoesNotOpen,
    /// The data key that the blob was sealed under is gone: nothing opens it any more.
    #[error("the data key of a sealed value is destroyed: connect the account again")]
    Shredded,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl Cipher {
    const ALL: &'static [Self] = &[Self::XChaCha20Poly1305, Self::Aes256Gcm];

    /// The word in a key-ring entry.
    pub const fn word(self) -> &'static str {
        match self {
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
            Self::Aes256Gcm => "aes-256-gcm",
        }
    }

    /// The cipher of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|cipher| cipher.word() == word)
    }

    const fn tag(self) -> u8 {
        match self {
            Self::XChaCha20Poly1305 => 1,
            Self::Aes256Gcm => 2,
        }
    }

    const fn nonce_len(self) -> usize {
        match self {
            Self::XChaCha20Poly1305 => 24,
            Self::Aes256Gcm => 12,
        }
    }
}

/// A new entry for `POSTROOM_KEYS`, with a random id and key.
pub fn generate(cipher: Cipher) -> String {
    let (id, key): ([u8; 4], [u8; KEY_LEN]) = (rand::random(), rand::random());
    let key = Zeroizing::new(key);
    format!("k{}:{}:{}", hex::encode(id), cipher.word(), STANDARD.encode(key.as_slice()))
}

impl KeyRing {
    /// Reads `id:cipher:base64key[,…]`.
    ///
    /// # Errors
    /// Which entry is wrong, and how.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let keys: Vec<Key> = text
            .split(',')
            .enumerate()
            .map(|(n, entry)| Key::parse(n + 1, entry.trim()))
            .collect::<Result<_, _>>()?;
        for (n, key) in keys.iter().enumerate() {
            if keys[..n].iter().any(|other| other.id == key.id) {
                return Err(KeyError::Entry(n + 1, "its id is used twice"));
            }
        }
        Ok(Self(keys))
    }

    /// The id of the key that seals.
    pub fn sealing_key(&self) -> &str {
        &self.0[0].id
    }

    /// The cipher of the key that seals.
    pub fn sealing_cipher(&self) -> Cipher {
        self.0[0].cipher
    }

    /// Seals `secret` for the row that `row` names.
    pub fn seal(&self, secret: &[u8], row: &str) -> Vec<u8> {
        self.0[0].seal(secret, row)
    }

    /// Opens what was sealed for the row that `row` names.
    ///
    /// # Errors
    /// The key is not in the ring, or the blob is not of this row, or damaged.
    pub fn open(&self, blob: &[u8], row: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let id = sealed_under(blob)?;
        let key =
            self.0.iter().find(|key| key.id == id).ok_or_else(|| KeyError::UnknownKey(id.to_owned()))?;
        key.open(blob, row)
    }
}

/// The id of the key that a blob says it was sealed under.
///
/// # Errors
/// It is no blob.
pub(super) fn sealed_under(blob: &[u8]) -> Result<&str, KeyError> {
    let (id, _) = named(blob)?;
    std::str::from_utf8(id).map_err(|_| KeyError::DoesNotOpen)
}

/// The id of a blob's key, and what stands behind it.
fn named(blob: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let (head, rest) = blob.split_at_checked(HEAD_LEN).ok_or(KeyError::DoesNotOpen)?;
    rest.split_at_checked(usize::from(head[2])).ok_or(KeyError::DoesNotOpen)
}

fn associated(row: &str, key_id: &str) -> Vec<u8> {
    format!("{row}|{key_id}").into_bytes()
}

impl Key {
    fn parse(n: usize, entry: &str) -> Result<Self, KeyError> {
        let mut parts = entry.splitn(3, ':');
        let (Some(id), Some(cipher), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Entry(n, "it has not three parts"));
        };
        if id.is_empty() || id.len() > 64 {
            return Err(KeyError::Entry(n, "its id has not 1 to 64 bytes"));
        }
        let cipher = Cipher::parse(cipher)
            .ok_or(KeyError::Entry(n, "its cipher is neither xchacha20-poly1305 nor aes-256-gcm"))?;
        let bytes =
            Zeroizing::new(STANDARD.decode(key).map_err(|_| KeyError::Entry(n, "its key is no base64"))?);
        let secret = <[u8; KEY_LEN]>::try_from(bytes.as_slice())
            .map_err(|_| KeyError::Entry(n, "its key has not 32 bytes"))?;
        Ok(Self { id: id.to_owned(), cipher, secret: Zeroizing::new(secret) })
    }

    /// A key of that name.
    pub(super) fn of(id: String, cipher: Cipher, secret: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self { id, cipher, secret }
    }

    /// What it is called.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What it is used with.
    pub(super) const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The key itself, for whoever seals it.
    pub(super) fn secret(&self) -> &[u8] {
        self.secret.as_ref()
    }

    /// Seals `secret` for the row that `row` names.
    pub(super) fn seal(&self, secret: &[u8], row: &str) -> Vec<u8> {
        let nonce: Vec<u8> = (0..self.cipher.nonce_len()).map(|_| rand::random()).collect();
        self.seal_with(&nonce, secret, row)
    }

    /// The same with that nonce, which nothing else may be sealed with.
    pub(super) fn seal_with(&self, nonce: &[u8], secret: &[u8], row: &str) -> Vec<u8> {
        let sealed = self.encrypt(nonce, secret, &associated(row, &self.id));
        let id = self.id.as_bytes();
        let id_len = u8::try_from(id.len()).unwrap_or(u8::MAX);
        [&[VERSION, self.cipher.tag(), id_len], id, &self.check(), nonce, &sealed].concat()
    }

    /// Opens what it has sealed for the row that `row` names.
    ///
    /// # Errors
    /// It has not, or for another row, or the blob is damaged.
    pub(super) fn open(&self, blob: &[u8], row: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (id, rest) = named(blob)?;
        let (check, rest) = rest.split_at_checked(CHECK_LEN).ok_or(KeyError::DoesNotOpen)?;
        let (nonce, sealed) = rest.split_at_checked(self.cipher.nonce_len()).ok_or(KeyError::DoesNotOpen)?;
        let same = bool::from(check.ct_eq(&self.check())) && id == self.id.as_bytes();
        if blob[0] != VERSION || blob[1] != self.cipher.tag() || !same {
            return Err(KeyError::DoesNotOpen);
        }
        self.decrypt(nonce, sealed, &associated(row, &self.id)).map(Zeroizing::new)
    }

    fn encrypt(&self, nonce: &[u8], msg: &[u8], aad: &[u8]) -> Vec<u8> {
        let payload = Payload { msg, aad };
        let sealed = match self.cipher {
            Cipher::XChaCha20Poly1305 => XChaCha20Poly1305::new((&*self.secret).into())
                .encrypt(nonce.try_into().expect("the nonce has the cipher's length"), payload),
            Cipher::Aes256Gcm => Aes256Gcm::new((&*self.secret).into())
                .encrypt(nonce.try_into().expect("the nonce has the cipher's length"), payload),
        };
        sealed.expect("a token is far below the ciphers' longest message")
    }

    fn decrypt(&self, nonce: &[u8], msg: &[u8], aad: &[u8]) -> Result<Vec<u8>, KeyError> {
        let payload = Payload { msg, aad };
        let opened = match self.cipher {
            Cipher::XChaCha20Poly1305 => XChaCha20Poly1305::new((&*self.secret).into())
                .decrypt(nonce.try_into().expect("the nonce has the cipher's length"), payload),
            Cipher::Aes256Gcm => Aes256Gcm::new((&*self.secret).into())
                .decrypt(nonce.try_into().expect("the nonce has the cipher's length"), payload),
        };
        opened.map_err(|_| KeyError::DoesNotOpen)
    }

    /// A value that only this key makes: it commits a blob to its key.
    fn check(&self) -> [u8; CHECK_LEN] {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.secret.as_ref())
            .expect("HMAC takes any key length");
        mac.update(b"postroom key check");
        let full = mac.finalize().into_bytes();
        std::array::from_fn(|n| full[n])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ciphers: &[Cipher]) -> KeyRing {
        let entries: Vec<String> = ciphers.iter().map(|cipher| generate(*cipher)).collect();
        KeyRing::parse(&entries.join(",")).expect("a generated ring parses")
    }

    #[test]
    fn what_was_sealed_opens_in_its_row_and_nowhere_else() {
        for &cipher in Cipher::ALL {
            let ring = ring(&[cipher]);
            let blob = ring.seal(b"token", "row 1");
            assert_eq!(ring.open(&blob, "row 1").expect("opens").as_slice(), b"token");
            assert_eq!(ring.open(&blob, "row 2").err(), Some(KeyError::DoesNotOpen));
        }
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let ring = ring(&[Cipher::XChaCha20Poly1305]);
        let blob = ring.seal(b"token", "row");
        for n in 0..blob.len() {
            let mut bad = blob.clone();
            bad[n] ^= 1;
            assert!(ring.open(&bad, "row").is_err(), "byte {n}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = generate(Cipher::Aes256Gcm);
        let blob = KeyRing::parse(&old).expect("parses").seal(b"token", "row");
        let both = format!("{},{old}", generate(Cipher::XChaCha20Poly1305));
        let both = KeyRing::parse(&both).expect("parses");
        assert_eq!(both.open(&blob, "row").expect("opens").as_slice(), b"token");
        assert_ne!(both.seal(b"token", "row")[..8], blob[..8]);
    }

    #[test]
    fn what_earlier_versions_have_sealed_is_read_to_the_byte() {
        // made by another implementation of both ciphers
        let row =
            "vault.token|0193a5b2-7c1e-7d3f-9a4b-000000000001|0193a5b2-7c1e-7d3f-9a4b-000000000002|access|1";
        for (cipher, sealed) in [
            (
                Cipher::XChaCha20Poly1305,
                "0101026b3128a8f5f3cac324556465666768696a6b6c6d6e6f707172737475767778797a7b081c92d5910925e746a98fe0\
                 99d1c2a4e70e106e48",
            ),
            (
                Cipher::Aes256Gcm,
                "0102026b3128a8f5f3cac324556465666768696a6b6c6d6e6f3c74b5031708289ced0150a1b18904d0b4f492cd72",
            ),
        ] {
            let secret = std::array::from_fn(|n| u8::try_from(n).expect("small"));
            let key = Key::of("k1".into(), cipher, Zeroizing::new(secret));
            let nonce: Vec<u8> = (100..).take(cipher.nonce_len()).collect();
            assert_eq!(hex::encode(key.seal_with(&nonce, b"token", row)), sealed);
            let ring = KeyRing(vec![key]);
            let opened = ring.open(&hex::decode(sealed).expect("hex"), row).expect("opens");
            assert_eq!(opened.as_slice(), b"token");
        }
    }

    #[test]
    fn a_wrong_entry_is_named_without_its_key() {
        let cases = ["", "a:b", "a:des:AAAA", "a:aes-256-gcm:!!", "a:aes-256-gcm:c2hvcnQ="];
        for case in cases {
            let error = KeyRing::parse(case).expect_err("refused").to_string();
            assert!(error.contains("accepted") && !error.contains("c2hvcnQ"), "{error}");
        }
    }
}
