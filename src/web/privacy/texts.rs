//! Everything the public pages say, in both languages.

/// The pages in one language.
pub struct Texts {
    pub lang: &'static str,
    pub dir: &'static str,
    pub other: &'static str,
    pub other_name: &'static str,
    pub product: &'static str,
    pub ask_title: &'static str,
    pub ask_lead: &'static str,
    pub ask_email: &'static str,
    pub ask_do: &'static str,
    pub ask_wrong: &'static str,
    pub asked_title: &'static str,
    pub asked_lead: &'static str,
    pub mail_subject: &'static str,
    pub mail_text: &'static str,
    pub prove_title: &'static str,
    pub prove_lead: &'static str,
    pub prove_do: &'static str,
    pub accepted_title: &'static str,
    pub accepted_lead: &'static str,
    pub stale_title: &'static str,
    pub stale_lead: &'static str,
    pub state_title: &'static str,
    pub state_lead: &'static str,
    pub done_title: &'static str,
    pub done_lead: &'static str,
    pub step_received: &'static str,
    pub step_tokens: &'static str,
    pub step_deleted: &'static str,
    pub step_done: &'static str,
    pub under_way: &'static str,
    pub receipt: &'static str,
    pub nothing_known: &'static str,
    pub no_address: &'static str,
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
    product: "postroom",
    ask_title: "Delete my data",
    ask_lead: "Enter your e-mail address. We send a link there; when you follow it, everything that is known of you here is \
               deleted: the connections to networks, posts, pictures and films, and what was counted of them.",
    ask_email: "E-mail",
    ask_do: "Send the link",
    ask_wrong: "This is no e-mail address. Check it and try again.",
    asked_title: "Look into your mail",
    asked_lead: "If mail can reach that address, a link is on its way. It is good once, for 24 hours.",
    mail_subject: "Data Deletion Request: please confirm",
    mail_text: "Somebody asked for the deletion of all data that is connected with this address.\nIf that was you, open this \
                link within 24 hours and confirm:\n{}\nIf not, do nothing: nothing is deleted.",
    prove_title: "Delete everything?",
    prove_lead: "Nothing will be published on your connected accounts any more, and what is scheduled is given up. What is \
                 deleted cannot be brought back. What is public at the networks stays there, and is yours to remove.",
    prove_do: "Delete my data",
    accepted_title: "Your request is accepted",
    accepted_lead: "From this moment nothing is published any more. Keep this address: it shows how far the deletion is, and \
                    it is not kept here.",
    stale_title: "This link is no longer good",
    stale_lead: "It was used already, or is older than 24 hours. You can ask for another one.",
    state_title: "Your data is being deleted",
    state_lead: "Our access to your accounts ends within 24 hours, and all data is deleted within 30 days; as a rule it \
                 takes minutes.",
    done_title: "Your data is deleted",
    done_lead: "Nothing that names you is left here. The receipt says what was deleted and when; it is signed.",
    step_received: "Request received; nothing is published any more",
    step_tokens: "The networks were asked to take back our access, and its keys are destroyed",
    step_deleted: "Data deleted, and verified that nothing is left",
    step_done: "Finished",
    under_way: "under way",
    receipt: "Download the signed receipt",
    nothing_known: "No connection of yours was known here.",
    no_address: "No e-mail address of yours is known, so this page is the confirmation.",
};

/// Hebrew.
pub static HEBREW: Texts = Texts {
    lang: "he",
    dir: "rtl",
    other: "en",
    other_name: "English",
    product: "postroom",
    ask_title: "מחיקת הנתונים שלי",
    ask_lead: "הזינו את כתובת הדוא״ל שלכם. נשלח אליה קישור; לאחר אישורו יימחק כל מה שידוע עליכם כאן: החיבורים לרשתות, \
               הפוסטים, התמונות והסרטונים, וכל מה שנמדד לגביהם.",
    ask_email: "דוא״ל",
    ask_do: "שליחת הקישור",
    ask_wrong: "זו אינה כתובת דוא״ל. בדקו אותה ונסו שוב.",
    asked_title: "בדקו את תיבת הדואר",
    asked_lead: "אם ניתן לשלוח דואר לכתובת זו, קישור כבר בדרך. הוא תקף פעם אחת, למשך 24 שעות.",
    mail_subject: "Data Deletion Request: בקשה למחיקת נתונים, נא לאשר",
    mail_text: "התבקשה מחיקה של כל הנתונים הקשורים לכתובת זו.\nאם אתם ביקשתם, פתחו את הקישור בתוך 24 שעות ואשרו:\n{}\nאם לא, אין צורך לעשות דבר: שום דבר לא יימחק.",
    prove_title: "למחוק הכול?",
    prove_lead: "שום דבר לא יפורסם עוד בחשבונות המחוברים שלכם, ומה שתוזמן יבוטל. מה שנמחק לא ניתן לשחזור. מה שכבר פורסם \
                 ברשתות נשאר שם, והסרתו בידיכם.",
    prove_do: "מחיקת הנתונים שלי",
    accepted_title: "הבקשה התקבלה",
    accepted_lead: "מרגע זה לא מתפרסם עוד דבר. שמרו את הכתובת הזו: היא מציגה את התקדמות המחיקה, והיא אינה נשמרת כאן.",
    stale_title: "הקישור אינו תקף עוד",
    stale_lead: "כבר נעשה בו שימוש, או שחלפו 24 שעות. אפשר לבקש קישור חדש.",
    state_title: "הנתונים שלכם נמחקים",
    state_lead: "הגישה שלנו לחשבונות מסתיימת בתוך 24 שעות, וכל הנתונים נמחקים בתוך 30 יום; בדרך כלל זה נמשך דקות.",
    done_title: "הנתונים שלכם נמחקו",
    done_lead: "לא נותר כאן דבר המזהה אתכם. הקבלה מפרטת מה נמחק ומתי, והיא חתומה.",
    step_received: "הבקשה התקבלה; דבר אינו מתפרסם עוד",
    step_tokens: "הרשתות התבקשו לבטל את הגישה שלנו, ומפתחותיה הושמדו",
    step_deleted: "הנתונים נמחקו, ונבדק שלא נותר דבר",
    step_done: "הסתיים",
    under_way: "בביצוע",
    receipt: "הורדת הקבלה החתומה",
    nothing_known: "לא היה ידוע כאן על שום חיבור שלכם.",
    no_address: "לא ידועה כתובת דוא״ל שלכם, ולכן דף זה הוא האישור.",
};
