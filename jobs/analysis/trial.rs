//! The kind tried against a model that says what a test wants it to say, and a ledger in memory.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Analyses, Analysis, Analyst, Asked, Cut, Cuts, End, Film, Heard, Kind, Language, Material, Outcome, Part,
    Policy, Question, Reserved, Sent, Settled,
    figures::{Figure, How},
    money::{Micros, Tariff, Usage},
    prompts::PROMPTS,
    review::Shot,
    words::{Anonymous, Authored, FromNetwork},
};
use crate::{
    ai_analysis::AiAnalysis,
    contract::{Class, Done, Failure, Job, JobError},
    desk::{Clock, Desk, File, Media, Network, Networks, Vault},
    metrics::catalogue::by_id,
    surface::{AccountPage, CaptionLimit, CaptionUnit, Platform, Rendition, Site},
};

const SMALL: Platform = Platform {
    name: "small",
    title: "Small",
    caption: CaptionLimit { most: 60, unit: CaptionUnit::Utf16 },
    hashtags: Some(2),
    mentions: None,
    surfaces: &[],
    privacy_levels: &[],
    comments: None,
    site: Site { hosts: &[], home: "https://small.example", page: AccountPage::ById },
};
const USAGE: Usage = Usage { input: 1_000, output: 100 };
const TARIFF: Tariff = Tariff { input: 400, output: 1_600, picture_tokens: 2_000, speech: 100_000 };

/// What the ledger would keep.
#[derive(Default)]
struct Kept {
    answers: VecDeque<Heard>,
    asked: Vec<Question>,
    alone: Vec<String>,
    reserved: VecDeque<Reserved>,
    sent: Vec<Vec<Sent>>,
    settled: Vec<Settled>,
    known: Option<String>,
    /// Why no film can be looked through.
    unseen: Option<Failure>,
    ended: Option<End>,
}

struct World {
    analysis: Analysis,
    kept: Mutex<Kept>,
}

impl World {
    fn of(brief: &str, answers: Vec<Heard>) -> Self {
        let policy = Policy { enabled: true, media: true, numbers: false, monthly: Micros(1_000_000) };
        let analysis = Analysis {
            id: Uuid::nil(),
            workspace_id: Uuid::nil(),
            kind: Kind::Caption,
            language: Language::English,
            platforms: vec!["small".into()],
            brief: Authored::by_a_person(brief),
            brand: Authored::default(),
            media: Vec::new(),
            figures: FromNetwork::new(Vec::new()),
            month: None,
            policy,
            names: vec![FromNetwork::new("Corner Bakery".into())],
            ids: vec![FromNetwork::new("104000000000001".into())],
        };
        let kept = Kept { answers: answers.into(), ..Kept::default() };
        Self { analysis, kept: Mutex::new(kept) }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self) -> Result<Done, JobError> {
        let desk = Desk { analyses: Some(self), analyst: Some(self), ..Desk::bare(self) };
        AiAnalysis { analysis_id: Uuid::nil() }.run(&desk).await
    }

    /// Runs it to its end.
    async fn end(&self) -> End {
        self.run().await.expect("it ends");
        self.kept().ended.clone().expect("an end")
    }

    /// What is answered to a part by itself.
    fn next(&self, part: &Part) -> Heard {
        let mut kept = self.kept();
        kept.alone.push(part.field.clone());
        kept.answers.pop_front().expect("it is not asked that often")
    }

    fn outcomes(&self) -> Vec<&'static str> {
        self.kept().settled.iter().map(|settled| settled.outcome).collect()
    }
}

#[async_trait]
impl Analyst for World {
    fn model(&self) -> &'static str {
        "model-1"
    }

    fn tariff(&self) -> Tariff {
        TARIFF
    }

    fn speech_model(&self) -> &'static str {
        "speech-1"
    }

    fn moderation_model(&self) -> &'static str {
        "moderation-1"
    }

    async fn transcribe(&self, _: Uuid, sound: &Part, _: Duration) -> Heard {
        self.next(sound)
    }

    async fn moderate(&self, _: Uuid, part: &Part, _: Duration) -> Heard {
        self.next(part)
    }

    async fn ask(&self, _: Uuid, question: &Question, _: Duration) -> Heard {
        let mut kept = self.kept();
        kept.asked.push(question.clone());
        kept.answers.pop_front().expect("it is not asked that often")
    }
}

