//! Letters, by SMTP; or as files, for whoever reads them there.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use async_trait::async_trait;
use jobs::{
    contract::{Class, Failure},
    mail::{Letter, Mail},
};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use url::{Host, Url};

use super::{Environment, group};

/// One command of SMTP, and its answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// As much of what a mail server answers is kept.
const TOLD_MOST: usize = 300;

/// Where letters go.
struct PostOffice {
    from: Mailbox,
    way: Way,
}

enum Way {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Folder(PathBuf),
}

/// What brings letters out, if `SMTP_URL` and `MAIL_FROM` are set.
///
/// # Errors
/// One of the two is not set, or cannot be used; the message names it.
pub fn from_environment(environment: Environment<'_>) -> Result<Option<Box<dyn Mail>>, String> {
    let Some([address, from]) = group(environment, ["SMTP_URL", "MAIL_FROM"])? else { return Ok(None) };
    let from = from.parse::<Mailbox>().map_err(|_| {
        format!("MAIL_FROM: found {from:?}; accepted is an address, such as postroom@example.org")
    })?;
    let way = way(&address).map_err(|what| {
        format!(
            "SMTP_URL: {what}; accepted are smtp://HOST[:PORT], smtps://HOST[:PORT] and file:///DIRECTORY"
        )
    })?;
    Ok(Some(Box::new(PostOffice { from, way })))
}

/// What stands in the address is not repeated: a password may be in it.
fn way(address: &str) -> Result<Way, String> {
    let url = Url::parse(address).map_err(|error| error.to_string())?;
    if url.scheme() == "file" {
        return url.to_file_path().map(Way::Folder).map_err(|()| "its directory is not absolute".to_owned());
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?;
    let sealed = || TlsParameters::new(host.to_owned()).map_err(|error| error.to_string());
    let (tls, port) = match url.scheme() {
        "smtps" => (Tls::Wrapper(sealed()?), 465),
        // what stays on this machine needs no seal; what leaves it has one, or is not sent
        "smtp" if is_loopback(&url) => (Tls::None, 25),
        "smtp" => (Tls::Required(sealed()?), 587),
        other => return Err(format!("found the scheme {other:?}")),
    };
    let mut transport =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.trim_matches(['[', ']']))
            .port(url.port().unwrap_or(port))
            .tls(tls)
            .timeout(Some(TIMEOUT));
    if let Some(password) = url.password() {
        let plain = |text: &str| percent_decoded(text).ok_or("its user or password is not UTF-8");
        transport = transport.credentials(Credentials::new(plain(url.username())?, plain(password)?));
    }
    Ok(Way::Smtp(transport.build()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        // of a scheme that it does not know, `url` reads an address as a name
        Some(Host::Domain(name)) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let bytes =
        url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B").replace('&', "%26")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())?;
    (!bytes.contains('\u{fffd}')).then_some(bytes)
}

#[async_trait]
impl Mail for PostOffice {
    async fn send(&self, letter: &Letter<'_>) -> Result<(), Failure> {
        let message = self.message(letter)?;
        match &self.way {
            Way::Smtp(transport) => {
                transport.send(message).await.map_err(|error| refused(&error))?;
            }
            Way::Folder(folder) => {
                let path = folder.join(format!("{}.eml", letter.id));
                let kept = async {
                    tokio::fs::create_dir_all(folder).await?;
                    tokio::fs::write(&path, message.formatted()).await
                };
                kept.await
                    .map_err(|error| Failure::new(Class::Transient, "mail_folder", error.to_string()))?;
            }
        }
        Ok(())
    }
}

impl PostOffice {
    fn message(&self, letter: &Letter<'_>) -> Result<Message, Failure> {
        let wrong = |what: String| Failure::new(Class::Permanent, "mail_address", what);
        let to: Address =
            letter.to.parse().map_err(|_| wrong("no mail can be sent to that address".into()))?;
        let name = format!("<{}@{}>", letter.id, self.from.email.domain());
        Message::builder()
            .message_id(Some(name))
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(letter.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body.to_owned())
            .map_err(|error| wrong(error.to_string()))
    }
}

fn refused(error: &lettre::transport::smtp::Error) -> Failure {
    let class = if error.is_permanent() { Class::Permanent } else { Class::Transient };
    let told: String = error.to_string().chars().filter(|c| !c.is_control()).take(TOLD_MOST).collect();
    Failure::new(class, "mail_refused", told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(address: &str, from: &str) -> Result<bool, String> {
        let environment = |name: &str| {
            let value = if name == "SMTP_URL" { address } else { from };
            Some(value.to_owned()).filter(|value| !value.is_empty())
        };
        from_environment(&environment).map(|made| made.is_some())
    }

    #[test]
    fn mail_is_on_when_both_are_set_and_a_half_set_group_is_named() {
        assert_eq!(made("", ""), Ok(false));
        for address in [
            "smtp://127.0.0.1:2525",
            "smtp://localhost:2525",
            "smtps://dana:pass%40word@smtp.example.org",
            "smtp://smtp.example.org",
            "file:///tmp/letters",
        ] {
            assert_eq!(made(address, "postroom@example.org"), Ok(true), "{address}");
        }
        for (address, from, named) in [
            ("smtp://localhost", "", "MAIL_FROM"),
            ("", "postroom@example.org", "SMTP_URL"),
            ("http://localhost", "postroom@example.org", "SMTP_URL"),
            ("smtp://localhost", "nobody", "MAIL_FROM"),
        ] {
            assert!(made(address, from).is_err_and(|told| told.contains(named)), "{address} {from}");
        }
    }

    #[test]
    fn only_what_stays_on_this_machine_goes_unsealed() {
        for (address, stays) in [
            ("smtp://127.0.0.1:2525", true),
            ("smtp://[::1]:2525", true),
            ("smtp://localhost", true),
            ("smtp://mail.example.org", false),
            ("smtp://127.0.0.1.example.org", false),
            ("smtp://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&address.parse().expect("an address")), stays, "{address}");
        }
    }

    #[test]
    fn a_letter_has_one_name_and_nothing_in_its_head_that_others_wrote() {
        let office = PostOffice {
            from: "postroom@example.org".parse().expect("a mailbox"),
            way: Way::Folder(PathBuf::from("/nowhere")),
        };
        let id = uuid::Uuid::nil();
        let letter =
            Letter { id, to: "dana@example.org", subject: "Hello", body: "Bcc: all@example.org\nשלום" };
        let message = office.message(&letter).expect("a message");
        let text = String::from_utf8(message.formatted()).expect("text");
        let (head, _) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("Message-ID: <00000000-0000-0000-0000-000000000000@example.org>"), "{head}");
        assert!(head.contains("To: dana@example.org") && !head.contains("Bcc"), "{head}");
        let slipped = Letter { to: "dana@example.org\r\nBcc: all@example.org", ..letter };
        assert!(office.message(&slipped).is_err_and(|failure| failure.class == Class::Permanent));
    }
}
