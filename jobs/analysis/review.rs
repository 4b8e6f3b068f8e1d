//! A film or pictures, looked at before they go out: what they show, what can be read, what may be forbidden, and when.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Language, Part, Question,
    caption::Unusable,
    prompts,
    words::{Anonymous, points_anywhere},
};

/// The longest answer, in tokens.
const MOST_TOKENS: u32 = 6_000;
/// The most findings that are kept, and the longest text of one, in characters.
const MOST_FINDINGS: usize = 20;
const DETAIL_MOST: usize = 600;

/// A picture out of a film, or one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    /// Its place in the film, in milliseconds.
    pub at_ms: Option<u64>,
    /// It.
    pub jpeg: Vec<u8>,
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// From when, in milliseconds.
    pub from_ms: u64,
    /// Until when.
    pub until_ms: u64,
    /// The words.
    pub text: String,
}

/// What is wanted.
pub struct Wanted<'a> {
    /// In which language.
    pub language: Language,
    /// The brief, the brand and what is said, as they may leave.
    pub words: &'a Anonymous,
    /// When it is said.
    pub said: &'a [Said],
    /// How long the film is.
    pub duration_ms: Option<u64>,
    /// What is shown.
    pub shots: &'a [Shot],
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Review {
    /// What is shown.
    pub summary: String,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What about.
    pub kind: Topic,
    /// How bad.
    pub severity: Severity,
    /// Where, in milliseconds; none: the whole.
    pub at_ms: Option<u64>,
    /// What is there, and what to do about it.
    pub detail: String,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// What is to be seen.
    Shows,
    /// Whether text can be read.
    Legibility,
    /// What may be forbidden.
    PolicyRisk,
    /// The first three seconds.
    Hook,
    /// How it goes on.
    Pacing,
    /// What would make it better.
    Suggestion,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is as it is.
    Info,
    /// It may harm.
    Warning,
    /// It ought not to go out like this.
    Problem,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    summary: String,
    findings: Vec<Finding>,
}

impl Wanted<'_> {
    /// The question: the words of people are values, the pictures follow in the order of `frames`.
    pub fn question(&self) -> Question {
        let frames: Vec<Value> = self.shots.iter().map(|shot| json!({ "at_ms": shot.at_ms })).collect();
        let frame =
            json!({ "language": self.language.name(), "duration_ms": self.duration_ms, "frames": frames });
        let mut parts: Vec<_> = ["brief", "brand"].map(|name| Part::text(name, self.words.text(name))).into();
        parts.push(Part::text("transcript", self.transcript()));
        parts.extend(self.shots.iter().enumerate().map(|(n, shot)| shot.part(n)));
        Question {
            prompt: &prompts::VIDEO_REVIEW,
            frame,
            parts,
            schema_name: "review",
            schema: schema(),
            most_tokens: MOST_TOKENS,
        }
    }

    /// What is said and when, as JSON; empty where nothing is. The words are those that may leave.
    fn transcript(&self) -> String {
        let texts = self.words.all("transcript").map(str::to_owned);
        let said: Vec<_> = self.said.iter().zip(texts).map(|(it, text)| Said { text, ..*it }).collect();
        if said.is_empty() { String::new() } else { json!(said).to_string() }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// It has not the shape that was asked for, or says nothing.
    pub fn read(&self, answer: &str) -> Result<Review, Unusable> {
        let answer: Answer = serde_json::from_str(answer)
            .map_err(|error| Unusable(format!("the answer has not the shape that was asked for: {error}")))?;
        let summary =
            self.shown(&answer.summary).ok_or_else(|| Unusable("the summary says nothing".into()))?;
        let within = |at: u64| self.duration_ms.is_some_and(|duration| at <= duration);
        let findings = answer.findings.into_iter().take(MOST_FINDINGS).filter_map(|finding| {
            let detail = self.shown(&finding.detail)?;
            // a place that there is none of is no place
            (finding.at_ms.is_none_or(within)).then_some(Finding { detail, ..finding })
        });
        Ok(Review { summary, findings: findings.collect() })
    }

    /// A text as people are shown it, if it can be.
    fn shown(&self, text: &str) -> Option<String> {
        let text = text.trim();
        if text.is_empty()
            || !self.language.wrote(text)
            || points_anywhere(text)
            || text.chars().any(char::is_control)
        {
            return None;
        }
        Some(self.words.put_back(text).ok()?.chars().take(DETAIL_MOST).collect())
    }
}

impl Shot {
    /// It as a part of what leaves.
    pub fn part(&self, n: usize) -> Part {
        let name = match self.at_ms {
            Some(at) => format!("frame_{}_at_{at}ms", n + 1),
            None => format!("picture_{}", n + 1),
        };
        Part::picture(name, self.jpeg.clone())
    }
}

