//! Every metric that is asked for, and those that networks have retired, as data.

use chrono::NaiveDate;

use super::{Metric, Object, Unit, Via};

/// What the metrics of one table have in common.
#[derive(Clone, Copy)]
struct Of {
    platform: &'static str,
    object: Object,
    via: Via,
    since: &'static str,
    source: &'static str,
}

impl Of {
    const fn has(self, id: u16, name: &'static str, remote: &'static str) -> Metric {
        Metric {
            id,
            platform: self.platform,
            object: self.object,
            name,
            remote,
            path: &[],
            along: None,
            absent_is_zero: false,
            unit: Unit::Count,
            via: self.via,
            since: self.since,
            sunset: None,
            source: self.source,
        }
    }

    const fn of(self, object: Object) -> Self {
        Self { object, ..self }
    }

    const fn via(self, via: Via) -> Self {
        Self { via, ..self }
    }
}

impl Metric {
    const fn at(self, path: &'static [&'static str]) -> Self {
        Self { path, ..self }
    }

    const fn along(self, along: &'static str) -> Self {
        Self { along: Some(along), ..self }
    }

    const fn in_units(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    const fn left_out_at_nought(self) -> Self {
        Self { absent_is_zero: true, ..self }
    }

    const fn gone(self, year: i32, month: u32, day: u32) -> Self {
        Self { sunset: Some((year, month, day)), ..self }
    }
}

/// The view-based metrics need v23.
const PAGE_POST: Of = Of {
    platform: "facebook_page",
    object: Object::Post,
    via: Via::Insights,
    since: "v23.0",
    source: "Meta: Page Insights, Post Insights",
};
const PAGE_REEL: Of = PAGE_POST.of(Object::Reel);
const PAGE_COUNTS: Of =
    Of { source: "Meta: Page Post, reactions, comments and shares", ..PAGE_POST }.via(Via::Fields);
const PAGE_REEL_COUNTS: Of = PAGE_COUNTS.of(Object::Reel);
const PAGE_OLD: Of = Of { since: "v2.0", source: "Meta: Deprecated Page Insights Metrics", ..PAGE_POST };
const PAGE: Of = Of { source: "Meta: Page Insights", ..PAGE_POST.of(Object::Account).via(Via::Days) };
const PAGE_OLD_DAYS: Of = Of { since: "v2.0", source: "Meta: Deprecated Page Insights Metrics", ..PAGE };

const IG_FEED: Of = Of {
    platform: "instagram_business",
    object: Object::Post,
    via: Via::Insights,
    since: "v22.0",
    source: "Meta: Instagram Media Insights",
};
const IG_REEL: Of = IG_FEED.of(Object::Reel);
const IG_STORY: Of = IG_FEED.of(Object::Story);
const IG_OLD: Of =
    Of { since: "v3.2", source: "Meta: Instagram Media Insights, changes of 21 April 2025", ..IG_FEED };
const IG_DAYS: Of =
    Of { source: "Meta: Instagram User Insights", ..IG_FEED.of(Object::Account).via(Via::Days) };
const IG_TOTAL: Of = IG_DAYS.via(Via::DayTotal);
const IG_USER: Of = Of { source: "Meta: IG User", ..IG_DAYS.via(Via::Fields) };
const IG_PEOPLE: Of = IG_DAYS.via(Via::Kinds);

const TIKTOK: Of = Of {
    platform: "tiktok",
    object: Object::Post,
    via: Via::Fields,
    since: "v2",
    source: "TikTok: Video Object",
};
const TIKTOK_USER: Of = Of { source: "TikTok: Get User Info", ..TIKTOK.of(Object::Account) };

/// The Marketing API lives shorter than Graph: v24 ended on 6 October 2026.
const ADS: Of = Of {
    platform: super::ads::PLATFORM,
    object: Object::Account,
    via: Via::Ads,
    since: "v25.0",
    source: "Meta: Ads Insights",
};

