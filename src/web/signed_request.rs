//! Meta's `signed_request`: the only login of its two callbacks. "Data Deletion Request Callback" of Meta's documents.
//!
//! Two parts in base64url without padding, parted by the first dot: HMAC-SHA256, by the app's secret, of the second part
//! as it came, and then that part, which is JSON. A delivery may be late or come again, so `issued_at` and `expires` are
//! there to be kept and never a reason to refuse: the signature decides.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::Value;

use super::{App, problem::Problem, signed::signs};

/// The only algorithm there is.
const ALGORITHM: &str = "HMAC-SHA256";
/// The form's field.
const FIELD: &str = "signed_request";

/// What Meta signed, as far as it counts. It may say more, and that is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// The person, by the id that the app knows them by.
    pub user_id: String,
    /// When Meta says that it was signed.
    pub issued_at: Option<DateTime<Utc>>,
    /// When Meta says that it ends.
    pub expires: Option<DateTime<Utc>>,
}

impl App {
    /// What Meta signed for this app in a form, and the secret that it did so with.
    ///
    /// # Errors
    /// 403: it did not.
    pub fn signed_by_meta(&self, form: &[u8]) -> Result<(&SecretString, SignedRequest), Problem> {
        let signed = || {
            let secret = self.house.deletions.meta_secret.as_ref()?;
            Some((secret, read(secret, &of_form(form)?)?))
        };
        signed().ok_or_else(|| Problem::forbidden("This is not signed by Meta for this app."))
    }
}

/// The field of a form that Meta sends. Nothing where it is not there, or there twice.
fn of_form(body: &[u8]) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(body).filter(|(name, _)| name == FIELD);
    let (_, found) = fields.next()?;
    fields.next().is_none().then(|| found.into_owned())
}

/// What Meta signed with this app's secret. Nothing where it did not, or where it is about nobody.
fn read(secret: &SecretString, request: &str) -> Option<SignedRequest> {
    let (signature, encoded) = request.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !signs(secret, &[encoded.as_bytes()], &signature) {
        return None;
    }
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
    let time = |name: &str| DateTime::from_timestamp(payload[name].as_i64().filter(|at| *at > 0)?, 0);
    let about = (payload["algorithm"] == ALGORITHM).then(|| user_id(&payload["user_id"])).flatten()?;
    Some(SignedRequest { user_id: about, issued_at: time("issued_at"), expires: time("expires") })
}

/// Meta writes it as a text; as a number it is the same person.
fn user_id(value: &Value) -> Option<String> {
    let text = value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|id| id.to_string()))?;
    (!text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const ENCODED: &str = "eyJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImV4cGlyZXMiOjE3OTYwMDAwMDAsImlzc3VlZF9hdCI6MTc5NTk5NjQwMCwidXNlcl9pZCI6IjEwMDAyMTg0NzUifQ";
    const SIGNATURE: &str = "J8JkHkjT0ZSaX7tUDzSEU8ngyvfXvDZmm-2lW93_2IU";

    fn given(request: &str) -> Option<SignedRequest> {
        read(&SECRET.into(), request)
    }

    fn signed(payload: &str) -> String {
        let encoded = URL_SAFE_NO_PAD.encode(payload);
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
        mac.update(encoded.as_bytes());
        format!("{}.{encoded}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn the_published_vector_is_taken() {
        let read_out = given(&format!("{SIGNATURE}.{ENCODED}")).expect("it is signed");
        let time = |at| DateTime::from_timestamp(at, 0);
        let expected = SignedRequest {
            user_id: "1000218475".into(),
            issued_at: time(1_795_996_400),
            expires: time(1_796_000_000),
        };
        assert_eq!(read_out, expected);
    }

    #[test]
    fn what_was_signed_otherwise_is_not_taken() {
        // over the payload with padding, and over its JSON
        for signature in
            ["mt4erXQX8xCXDsTY3FSWIyoVVTtn_Z1K5Maqlm81rc4", "nlqQHezQaunnxRNM08RM2U8coXA0Doj_xuOVSB33aBs"]
        {
            assert_eq!(given(&format!("{signature}.{ENCODED}")), None);
        }
        assert_eq!(read(&"another".into(), &format!("{SIGNATURE}.{ENCODED}")), None, "another app's");
        let changed = ENCODED.replacen("eyJh", "eyJi", 1);
        assert_eq!(given(&format!("{SIGNATURE}.{changed}")), None, "changed");
    }

    #[test]
    fn half_of_it_or_another_shape_is_not_taken() {
        let cut = &SIGNATURE[..SIGNATURE.len() - 1];
        for request in [
            String::new(),
            ".".into(),
            "a.b.c".into(),
            ENCODED.into(),
            format!(".{ENCODED}"),
            format!("{SIGNATURE}."),
            format!("{cut}.{ENCODED}"),
            format!("{SIGNATURE}=.{ENCODED}"),
            format!("{SIGNATURE}.{ENCODED}."),
            format!("{SIGNATURE}.{ENCODED}=="),
            format!(" {SIGNATURE}.{ENCODED}"),
        ] {
            assert_eq!(given(&request), None, "{request:?}");
        }
    }

    #[test]
    fn only_the_one_algorithm_and_only_a_person_counts() {
        let of = |payload: &str| given(&signed(payload)).map(|it| it.user_id);
        let known = r#"{"algorithm":"HMAC-SHA256","user_id":"7","profile_id":"9","new":{}}"#;
        assert_eq!(of(known).as_deref(), Some("7"), "more than is known is passed over");
        assert_eq!(of(r#"{"algorithm":"HMAC-SHA256","user_id":7}"#).as_deref(), Some("7"));
        for payload in [
            r#"{"algorithm":"none","user_id":"7"}"#,
            r#"{"user_id":"7"}"#,
            r#"{"algorithm":"HMAC-SHA256"}"#,
            r#"{"algorithm":"HMAC-SHA256","user_id":""}"#,
            r#"{"algorithm":"HMAC-SHA256","user_id":"7\u0000"}"#,
            r#"{"algorithm":"HMAC-SHA256","user_id":["7"]}"#,
            r#""HMAC-SHA256""#,
            "not json",
        ] {
            assert_eq!(of(payload), None, "{payload}");
        }
    }

    #[test]
    fn a_late_delivery_is_as_good_as_an_early_one() {
        let of = |payload: &str| given(&signed(payload)).expect("it is signed");
        let old = of(r#"{"algorithm":"HMAC-SHA256","user_id":"7","issued_at":1,"expires":2}"#);
        assert_eq!(old.issued_at, DateTime::from_timestamp(1, 0));
        let bare = of(r#"{"algorithm":"HMAC-SHA256","user_id":"7","expires":0}"#);
        assert_eq!((bare.issued_at, bare.expires), (None, None));
    }

    #[test]
    fn the_field_is_read_from_a_form_once() {
        assert_eq!(of_form(b"a=b&signed_request=x.y%3D").as_deref(), Some("x.y="));
        assert_eq!(of_form(b"signed_request=x&signed_request=x"), None);
        assert_eq!(of_form(b"a=b"), None);
    }
}
