//! Which web addresses a post may carry.
//!
//! The networks fetch a link to show it. An address inside somebody's house has no business in a post, and
//! would make a network ask there.

use std::net::IpAddr;

use jobs::reach;
use url::{Host, Url};

use super::finding::Finding;

const LONGEST: usize = 2_048;
const PRIVATE_ENDINGS: &[&str] = &[
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "localdomain",
    "home.arpa",
];

/// Whether a post may carry this address.
///
/// # Errors
/// It is no web address, or one that only some machine or house can reach.
pub fn check(link: &str) -> Result<(), Finding> {
    let find = |code, detail: &str| Err(Finding::new("link", code, detail));
    if link.len() > LONGEST {
        return find("link_too_long", "The link is longer than 2048 characters.");
    }
    if link.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return find("link_format", "The link has a blank or a control character in it.");
    }
    let Ok(url) = Url::parse(link) else {
        return find(
            "link_format",
            "This is not a web address. Write it in full, such as https://example.org/page.",
        );
    };
    if !matches!(url.scheme(), "http" | "https") {
        return find("link_scheme", "A link begins with https:// or http://.");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return find("link_format", "A link must not carry a user name or a password.");
    }
    match url.host() {
        Some(host) if is_public(&host) => Ok(()),
        Some(_) => find("link_private", "This address is private: nobody outside can open it."),
        None => find("link_format", "The link names no host."),
    }
}

/// The parser has already turned every way of writing a literal address (`0x7f.1`, `2130706433`) into one.
pub(super) fn is_public(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(ip) => reach::is_public(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => reach::is_public(IpAddr::V6(*ip)),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if let Ok(ip) = name.parse::<IpAddr>() {
                return reach::is_public(ip);
            }
            let private = |ending: &&str| name == **ending || name.ends_with(&format!(".{ending}"));
            name.contains('.') && !PRIVATE_ENDINGS.iter().any(private)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_taken() {
        for link in [
            "https://example.org/a?b=c#d",
            "http://example.co.il",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
            "https://דוגמה.org/",
            "https://localhost.example.org/",
            "https://example.org:8443/x",
        ] {
            assert_eq!(check(link), Ok(()), "{link}");
        }
    }

    #[test]
    fn private_addresses_are_refused_in_every_spelling() {
        for link in [
            "http://localhost/",
            "http://LOCALHOST:3000",
            "http://a.localhost",
            "http://printer.local/",
            "http://x.internal",
            "http://db/",
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://10.0.0.1",
            "http://172.16.0.1",
            "http://172.31.255.255",
            "http://192.168.1.1",
            "http://169.254.169.254/latest",
            "http://100.64.0.1",
            "http://0.0.0.0",
            "http://255.255.255.255",
            "http://[::1]/",
            "http://[::]/",
            "http://[fe80::1]/",
            "http://[fc00::1]",
            "http://[fd12::1]",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:10.0.0.1]",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[ff02::1]/",
            "http://localhost./",
            "http://foo.local./",
            "http://①②⑦.⓪.⓪.①/",
            "http://metadata.google.internal/",
            "http://224.0.0.1",
            "http://198.18.0.1",
            "http://192.0.2.1",
            "http://[2001:db8::1]",
        ] {
            assert_eq!(check(link).expect_err(link).code, "link_private", "{link}");
        }
    }

    #[test]
    fn only_web_addresses_are_links() {
        for (link, code) in [
            ("ftp://example.org", "link_scheme"),
            ("javascript:alert(1)", "link_scheme"),
            ("file:///etc/passwd", "link_scheme"),
            ("example.org", "link_format"),
            ("", "link_format"),
            ("https://user:secret@example.org", "link_format"),
            ("https://exa mple.org", "link_format"),
            ("https://example.org/\u{0}", "link_format"),
            ("https://", "link_format"),
        ] {
            assert_eq!(check(link).expect_err(link).code, code, "{link}");
        }
    }
}
