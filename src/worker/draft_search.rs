//! Looks at the networks for what was made there and whose name was lost on the way here, so that it is taken back.
//!
//! Nothing counts as ours but what the network itself says that this app made, that nobody sees, with the words of a
//! call whose answer was lost, within that call's time, and under a name that nothing here knows.

use std::time::Duration;

use chrono::TimeDelta;
use jobs::{
    contract::{Class, Failure},
    desk::{Call, Unseen, Vault},
    gate::{Gate, Visit},
};

use super::{Worker, vault::LedgerVault};
use crate::ledger::{
    LedgerError,
    draft_search::{Lost, Search},
};

/// Accounts searched in one round.
const MOST: i64 = 8;
/// The read of the list.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// All of what one account takes.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// A search that failed so often is given up: what nobody sees does no harm.
const TRIES_MOST: i32 = 5;
/// How far the network's clock and ours may be apart.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(2);

impl Worker {
    /// One round.
    pub(super) async fn seek_drafts(&self) -> Result<(), LedgerError> {
        let duties = &self.parts.duties;
        for search in self.in_time(duties.searches_due(MOST)).await? {
            if self.stop.is_cancelled() {
                break;
            }
            let sought = tokio::time::timeout(LOOK_TIMEOUT, self.seek(&search)).await;
            let account = search.account_id;
            match sought.unwrap_or_else(|late| Err(LedgerError::late(late))) {
                Ok(None) => self.in_time(duties.searched(&search)).await?,
                Ok(Some(failure)) if is_final(&failure, search.tries) => {
                    tracing::warn!(%account, %failure, "what an account keeps unseen could not be read; it stays");
                    self.in_time(duties.searched(&search)).await?;
                }
                Ok(Some(failure)) => {
                    tracing::info!(%account, %failure, "what an account keeps unseen could not be read yet");
                }
                Err(error) => tracing::warn!(%error, %account, "an account was not searched"),
            }
        }
        Ok(())
    }

    /// Searches one account; gives what kept it from that, if anything did.
    async fn seek(&self, search: &Search) -> Result<Option<Failure>, LedgerError> {
        let (duties, platform) = (&self.parts.duties, &search.platform);
        let Some(network) = self.parts.networks.of(platform) else {
            let why = format!("{platform} is not switched on");
            return Ok(Some(Failure::new(Class::Transient, "network_off", why)));
        };
        if !network.lists_unseen() {
            return Ok(None);
        }
        let lost = self.in_time(duties.lost_calls(search)).await?;
        let Some(first) = lost.iter().map(|it| it.from).min() else { return Ok(None) };
        let gate = self.last_gate();
        let (account, allowance) = (search.account_id, network.allowance());
        let visit = Visit { network: platform, account, allowance, calls: 1, comes_back: false };
        if let Err(error) = gate.enter(visit).await {
            return Ok(Some(error.failure()));
        }
        let vault = LedgerVault { ledger: duties, ring: &self.parts.ring };
        let token = match vault.access_token(account).await {
            Ok(token) => token,
            Err(error) => return Ok(Some(error.failure())),
        };
        let call = Call {
            id: None,
            account: &search.external_id,
            token: &token,
            media: &*self.parts.media,
            gate: &gate,
            timeout: CALL_TIMEOUT,
        };
        let unseen = match network.unseen(&call, first - CLOCKS_APART).await {
            Ok(unseen) => unseen,
            Err(failure) => return Ok(Some(failure)),
        };
        let found: Vec<Unseen> = unseen.into_iter().filter(|it| is_lost(it, &lost)).collect();
        let filed = self.in_time(duties.file_found(account, &found)).await?;
        if filed > 0 {
            tracing::info!(%account, filed, "found what was made and whose name was lost");
        }
        Ok(None)
    }
}

/// Whether one of these calls made it. What has no words could be anything.
fn is_lost(unseen: &Unseen, lost: &[Lost]) -> bool {
    let words = plain(&unseen.words);
    let made = |it: &Lost| {
        let within = it.from - CLOCKS_APART..=it.to + CLOCKS_APART;
        plain(&it.words) == words && within.contains(&unseen.made_at)
    };
    !words.is_empty() && lost.iter().any(made)
}

/// Words as networks give them back: line ends of one kind, and none around them.
fn plain(words: &str) -> String {
    words.replace("\r\n", "\n").trim().to_owned()
}

/// Whether the network will never tell.
fn is_final(failure: &Failure, tries: i32) -> bool {
    matches!(failure.class, Class::Permanent | Class::Permission) || tries >= TRIES_MOST
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use jobs::desk::Handle;
    use serde_json::Value;

    use super::*;

    fn unseen(words: &str, seconds: i64) -> Unseen {
        Unseen {
            handle: Handle { kind: "draft".into(), id: "1_2".into(), detail: Value::Null },
            words: words.to_owned(),
            made_at: DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(seconds),
        }
    }

    #[test]
    fn only_what_has_the_words_of_a_lost_call_and_came_within_its_time_is_ours() {
        let from = DateTime::<Utc>::UNIX_EPOCH;
        let to = from + TimeDelta::seconds(60);
        let lost = |words: &str| [Lost { words: words.to_owned(), from, to }];
        assert!(is_lost(&unseen("Fresh\nbread", 30), &lost("Fresh\r\nbread ")));
        assert!(
            is_lost(&unseen("bread", -119), &lost("bread")) && is_lost(&unseen("bread", 179), &lost("bread"))
        );
        for (words, seconds) in [("bread", 181), ("bread", -121), ("Bread", 30), ("bread!", 30), ("", 30)] {
            assert!(!is_lost(&unseen(words, seconds), &lost("bread")), "{words} {seconds}");
        }
        assert!(!is_lost(&unseen("", 30), &lost("")), "what has no words could be anything");
        assert!(!is_lost(&unseen("bread", 30), &[]));
    }
}
