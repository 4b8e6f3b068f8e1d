//! The faults that can be had by a click, each with what it does and what is to be expected of postroom.

use serde_json::{Value, json};

use crate::model::Network::{self, FacebookPage, InstagramBusiness, Tiktok};

/// A fault that can be had by a click.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name in the form.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it does, in a sentence.
    pub does: &'static str,
    /// What postroom makes of it, in a sentence.
    pub expect: &'static str,
    /// The calls that it is played on, as a rule names them.
    pub call: &'static str,
    /// The one network that it is of, where it is of one.
    pub network: Option<Network>,
    /// The fault itself.
    pub fault: fn() -> Value,
}

/// Faults that are alike.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// What they have in common.
    pub title: &'static str,
    /// The faults.
    pub presets: &'static [Preset],
}

/// The most used first.
pub const GROUPS: &[Group] = &[
    Group { title: "The answer to publishing is lost", presets: LOST },
    Group { title: "Nothing is published", presets: NOTHING },
    Group { title: "Reading back", presets: READING },
    Group { title: "Limits and quotas", presets: LIMITS },
    Group { title: "Access", presets: ACCESS },
    Group { title: "Transcoding", presets: TRANSCODING },
];

/// The fault of this name.
pub fn named(name: &str) -> Option<&'static Preset> {
    GROUPS.iter().flat_map(|group| group.presets).find(|preset| preset.name == name)
}

const IN_DOUBT: &str =
    "The post is in doubt, the network is asked until it is found, and it is not sent again.";
const PROVED: &str =
    "The post is in doubt until two reads have proved it absent; then the same one is sent again.";

const LOST: &[Preset] = &[
    Preset {
        name: "published_no_answer",
        title: "Published, and no answer comes",
        does: "The call takes effect, and the connection closes without a byte.",
        expect: IN_DOUBT,
        call: "commit",
        network: None,
        fault: || json!("effect_then_drop"),
    },
    Preset {
        name: "published_500",
        title: "Published, and the answer is an error (500)",
        does: "The call takes effect, and the answer says that it did not.",
        expect: IN_DOUBT,
        call: "commit",
        network: None,
        fault: || json!("effect_then_500"),
    },
    Preset {
        name: "published_half",
        title: "Published, and half of the answer comes",
        does: "The call takes effect, and the connection breaks amid the answer.",
        expect: IN_DOUBT,
        call: "commit",
        network: None,
        fault: || json!("effect_then_half"),
    },
    Preset {
        name: "published_cut",
        title: "Published, and the answer is cut off",
        does: "The call takes effect, and the JSON of the answer ends too soon.",
        expect: IN_DOUBT,
        call: "commit",
        network: None,
        fault: || json!("malformed_json"),
    },
    Preset {
        name: "published_spam",
        title: "Published, and the answer says spam (4/2207051)",
        does: "The post is live, while Instagram says that it was blocked.",
        expect: "The post is in doubt and found to be live; the account then rests.",
        call: "commit",
        network: Some(InstagramBusiness),
        fault: || json!({ "graph": { "code": 4, "subcode": 2_207_051, "http": 403, "effect": true } }),
    },
    Preset {
        name: "late",
        title: "No answer, and published five seconds later",
        does: "The connection closes at once, and the call takes effect when nobody waits any more.",
        expect: "The post is in doubt; it is not sent again before the network has had time for what was on its way.",
        call: "commit",
        network: None,
        fault: || json!({ "effect_after_ms": 5000, "then": "drop" }),
    },
    Preset {
        name: "hangs",
        title: "The connection hangs for a minute",
        does: "Nothing happens, and no answer comes until the connection is closed after a minute.",
        expect: PROVED,
        call: "commit",
        network: None,
        fault: || json!({ "hang_ms": 60_000 }),
    },
];