/// Every metric there is and was. A number is never given twice: it stands in every snapshot.
pub const CATALOGUE: &[Metric] = &[
    PAGE_POST.has(1, "views", "post_media_view"),
    PAGE_POST.has(2, "reach", "post_total_media_view_unique"),
    PAGE_POST.has(3, "clicks", "post_clicks"),
    PAGE_POST.has(4, "reactions", "post_reactions_by_type_total"),
    PAGE_POST.has(5, "video_views", "post_video_views"),
    PAGE_COUNTS.has(6, "likes", "reactions.summary(total_count).limit(0)").at(&[
        "reactions",
        "summary",
        "total_count",
    ]),
    PAGE_COUNTS.has(7, "comments", "comments.summary(true).limit(0)").at(&[
        "comments",
        "summary",
        "total_count",
    ]),
    PAGE_COUNTS.has(8, "shares", "shares").at(&["shares", "count"]).left_out_at_nought(),
    PAGE_OLD.has(9, "impressions", "post_impressions").gone(2025, 11, 15),
    PAGE_OLD.has(10, "impressions_unique", "post_impressions_unique").gone(2026, 6, 15),
    PAGE_REEL.has(11, "views", "post_media_view"),
    PAGE_REEL.has(12, "reach", "post_total_media_view_unique"),
    PAGE_REEL.has(13, "reactions", "post_reactions_by_type_total"),
    PAGE_REEL.has(14, "video_views", "post_video_views"),
    PAGE_REEL_COUNTS.has(15, "likes", "reactions.summary(total_count).limit(0)").at(&[
        "reactions",
        "summary",
        "total_count",
    ]),
    PAGE_REEL_COUNTS.has(16, "comments", "comments.summary(true).limit(0)").at(&[
        "comments",
        "summary",
        "total_count",
    ]),
    PAGE_REEL_COUNTS.has(17, "shares", "shares").at(&["shares", "count"]).left_out_at_nought(),
    PAGE.has(20, "views", "page_media_view"),
    PAGE.has(21, "reach", "page_total_media_view_unique"),
    PAGE.has(22, "interactions", "page_post_engagements"),
    PAGE.has(23, "followers", "page_follows"),
    PAGE.has(24, "follows", "page_daily_follows"),
    PAGE.has(25, "unfollows", "page_daily_unfollows_unique"),
    PAGE.has(26, "profile_visits", "page_views_total"),
    PAGE.has(27, "actions", "page_total_actions"),
    PAGE.has(28, "video_views", "page_video_views"),
    PAGE_OLD_DAYS.has(29, "impressions", "page_impressions").gone(2025, 11, 15),
    PAGE_OLD_DAYS.has(30, "fans", "page_fans").gone(2025, 11, 15),
    IG_FEED.has(40, "views", "views"),
    IG_FEED.has(41, "reach", "reach"),
    IG_FEED.has(42, "likes", "likes"),
    IG_FEED.has(43, "comments", "comments"),
    IG_FEED.has(44, "shares", "shares"),
    IG_FEED.has(45, "saves", "saved"),
    IG_FEED.has(46, "interactions", "total_interactions"),
    IG_FEED.has(47, "follows", "follows"),
    IG_FEED.has(48, "profile_visits", "profile_visits"),
    IG_FEED.has(49, "reposts", "reposts"),
    IG_OLD.has(50, "impressions", "impressions").gone(2025, 4, 21),
    IG_OLD.of(Object::Reel).has(51, "plays", "plays").gone(2025, 4, 21),
    IG_OLD.of(Object::Reel).has(52, "replays", "clips_replays_count").gone(2025, 4, 21),
    IG_OLD.of(Object::Reel).has(53, "all_plays", "ig_reels_aggregated_all_plays_count").gone(2025, 4, 21),
    IG_REEL.has(60, "views", "views"),
    IG_REEL.has(61, "reach", "reach"),
    IG_REEL.has(62, "likes", "likes"),
    IG_REEL.has(63, "comments", "comments"),
    IG_REEL.has(64, "shares", "shares"),
    IG_REEL.has(65, "saves", "saved"),
    IG_REEL.has(66, "interactions", "total_interactions"),
    IG_REEL.has(67, "watch_time_average", "ig_reels_avg_watch_time").in_units(Unit::Milliseconds),
    IG_REEL.has(68, "watch_time", "ig_reels_video_view_total_time").in_units(Unit::Milliseconds),
    IG_REEL.has(69, "skip_rate", "reels_skip_rate").in_units(Unit::Percent),
    IG_STORY.has(80, "views", "views"),
    IG_STORY.has(81, "reach", "reach"),
    IG_STORY.has(82, "replies", "replies"),
    IG_STORY.has(83, "navigation", "navigation"),
    IG_STORY.has(84, "follows", "follows"),
    IG_STORY.has(85, "shares", "shares"),
    IG_DAYS.has(90, "reach", "reach"),
    IG_DAYS.has(91, "follows", "follower_count"),
    IG_TOTAL.has(92, "views", "views"),
    IG_TOTAL.has(93, "accounts_engaged", "accounts_engaged"),
    IG_TOTAL.has(94, "interactions", "total_interactions"),
    IG_TOTAL.has(95, "likes", "likes"),
    IG_TOTAL.has(96, "comments", "comments"),
    IG_TOTAL.has(97, "shares", "shares"),
    IG_TOTAL.has(98, "saves", "saves"),
    IG_TOTAL.has(99, "replies", "replies"),
    IG_TOTAL.has(100, "reposts", "reposts"),
    IG_TOTAL.has(101, "link_taps", "profile_links_taps"),
    IG_USER.has(102, "followers", "followers_count").at(&["followers_count"]),
    IG_USER.has(103, "posts", "media_count").at(&["media_count"]),
    IG_PEOPLE.has(104, "followers_by_age", "follower_demographics").along("age"),
    IG_PEOPLE.has(105, "followers_by_city", "follower_demographics").along("city"),
    IG_PEOPLE.has(106, "followers_by_country", "follower_demographics").along("country"),
    IG_PEOPLE.has(107, "followers_by_gender", "follower_demographics").along("gender"),
    TIKTOK.has(110, "views", "view_count").at(&["view_count"]),
    TIKTOK.has(111, "likes", "like_count").at(&["like_count"]),
    TIKTOK.has(112, "comments", "comment_count").at(&["comment_count"]),
    TIKTOK.has(113, "shares", "share_count").at(&["share_count"]),
    TIKTOK_USER.has(120, "followers", "follower_count").at(&["follower_count"]),
    TIKTOK_USER.has(121, "following", "following_count").at(&["following_count"]),
    TIKTOK_USER.has(122, "likes", "likes_count").at(&["likes_count"]),
    TIKTOK_USER.has(123, "posts", "video_count").at(&["video_count"]),
    ADS.has(130, "impressions", "impressions"),
    ADS.has(131, "reach", "reach"),
    ADS.has(132, "clicks", "clicks"),
    ADS.has(133, "spend", "spend").in_units(Unit::Money),
    ADS.has(134, "click_rate", "ctr").in_units(Unit::Percent),
    ADS.has(135, "cost_per_thousand", "cpm").in_units(Unit::Money),
    ADS.has(136, "results", "actions").along("action_type"),
    ADS.has(137, "result_values", "action_values").along("action_type").in_units(Unit::Money),
    ADS.has(138, "conversions", "conversions").along("action_type"),
    ADS.has(139, "cost_per_result", "cost_per_action_type").along("action_type").in_units(Unit::Money),
    ADS.has(140, "roas", "purchase_roas").along("action_type").in_units(Unit::Ratio),
];

