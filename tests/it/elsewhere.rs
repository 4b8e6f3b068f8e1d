//! Signing in with Google, which the sandbox plays.

use std::collections::BTreeMap;

use url::Url;

use crate::harness::{Process, System, eventually};

/// A browser that follows nothing by itself.
struct Walker {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

struct Page {
    status: u16,
    location: String,
    text: String,
}

impl Walker {
    fn fresh() -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { http: http.build().unwrap(), cookies: BTreeMap::new() }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Page {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer =
            request.header("cookie", cookies.join("; ")).header("accept", "text/html").send().await.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let location = answer.headers().get("location").map(|it| it.to_str().unwrap().to_owned());
        let (status, location) = (answer.status().as_u16(), location.unwrap_or_default());
        Page { status, location, text: answer.text().await.unwrap() }
    }

    async fn get(&mut self, url: &str) -> Page {
        let request = self.http.get(url);
        self.send(request).await
    }

    /// Goes to the provider, says who it is there, and gives the address that it is sent back to.
    async fn way_back(&mut self, system: &System, who: &[(&str, &str)]) -> String {
        self.way_back_to(system, "/accounts", who).await
    }

    /// The same, to go on there afterwards.
    async fn way_back_to(&mut self, system: &System, next: &str, who: &[(&str, &str)]) -> String {
        let mut leaving = Url::parse(&system.url("/sign-in/google")).unwrap();
        leaving.query_pairs_mut().append_pair("next", next);
        let out = self.get(leaving.as_str()).await;
        assert_eq!(out.status, 303, "{}", out.text);
        let asked = Url::parse(&out.location).unwrap();
        let mut fields: Vec<(String, String)> = asked.query_pairs().into_owned().collect();
        fields.extend(who.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut provider = asked.clone();
        provider.set_query(None);
        let form = Self::fresh().http.post(provider).form(&fields).send().await.unwrap();
        assert_eq!(form.status(), 303, "{}", form.text().await.unwrap());
        form.headers()["location"].to_str().unwrap().to_owned()
    }

    async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.http.post(url).form(fields);
        self.send(request).await
    }

    async fn sign_in(&mut self, system: &System, who: &[(&str, &str)]) -> Page {
        let back = self.way_back(system, who).await;
        self.get(&back).await
    }
}

const DANA: [(&str, &str); 3] = [("email", "Staff@Example.com"), ("verified", "on"), ("hd", "example.com")];

fn but<'a>(of: &[(&'a str, &'a str)], name: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    of.iter().map(|(own, is)| (*own, if *own == name { value } else { *is })).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_signs_in_with_google_and_stays_who_they_are() {
    // P-A3
    let system = System::start().await;
    let mut dana = Walker::fresh();
    assert!(dana.get(&system.url("/sign-in")).await.text.contains("/sign-in/google"));
    let back = dana.way_back(&system, &DANA).await;
    let before = dana.cookies["s"].clone();
    let signed = dana.get(&back).await;
    assert_eq!((signed.status, signed.location.as_str()), (303, "/accounts"), "{}", signed.text);
    assert_ne!(dana.cookies["s"], before, "another session than the one that was left");
    assert!(dana.get(&system.url("/posts")).await.text.contains("Dana Levi"));
    let again = dana.get(&back).await;
    assert_eq!(again.status, 403, "it holds once");

