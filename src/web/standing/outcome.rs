//! What a post has come to, by the last word on it.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::metrics::{Metric, catalogue::by_id, packed};
use uuid::Uuid;

use crate::ledger::standing::Published;

/// What posts are measured by; the first is what they are measured by where nobody says otherwise.
pub const BY: &[&str] = &["engagement", "views", "reach", "likes", "comments", "shares"];
/// What came out later than so long ago has not had its chance yet.
pub const SETTLED: TimeDelta = TimeDelta::days(1);
/// The posts that are named at each end.
const NAMED: usize = 5;

/// Numbers of one look, by name. What a network said nothing of is not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers(Vec<(&'static Metric, i64)>);

impl Numbers {
    /// Unpacks them.
    pub fn of(points: Option<&[u8]>) -> Self {
        let mut numbers = Vec::new();
        let mut each = |id: u16, value: Option<i64>| numbers.extend(by_id(id).zip(value));
        if !packed::unpack(points.unwrap_or_default(), |(_, id, value)| each(id, value)) {
            tracing::error!("a snapshot is damaged");
        }
        Self(numbers)
    }

    /// The number of that name.
    pub fn named(&self, name: &str) -> Option<i64> {
        self.0.iter().find(|(metric, _)| metric.name == name).map(|(_, value)| *value)
    }

    /// By one of the words of [`BY`].
    pub fn by(&self, word: &str) -> Option<i64> {
        if word == BY[0] { self.engagement() } else { self.named(word) }
    }

    /// What the network calls interactions; where it has no such number likes, comments and shares, if all are told.
    pub fn engagement(&self) -> Option<i64> {
        self.named("interactions").or_else(|| {
            let all = self.named("likes")?.checked_add(self.named("comments")?)?;
            all.checked_add(self.named("shares")?)
        })
    }
}

/// A post on one account, and what it has come to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The post.
    pub post_id: Uuid,
    /// What people call the account.
    pub account: String,
    /// Its platform.
    pub platform: String,
    /// Its words.
    pub caption: String,
    /// When it came out.
    pub published_at: DateTime<Utc>,
    /// What was last said of it.
    pub numbers: Numbers,
}

/// Posts by their engagement, from both ends, and what is at neither for a reason.
#[derive(Debug, Clone, Default)]
pub struct Ranking {
    /// The best, the best of them first.
    pub best: Vec<Outcome>,
    /// The worst, the worst of them first.
    pub worst: Vec<Outcome>,
    /// So many are younger than a day.
    pub young: usize,
    /// Of so many the network has told too little.
    pub untold: usize,
}

impl Ranking {
    /// Of these posts, at that moment.
    pub fn of(published: Vec<Published>, now: DateTime<Utc>) -> Self {
        let (mut ranking, mut told) = (Self::default(), Vec::new());
        for it in published {
            let outcome = Outcome::of(it);
            match outcome.numbers.engagement() {
                _ if outcome.published_at > now - SETTLED => ranking.young += 1,
                Some(engagement) => told.push((engagement, outcome)),
                None => ranking.untold += 1,
            }
        }
        // of those that are alike the newer one first, as they came
        told.sort_by_key(|(engagement, _)| std::cmp::Reverse(*engagement));
        // no post is at both ends
        let best = told.len().div_ceil(2).min(NAMED);
        let worst = (told.len() - best).min(NAMED);
        ranking.worst = told.split_off(told.len() - worst).into_iter().rev().map(|(_, it)| it).collect();
        told.truncate(best);
        ranking.best = told.into_iter().map(|(_, it)| it).collect();
        ranking
    }
}

impl Outcome {
    fn of(it: Published) -> Self {
        Self {
            post_id: it.post_id,
            account: it.account,
            platform: it.platform,
            caption: it.caption,
            published_at: it.published_at,
            numbers: Numbers::of(it.points.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jobs::metrics::packed::{pack, whole};

    use super::*;

    // of a video on TikTok
    const LIKES: u16 = 111;
    const COMMENTS: u16 = 112;
    const SHARES: u16 = 113;

    fn post(caption: &str, hours_ago: i64, told: &[(u16, Option<i64>)]) -> Published {
        let points: Vec<_> = told.iter().map(|(id, value)| whole(*id, *value)).collect();
        Published {
            id: Uuid::nil(),
            post_id: Uuid::nil(),
            account: "a".into(),
            platform: "tiktok".into(),
            caption: caption.into(),
            published_at: now() - TimeDelta::hours(hours_ago),
            number: None,
            points: (!told.is_empty()).then(|| pack(&points)),
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-23T12:00:00Z".parse().expect("a time")
    }

    fn liked(caption: &str, likes: i64) -> Published {
        post(caption, 48, &[(LIKES, Some(likes)), (COMMENTS, Some(0)), (SHARES, Some(1))])
    }

    #[test]
    fn engagement_is_told_whole_or_not_at_all() {
        let of =
            |told: &[(u16, Option<i64>)]| Numbers::of(post("x", 48, told).points.as_deref()).engagement();
        assert_eq!(of(&[(LIKES, Some(3)), (COMMENTS, Some(0)), (SHARES, Some(1))]), Some(4));
        assert_eq!(of(&[(LIKES, Some(3)), (COMMENTS, None), (SHARES, Some(1))]), None);
        // 46: interactions on Instagram
        assert_eq!(of(&[(42, Some(3)), (46, Some(9))]), Some(9));
        assert_eq!(Numbers::of(None).engagement(), None);
    }

    #[test]
    fn no_post_is_among_the_best_and_the_worst_and_what_is_young_or_untold_is_in_neither() {
        let mut posts = vec![liked("good", 9), liked("bad", 1), liked("middling", 5)];
        posts.push(post("young", 3, &[(LIKES, Some(99))]));
        posts.push(post("untold", 48, &[]));
        let ranking = Ranking::of(posts, now());
        let words = |of: &[Outcome]| of.iter().map(|it| it.caption.clone()).collect::<Vec<_>>();
        assert_eq!(words(&ranking.best), ["good", "middling"]);
        assert_eq!(words(&ranking.worst), ["bad"]);
        assert_eq!((ranking.young, ranking.untold), (1, 1));
        let many = (0..30).map(|n| liked(&n.to_string(), n)).collect();
        let ranking = Ranking::of(many, now());
        assert_eq!(words(&ranking.best), ["29", "28", "27", "26", "25"]);
        assert_eq!(words(&ranking.worst), ["0", "1", "2", "3", "4"]);
        let none = Ranking::of(Vec::new(), now());
        assert!(none.best.is_empty() && none.worst.is_empty());
    }
}