/// The metric of that number.
pub fn by_id(id: u16) -> Option<&'static Metric> {
    let place = CATALOGUE.partition_point(|metric| metric.id < id);
    CATALOGUE.get(place).filter(|metric| metric.id == id)
}

/// What a network is asked about such an object on that day.
pub fn asked(platform: &str, object: Object, day: NaiveDate) -> impl Iterator<Item = &'static Metric> {
    CATALOGUE.iter().filter(move |it| it.platform == platform && it.object == object && it.lives(day))
}

/// What a network counts of a publication of this surface; none: nothing.
pub fn object_of(platform: &str, surface: &str) -> Option<Object> {
    let object = match surface {
        "comment" => return None,
        "story" => Object::Story,
        "reel" => Object::Reel,
        _ => Object::Post,
    };
    let of = |object: Object| CATALOGUE.iter().any(|it| it.platform == platform && it.object == object);
    // where films are not counted apart they are posts
    if object == Object::Reel && !of(object) { Some(Object::Post) } else { of(object).then_some(object) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).expect("a day")
    }

    #[test]
    fn the_numbers_grow_so_that_none_is_given_twice_and_each_is_found() {
        assert!(CATALOGUE.is_sorted_by(|a, b| a.id < b.id));
        for metric in CATALOGUE {
            assert_eq!(by_id(metric.id).map(|it| it.remote), Some(metric.remote));
        }
        assert!(by_id(0).is_none() && by_id(19).is_none() && by_id(u16::MAX).is_none());
    }

    #[test]
    fn what_is_in_use_has_one_name_a_number_and_is_asked_for_in_one_way() {
        let mut seen = HashSet::new();
        for it in CATALOGUE {
            assert!(seen.insert((it.platform, it.object, it.name, it.period())), "{} twice", it.name);
            assert!(
                !it.remote.is_empty() && !it.source.is_empty() && it.since.starts_with('v'),
                "{}",
                it.remote
            );
            assert_eq!(it.via == Via::Fields, !it.path.is_empty(), "{}", it.remote);
            assert!(it.via != Via::Kinds || it.along.is_some(), "{}", it.remote);
        }
    }

    #[test]
    fn what_a_network_has_retired_is_not_asked_for_any_more() {
        let names =
            |day| -> Vec<_> { asked("facebook_page", Object::Post, day).map(|it| it.remote).collect() };
        assert!(names(day(2025, 11, 14)).contains(&"post_impressions"));
        assert!(!names(day(2025, 11, 15)).contains(&"post_impressions"));
        assert!(names(day(2026, 6, 14)).contains(&"post_impressions_unique"));
        let now = names(day(2026, 11, 23));
        assert!(!now.contains(&"post_impressions_unique") && now.contains(&"post_media_view"));
    }

    #[test]
    fn likes_comments_and_views_are_counted_of_every_post_that_stays() {
        // P-S4
        for platform in ["facebook_page", "instagram_business", "tiktok"] {
            let names: Vec<_> = asked(platform, Object::Post, day(2026, 11, 23)).map(|it| it.name).collect();
            for name in ["likes", "comments", "views"] {
                assert!(names.contains(&name), "{platform} {name}");
            }
            // P-S5
            assert!(asked(platform, Object::Account, day(2026, 11, 23)).any(|it| it.name == "followers"));
        }
    }

    #[test]
    fn ads_are_told_of_with_all_that_is_promised_and_followers_by_who_they_are() {
        // P-S5, P-S6
        let names = |platform| -> Vec<_> {
            asked(platform, Object::Account, day(2026, 11, 23)).map(|it| it.name).collect()
        };
        let ads = names(super::super::ads::PLATFORM);
        for name in ["impressions", "reach", "clicks", "spend", "conversions", "cost_per_result", "roas"] {
            assert!(ads.contains(&name), "{name}");
        }
        let people = names("instagram_business");
        for along in ["age", "city", "country", "gender"] {
            assert!(people.contains(&format!("followers_by_{along}").as_str()), "{along}");
        }
    }

    #[test]
    fn a_surface_is_counted_as_its_network_counts_it() {
        assert_eq!(object_of("tiktok", "reel"), Some(Object::Post));
        assert_eq!(object_of("instagram_business", "reel"), Some(Object::Reel));
        assert_eq!(object_of("instagram_business", "carousel"), Some(Object::Post));
        assert_eq!(object_of("instagram_business", "story"), Some(Object::Story));
        assert_eq!(object_of("facebook_page", "story"), None);
        assert_eq!(object_of("instagram_business", "comment"), None);
    }
}