#[async_trait]
impl Analyses for World {
    async fn look(&self, _: Uuid) -> Result<Option<Analysis>, JobError> {
        Ok(self.kept().ended.is_none().then(|| self.analysis.clone()))
    }

    async fn answered(&self, _: &Asked<'_>) -> Result<Option<String>, JobError> {
        Ok(self.kept().known.clone())
    }

    async fn reserve(
        &self,
        _: &Asked<'_>,
        sent: &[Sent],
        _: Micros,
        _: Duration,
    ) -> Result<Reserved, JobError> {
        let mut kept = self.kept();
        kept.sent.push(sent.to_vec());
        Ok(kept.reserved.pop_front().unwrap_or(Reserved::Call(Uuid::nil())))
    }

    async fn settle(&self, _: Uuid, settled: &Settled) -> Result<(), JobError> {
        self.kept().settled.push(settled.clone());
        Ok(())
    }

    async fn end(&self, _: Uuid, end: &End) -> Result<(), JobError> {
        self.kept().ended = Some(end.clone());
        Ok(())
    }
}

impl Clock for World {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

impl Networks for World {
    fn of(&self, _: &str) -> Option<&dyn Network> {
        None
    }

    fn surface(&self, _: &str, _: &str) -> Option<&'static crate::surface::Surface> {
        None
    }

    fn platform(&self, name: &str) -> Option<&'static Platform> {
        (name == "small").then_some(&SMALL)
    }
}

#[async_trait]
impl Vault for World {
    async fn access_token(&self, _: Uuid) -> Result<SecretString, JobError> {
        Err(JobError::Infrastructure("no token is asked for".into()))
    }
}

#[async_trait]
impl Media for World {
    async fn address(&self, _: &str) -> Result<String, Failure> {
        Err(away())
    }

    async fn read(&self, key: &str, _: u64, _: u64) -> Result<Vec<u8>, Failure> {
        Ok(format!("made of {key}").into_bytes())
    }

    async fn size(&self, _: &str) -> Result<Option<u64>, Failure> {
        Err(away())
    }

    async fn store(&self, _: &str, _: &str, _: &Path) -> Result<(), Failure> {
        Err(away())
    }

    async fn remove(&self, _: &str) -> Result<(), Failure> {
        Err(away())
    }

    async fn look_through(&self, _: &File, cuts: &Cuts) -> Result<Film, Failure> {
        if let Some(failure) = self.kept().unseen.clone() {
            return Err(failure);
        }
        assert_eq!(cuts.every, Duration::from_secs(2), "an eighth of the film");
        let shots = [0, 2_000].map(|at| Shot { at_ms: Some(at), jpeg: vec![1] });
        Ok(Film { shots: shots.into(), sound: Some(b"sound".to_vec()) })
    }

    async fn rendition(&self, file: &File, _: &Rendition) -> Result<File, Failure> {
        Ok(File { key: format!("{}.small", file.key), ..file.clone() })
    }
}

/// A brief as it may leave.
pub(super) fn words(brief: &str) -> Anonymous {
    Anonymous::of(&[("brief", &Authored::by_a_person(brief))], &[], &[]).expect("words")
}

fn away() -> Failure {
    Failure::new(Class::Transient, "media_store", "away")
}

fn answer(captions: &[&str], alt_texts: &[&str]) -> Heard {
    let variant = |caption: &&str| json!({ "platform": "small", "caption": caption, "hashtags": ["fresh"] });
    let variants: Vec<_> = captions.iter().map(variant).collect();
    Heard::Answer(json!({ "variants": variants, "alt_texts": alt_texts }).to_string(), USAGE)
}

fn file(key: &str, kind: &str) -> Material {
    let file = File { key: key.into(), content_type: kind.into(), bytes: 10, width: 10 };
    Material { file, duration_ms: Some(16_000) }
}

fn failure(class: Class, code: &str) -> Failure {
    Failure::new(class, code, "no")
}

