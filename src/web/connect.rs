//! The way into a network's dialog and back: addresses, and what proves that whoever comes back is who went.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jobs::connections::Dialog;
use sha2::{Digest, Sha256};
use url::Url;

use super::{App, problem::Problem};

impl App {
    /// The dialog in which accounts of this platform are granted, if its network is on.
    pub fn dialog(&self, platform: &str) -> Option<&Dialog> {
        let serves = |it: &&Dialog| it.platform == platform || it.also.contains(&platform);
        self.house.dialogs.iter().find(serves)
    }

    /// Where a dialog comes back to. Networks compare it byte for byte with what the app's settings there say.
    pub fn redirect_uri(&self, dialog: &Dialog) -> String {
        let base = self.house.public_url.as_str().trim_end_matches('/');
        format!("{base}/connect/{}/callback", dialog.platform)
    }
}

/// Where a dialog is opened. `state` comes back with the answer; `verifier` is what only whoever began knows.
///
/// # Errors
/// The dialog's address is none.
pub fn address(
    dialog: &Dialog,
    redirect_uri: &str,
    state: &str,
    verifier: Option<&str>,
) -> Result<Url, Problem> {
    let mut url = Url::parse(&dialog.address).map_err(|_| Problem::internal())?;
    let scopes = dialog.scopes.join(",");
    let (name, client) = &dialog.client;
    url.query_pairs_mut()
        .append_pair(name, client)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", state)
        .append_pair("response_type", "code")
        .append_pair("scope", &scopes);
    if let Some(verifier) = verifier {
        url.query_pairs_mut()
            .append_pair("code_challenge", &challenge(verifier))
            .append_pair("code_challenge_method", "S256");
    }
    Ok(url)
}

/// "S256" of RFC 7636.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_published_vector() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_dialog_is_given_all_that_it_needs_and_no_verifier() {
        let dialog = Dialog {
            platform: "tiktok",
            also: &[],
            address: "https://www.tiktok.com/v2/auth/authorize/".into(),
            client: ("client_key", "ck".into()),
            scopes: &["a.b", "c.d"],
            challenged: true,
        };
        let url =
            address(&dialog, "https://post.example/connect/tiktok/callback", "st", Some("v")).expect("one");
        let given: Vec<_> = url.query_pairs().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            given[..5],
            [
                "client_key=ck",
                "redirect_uri=https://post.example/connect/tiktok/callback",
                "state=st",
                "response_type=code",
                "scope=a.b,c.d"
            ]
        );
        assert_eq!(given[6], "code_challenge_method=S256");
        assert!(!url.as_str().contains("verifier"));
    }
}