fn schema() -> Value {
    let words = |all: &[&str]| json!({ "type": "string", "enum": all });
    json!({
        "type": "object", "additionalProperties": false, "required": ["summary", "findings"],
        "properties": {
            "summary": { "type": "string" },
            "findings": { "type": "array", "items": {
                "type": "object", "additionalProperties": false,
                "required": ["kind", "severity", "at_ms", "detail"],
                "properties": {
                    "kind": words(&["shows", "legibility", "policy_risk", "hook", "pacing", "suggestion"]),
                    "severity": words(&["info", "warning", "problem"]),
                    "at_ms": { "type": ["integer", "null"] },
                    "detail": { "type": "string" },
                },
            } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::words::Authored;

    fn words() -> Anonymous {
        let brief = Authored::by_a_person("Opening. Call 0521234567");
        Anonymous::of(&[("brief", &brief)], &[], &[]).expect("words")
    }

    fn finding(at_ms: &Value, detail: &str) -> Value {
        json!({ "kind": "hook", "severity": "warning", "at_ms": at_ms, "detail": detail })
    }

    fn read(answer: &Value) -> Result<Review, Unusable> {
        let (words, shots) = (words(), []);
        let wanted = Wanted {
            language: Language::English,
            words: &words,
            said: &[],
            duration_ms: Some(6_000),
            shots: &shots,
        };
        wanted.read(&answer.to_string())
    }

    #[test]
    fn findings_are_kept_where_there_is_such_a_place() {
        let findings = [
            finding(&json!(0), "It begins slowly."),
            finding(&json!(6_000), "It ends."),
            finding(&json!(6_001), "After the end."),
            finding(&Value::Null, "Say {{number_1}} aloud."),
            finding(&Value::Null, "Say {{number_2}} aloud."),
            finding(&Value::Null, "See https://evil.example"),
            finding(&Value::Null, "סרט קצר"),
        ];
        let review = read(&json!({ "summary": "A loaf.", "findings": findings })).expect("a review");
        let details: Vec<_> = review.findings.iter().map(|it| it.detail.as_str()).collect();
        assert_eq!(details, ["It begins slowly.", "It ends.", "Say 0521234567 aloud."]);
    }

    #[test]
    fn what_has_not_the_shape_is_no_review() {
        for answer in [
            json!({ "findings": [] }),
            json!({ "summary": " ", "findings": [] }),
            json!({ "summary": "A loaf.", "findings": [{ "kind": "praise", "severity": "info", "at_ms": null, "detail": "x" }] }),
            json!({ "summary": "A loaf.", "findings": [], "publish": true }),
        ] {
            assert!(read(&answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn every_topic_and_severity_is_one_of_the_shape() {
        let schema = schema();
        let finding = &schema["properties"]["findings"]["items"]["properties"];
        for word in finding["kind"]["enum"].as_array().expect("words") {
            Topic::deserialize(word).expect("a topic");
        }
        for word in finding["severity"]["enum"].as_array().expect("words") {
            Severity::deserialize(word).expect("a severity");
        }
    }

    #[test]
    fn what_is_said_keeps_its_times_whatever_is_held_back_of_it() {
        let said = [(0, 61_234_567, "Call"), (61_234_567, 62_000_000, "0521234567 {{now}}")]
            .map(|(from_ms, until_ms, text)| Said { from_ms, until_ms, text: text.into() });
        let spoken = said.each_ref().map(|it| Authored::spoken_in_own_film(it.text.clone()));
        let texts: Vec<_> = spoken.iter().map(|text| ("transcript", text)).collect();
        let words = Anonymous::of(&texts, &[], &[]).expect("words");
        let wanted =
            Wanted { language: Language::English, words: &words, said: &said, duration_ms: None, shots: &[] };
        let sent: Vec<Said> = serde_json::from_str(&wanted.transcript()).expect("JSON");
        let texts: Vec<_> = sent.iter().map(|it| (it.from_ms, it.text.as_str())).collect();
        assert_eq!(texts, [(0, "Call"), (61_234_567, "{{number_1}} { {now} }")]);
    }

    #[test]
    fn pictures_follow_in_the_order_in_which_they_are_named() {
        let (words, shots) =
            (words(), [Shot { at_ms: Some(2_000), jpeg: vec![1] }, Shot { at_ms: None, jpeg: vec![2] }]);
        let wanted =
            Wanted { language: Language::Hebrew, words: &words, said: &[], duration_ms: None, shots: &shots };
        let question = wanted.question();
        let fields: Vec<_> = question.parts.iter().map(|part| part.field.as_str()).collect();
        assert_eq!(fields, ["brief", "brand", "transcript", "frame_1_at_2000ms", "picture_2"]);
        assert_eq!(question.frame["frames"], json!([{ "at_ms": 2_000 }, { "at_ms": null }]));
        assert!(!question.input().contains("0521234567"));
    }
}
