//! Where a post is to be seen, as a person says it: at its network, and nowhere else.

use jobs::surface::Platform;
use url::{Host, Url};

use super::finding::Finding;

const LONGEST: usize = 2_048;

/// A network, and what stands in for it here, if anything does.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The network.
    pub platform: &'a Platform,
    /// Its stand-in's address.
    pub stand_in: Option<&'a Url>,
}

impl Shown<'_> {
    /// Whether a post of this network can be at this address.
    ///
    /// # Errors
    /// It is no web address, or another site's.
    pub fn check(&self, permalink: &str) -> Result<(), Finding> {
        let find = |code, detail: String| Err(Finding::new("permalink", code, detail));
        if permalink.len() > LONGEST {
            return find("permalink_too_long", format!("The address is longer than {LONGEST} characters."));
        }
        let url = Url::parse(permalink).ok().filter(|_| !permalink.chars().any(odd));
        let Some(url) = url.filter(|url| url.username().is_empty() && url.password().is_none()) else {
            let detail = "This is not a web address. Copy it in full, such as https://….";
            return find("permalink_format", detail.to_owned());
        };
        let stands_in = self.stand_in.is_some_and(|own| own.origin() == url.origin());
        if stands_in || (url.scheme() == "https" && self.has(&url)) {
            return Ok(());
        }
        let (title, hosts) = (self.platform.title, self.platform.site.hosts);
        let detail =
            format!("This address is not on {title}: a post there is at https://… on {}.", hosts.join(", "));
        Err(Finding::new("permalink", "permalink_host", detail).accepting(hosts.iter().copied()))
    }

    fn has(&self, url: &Url) -> bool {
        let Some(Host::Domain(name)) = url.host() else { return false };
        let below = |host: &&str| *host == name || name.ends_with(&format!(".{host}"));
        url.port().is_none() && self.platform.site.hosts.iter().any(below)
    }
}

fn odd(letter: char) -> bool {
    letter.is_control() || letter.is_whitespace()
}

#[cfg(test)]
mod tests {
    use jobs::surface::{AccountPage, CaptionLimit, CaptionUnit, Site};

    use super::*;

    const PLATFORM: Platform = Platform {
        name: "test",
        title: "Test",
        caption: CaptionLimit { most: 10, unit: CaptionUnit::Utf16 },
        hashtags: None,
        mentions: None,
        surfaces: &[],
        privacy_levels: &[],
        comments: None,
        site: Site {
            hosts: &["fb.example", "fb.watch"],
            home: "https://fb.example",
            page: AccountPage::ById,
        },
    };

    fn found(permalink: &str) -> Option<&'static str> {
        Shown { platform: &PLATFORM, stand_in: None }.check(permalink).err().map(|finding| finding.code)
    }

    #[test]
    fn only_an_address_at_the_network_is_taken() {
        for good in ["https://fb.example/1", "https://www.FB.example/1?x=y", "https://fb.watch/a"] {
            assert_eq!(found(good), None, "{good}");
        }
        for other in [
            "http://fb.example/1",
            "https://notfb.example/1",
            "https://fb.example.evil.org/1",
            "https://fb.example:8443/1",
            "https://127.0.0.1/1",
            "javascript:alert(1)",
            "mailto:a@fb.example",
        ] {
            assert_eq!(found(other), Some("permalink_host"), "{other}");
        }
        for broken in ["", "fb.example/1", "https://a:b@fb.example/", "https://fb.example/ 1", "https://"] {
            assert_eq!(found(broken), Some("permalink_format"), "{broken:?}");
        }
        assert_eq!(found(&format!("https://fb.example/{}", "x".repeat(2_048))), Some("permalink_too_long"));
    }

    #[test]
    fn what_stands_in_for_a_network_shows_its_posts_too() {
        let stand_in = Url::parse("http://127.0.0.1:4100/graph/v25.0").expect("an address");
        let shown = Shown { platform: &PLATFORM, stand_in: Some(&stand_in) };
        assert_eq!(shown.check("http://127.0.0.1:4100/104/posts/1"), Ok(()));
        assert_eq!(shown.check("https://fb.example/1"), Ok(()));
        for other in ["http://127.0.0.1:4101/1", "https://127.0.0.1:4100/1", "http://localhost:4100/1"] {
            assert_eq!(shown.check(other).map_err(|it| it.code), Err("permalink_host"), "{other}");
        }
    }
}
