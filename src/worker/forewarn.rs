//! Tells people by mail what keeps a post from going out, while it can be mended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::{desk::Networks, preflight::Finding};
use url::Url;

use super::Worker;
use crate::ledger::{LedgerError, finding_told::Stopped, mail::NewMail};

/// Posts of which something is told in one look.
const MOST: i64 = 50;
const SUBJECT: &str = "A post will not go out as it is";

impl Worker {
    /// Puts the letters down that are to be written. Without mail nobody is told; what was found stands on the post's
    /// page all the same.
    pub(super) async fn forewarn(&self) -> Result<(), LedgerError> {
        if self.parts.mail.is_none() {
            return Ok(());
        }
        let (ledger, ring, networks) = (&self.parts.duties, &self.parts.ring, &*self.parts.networks);
        let lease = self.parts.settings.lookout.check_lease;
        for post in self.in_time(ledger.posts_to_tell(MOST, lease)).await? {
            let letter = |it: &Stopped, to: &str| {
                let body = said(networks, &self.parts.public_url, it);
                NewMail::by(ring, to, SUBJECT, &body, worth(it))
            };
            let letters = self.in_time(ledger.tell_findings(post, letter)).await?;
            if letters > 0 {
                tracing::info!(%post, letters, "people are told what stands in the way of a post");
            }
        }
        Ok(())
    }
}

/// After its time nobody has to be told.
fn worth(it: &Stopped) -> Duration {
    (it.scheduled_for - it.now).to_std().unwrap_or_default()
}

/// No name of an account or a file stands in it: letters lie on servers of others.
fn said(networks: &dyn Networks, public_url: &Url, it: &Stopped) -> String {
    let line = |(platform, code): &(String, String)| {
        let network = networks.title(platform).unwrap_or(platform);
        let what = Finding::stopping(code).unwrap_or("something is not as its network wants it");
        format!("- {network}: {what}.\n")
    };
    let lines: String = it.found.iter().map(line).collect();
    let path = format!("/posts/{}", it.post_id);
    let address = public_url.join(&path).map_or(path, String::from);
    format!(
        "A post is to go out at {}. As things are, it will not:\n\n{lines}\nIts page says more, and who can mend it: \
         {address}\n\nNobody is told of the same thing twice.\n",
        shown(it.scheduled_for)
    )
}

fn shown(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use jobs::{desk::Network, surface::Surface};

    use super::*;

    struct Two;

    impl Networks for Two {
        fn of(&self, _: &str) -> Option<&dyn Network> {
            None
        }

        fn surface(&self, _: &str, _: &str) -> Option<&'static Surface> {
            None
        }

        fn title(&self, platform: &str) -> Option<&'static str> {
            (platform == "tiktok").then_some("TikTok")
        }
    }

    #[test]
    fn a_letter_says_what_when_and_where_and_is_worth_nothing_after_its_time() {
        let now = DateTime::UNIX_EPOCH;
        let stopped = Stopped {
            post_id: uuid::Uuid::nil(),
            scheduled_for: now + TimeDelta::minutes(90),
            now,
            found: [("other", "media_missing"), ("tiktok", "access_refused")]
                .map(|(platform, code)| (platform.to_owned(), code.to_owned()))
                .to_vec(),
        };
        let base = Url::parse("https://post.example.org").expect("an address");
        let written = said(&Two, &base, &stopped);
        assert_eq!(worth(&stopped), Duration::from_mins(90));
        assert_eq!(worth(&Stopped { now: now + TimeDelta::hours(2), ..stopped }), Duration::ZERO);
        for part in [
            "1 January 1970, 01:30 UTC",
            "- TikTok: its network refuses the access to the account.\n",
            "- other: a file of it is not in the media store any more.\n",
            "https://post.example.org/posts/00000000-0000-0000-0000-000000000000\n",
        ] {
            assert!(written.contains(part), "no {part} in {written}");
        }
    }
}
