//! Everything a report says, in both languages. `{}` is filled in, in order.

/// A report in one language.
pub struct Texts {
    pub lang: &'static str,
    pub dir: &'static str,
    pub other: &'static str,
    pub other_name: &'static str,
    pub lead: &'static str,
    pub gaps: &'static str,
    pub accounts: &'static str,
    pub account: &'static str,
    pub followers: &'static str,
    pub growth: &'static str,
    pub posts: &'static str,
    pub engagement: &'static str,
    pub views: &'static str,
    pub reach: &'static str,
    pub likes: &'static str,
    pub comments: &'static str,
    pub shares: &'static str,
    pub change: &'static str,
    pub told: &'static str,
    pub not_counted: &'static str,
    pub line: &'static str,
    pub best: &'static str,
    pub post: &'static str,
    pub when: &'static str,
    pub no_words: &'static str,
    pub nothing: &'static str,
    pub gone_title: &'static str,
    pub gone_lead: &'static str,
}

/// The language of that word, if there is one.
pub fn of(word: &str) -> Option<&'static Texts> {
    [&ENGLISH, &HEBREW].into_iter().find(|texts| texts.lang == word)
}

/// English.
pub static ENGLISH: Texts = Texts {
    lang: "en",
    dir: "ltr",
    other: "he",
    other_name: "עברית",
    lead: "From {} to {}, whole days in UTC, against {} to {}.",
    gaps: "A dash, or a line that breaks off, says that the network said nothing; that is not zero.",
    accounts: "Accounts",
    account: "Account",
    followers: "Followers",
    growth: "Growth",
    posts: "Posts published",
    engagement: "Engagement",
    views: "Views",
    reach: "Reach",
    likes: "Likes",
    comments: "Comments",
    shares: "Shares",
    change: "Reach and engagement are the network's days added up; somebody who came on two days counts twice. A change \
             compares a day that was told with a day that was told before.",
    told: "Told of {} of {} days",
    not_counted: "This network does not tell it",
    line: "{}, {} to {}: from {} to {}; days missing: {}",
    best: "The posts that did best",
    post: "Post",
    when: "When",
    no_words: "(no words)",
    nothing: "There is nothing to show here.",
    gone_title: "This report is not here",
    gone_lead: "The link has ended. Ask whoever sent it to you for another one.",
};

/// Hebrew.
pub static HEBREW: Texts = Texts {
    lang: "he",
    dir: "rtl",
    other: "en",
    other_name: "English",
    lead: "מ־{} עד {}, ימים שלמים לפי UTC, בהשוואה ל־{} עד {}.",
    gaps: "קו מפריד, או קו שנקטע, פירושו שהרשת לא מסרה נתון; אין זה אפס.",
    accounts: "חשבונות",
    account: "חשבון",
    followers: "עוקבים",
    growth: "גידול",
    posts: "פוסטים שפורסמו",
    engagement: "מעורבות",
    views: "צפיות",
    reach: "חשיפה",
    likes: "לייקים",
    comments: "תגובות",
    shares: "שיתופים",
    change: "החשיפה והמעורבות הן סכום הימים כפי שמסרה הרשת; מי שנחשף ביומיים נספר פעמיים. השינוי משווה יום שנמסר ליום שנמסר \
             קודם לכן.",
    told: "נמסרו {} מתוך {} ימים",
    not_counted: "רשת זו אינה מוסרת נתון זה",
    line: "{}, {} עד {}: מ־{} עד {}; ימים חסרים: {}",
    best: "הפוסטים המצליחים ביותר",
    post: "פוסט",
    when: "מתי",
    no_words: "(ללא מילים)",
    nothing: "אין כאן מה להציג.",
    gone_title: "הדוח אינו כאן",
    gone_lead: "תוקף הקישור הסתיים. בקשו קישור חדש ממי ששלח לכם אותו.",
};