const NOTHING: &[Preset] = &[
    Preset {
        name: "nothing_500",
        title: "An error (500)",
        does: "The call has no effect, and the answer does not say so.",
        expect: PROVED,
        call: "commit",
        network: None,
        fault: || json!("no_effect_then_500"),
    },
    Preset {
        name: "nothing_no_answer",
        title: "No answer",
        does: "The call has no effect, and the connection closes without a byte.",
        expect: PROVED,
        call: "commit",
        network: None,
        fault: || json!("no_effect_then_drop"),
    },
    Preset {
        name: "redirect",
        title: "A redirect",
        does: "The call has no effect, and the answer points elsewhere.",
        expect: "It is not followed: nobody sends a post to an address that nobody configured.",
        call: "commit",
        network: None,
        fault: || json!("redirect"),
    },
    Preset {
        name: "prepare_500",
        title: "Preparing fails (500)",
        does: "What the public does not see, such as a draft, a container or an upload, is not made.",
        expect: "It is tried again by itself, for nothing can have become public.",
        call: "prepare",
        network: None,
        fault: || json!("no_effect_then_500"),
    },
    Preset {
        name: "blocked",
        title: "Blocked by Facebook's rules (368)",
        does: "Facebook does not take the content, and takes offence.",
        expect: "In doubt until the network was read, for a no of this kind is no proof.",
        call: "commit",
        network: Some(FacebookPage),
        fault: || json!({ "graph": { "code": 368 } }),
    },
    Preset {
        name: "duplicate",
        title: "Called a duplicate (506)",
        does: "Facebook says that the same was posted just before.",
        expect: "A hint and not a proof: the network is read before anything is decided.",
        call: "commit",
        network: Some(FacebookPage),
        fault: || json!({ "graph": { "code": 506 } }),
    },
];

const READING: &[Preset] = &[
    Preset {
        name: "stale",
        title: "Stale reads for twenty seconds",
        does: "The post is published, and for a while reads say that it is not.",
        expect: "Together with a lost answer: the post waits in doubt and is not sent again on the word of one read.",
        call: "commit",
        network: None,
        fault: || json!({ "stale_read_ms": 20_000 }),
    },
    Preset {
        name: "unreadable",
        title: "Reading back fails (100/33)",
        does: "Reads answer that there is no such thing.",
        expect: "That is no evidence; it is asked again, more and more rarely.",
        call: "observe",
        network: None,
        fault: || json!({ "read_error": true }),
    },
    Preset {
        name: "slow",
        title: "Every call takes five seconds",
        does: "All calls take effect as usual, five seconds later.",
        expect: "Posts come late by it, and other accounts do not wait for it.",
        call: "any",
        network: None,
        fault: || json!({ "delay_ms": 5000 }),
    },
];

