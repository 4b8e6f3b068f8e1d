//! What was made at a network and whose name was lost on the way here: how it is told from everything else there.
//!
//! Nothing counts as ours but what the network itself says that this app made, that nobody sees, with the words of a call
//! whose answer was lost, and within that call's time.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::desk::Unseen;

/// How far the network's clock and ours may be apart.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(2);

/// A call whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The words that it sent, if nobody has changed them since.
    pub words: String,
    /// When it was logged.
    pub from: DateTime<Utc>,
    /// When it was over at the latest.
    pub to: DateTime<Utc>,
}

/// The earliest that any of these calls may have made something, by the network's clock; none: there is no such call.
pub fn earliest(lost: &[Lost]) -> Option<DateTime<Utc>> {
    lost.iter().map(|it| it.from - CLOCKS_APART).min()
}

/// Whether one of these calls made it. What has no words could be anything.
pub fn is_lost(unseen: &Unseen, lost: &[Lost]) -> bool {
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::desk::Handle;

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
        assert_eq!((earliest(&lost("bread")), earliest(&[])), (Some(from - CLOCKS_APART), None));
    }

    #[test]
    fn a_lost_call_is_read_as_the_ledger_writes_it() {
        let written = r#"[{"words": "bread", "from": "2026-11-23T10:00:00.123456+00:00", "to": "2026-11-23T10:10:00+00:00"}]"#;
        let read: Vec<Lost> = serde_json::from_str(written).expect("a list");
        assert_eq!((read[0].words.as_str(), (read[0].to - read[0].from).num_minutes()), ("bread", 9));
    }
}