#[tokio::test]
async fn a_brief_becomes_captions_and_what_was_held_back_is_put_back() {
    // P-I1, P-I3
    let brief = "Corner Bakery opens. Call 0521234567";
    let world = World::of(brief, vec![answer(&["{{name_1}}: call {{number_2}}", "Fresh"], &[])]);
    let end = world.end().await;
    assert_eq!(
        (end.outcome, end.prompt, end.model.as_deref()),
        (Outcome::Done, Some("caption.1"), Some("model-1"))
    );
    let result = end.result.expect("a result");
    assert_eq!(result["variants"][0]["text"], "Corner Bakery: call 0521234567\n\n#fresh");
    let kept = world.kept();
    let input = kept.asked[0].input();
    assert!(
        !input.contains("0521234567") && !input.contains("Corner") && input.contains("{{name_1}}"),
        "{input}"
    );
    assert_eq!(kept.settled[0].cost, Some(TARIFF.of(USAGE)));
    assert!(kept.sent[0].iter().any(|part| part.field == "brief" && part.bytes > 0));
}

#[tokio::test]
async fn what_was_answered_before_is_not_paid_for_again() {
    let world = World::of("bread", Vec::new());
    let Heard::Answer(known, _) = answer(&["Fresh"], &[]) else { panic!("an answer") };
    world.kept().known = Some(known);
    let end = world.end().await;
    assert!(end.cached && end.outcome == Outcome::Done && world.kept().sent.is_empty());
}

#[tokio::test]
async fn an_answer_that_is_useless_is_asked_for_once_more_and_counts() {
    let useless = || Heard::Answer("{\"sure\": true}".into(), USAGE);
    let world = World::of("bread", vec![useless(), answer(&["Fresh"], &[])]);
    assert_eq!(world.end().await.outcome, Outcome::Done);
    assert_eq!(world.outcomes(), ["invalid", "answered"]);
    let world = World::of("bread", vec![useless()]);
    world.kept().reserved = [Reserved::Call(Uuid::nil()), Reserved::TooOften("invalid".into())].into();
    assert_eq!(world.end().await.outcome, Outcome::Invalid);
    assert!(world.kept().settled.iter().all(|it| it.cost == Some(TARIFF.of(USAGE)) && it.answer.is_none()));
}

#[tokio::test]
async fn refusals_cuts_and_an_empty_purse_are_ends_of_their_own() {
    for (heard, outcome, word) in [
        (Heard::Refusal("no".into(), USAGE), Outcome::Refused, "refused"),
        (Heard::Cut(Cut::TooLong, USAGE), Outcome::Cut, "cut"),
        (Heard::Cut(Cut::Filtered, USAGE), Outcome::Cut, "cut"),
        (Heard::NoQuota(failure(Class::Permanent, "insufficient_quota")), Outcome::Quota, "quota"),
        (Heard::Unpaid(failure(Class::Permanent, "model_not_found")), Outcome::Failed, "unpaid"),
    ] {
        let world = World::of("bread", vec![heard]);
        let end = world.end().await;
        assert_eq!((end.outcome, world.outcomes()), (outcome, vec![word]));
        assert!(end.result.is_none() && end.failure.is_some());
        // what was paid for keeps why nothing came of it
        let paid = matches!(outcome, Outcome::Refused | Outcome::Cut);
        assert_eq!(world.kept().settled[0].error, end.failure.filter(|_| paid));
    }
}

#[tokio::test]
async fn what_was_refused_before_ends_it_in_the_same_words_and_is_not_asked() {
    let world = World::of("bread", Vec::new());
    let why = failure(Class::Permanent, "refused");
    world.kept().reserved = [Reserved::InVain(Outcome::Refused, why.clone())].into();
    let end = world.end().await;
    assert_eq!((end.outcome, end.failure, end.prompt), (Outcome::Refused, Some(why), Some("caption.1")));
    assert!(world.kept().asked.is_empty() && world.kept().settled.is_empty());
}

#[tokio::test]
async fn what_passes_is_tried_again_and_an_answer_that_is_lost_counts_in_full() {
    let world = World::of("bread", vec![Heard::Lost(failure(Class::Transient, "timeout"))]);
    assert!(matches!(world.run().await, Err(JobError::Unavailable(_))));
    let lost = world.kept().settled[0].clone();
    assert_eq!((lost.outcome, lost.cost, lost.usage), ("lost", None, None));
    let world = World::of("bread", vec![Heard::Unpaid(failure(Class::Transient, "server_error"))]);
    assert!(matches!(world.run().await, Err(JobError::Unavailable(_))));
    assert_eq!(world.kept().settled[0].cost, Some(Micros(0)));
    let limit = failure(Class::Rate, "rate_limit_exceeded").resting(Some(Duration::from_secs(7)));
    let world = World::of("bread", vec![Heard::Unpaid(limit)]);
    assert!(matches!(world.run().await, Err(JobError::Throttled(_, wait)) if wait == Duration::from_secs(7)));
    assert!(world.kept().ended.is_none());
}

