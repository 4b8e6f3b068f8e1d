//! A browser without a script, as far as connecting accounts goes.

use super::*;

/// A browser without a script, in somebody's hands.
pub struct Person<'a> {
    system: &'a System,
    http: Client,
    pub(super) cookie: String,
}

/// What a browser got.
pub struct Got {
    pub status: u16,
    pub location: String,
    pub text: String,
}

/// A form's fields.
pub(super) type Fields = Vec<(String, String)>;

pub(super) fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// What a page's form carries.
pub fn token(page: &str) -> String {
    let rest = page.split("name=\"token\" value=\"").nth(1).expect("a token");
    rest.split('"').next().unwrap().to_owned()
}

impl<'a> Person<'a> {
    /// The administrator of the workspace, signed in.
    pub async fn admin(system: &'a System) -> Self {
        Self::signed_in(system, "staff@example.com", "corner-bakery-demo").await
    }

    /// Somebody who publishes there and manages nothing, signed in.
    pub async fn publisher(system: &'a System) -> Self {
        let person = [
            "user",
            "add",
            "--email",
            "pen@example.com",
            "--first",
            "Pen",
            "--last",
            "Levi",
            "--role",
            "publisher",
        ];
        system.postroom(&[&person[..], &["--workspace", "Bakery"]].concat(), "corner-bakery-pens").await;
        Self::signed_in(system, "pen@example.com", "corner-bakery-pens").await
    }

    /// Somebody, signed in.
    pub async fn signed_in(system: &'a System, email: &str, password: &str) -> Self {
        let policy = reqwest::redirect::Policy::none();
        let http = Client::builder().no_proxy().redirect(policy).build().unwrap();
        let form = http.get(system.url("/sign-in")).send().await.unwrap();
        let cookie = |answer: &reqwest::Response| {
            let set = answer.headers()["set-cookie"].to_str().unwrap();
            set.split(';').next().unwrap().to_owned()
        };
        let anonymous = cookie(&form);
        let token = token(&form.text().await.unwrap());
        let fields =
            [("token", token.as_str()), ("email", email), ("password", password), ("next", "/posts")];
        let sent = http
            .post(system.url("/sign-in"))
            .header("cookie", &anonymous)
            .form(&fields)
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 303, "{email}");
        Self { system, http, cookie: cookie(&sent) }
    }

    async fn got(&self, request: reqwest::RequestBuilder) -> Got {
        let answer =
            request.header("cookie", &self.cookie).header("accept", "text/html").send().await.unwrap();
        let location = answer.headers().get("location").map_or("", |it| it.to_str().unwrap()).to_owned();
        Got { status: answer.status().as_u16(), location, text: answer.text().await.unwrap() }
    }

    fn at(&self, address: &str) -> String {
        if address.starts_with("http") { address.to_owned() } else { self.system.url(address) }
    }

    pub async fn get(&self, address: &str) -> Got {
        self.got(self.http.get(self.at(address))).await
    }

    pub async fn post(&self, address: &str, fields: &[(String, String)]) -> Got {
        self.got(self.http.post(self.at(address)).form(fields)).await
    }

    /// Opens a network's dialog, and gives its address.
    pub async fn begin(&self, platform: &str) -> String {
        let begun = self.get(&format!("/connect/{platform}")).await;
        assert_eq!(begun.status, 303, "{}", begun.text);
        begun.location
    }

    /// Ticks these accounts in the dialog, declines these permissions, and gives the address that the browser is sent back to.
    pub async fn decides(&self, dialog: &str, accounts: &[&str], declined: &[&str]) -> String {
        let shown = self.get(dialog).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        let url: url::Url = dialog.parse().unwrap();
        let mut fields: Fields = url.query_pairs().into_owned().collect();
        let scopes = fields.iter().find(|(name, _)| name == "scope").unwrap().1.clone();
        let granted = scopes.split(',').filter(|scope| !declined.contains(scope));
        fields.extend(granted.map(|scope| field("granted", scope)));
        fields.extend(accounts.iter().map(|id| field("account", id)));
        fields.push(field("decision", "allow"));
        let action = dialog.split('?').next().unwrap();
        let sent = self.post(action, &fields).await;
        assert_eq!(sent.status, 303, "{}", sent.text);
        sent.location
    }

    /// Comes back from a dialog, and gives the page of the connection.
    pub async fn comes_back(&self, address: &str) -> String {
        let back = self.get(address).await;
        assert_eq!(back.status, 303, "{}", back.text);
        assert!(!back.location.contains("code"), "the next address tells nothing of it: {}", back.location);
        back.location
    }

    /// Out to the dialog and back.
    pub async fn goes(&self, platform: &str, accounts: &[&str], declined: &[&str]) -> String {
        let dialog = self.begin(platform).await;
        let back = self.decides(&dialog, accounts, declined).await;
        self.comes_back(&back).await
    }

    /// Waits until a connection's page does not ask again by itself any more.
    pub async fn rests(&self, page: &str) -> String {
        eventually("the page to rest", || async {
            let got = self.get(page).await;
            let waits = got.status != 200 || got.text.contains("http-equiv=\"refresh\"");
            if waits { Err(format!("{} {}", got.status, got.text)) } else { Ok(got.text) }
        })
        .await
    }

    /// Chooses these of what is offered.
    pub async fn chooses(&self, page: &str, text: &str, keys: &[&str]) -> Got {
        let mut fields = vec![field("token", &token(text))];
        fields.extend(keys.iter().map(|key| field("account", key)));
        self.post(page, &fields).await
    }

    /// All of it: through the dialog, and everything connected that was ticked.
    pub async fn connects(&self, platform: &str, accounts: &[&str], keys: &[&str]) -> String {
        let page = self.goes(platform, accounts, &[]).await;
        let text = self.rests(&page).await;
        assert_eq!(self.chooses(&page, &text, keys).await.status, 303, "{text}");
        let done = self.rests(&page).await;
        assert_eq!(done.matches(">Connected</p>").count(), keys.len(), "{done}");
        done
    }
}
