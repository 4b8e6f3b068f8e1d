//! What words claim of a figure besides their stand-ins: a number, or which way it went. No program understands a sentence:
//! these are the words we know, in English and in Hebrew, and what says the same in others is not noticed. Where a word may be
//! meant otherwise, the sentence is left out all the same.

use super::figures::Change;

/// Words that are numbers, those with a star together with all that begins like that. `one` is none: it is said of
/// everything.
const NUMBERS: &str = "
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen dozen dozens twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds
    thousand thousands million millions billion billions half halve* halving third thirds quarter quarters twice thrice
    doubl* tripl* quadrupl* fold twofold threefold tenfold percent
    שניים שתיים שני שתי שלושה שלוש ארבעה ארבע חמישה חמש שישה שבעה שבע שמונה תשעה תשע עשרה עשר עשרות עשרים
    שלושים ארבעים חמישים שישים שבעים שמונים תשעים מאה מאות מאתיים אלף אלפי אלפים אלפיים מיליון מיליוני
    מיליונים מיליארד חצי מחצית שליש שלישים רבע רבעים אחוז אחוזים פי כפול כפולה כפולים הכפיל* הוכפל* מוכפל*
    הכפלה שילש שילשה שולש
";
/// Words that say of something that it grew, or is more than something else.
const UPWARDS: &str = "
    rose rise* rising grew grow* increas* climb* gain* up upward* uptick* upturn* upswing* uplift* lifted
    lifting jump* leap* surg* soar* spik* boost* boom boomed booming improv* raise* raising risen swell*
    swollen expan* rall* rebound* recover* rocket* skyrocket* accelerat* escalat* elevat* multiplied
    multiplying outpac* outperform* exceed* surpass* topped peak* record above more higher highest greater
    greatest larger largest bigger biggest better stronger strongest strengthen* widen* overtook overtaken
    overtaking
    עלה עלו עלתה עולה עולים עולות עליי* האמיר* מאמיר* גדל גדלה גדלו גדלים גידול* גדיל* הגדיל* הוגדל* צמח צמחה
    צמחו צומח צומחת צומחים צמיחה צמיחת זינק* זינוק* מזנק* קפץ קפצ* קפיצה קפיצת נסק נסקה נסקו המריא* ממריא*
    טיפס* מטפס* הרקיע* התחזק* מתחזק* התרחב* מתרחב* התגבר* התעצם התעצמ* השתפר* משתפר* שיפור* השתבח* גברה גברו
    גובר גוברת עקף עקפה עקפו שיא שיאים גבוה גבוהה גבוהים גבוהות מעל התאושש* מתאושש*
";
/// Words that say that it shrank, or is less.
const DOWNWARDS: &str = "
    fell fall* drop* declin* decreas* shrank shrunk* shrink* lost lose loses losing loss losses down downward*
    downturn* downtick* downswing* sank sunk sink* slip* slid sliding slump* dip dips dipped dipping plung*
    plummet* tumbl* crash* collaps* diminish* dwindl* fade* fading weaken* weaker weakest worse* worst lower*
    lowest less lessen* lesser fewer fewest smaller smallest reduc* slowed slowing slower slowdown decelerat*
    recede* receding retreat* erod* erosion deteriorat* underperform* narrowed narrowing bottomed below
    ירד ירדה ירדו יורד יורדת יורדים יורדות ירידה ירידות ירידת קטן קטנ* הקטינ* הוקטנ* צנח* צניחה צניחת נפל נפלה
    נפלו נופל* נפילה נפילות נפילת צלל צללה צללו צולל* צלילה התרסק* קרס קרסה קרסו קורס* קריסה קריסת שקע שקעה
    שקעו דעך דעכה דעכו דועך דועכת דעיכה נחלש* היחלש* הידרדר* התדרדר* נסוג נסוגה נסוגו נסיגה הצטמצמ* הצטמצם
    מצטמצם מצטמצמ* צומצם צומצמ* צמצום התכווצ* התכווץ פחת פחתה פחתו פוחת* הפחתה הופחת* הפחית* פחות התמעט*
    מתמעט* נגרע* איבד איבדה איבדו אובדן אבדו הפסיד* הפסד* נמוך נמוכ* מתחת שפל גרוע* הורע*
";
/// Words that say that it did neither.
const UNMOVED: &str = "
    unchanged flat stagnat* plateau*
    קפא קפאה קפאו קיפאון דשדש* מדשדש*
";