#[tokio::test]
async fn what_is_over_budget_or_withheld_is_never_asked() {
    let world = World::of("bread", Vec::new());
    world.kept().reserved = [Reserved::OverBudget(Micros(5))].into();
    assert_eq!(world.end().await.outcome, Outcome::OverBudget);
    let world = World::of("as in 104000000000001_9", Vec::new());
    let end = world.end().await;
    assert_eq!(
        (end.outcome, end.failure.map(|it| it.code)),
        (Outcome::Withheld, Some("platform_data".into()))
    );
    let mut world = World::of("bread", Vec::new());
    world.analysis.policy.enabled = false;
    assert_eq!(world.end().await.outcome, Outcome::Withheld);
    assert!(world.kept().asked.is_empty());
}

#[tokio::test]
async fn pictures_go_along_only_where_the_workspace_lets_them() {
    let files = vec![file("film", "video/mp4"), file("a", "image/png")];
    let mut world = World::of("bread", vec![answer(&["Fresh"], &["A loaf"])]);
    world.analysis.media = files.clone();
    let result = world.end().await.result.expect("a result");
    assert_eq!((&result["alt_texts"], &result["pictures"]), (&json!(["A loaf"]), &json!([1])));
    assert_eq!(world.kept().asked[0].parts[2], Part::picture("picture_1", b"made of a.small".to_vec()));
    let mut world = World::of("bread", vec![answer(&["Fresh"], &[])]);
    (world.analysis.media, world.analysis.policy.media) = (files, false);
    assert_eq!(world.end().await.result.expect("a result")["alt_texts"], Value::Array(Vec::new()));
    assert_eq!(world.kept().asked[0].parts.len(), 2);
}

#[tokio::test]
async fn whoever_asks_the_same_waits_for_the_first() {
    let world = World::of("bread", Vec::new());
    world.kept().reserved = [Reserved::Busy(DateTime::UNIX_EPOCH)].into();
    assert!(matches!(world.run().await, Ok(Done::Waiting { .. })));
    assert!(world.kept().ended.is_none());
}

#[tokio::test]
async fn a_film_is_judged_heard_and_then_looked_at_as_a_whole() {
    let plain = |text: &Value| Heard::Answer(text.to_string(), Usage::default());
    let said = json!({ "said": [{ "from_ms": 0, "until_ms": 900, "text": "Call 0521234567" }] });
    let review = json!({ "summary": "A loaf.", "findings": [
        { "kind": "hook", "severity": "info", "at_ms": 2_000, "detail": "It begins well." }] });
    let answers = vec![
        plain(&json!({ "categories": [] })),
        plain(&json!({ "categories": ["violence"] })),
        plain(&said),
        Heard::Answer(review.to_string(), USAGE),
    ];
    let mut world = World::of("bread", answers);
    (world.analysis.kind, world.analysis.media) = (Kind::VideoReview, vec![file("film", "video/mp4")]);
    let end = world.end().await;
    assert_eq!((end.outcome, end.prompt), (Outcome::Done, Some("video_review.1")));
    let result = end.result.expect("a result");
    assert_eq!(result["findings"][0]["at_ms"], 2_000);
    assert_eq!(result["moderation"], json!([{ "at_ms": 2_000, "categories": ["violence"] }]));
    assert_eq!((&result["transcript"], &result["frames"]), (&said["said"], &json!([0, 2_000])));
    let kept = world.kept();
    assert_eq!(kept.alone, ["frame_1_at_0ms", "frame_2_at_2000ms", "sound"]);
    assert!(!kept.asked[0].input().contains("0521234567"), "what is said goes as any words do");
    let costs: Vec<_> = kept.settled.iter().map(|it| it.cost.expect("known").0).collect();
    assert_eq!(costs, [0, 0, 1_600, TARIFF.of(USAGE).0]);
}

#[tokio::test]
async fn nothing_is_looked_at_where_no_file_may_leave_or_there_is_none() {
    let mut world = World::of("bread", Vec::new());
    (world.analysis.kind, world.analysis.media) = (Kind::VideoReview, vec![file("film", "video/mp4")]);
    world.analysis.policy.media = false;
    assert_eq!(world.end().await.outcome, Outcome::Withheld);
    let mut world = World::of("bread", Vec::new());
    world.analysis.kind = Kind::VideoReview;
    assert_eq!(world.end().await.failure.map(|it| it.code), Some("no_media".into()));
}

