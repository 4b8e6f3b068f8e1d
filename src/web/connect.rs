//! The addresses of the way into a network's dialog and back.

use jobs::connections::Dialog;
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

/// Where a dialog is opened. `state` comes back with the answer.
///
/// # Errors
/// The dialog's address is none.
pub fn address(dialog: &Dialog, redirect_uri: &str, state: &str) -> Result<Url, Problem> {
    let mut url = Url::parse(&dialog.address).map_err(|_| Problem::internal())?;
    let scopes = dialog.scopes.join(",");
    let (name, client) = &dialog.client;
    url.query_pairs_mut()
        .append_pair(name, client)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", state)
        .append_pair("response_type", "code")
        .append_pair("scope", &scopes);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_is_given_all_that_it_needs_and_nothing_else() {
        let dialog = Dialog {
            platform: "tiktok",
            also: &[],
            address: "https://www.tiktok.com/v2/auth/authorize/".into(),
            client: ("client_key", "ck".into()),
            scopes: &["a.b", "c.d"],
        };
        let url = address(&dialog, "https://post.example/connect/tiktok/callback", "st").expect("one");
        let given: Vec<_> = url.query_pairs().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            given,
            [
                "client_key=ck",
                "redirect_uri=https://post.example/connect/tiktok/callback",
                "state=st",
                "response_type=code",
                "scope=a.b,c.d"
            ]
        );
    }
}