/// Whether a text has a number in it, in digits of any script or in the words we know.
pub(super) fn has_number(text: &str) -> bool {
    text.chars().any(char::is_numeric) || text.contains('%') || says(text, NUMBERS)
}

/// Whether a sentence says in the words we know that something rose which did not, or fell, or stayed as it was.
pub(super) fn turned_round(text: &str, change: Change) -> bool {
    wrong_of(change).iter().any(|all| says(text, all))
}

/// What is not to be said of something that changed like this.
fn wrong_of(change: Change) -> &'static [&'static str] {
    match change {
        Change::Rose => &[DOWNWARDS, UNMOVED],
        Change::Fell => &[UPWARDS, UNMOVED],
        Change::Same => &[UPWARDS, DOWNWARDS],
        Change::Unknown => &[UPWARDS, DOWNWARDS, UNMOVED],
    }
}

fn says(text: &str, all: &str) -> bool {
    words(text).any(|word| forms(&word).any(|form| all.split_whitespace().any(|known| is(form, known))))
}

fn is(word: &str, known: &str) -> bool {
    known.strip_suffix('*').map_or_else(|| word == known, |stem| word.starts_with(stem))
}

/// The words, in small letters.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// A word, and without the one or two letters that Hebrew may write before it: and, in, to, the, from, that, as.
fn forms(word: &str) -> impl Iterator<Item = &str> {
    let one = behind(word);
    let two = one.and_then(behind);
    // what is left of two letters is a word of its own too often
    let joined = [one, two].into_iter().flatten().filter(|rest| rest.chars().count() > 2);
    std::iter::once(word).chain(joined)
}

fn behind(word: &str) -> Option<&str> {
    word.strip_prefix(['ו', 'ב', 'ל', 'ה', 'מ', 'ש', 'כ'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_is_known_is_noticed_alone_and_joined() {
        for change in Change::ALL {
            for word in wrong_of(*change).iter().flat_map(|all| all.split_whitespace()) {
                let word = word.trim_end_matches('*');
                assert!(turned_round(&format!("Views: {word}."), *change), "{word} of {change:?}");
                let joined = format!("הצפיות ו{word}.");
                let short = word.chars().count() < 3 || word.is_ascii();
                assert!(short || turned_round(&joined, *change), "{joined} of {change:?}");
            }
        }
        for word in NUMBERS.split_whitespace() {
            assert!(has_number(&format!("about {} of them", word.trim_end_matches('*'))), "{word}");
        }
    }

    #[test]
    fn what_went_one_way_is_not_said_to_have_gone_the_other() {
        for text in [
            "Views slipped to {{f1}}.",
            "Views are lower: {{f1}}.",
            "Fewer people came, {{f1}}.",
            "Views stayed flat at {{f1}}.",
            "הצפיות פחתו ל־{{f1}}.",
            "הצפיות הצטמצמו, והירידה נמשכה: {{f1}}.",
            "הצפיות נמוכות יותר: {{f1}}.",
            "הצפיות, שירדו, הן {{f1}}.",
        ] {
            assert!(turned_round(text, Change::Rose), "{text}");
            assert!(turned_round(text, Change::Unknown), "{text}");
        }
        for text in [
            "Reach improved to {{f1}}.",
            "Reach soared to {{f1}}.",
            "More people came: {{f1}}.",
            "A record reach of {{f1}}.",
            "החשיפה השתפרה ל־{{f1}}.",
            "החשיפה קפצה ל־{{f1}}.",
            "החשיפה גבוהה יותר: {{f1}}.",
            "שיא של {{f1}}, ומהעלייה רואים זאת.",
        ] {
            assert!(turned_round(text, Change::Fell), "{text}");
            assert!(turned_round(text, Change::Same), "{text}");
        }
    }

    #[test]
    fn what_is_so_may_be_said() {
        for (text, change) in [
            ("Views rose, more than before, to {{f1}}: a record.", Change::Rose),
            ("הצפיות עלו, יותר מבעבר, ל־{{f1}}.", Change::Rose),
            ("Fewer people came: reach declined to {{f1}}.", Change::Fell),
            ("החשיפה ירדה ופחתה ל־{{f1}}.", Change::Fell),
            ("Views are unchanged at {{f1}}.", Change::Same),
            (
                "People reacted {{f1}} times to the updates, uploads and lessons about raisins.",
                Change::Unknown,
            ),
            ("עולם הצמחונים בירדן והעלות: {{f1}}.", Change::Unknown),
        ] {
            assert!(!turned_round(text, change), "{text}");
            assert!(!has_number(&text.replace("{{f1}}", " ")), "{text}");
        }
    }
}