#[tokio::test]
async fn a_film_that_cannot_be_looked_through_ends_it_unless_that_may_pass() {
    let mut world = World::of("bread", Vec::new());
    (world.analysis.kind, world.analysis.media) = (Kind::VideoReview, vec![file("film", "video/mp4")]);
    world.kept().unseen = Some(away());
    assert!(matches!(world.run().await, Err(JobError::Unavailable(_))));
    assert!(world.kept().ended.is_none());
    let too_long = failure(Class::Permanent, "film_too_long");
    world.kept().unseen = Some(too_long.clone());
    let end = world.end().await;
    assert_eq!((end.outcome, end.failure), (Outcome::Failed, Some(too_long)));
    assert!(world.kept().sent.is_empty(), "nothing left for it");
}

#[tokio::test]
async fn what_was_counted_is_put_in_words_only_where_the_workspace_lets_it_leave() {
    // P-I3
    let said = json!({ "advice": [], "statements": [
        { "figure": "f1", "change": "rose", "text": "Views rose by {{f1_change}} to {{f1}}." }] });
    let mut world = World::of("", vec![Heard::Answer(said.to_string(), USAGE)]);
    (world.analysis.kind, world.analysis.figures) = (Kind::Results, FromNetwork::new(vec![views()]));
    world.analysis.month = NaiveDate::from_ymd_opt(2026, 10, 1);
    let end = world.end().await;
    assert_eq!((end.outcome, end.failure.map(|it| it.code)), (Outcome::Withheld, Some("numbers_off".into())));
    assert!(world.kept().asked.is_empty());
    world.analysis.policy.numbers = true;
    world.kept().ended = None;
    let end = world.end().await;
    let result = end.result.expect("a result");
    assert_eq!(result["statements"][0]["text"], "Views rose by 23% to 123.");
    assert_eq!((&result["figures"][0]["value"], &result["month"]), (&json!(123), &json!("2026-10-01")));
    assert_eq!((end.outcome, end.prompt), (Outcome::Done, Some("results.1")));
    // of what was never counted nothing is asked
    let mut world = World::of("", Vec::new());
    (world.analysis.kind, world.analysis.policy.numbers) = (Kind::Results, true);
    assert_eq!(world.end().await.failure.map(|it| it.code), Some("no_figures".into()));
}

fn views() -> Figure {
    Figure { metric: by_id(20).expect("a metric"), how: How::Sum, value: 123, before: Some(100) }
}

#[tokio::test]
async fn every_prompt_has_an_answer_on_record_and_what_holds_of_it_is_kept() {
    for prompt in PROMPTS {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("analysis/recorded/{}.json", prompt.id));
        let recorded = std::fs::read_to_string(path).expect("an answer on record");
        let recorded: Value = serde_json::from_str(&recorded).expect("JSON");
        let answer = Heard::Answer(recorded["answer"].to_string(), USAGE);
        let kind = prompt.id.split('.').next().and_then(Kind::parse).expect("a kind");
        let plain = |text: &Value| Heard::Answer(text.to_string(), Usage::default());
        let (clear, silent) = (json!({ "categories": [] }), json!({ "said": [] }));
        let mut answers = match kind {
            Kind::VideoReview => vec![plain(&clear), plain(&clear), plain(&silent)],
            Kind::Caption | Kind::Results => Vec::new(),
        };
        answers.push(answer);
        let mut world = World::of(recorded["brief"].as_str().expect("a brief"), answers);
        world.analysis.kind = kind;
        match kind {
            Kind::VideoReview => world.analysis.media = vec![file("film", "video/mp4")],
            Kind::Results => world.analysis.figures = FromNetwork::new(vec![views()]),
            Kind::Caption => {}
        }
        world.analysis.policy.numbers = kind == Kind::Results;
        let result = world.end().await.result.unwrap_or_else(|| panic!("nothing holds of {}", prompt.id));
        for (place, expected) in recorded["holds"].as_object().expect("what holds") {
            assert_eq!(
                result.pointer(place).unwrap_or(&Value::Null),
                expected,
                "{} {place}: {result}",
                prompt.id
            );
        }
    }
}