const LIMITS: &[Preset] = &[
    Preset {
        name: "throttled",
        title: "Too many calls (429, for three seconds)",
        does: "Calls are refused, with the time after which they may come again.",
        expect: "What waits comes back after that time and spends no attempt.",
        call: "any",
        network: None,
        fault: || json!({ "status": 429, "retry_after_s": 3 }),
    },
    Preset {
        name: "app_limit",
        title: "The app calls too often (4)",
        does: "Graph refuses a call for the whole app and does not say for how long.",
        expect: "Facebook and Instagram both rest for five minutes, and twice as long each time that was too short.",
        call: "prepare",
        network: Some(FacebookPage),
        fault: || json!({ "graph": { "code": 4 } }),
    },
    Preset {
        name: "usage",
        title: "The app's limit is nearly used up",
        does: "Calls go well, and X-App-Usage says 100 percent.",
        expect: "Both of Meta's networks are left alone for ten minutes.",
        call: "any",
        network: Some(FacebookPage),
        fault: || json!({ "headers": { "x-app-usage": r#"{"call_count":100,"total_time":10,"total_cputime":10}"# } }),
    },
    Preset {
        name: "daily_limit",
        title: "Instagram's limit of a day (9/2207042)",
        does: "A container is not published because the account has published enough.",
        expect: "The post waits for a place; with a quota set under Networks it comes as it really would.",
        call: "media_publish",
        network: Some(InstagramBusiness),
        fault: || json!({ "graph": { "code": 9, "subcode": 2_207_042, "http": 403 } }),
    },
    Preset {
        name: "inits",
        title: "Too many inits in a minute (rate_limit_exceeded)",
        does: "TikTok takes no new upload and does not say for how long.",
        expect: "The account rests for a minute, and the post then goes out.",
        call: "video_init",
        network: Some(Tiktok),
        fault: || json!({ "tiktok": { "code": "rate_limit_exceeded", "http": 429 } }),
    },
    Preset {
        name: "enough_posts",
        title: "Enough for a day (spam_risk_too_many_posts)",
        does: "TikTok takes no more posts of this creator within 24 hours.",
        expect: "The account rests for a day; a post whose latest time passes meanwhile is held.",
        call: "video_init",
        network: Some(Tiktok),
        fault: || json!({ "tiktok": { "code": "spam_risk_too_many_posts", "http": 403 } }),
    },
];

const ACCESS: &[Preset] = &[
    Preset {
        name: "expired",
        title: "The access has expired (190/463)",
        does: "Meta takes the token no longer.",
        expect: "The account asks to be connected again, and its posts wait for that.",
        call: "any",
        network: Some(FacebookPage),
        fault: || json!({ "graph": { "code": 190, "subcode": 463, "http": 401 } }),
    },
    Preset {
        name: "removed",
        title: "The app was removed (190/458)",
        does: "The owner took the access back.",
        expect: "The account asks to be connected again, and its posts wait for that.",
        call: "any",
        network: Some(InstagramBusiness),
        fault: || json!({ "graph": { "code": 190, "subcode": 458, "http": 401 } }),
    },
    Preset {
        name: "permission",
        title: "A permission is missing (200)",
        does: "The token is good and may not do this.",
        expect: "The account asks to be connected again, and its posts wait for that.",
        call: "prepare",
        network: Some(FacebookPage),
        fault: || json!({ "graph": { "code": 200, "http": 403 } }),
    },
    Preset {
        name: "tiktok_token",
        title: "TikTok does not take the token (access_token_invalid)",
        does: "The token is refused.",
        expect: "The account asks to be connected again, and its posts wait for that.",
        call: "any",
        network: Some(Tiktok),
        fault: || json!({ "tiktok": { "code": "access_token_invalid", "http": 401 } }),
    },
];

const TRANSCODING: &[Preset] = &[
    Preset {
        name: "container_slow",
        title: "A container is never done (IN_PROGRESS)",
        does: "Instagram processes what it was given for ever.",
        expect: "It is looked at more and more rarely; after its latest time the post is held.",
        call: "media",
        network: Some(InstagramBusiness),
        fault: || json!({ "container": "IN_PROGRESS" }),
    },
    Preset {
        name: "container_error",
        title: "A container breaks (ERROR)",
        does: "Instagram cannot process what it was given.",
        expect: "Another container is made, for the first can never be published.",
        call: "media",
        network: Some(InstagramBusiness),
        fault: || json!({ "container": "ERROR" }),
    },
    Preset {
        name: "container_expired",
        title: "A container expires (EXPIRED)",
        does: "It was not published within a day.",
        expect: "Another container is made, for the first can never be published.",
        call: "media",
        network: Some(InstagramBusiness),
        fault: || json!({ "container": "EXPIRED" }),
    },
    Preset {
        name: "facebook_film",
        title: "Facebook cannot process a film",
        does: "The film is taken and finished, and its processing ends in an error.",
        expect: "The post fails and says why, for another upload would fare the same.",
        call: "commit",
        network: Some(FacebookPage),
        fault: || json!({ "fail_reason": "The film could not be processed" }),
    },
    Preset {
        name: "frame_rate",
        title: "TikTok refuses a film (frame_rate_check_failed)",
        does: "All bytes are taken, and the film does not pass the check.",
        expect: "The post fails and says why, for the film stays what it is.",
        call: "video_init",
        network: Some(Tiktok),
        fault: || json!({ "fail_reason": "frame_rate_check_failed" }),
    },
    Preset {
        name: "internal",
        title: "TikTok fails by itself (internal)",
        does: "All bytes are taken, and processing fails for no fault of the film.",
        expect: "The film is uploaded anew, for nothing became public.",
        call: "video_init",
        network: Some(Tiktok),
        fault: || json!({ "fail_reason": "internal" }),
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_says_what_it_does_and_what_to_expect() {
        let all: Vec<_> = GROUPS.iter().flat_map(|group| group.presets).collect();
        let names: BTreeSet<_> = all.iter().map(|preset| preset.name).collect();
        assert_eq!(names.len(), all.len());
        for preset in all {
            let sentence =
                |text: &str| text.ends_with('.') && text.chars().next().is_some_and(char::is_uppercase);
            assert!(sentence(preset.does) && sentence(preset.expect), "{}", preset.name);
        }
    }
}
