//! What people may ask about their data, as the API takes it: deletion, correction, the end of a consent.

use jobs::consent::Purpose;
use serde_json::Value;

use super::{
    body::{self, Fields},
    console,
    deletion::Wanted,
    finding::{Finding, Findings},
};

/// What of a person on the staff is to be corrected.
#[derive(Debug)]
pub struct Correction {
    /// The address that they are known by.
    pub email: String,
    /// Their right given and family name.
    pub name: Option<(String, String)>,
    /// Their right address.
    pub new_email: Option<String>,
}

/// Of what a copy is wanted.
#[derive(Debug)]
pub enum Copied {
    /// Of what is known of somebody.
    Somebody(Wanted),
    /// Of all that is the workspace's.
    Workspace,
}

/// A request about somebody's data.
#[derive(Debug)]
pub enum Request {
    /// All of it is to be deleted.
    Deletion(Wanted),
    /// A copy of it is wanted.
    Export(Copied),
    /// Something about somebody on the staff is wrong.
    Correction(Correction),
    /// The workspace's data is not to be used for that any more.
    Withdrawal(Purpose),
}

/// Reads one.
///
/// # Errors
/// What is wrong with it.
pub fn request(body: &Value) -> Result<Request, Vec<Finding>> {
    match body.get("kind").and_then(Value::as_str) {
        Some("export") => copied(body).map(Request::Export),
        Some("correction") => correction(body).map(Request::Correction),
        Some("withdrawal") => {
            consent(body, &["kind", "purpose"]).map(|(purpose, _)| Request::Withdrawal(purpose))
        }
        _ => {
            let (wanted, findings) = body::deletion(body);
            if findings.is_empty() { Ok(Request::Deletion(wanted)) } else { Err(findings) }
        }
    }
}

/// Of whom is said as for a deletion.
fn copied(body: &Value) -> Result<Copied, Vec<Finding>> {
    if body.get("workspace").is_some_and(|whole| !whole.is_null()) {
        let mut findings = Findings::default();
        let mut at = Fields::open("", body, &mut findings);
        at.only(&["kind", "workspace"]);
        if at.value("workspace") != Some(&Value::Bool(true)) {
            at.find("workspace", "type", "Say true, or leave it out.");
        }
        let findings = findings.all();
        return if findings.is_empty() { Ok(Copied::Workspace) } else { Err(findings) };
    }
    let mut of = body.clone();
    of["kind"] = "deletion".into();
    let (wanted, findings) = body::deletion(&of);
    if findings.is_empty() { Ok(Copied::Somebody(wanted)) } else { Err(findings) }
}

fn correction(body: &Value) -> Result<Correction, Vec<Finding>> {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(&["kind", "email", "first_name", "last_name", "new_email"]);
    let email = at.text("email");
    if email.is_none() {
        at.find("email", "required", "Say by which address they are known.");
    }
    let (first, last, asked) = (at.text("first_name"), at.text("last_name"), at.text("new_email"));
    let name = first.as_deref().zip(last.as_deref());
    let name = name.and_then(|(first, last)| console::name(first).zip(console::name(last)));
    if name.is_none() && (first.is_some() || last.is_some()) {
        at.find("first_name", "name", "Give first_name and last_name, each of 1 to 100 characters.");
    }
    let new_email = asked.as_deref().and_then(console::email);
    if asked.is_some() && new_email.is_none() {
        at.find("new_email", "format", "This is no e-mail address.");
    }
    if first.is_none() && last.is_none() && asked.is_none() {
        at.find(
            "new_email",
            "required",
            "Say what is right: first_name and last_name, or new_email, or all.",
        );
    }
    match (email, findings.all()) {
        (Some(email), findings) if findings.is_empty() => Ok(Correction { email, name, new_email }),
        (_, findings) => Err(findings),
    }
}

/// A purpose, and whether it is wanted: `given`, where that is among the known fields, else not.
///
/// # Errors
/// What is wrong with it.
pub fn consent(body: &Value, known: &[&str]) -> Result<(Purpose, bool), Vec<Finding>> {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(known);
    let purpose = at.text("purpose").as_deref().and_then(Purpose::parse);
    if purpose.is_none() {
        at.find("purpose", "purpose_unknown", "Say for what: “ai” or “analytics”.");
    }
    let given = at.value("given").and_then(Value::as_bool);
    if known.contains(&"given") && given.is_none() {
        at.find("given", "required", "Say true or false.");
    }
    match (purpose, findings.all()) {
        (Some(purpose), findings) if findings.is_empty() => Ok((purpose, given.unwrap_or_default())),
        (_, findings) => Err(findings),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_says_what_is_right_or_what_for_and_nothing_else() {
        let right =
            json!({ "kind": "correction", "email": "a@b.cd", "first_name": " Dana ", "last_name": "Levi" });
        let Ok(Request::Correction(it)) = request(&right) else { panic!("it is one") };
        assert_eq!((it.name, it.new_email), (Some(("Dana".to_owned(), "Levi".to_owned())), None));
        let right = json!({ "kind": "withdrawal", "purpose": "ai" });
        assert!(matches!(request(&right), Ok(Request::Withdrawal(Purpose::Ai))));
        for wrong in [
            json!({ "kind": "correction", "email": "a@b.cd" }),
            json!({ "kind": "correction", "email": "a@b.cd", "first_name": "Dana" }),
            json!({ "kind": "correction", "email": "a@b.cd", "new_email": "nobody" }),
            json!({ "kind": "correction", "new_email": "a@b.cd" }),
            json!({ "kind": "correction", "email": "a@b.cd", "new_email": "c@d.ef", "more": 1 }),
            json!({ "kind": "withdrawal" }),
            json!({ "kind": "withdrawal", "purpose": "all" }),
            json!({ "kind": "withdrawal", "purpose": "ai", "given": true }),
        ] {
            assert!(request(&wrong).is_err(), "{wrong}");
        }
    }
}
