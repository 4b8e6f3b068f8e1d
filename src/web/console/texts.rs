//! Everything the console says, in one place. A language is one value of [`Texts`]; what it leaves out does
//! not compile. `{}` is filled in by [`fill`], in order.

macro_rules! catalogue {
    ($($name:ident: $english:literal,)+) => {
        /// The console in one language.
        pub struct Texts {
            $(pub $name: &'static str,)+
        }

        /// English.
        pub static ENGLISH: Texts = Texts { $($name: $english,)+ };
    };
}

catalogue! {
    lang: "en",
    dir: "ltr",
    product: "postroom",
    skip: "Skip to the content",
    main_menu: "Main",
    posts: "Posts",
    accounts: "Accounts",
    new_post: "New post",
    sign_in: "Sign in",
    sign_out: "Sign out",
    signed_in_as: "Signed in as",
    workspace: "Workspace",
    switch: "Switch",
    theme: "Appearance",
    theme_auto: "Like the system",
    theme_light: "Light",
    theme_dark: "Dark",
    apply: "Apply",

    sign_in_lead: "Sign in to plan and follow your posts.",
    email: "E-mail",
    password: "Password",
    sign_in_wrong: "E-mail or password is wrong. Check both and try again.",
    sign_in_stale: "This page was open for too long. Try again.",
    sign_in_throttled: "Too many failed attempts. Try again in {} seconds.",

    all: "All",
    any_account: "All accounts",
    filter_account: "Account",
    filter_state: "State",
    filter_show: "Show",
    newest: "Newest",
    older: "Older posts",
    posts_none_title: "Nothing here yet",
    posts_none: "Write the first post: it goes out now, or at the minute you choose.",
    posts_none_filtered_title: "No post fits",
    posts_none_filtered: "No post has this state on this account.",
    posts_none_reset: "Show all posts",
    no_words: "(no words)",
    file_one: "1 file",
    file_many: "{} files",

    compose_title: "New post",
    compose_lead: "Write once, choose where it goes. Nothing is sent before every network's rules are met.",
    caption: "Caption",
    caption_most: "at most {} characters",
    caption_live: "{}: {} of {} characters",
    hashtags_most: "{} hashtags",
    kind: "Kind",
    kind_post: "Post",
    kind_reel: "Reel",
    kind_story: "Story",
    kind_carousel: "Carousel",
    media: "Pictures and films",
    media_hint: "JPEG, PNG, WebP; MP4, MOV, WebM, MKV (H.264). They are checked when you check or send the form.",
    media_keep: "Keep",
    media_chosen: "Chosen; uploaded when you send the form",
    media_earlier: "Move “{}” earlier; it is {} of {}",
    media_later: "Move “{}” later; it is {} of {}",
    media_earlier_short: "Earlier",
    media_later_short: "Later",
    link: "Link",
    link_hint: "A public web address. Networks show it only without pictures.",
    targets: "Where to",
    targets_hint: "Each account gets the post on its own; one that fails does not stop the others.",
    targets_none: "No account is connected yet. An administrator connects them.",
    privacy: "Who may see it on {}",
    privacy_choose: "Choose…",
    privacy_default: "Account’s default: {}",
    when: "When",
    when_now: "Now",
    when_unclear: "A date or a time is written, but “Now” is chosen. Choose “At a time”, or empty both.",
    when_later: "At a time",
    date: "Date",
    time: "Time",
    zone: "Time zone",
    zone_hint: "The time is meant in this zone, daylight saving included.",
    gap_choose: "Choose one of the two nearest times",
    fold_choose: "Which of the two?",
    fold_earlier: "The earlier one",
    fold_later: "The later one",
    send: "Send it off",
    sending: "Sending…",
    check: "Check",
    checking: "Checking…",
    check_clear: "Nothing stands in the way. It is not sent yet.",
    cancel: "Back to the posts",
    findings_one: "One thing needs mending",
    findings_many: "{} things need mending",
    finding_at: "{}: {}",
    findings_lead: "What you wrote is kept. Mend this and send again:",
    warnings_one: "One thing to look at before it goes out",
    warnings_many: "{} things to look at before it goes out",
    warnings_lead: "It can be sent as it is, and may be stopped on its way:",
    form_kept: "{} What you wrote is still here. Files that are not shown here have to be chosen once more.",
    form_stale: "This form was open for too long, or you have signed in anew since. Nothing was sent; look at it and send it again.",
    already_sent: "This form was sent before, with other content. Look at the post it made first; sending again makes another one.",

    edit_title: "Change the post",
    edit_lead: "What is made ready at a network already is made anew. Nothing that was sent is changed.",
    edit_open: "Change or reschedule",
    edit_when_is: "It is meant for:",
    edit_when_keep: "As it is",
    edit_when_unclear: "A date or a time is written, but “At a time” is not chosen. Choose it, or empty both.",
    edit_save: "Save the change",
    edit_back: "Back to the post",
    edit_kept: "{} What you wrote is still here.",
    edit_already_sent: "This form was sent before, with other content. Look at the post first; sending again changes it once more.",
    cancel_post: "Cancel the post",
    retry_post: "Try again",

    scheduled_for: "Goes out",
    went_out: "Due",
    in_time: "in {}",
    ago: "{} ago",
    a_moment: "a moment",
    schedule_utc: "{} UTC",
    held_after: "If it cannot go out within {} after its time, it is held and nobody sends it late.",
    created: "Accepted",
    post_link: "Link",
    publications: "On the accounts",
    history: "What happened",
    look_at_it: "Look at the post on {}",
    no_permalink: "The network gives no address for this one.",
    attempts_one: "1 attempt",
    attempts_many: "{} attempts",
    ahead: "Found while there is time to mend it",
    who_acts: "Who acts",
    who_postroom: "Nobody: postroom keeps at it.",
    who_owner: "The account’s owner: connect the account again.",
    who_author: "The author: change the post and send a new one.",
    who_staff: "Your team: somebody has to decide.",
    who_operator: "Whoever runs postroom: the app at the network needs attention.",
    updating: "Updates by itself",
    post_title: "Post",
    untitled: "Post without words",
    film: "Film",
    picture: "Picture",

    state_scheduled: "Scheduled",
    state_preparing: "Preparing",
    state_waiting: "In progress",
    state_publishing: "Publishing",
    state_confirming: "Confirming",
    state_published: "Published",
    state_retrying: "Retrying",
    state_held: "Needs a decision",
    state_failed: "Failed",
    state_cancelled: "Cancelled",

    says_scheduled: "Waiting for its time.",
    says_due: "Its turn comes in a moment.",
    says_preparing: "Being made ready at {}; nobody sees it yet.",
    says_waiting: "{} is working on it.",
    says_publishing: "Being sent to {} right now.",
    says_confirming: "{} has not said clearly what became of it. It is being asked; nothing is sent twice.",
    says_published: "Out on {}.",
    says_retrying: "It certainly did not go out; it is tried again shortly.",
    says_held: "A person has to decide what happens with it.",
    says_failed: "It did not go out on {}.",
    says_cancelled: "Cancelled before it went out.",

    event_accepted: "Accepted and safely stored",
    event_prepare_open: "Preparing at {}",
    event_prepare_ok: "Prepared at {}",
    event_prepare_no: "{} would not prepare it",
    event_prepare_lost: "{} gave no clear answer while preparing; nothing was visible, so it is simply prepared again",
    event_commit_open: "Sending to {}",
    event_commit_ok: "Sent: {} took it",
    event_commit_no: "{} did not take it",
    event_commit_lost: "The answer of {} got lost; asking it what became of the post",
    event_commit_yes: "The answer got lost on the way, and {} confirmed: the post is out",
    event_commit_not: "The answer got lost on the way, and {} showed: nothing went out",
    event_discard: "An unused draft was removed at {}",
    event_waiting: "Waiting",
    event_retry: "Will be tried again",
    event_paused: "Resting until the account’s access is mended",
    event_released: "Handed back, to go on in a moment",
    event_reaped: "The process that worked on it stopped; another one took over",
    event_held: "Set aside for a person to decide",
    event_failed: "Given up",
    event_cancelled: "Cancelled",
    event_unknown: "The outcome is unclear; asking {}",
    event_published: "Out on {}",

    accounts_title: "Accounts",
    accounts_lead: "What this workspace publishes on.",
    accounts_none_title: "No account yet",
    accounts_none: "An administrator connects the first one.",
    account_active: "Active",
    account_paused: "Paused",
    account_reconnect: "Connect again",
    account_frozen: "Being deleted",
    account_erased: "Deleted",
    account_since: "Connected",
    account_token_ends: "Access ends",
    account_id: "Id at the network",

    problem_back: "Back to the posts",
    problem_not_found: "Not found",
    problem_not_found_detail: "There is nothing at this address, or it belongs to another workspace.",
    problem_forbidden: "Not allowed",
    problem_unavailable: "Away for a moment",
    problem_unavailable_detail: "The database cannot be reached. Nothing is lost; try again in a few seconds.",
    problem_internal: "Something went wrong",
    problem_internal_detail: "It was logged. Trying again may help.",
    role_lacks: "You may look here, but not do this. An administrator of the workspace can give you the role “{}”.",
    no_workspace: "You are signed in, but a member of no workspace yet. An administrator can add you.",
    problem_signed_out: "You are signed out",
    problem_signed_out_detail: "Nothing was sent. Sign in again in another tab, then come back here and reload this page: your browser still has what you wrote, and you get it back to look at.",
    problem_sign_in: "Sign in, in another tab",
    csrf: "This form did not come from this site, or was open for too long. Go back, reload the page, and send it again.",
}

/// Puts these into the text's `{}`, in order.
pub fn fill(text: &str, with: &[&str]) -> String {
    let mut parts = text.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for (n, part) in parts.enumerate() {
        filled.push_str(with.get(n).copied().unwrap_or_default());
        filled.push_str(part);
    }
    filled
}

impl Texts {
    /// One of a kind, or so many.
    pub fn count(number: usize, one: &'static str, many: &'static str) -> String {
        if number == 1 { one.to_owned() } else { fill(many, &[&number.to_string()]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_filled_in_order() {
        assert_eq!(fill("{} of {}", &["1", "2"]), "1 of 2");
        assert_eq!(fill("plain", &["1"]), "plain");
        assert_eq!(fill("{}!", &[]), "!");
    }
}
