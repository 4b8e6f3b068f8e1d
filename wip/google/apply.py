import os, shutil
os.chdir('/tmp/w/aw'); g='/tmp/awtmp/g/'
for a,b in [('jobs_sign_in.rs','jobs/sign_in.rs'),('google.rs','src/networks/google.rs'),('identities.rs','src/ledger/identities.rs'),
            ('console_elsewhere.rs','src/web/console/elsewhere.rs'),('oidc.rs','sandbox/src/oidc.rs'),('oidc.html','sandbox/templates/oidc.html'),
            ('elsewhere_test.rs','tests/it/elsewhere.rs')]:
    shutil.copy(g+a,b)
def sub(p, pairs):
    s=open(p).read()
    for a,b in pairs:
        assert a in s, (p,a)
        s=s.replace(a,b,1)
    open(p,'w').write(s)
sub('jobs/lib.rs',[("pub mod renewals;\n","pub mod renewals;\npub mod sign_in;\n")])
sub('src/networks/mod.rs',[("mod facebook;\n","mod facebook;\npub mod google;\n")])
sub('src/ledger/mod.rs',[("pub mod idempotency;\n","pub mod idempotency;\npub mod identities;\n")])
sub('Cargo.toml',[('nix = {','openidconnect = { version = "4.1.0", default-features = false }\nnix = {') ,
 ('moxcms.workspace = true\n','moxcms.workspace = true\nopenidconnect.workspace = true\n'),
 ('aes-gcm = "0.11.1"\n','aes-gcm = "0.11.1"\naws-lc-rs = { version = "1.19.0", default-features = false, features = ["aws-lc-sys"] }\n')])
sub('sandbox/Cargo.toml',[("axum.workspace = true\n","aws-lc-rs.workspace = true\naxum.workspace = true\n")])
sub('sandbox/src/lib.rs',[("pub mod model;\n","pub mod model;\npub mod oidc;\n")])
sub('sandbox/src/serve.rs',[
("use crate::{control, duration, graph, mail, s3, tiktok, wall};","use crate::{control, duration, graph, mail, oidc, s3, tiktok, wall};"),
("    /// The mail server.\n    pub smtp: String,\n","    /// The mail server.\n    pub smtp: String,\n    /// The issuer of identities.\n    pub oidc: String,\n"),
("        smtp: format!(\"smtp://{}\", reachable(smtp)),\n","        smtp: format!(\"smtp://{}\", reachable(smtp)),\n        oidc: format!(\"{base}/oidc\"),\n"),
("        let router = router(Arc::clone(&sandbox)).merge(mail::router(Arc::clone(&room)));\n",
 "        let provider = oidc::Provider::new(addresses.wall.trim_end_matches('/'))?;\n        let router = router(Arc::clone(&sandbox)).merge(mail::router(Arc::clone(&room))).merge(oidc::router(provider));\n"),
])
sub('tests/it/harness/mod.rs',[('        ("SMTP_URL", of("smtp")),\n','''        ("GOOGLE_CLIENT_ID", "client".into()),
        ("GOOGLE_CLIENT_SECRET", "client-secret".into()),
        ("GOOGLE_ISSUER_URL", of("oidc")),
        ("GOOGLE_HOSTED_DOMAIN", "example.com".into()),
        ("SMTP_URL", of("smtp")),
''')])
sub('tests/it/main.rs',[("mod explain;\n","mod elsewhere;\nmod explain;\n")])
sub('tests/it/support.rs',[('        mail: true,\n','        mail: true,\n        sign_in: None,\n')])
sub('src/web/mod.rs',[('''    /// Whether mail is sent.
''','''    /// What signs people in who are known elsewhere.
    pub sign_in: Option<Arc<dyn SignIn>>,
    /// Whether mail is sent.
'''),
("use jobs::{desk::Clock, fp, hint::Hint, store::Uploads, surface::Platform};","use jobs::{desk::Clock, fp, hint::Hint, sign_in::SignIn, store::Uploads, surface::Platform};")])
sub('src/wiring.rs',[('        mail: post_office()?.is_some(),\n','        mail: post_office()?.is_some(),\n        sign_in: google()?.map(Arc::from),\n'),
('''fn post_office()''','''fn google() -> Result<Option<Box<dyn SignIn>>, WiringError> {
    networks::google::from_environment(&config::optional).map_err(WiringError::Networks)
}

fn post_office()'''),
("    mail::Mail,\n    surface","    mail::Mail,\n    sign_in::SignIn,\n    surface")])
sub('src/web/console/mod.rs',[("mod desk;\n","mod desk;\nmod elsewhere;\n"),
('''        .post("/sign-out", sign_in::leave)
''','''        .anybody("/sign-in/google", get(elsewhere::leave))
        .anybody(elsewhere::BACK, get(elsewhere::come_back))
        .post("/sign-out", sign_in::leave)
''')])
sub('src/web/console/elsewhere.rs',[("const BACK","pub const BACK")])
sub('src/web/console/session.rs',[('''/// Remembers which workspace''','''/// Remembers a sign-in that was begun elsewhere, and where to go on after it. Who has not signed in yet comes back soon
/// or begins anew.
///
/// # Errors
/// The ledger is away.
pub async fn leave_for(session: &Session, begun: &Begun, next: &str) -> Result<(), Problem> {
    let left = (&begun.state, &begun.nonce, &begun.verifier, next);
    session.insert(LEFT, left).await.map_err(away)?;
    if session.get::<Uuid>(PERSON).await.map_err(away)?.is_none() {
        session.set_expiry(Some(Expiry::OnInactivity(AWAY_FOR)));
    }
    Ok(())
}

/// The sign-in that was begun elsewhere, and where to go on; it is forgotten by that.
///
/// # Errors
/// The ledger is away.
pub async fn left_for(session: &Session) -> Result<Option<(Begun, String)>, Problem> {
    let left: Option<(String, String, String, String)> = session.remove(LEFT).await.map_err(away)?;
    Ok(left.map(|(state, nonce, verifier, next)| {
        (Begun { address: String::new(), state, nonce, verifier }, next)
    }))
}

/// Remembers which workspace'''),
('const ROLE: &str = "role";\n','const ROLE: &str = "role";\nconst LEFT: &str = "left";\n/// Whoever signs in elsewhere is back by then.\nconst AWAY_FOR: time::Duration = time::Duration::minutes(10);\n'),
("use chrono::{DateTime, Utc};\n","use chrono::{DateTime, Utc};\nuse jobs::sign_in::Begun;\n"),
])
sub('src/web/console/sign_in.rs',[("    mail: bool,\n}","    mail: bool,\n    /// Where signing in with Google begins, where that is on.\n    google: Option<String>,\n}"),
("    let page = Page { shell, token: token.clone(), email, next, wrong, mail };","    let google = app.house.sign_in.as_ref().map(|_| {\n        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair(\"next\", &next).finish();\n        format!(\"/sign-in/google?{query}\")\n    });\n    let page = Page { shell, token: token.clone(), email, next, wrong, mail, google };")])
sub('templates/sign_in.html',[('''  {% if mail %}''','''  {% if let Some(address) = google %}<p><a class="button quiet wide" href="{{ address }}">{{ shell.t.google }}</a></p>{% endif %}
  {% if mail %}''')])