    // the account is known by its own name from now on, whatever its address
    let sub =
        "SELECT count(*) FROM person_identity WHERE subject = encode(sha256('Staff@Example.com'), 'hex')";
    assert_eq!(system.database.count(sub).await, 1);
    let other = Walker::fresh().sign_in(&system, &[&DANA[..], &[("sub", "somebody-else")]].concat()).await;
    assert_eq!(other.status, 403);
    assert!(other.text.contains("signs in with another account"), "{}", other.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_invited_or_not_of_the_organisation_or_not_verified_stays_out() {
    let system = System::start().await;
    for (who, said) in [
        (but(&DANA, "email", "who@example.com"), "Nobody here has the address who@example.com"),
        (but(&DANA, "hd", "elsewhere.com"), "not of the organisation"),
        (but(&DANA, "hd", ""), "not of the organisation"),
        (but(&DANA, "verified", ""), "has not verified"),
    ] {
        let answer = Walker::fresh().sign_in(&system, &who).await;
        assert_eq!(answer.status, 403, "{who:?}");
        assert!(answer.text.contains(said), "{who:?}: {}", answer.text);
    }
    assert_eq!(system.database.count("SELECT count(*) FROM person_identity").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_was_not_made_for_this_sign_in_opens_nothing() {
    let system = System::start().await;
    for lie in ["nonce", "audience", "issuer", "expired", "signature"] {
        let answer = Walker::fresh().sign_in(&system, &[&DANA[..], &[("lie", lie)]].concat()).await;
        assert_eq!(answer.status, 403, "{lie}: {}", answer.text);
    }
    // a way back that another browser began
    let back = Walker::fresh().way_back(&system, &DANA).await;
    assert_eq!(Walker::fresh().get(&back).await.status, 403, "nothing was begun there");
    let mut other = Walker::fresh();
    other.get(&system.url("/sign-in/google")).await;
    assert_eq!(other.get(&back).await.status, 403, "something else was begun there");
    // a code that was taken from another way back
    let mut dana = Walker::fresh();
    let mut own = Url::parse(&dana.way_back(&system, &DANA).await).unwrap();
    let code = |url: &str| {
        Url::parse(url).unwrap().query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    };
    let state = own.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let stolen = code(&Walker::fresh().way_back(&system, &DANA).await);
    own.query_pairs_mut().clear().append_pair("code", &stolen).append_pair("state", &state);
    assert_eq!(dana.get(own.as_str()).await.status, 403, "its verifier is another");
    let sessions = "SELECT count(*) FROM session WHERE person_id IS NOT NULL";
    assert_eq!(system.database.count(sessions).await, 0);
}

/// Invites an address to a workspace of this name, by a link of that name.
async fn invited(system: &System, workspace: &str, email: &str) {
    let invite = "WITH w AS (INSERT INTO workspace (id, name) VALUES (gen_random_uuid(), $1) RETURNING id)
                  INSERT INTO invitation (id, workspace_id, email, first_name, last_name, role, digest, expires_at)
                  SELECT gen_random_uuid(), id, $2, 'N', 'N', 'author', sha256(($1 || ' ' || $2)::bytea),
                         ledger_now() + interval '1 day'
                  FROM w";
    sqlx::query(invite).bind(workspace).bind(email).execute(&system.database.pool).await.unwrap();
}

const JOINED: &str =
    "SELECT count(*) FROM membership m JOIN person p ON p.id = m.person_id WHERE p.email = $1";
const NEW: &str = "new@example.com";

fn noa() -> Vec<(&'static str, &'static str)> {
    [&but(&DANA, "email", NEW)[..], &[("given_name", "Noa"), ("family_name", "Bar")]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_invited_joins_with_google_what_their_link_leads_to_and_nothing_else() {
    let system = System::start().await;
    for workspace in ["Florist", "Butcher"] {
        invited(&system, workspace, NEW).await;
    }
    let mut noa = Walker::fresh();
    let link = "/invitation/Florist new@example.com";
    let page = noa.get(&system.url("/invitation/Florist%20new@example.com")).await;
    assert!(page.text.contains("Join with Google"), "{}", page.text);
    let back = noa.way_back_to(&system, link, &self::noa()).await;
    let signed = noa.get(&back).await;
    assert_eq!((signed.status, signed.location.as_str()), (303, "/posts"), "{}", signed.text);
    let posts = noa.get(&system.url("/posts")).await;
    assert!(posts.text.contains("Noa Bar") && posts.text.contains("Florist"), "{}", posts.text);
    assert_eq!(noa.get(&system.url("/people")).await.status, 403, "as no more than they were invited as");
    assert_eq!(system.database.count_of(JOINED, NEW).await, 1);
    let left =
        "SELECT count(*) FROM invitation i JOIN workspace w ON w.id = i.workspace_id WHERE w.name = $1";
    assert_eq!(system.database.count_of(left, "Butcher").await, 1, "what nobody answered still stands");
    assert_eq!(system.database.count_of(left, "Florist").await, 0);
    let password = "SELECT count(*) FROM person WHERE email = $1 AND password_hash IS NULL";
    assert_eq!(system.database.count_of(password, NEW).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_invited_and_follows_no_link_chooses_what_they_join_one_by_one() {
    let system = System::start().await;
    invited(&system, "Florist", NEW).await;
    invited(&system, "Butcher", NEW).await;
    invited(&system, "Baker", "other@example.com").await;
    let mut noa = Walker::fresh();
    // a link to somebody else's is none
    let back = noa.way_back_to(&system, "/invitation/Baker other@example.com", &self::noa()).await;
    let before = noa.cookies["s"].clone();
    let came = noa.get(&back).await;
    assert_eq!((came.status, came.location.as_str()), (303, "/invitations"), "{}", came.text);
    assert_ne!(noa.cookies["s"], before, "another session than the one that was left");
    let known = "SELECT count(*) FROM person WHERE email = $1";
    assert_eq!(system.database.count_of(known, NEW).await, 0, "nobody is let in anywhere by that");
    assert_eq!(noa.get(&system.url("/posts")).await.status, 303, "nor signed in");
    let page = noa.get(&system.url("/invitations")).await;
    assert!(page.text.contains("Florist") && page.text.contains("Butcher"), "{}", page.text);
    assert!(!page.text.contains("Baker"), "{}", page.text);
    let token = crate::console::hidden(&page.text, "token");
    let of = async |workspace: &str| {
        let id =
            "SELECT i.id::text FROM invitation i JOIN workspace w ON w.id = i.workspace_id WHERE w.name = $1";
        let id: String =
            sqlx::query_scalar(id).bind(workspace).fetch_one(&system.database.pool).await.unwrap();
        system.url(&format!("/invitations/{id}"))
    };
    let (florist, butcher, baker) = (of("Florist").await, of("Butcher").await, of("Baker").await);
    assert_eq!(noa.post(&florist, &[("token", "x")]).await.status, 403);
    assert_eq!(noa.post(&baker, &[("token", &token)]).await.status, 410, "that is somebody else's");
    assert_eq!(Walker::fresh().post(&florist, &[("token", &token)]).await.location, "/sign-in");
    let first = noa.post(&florist, &[("token", &token)]).await;
    assert_eq!((first.status, first.location.as_str()), (303, "/invitations"), "{}", first.text);
    assert_eq!(system.database.count_of(JOINED, NEW).await, 1);
    assert!(noa.get(&system.url("/posts")).await.text.contains("Noa Bar"), "they are signed in");
    let page = noa.get(&system.url("/invitations")).await;
    assert!(!page.text.contains("Florist") && page.text.contains("Butcher"), "{}", page.text);
    let second = noa.post(&butcher, &[("token", &token)]).await;
    assert_eq!((second.status, second.location.as_str()), (303, "/posts"), "{}", second.text);
    assert_eq!(system.database.count_of(JOINED, NEW).await, 2);
    assert_eq!(system.database.count("SELECT count(*) FROM invitation").await, 1);
    let in_mind = "SELECT count(*) FROM session WHERE data ? 'proved'";
    assert_eq!(
        system.database.count(in_mind).await,
        0,
        "what Google said of them is kept no longer than it is needed"
    );
}

const LINKED: &str = "SELECT count(*) FROM person_identity";

#[tokio::test(flavor = "multi_thread")]
async fn who_is_linked_is_told_sees_it_and_takes_it_away() {
    let system = System::start().await;
    let mut dana = Walker::fresh();
    dana.sign_in(&system, &DANA).await;
    let told = "SELECT count(*) FROM mail WHERE to_address = 'staff@example.com'
                  AND subject = 'Google opens your postroom account'";
    assert_eq!(system.database.count(told).await, 1);
    dana.sign_in(&system, &DANA).await;
    assert_eq!(system.database.count(told).await, 1, "who comes in that way again is not told again");
    let page = dana.get(&system.url("/profile")).await;
    assert!(page.text.contains(&system.environment["GOOGLE_ISSUER_URL"]), "{}", page.text);
    let token = crate::console::hidden(&page.text, "token");
    let issuer = crate::console::hidden(&page.text, "issuer");
    let unlink = system.url("/profile/identities/unlink");
    assert_eq!(dana.post(&unlink, &[("token", "x"), ("issuer", &issuer)]).await.status, 403);
    assert_eq!(dana.post(&unlink, &[("token", &token), ("issuer", "https://other")]).await.status, 404);
    assert_eq!(system.database.count(LINKED).await, 1);
    let gone = dana.post(&unlink, &[("token", &token), ("issuer", &issuer)]).await;
    assert_eq!((gone.status, gone.location.as_str()), (303, "/profile?done=unlinked"), "{}", gone.text);
    assert_eq!(system.database.count(LINKED).await, 0);
    let page = dana.get(&system.url("/profile?done=unlinked")).await;
    assert!(page.text.contains("opens yours no more"), "they stay signed in: {}", page.text);
    let noted = "SELECT count(*) FROM audit WHERE action = 'sign_in_unlinked' AND actor = 'person'";
    assert_eq!(system.database.count(noted).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_way_in_is_not_taken_away() {
    let system = System::start().await;
    invited(&system, "Florist", NEW).await;
    let mut noa = Walker::fresh();
    let back = noa.way_back_to(&system, "/invitation/Florist new@example.com", &self::noa()).await;
    assert_eq!(noa.get(&back).await.location, "/posts");
    let page = noa.get(&system.url("/profile")).await;
    assert!(page.text.contains("the only way in"), "{}", page.text);
    assert!(!page.text.contains("name=\"issuer\""), "no button offers it: {}", page.text);
    let token = crate::console::hidden(&page.text, "token");
    let fields = [("token", token.as_str()), ("issuer", &system.environment["GOOGLE_ISSUER_URL"])];
    let kept = noa.post(&system.url("/profile/identities/unlink"), &fields).await;
    assert_eq!(kept.status, 409, "{}", kept.text);
    assert_eq!(system.database.count(LINKED).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_password_says_by_google_who_they_are_and_goes_on_with_the_same_form() {
    let system = System::start().await;
    invited(&system, "Florist", NEW).await;
    let mut noa = Walker::fresh();
    let back = noa.way_back_to(&system, "/invitation/Florist new@example.com", &self::noa()).await;
    assert_eq!(noa.get(&back).await.location, "/posts");
    let token = crate::console::hidden(&noa.get(&system.url("/profile")).await.text, "token");
    let long_ago = "UPDATE session SET data = jsonb_set(data, '{sure}', '0') WHERE data ? 'sure'";
    sqlx::query(long_ago).execute(&system.database.pool).await.unwrap();
    let (copy, fields) = (system.url("/profile/copy"), [("token", token.as_str())]);
    let asked = noa.post(&copy, &fields).await;
    assert_eq!(asked.status, 403, "{}", asked.text);
    assert!(asked.text.contains("/sign-in/google?next=%2Fsure"), "{}", asked.text);
    assert!(!asked.text.contains("name=\"sure_password\""), "{}", asked.text);
    let session = noa.cookies["s"].clone();
    // somebody else's account shows nothing, and changes nothing
    let back = noa.way_back_to(&system, "/sure", &DANA).await;
    let other = noa.get(&back).await;
    assert_eq!(other.status, 403);
    assert!(other.text.contains("not the account that you are signed in with"), "{}", other.text);
    assert_eq!(noa.post(&copy, &fields).await.status, 403);
    let back = noa.way_back_to(&system, "/sure", &self::noa()).await;
    let came = noa.get(&back).await;
    assert_eq!((came.status, came.location.as_str()), (303, "/sure"), "{}", came.text);
    assert!(noa.get(&system.url("/sure")).await.text.contains("It is you."));
    assert_eq!(noa.cookies["s"], session, "the session goes on, and its forms with it");
    let done = noa.post(&copy, &fields).await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert!(done.location.starts_with("/privacy/exports/"), "{}", done.location);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_password_says_by_google_who_they_are_before_their_address_is_another() {
    let system = System::start().await;
    invited(&system, "Florist", NEW).await;
    let mut noa = Walker::fresh();
    let back = noa.way_back_to(&system, "/invitation/Florist new@example.com", &self::noa()).await;
    assert_eq!(noa.get(&back).await.location, "/posts");
    let long_ago = "UPDATE session SET data = jsonb_set(data, '{sure}', '0') WHERE data ? 'sure'";
    sqlx::query(long_ago).execute(&system.database.pool).await.unwrap();
    let page = noa.get(&system.url("/profile")).await.text;
    assert!(page.contains("/sign-in/google?next=%2Fsure"), "{page}");
    let token = crate::console::hidden(&page, "token");
    let (ask, fields) =
        (system.url("/profile/email"), [("token", token.as_str()), ("email", "eve@example.com")]);
    let asked = noa.post(&ask, &fields).await;
    assert_eq!(asked.status, 422, "{}", asked.text);
    assert!(asked.text.contains("Say first that it is you"), "{}", asked.text);
    let links = "SELECT count(*) FROM mail WHERE to_address = $1";
    assert_eq!(system.database.count_of(links, "eve@example.com").await, 0);
    let back = noa.way_back_to(&system, "/sure", &self::noa()).await;
    assert_eq!(noa.get(&back).await.location, "/sure");
    let asked = noa.post(&ask, &fields).await;
    assert_eq!((asked.status, asked.location.as_str()), (303, "/profile?done=email"), "{}", asked.text);
    assert_eq!(system.database.count_of(links, "eve@example.com").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_provider_does_not_manage_links_nobody() {
    let mut system = System::start().await;
    system.environment.remove("GOOGLE_HOSTED_DOMAIN");
    let web: Option<Process> = system.web.take();
    web.unwrap().kill9().await;
    system.start_web().await;
    let former = Walker::fresh().sign_in(&system, &but(&DANA, "hd", "")).await;
    assert_eq!(former.status, 403, "{}", former.text);
    assert!(former.text.contains("Google does not manage the address staff@example.com"), "{}", former.text);
    let failed = "SELECT count(*) FROM audit WHERE action = 'sign_in_failed'";
    assert_eq!(system.database.count(failed).await, 1);
    assert_eq!(system.database.count("SELECT count(*) FROM person_identity").await, 0);
    // who was linked while it did manage it is known by their account
    assert_eq!(Walker::fresh().sign_in(&system, &DANA).await.status, 303);
    assert_eq!(Walker::fresh().sign_in(&system, &but(&DANA, "hd", "")).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_leads_elsewhere_is_not_followed() {
    let mut system = System::start().await;
    let moved = system.environment["GOOGLE_ISSUER_URL"].replace("/oidc", "/oidc-moved");
    system.environment.insert("GOOGLE_ISSUER_URL".into(), moved);
    let web: Option<Process> = system.web.take();
    web.unwrap().kill9().await;
    system.start_web().await;
    let answer = eventually("an answer", || async {
        let page = Walker::fresh().get(&system.url("/sign-in/google")).await;
        if page.status == 429 { Err(page.text) } else { Ok(page) }
    })
    .await;
    assert_eq!(answer.status, 503, "{}", answer.text);
}
