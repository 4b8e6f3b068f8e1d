//! What receipts are signed with, and how anybody verifies them without us: Ed25519 over the receipt's text, byte for byte.
//!
//! A receipt's file holds that text in base64, the signature, and the key that verifies it. That the key is ours has to be
//! known from elsewhere: its id is a digest of it, and it stands under `/.well-known/receipt-keys`.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::deletions::Signed;

/// The length of a seed, and of a public key.
pub const LEN: usize = 32;
/// What stands before an Ed25519 key in the form that everybody reads (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key that signs.
pub struct Signer {
    pair: Ed25519KeyPair,
    /// Names it: the first of a digest of what verifies it.
    pub id: String,
    /// What verifies it.
    pub public: Vec<u8>,
}

impl Signer {
    /// The key of this seed.
    ///
    /// # Errors
    /// It is none.
    pub fn of(seed: &[u8]) -> Result<Self, String> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| "a seed of receipts is no seed")?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self { pair, id: key_id(&public), public })
    }

    /// Signs a text.
    pub fn sign(&self, text: &str) -> Vec<u8> {
        self.pair.sign(text.as_bytes()).as_ref().to_vec()
    }
}

/// A new seed.
pub fn fresh_seed() -> Zeroizing<[u8; LEN]> {
    Zeroizing::new(rand::random())
}

/// Names a key.
pub fn key_id(public: &[u8]) -> String {
    hex::encode(&Sha256::digest(public)[..8])
}

/// Where a key is kept outside of the ledger, for whoever verifies a receipt when that is lost.
pub fn kept_at(key: &str) -> String {
    format!("receipt-keys/{key}.pem")
}

/// The key that a receipt's file says it is signed by.
///
/// # Errors
/// It is no receipt, or names no key.
pub fn signed_by(text: &str) -> Result<String, String> {
    let file: File = serde_json::from_str(text).map_err(|error| format!("this is no receipt: {error}"))?;
    let named = file.key_id.len() == 16 && file.key_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if named { Ok(file.key_id) } else { Err("the receipt names no key".into()) }
}

/// A public key as `openssl` reads it.
pub fn pem(public: &[u8]) -> String {
    let der = [&SPKI[..], public].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn from_pem(pem: &str) -> Option<Vec<u8>> {
    let inner: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let der = STANDARD.decode(inner).ok()?;
    der.strip_prefix(&SPKI).filter(|key| key.len() == LEN).map(<[u8]>::to_vec)
}

/// A receipt's file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What is signed, in base64.
    payload: String,
    /// Ed25519, in base64.
    signature: String,
    /// Names the key.
    key_id: String,
    /// The key, as PEM.
    public_key: String,
}

/// A receipt as a file.
pub fn file(signed: &Signed) -> Value {
    serde_json::json!(File {
        payload: STANDARD.encode(&signed.text),
        signature: STANDARD.encode(&signed.signature),
        key_id: signed.key_id.clone(),
        public_key: pem(&signed.public),
    })
}

/// A receipt whose signature holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// What it says.
    pub receipt: Value,
    /// The key that signed it.
    pub key_id: String,
    /// That key was given from elsewhere, and not only found in the file itself.
    pub trusted: bool,
}

/// Verifies a receipt's file, by a key that is known from elsewhere if there is one.
///
/// # Errors
/// What is wrong with it.
pub fn verify(text: &str, trusted: Option<&str>) -> Result<Verified, String> {
    let file: File = serde_json::from_str(text).map_err(|error| format!("this is no receipt: {error}"))?;
    let own = from_pem(&file.public_key).ok_or("the key in the receipt is no Ed25519 key")?;
    let key = match trusted {
        Some(pem) => from_pem(pem).ok_or("the key that was given is no Ed25519 key in PEM")?,
        None => own.clone(),
    };
    if key != own || key_id(&key) != file.key_id {
        return Err(format!("it is signed by another key: {}", key_id(&own)));
    }
    let (payload, signature) = (STANDARD.decode(&file.payload), STANDARD.decode(&file.signature));
    let (Ok(payload), Ok(signature)) = (payload, signature) else {
        return Err("the payload or the signature is no base64".into());
    };
    UnparsedPublicKey::new(&ED25519, &key)
        .verify(&payload, &signature)
        .map_err(|_| "the signature does not hold: this is not what was signed")?;
    let receipt =
        serde_json::from_slice(&payload).map_err(|error| format!("what is signed is no JSON: {error}"))?;
    Ok(Verified { receipt, key_id: file.key_id, trusted: trusted.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(signer: &Signer) -> Signed {
        let text = r#"{"request":"0193"}"#.to_owned();
        let signature = signer.sign(&text);
        Signed { text, signature, key_id: signer.id.clone(), public: signer.public.clone() }
    }

    #[test]
    fn a_receipt_verifies_and_no_byte_of_it_may_be_another() {
        let signer = Signer::of(fresh_seed().as_slice()).expect("a seed");
        let whole = file(&receipt(&signer));
        let verified = verify(&whole.to_string(), None).expect("it holds");
        assert_eq!((verified.receipt["request"].as_str(), verified.trusted), (Some("0193"), false));
        let trusted = verify(&whole.to_string(), Some(&pem(&signer.public))).expect("it holds");
        assert!(trusted.trusted);
        for field in ["payload", "signature"] {
            let mut bytes = STANDARD.decode(whole[field].as_str().expect("text")).expect("base64");
            for n in 0..bytes.len() {
                bytes[n] ^= 1;
                let mut bad = whole.clone();
                bad[field] = STANDARD.encode(&bytes).into();
                assert!(verify(&bad.to_string(), None).is_err(), "{field} {n}");
                bytes[n] ^= 1;
            }
        }
    }

    #[test]
    fn a_receipt_of_another_key_is_not_ours() {
        let ours = Signer::of(fresh_seed().as_slice()).expect("a seed");
        let other = Signer::of(fresh_seed().as_slice()).expect("a seed");
        let forged = file(&receipt(&other)).to_string();
        assert!(verify(&forged, None).is_ok());
        assert!(verify(&forged, Some(&pem(&ours.public))).is_err());
        assert!(verify("{}", None).is_err());
    }

    #[test]
    fn a_receipt_names_its_key_and_nothing_else_as_one() {
        let signer = Signer::of(fresh_seed().as_slice()).expect("a seed");
        let mut whole = file(&receipt(&signer));
        assert_eq!(signed_by(&whole.to_string()), Ok(signer.id.clone()));
        assert_eq!(kept_at(&signer.id), format!("receipt-keys/{}.pem", signer.id));
        for other in ["", "../../exports/0193", "0123456789abcdeg"] {
            whole["key_id"] = other.into();
            assert!(signed_by(&whole.to_string()).is_err(), "{other}");
        }
        assert!(signed_by("{}").is_err());
    }

    #[test]
    fn the_key_of_the_published_vector_is_written_as_everybody_reads_it() {
        // RFC 8032, 7.1, test 1
        let seed =
            hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").expect("hex");
        let signer = Signer::of(&seed).expect("a seed");
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(hex::encode(&signer.public), public);
        let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
        assert_eq!(hex::encode(signer.sign("")), signature);
        assert_eq!(from_pem(&pem(&signer.public)), Some(signer.public));
    }
}