sub('src/web/console/texts.rs',[('''    forgotten: "Forgot''','''    google: "Sign in with Google",
    google_title: "Signing in with Google",
    google_stale: "This sign-in was begun in another browser, or too long ago. Begin it anew.",
    google_away: "Google cannot be reached. Try again in a moment, or sign in with your password.",
    google_refused: "Google has not said who you are in a way that holds. Begin it anew.",
    google_domain: "That account is not of the organisation that signs in here. Choose another one.",
    google_unverified: "Google has not verified that account’s address, so nobody can be let in by it.",
    google_nobody: "Nobody here has the address {}, and nobody has invited it. Ask an administrator for an invitation.",
    google_other_account: "Whoever has the address {} here signs in with another account at Google. Choose that one.",

    forgotten: "Forgot''')])
sub('bin/dev',[('SMTP_URL=$(address smtp)\n','GOOGLE_CLIENT_ID=sandbox-client\nGOOGLE_CLIENT_SECRET=sandbox-client-secret\nGOOGLE_ISSUER_URL=$(address oidc)\nSMTP_URL=$(address smtp)\n')])
sub('README.md',[('''| `SMTP_URL`, `MAIL_FROM` |''','''| `GOOGLE_CLIENT_ID`, `GOOGLE_CLIENT_SECRET`, `GOOGLE_ISSUER_URL`, `GOOGLE_HOSTED_DOMAIN` | switch signing in with Google on; the last lets in that organisation's accounts only. Its redirect address is `PUBLIC_URL` and `/sign-in/google/back` |
| `SMTP_URL`, `MAIL_FROM` |'''),
('''Everybody sees at `/sessions`''','''Who is known or invited may sign in with Google instead; its account is linked by Google's own name for it, not its address.
Everybody sees at `/sessions`''')])
