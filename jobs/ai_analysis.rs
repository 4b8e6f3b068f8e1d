//! Help in writing and judging posts, asked of a provider of AI.
//!
//! A question is answered once: what was paid for is kept and given again. What it can cost is set aside before it is
//! asked, so that a crash in between leaves a reservation that counts in full, and whoever goes on sees it. After that it
//! may be asked once more, and no oftener. Nothing that comes of it is published: it waits for a person.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    analysis::{
        Cuts, End, Film, Kind, Material, Outcome, Part,
        asking::{Answered, Asking, Errand, Step},
        caption::{self, Unusable},
        prompts, results,
        review::{self, Said, Shot},
        words::{Anonymous, Authored, PlatformData},
    },
    consent::Purpose,
    contract::{Class, Done, Failure, Job, JobError, Retry},
    desk::Desk,
    surface::{Platform, Rendition},
};

/// The most pictures that go along.
const MOST_PICTURES: usize = 10;
/// What is made of a picture: large enough to be seen and read, small enough to be cheap. Nothing but its pixels goes.
const PICTURE: Rendition = Rendition { content_type: "image/jpeg", most_width: 768, most_bytes: 400_000 };

/// The payload: which analysis.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AiAnalysis {
    /// Its id.
    pub analysis_id: Uuid,
}

impl Job for AiAnalysis {
    const KIND: &'static str = "ai_analysis";
    const PURPOSE: Option<Purpose> = Some(Purpose::Ai);
    const RETRY: Retry = Retry { attempts: 6, ..Retry::STANDARD };
    const LIMIT: Duration = Duration::from_mins(10);

    async fn run(&self, desk: &Desk<'_>) -> Result<Done, JobError> {
        let kept = desk.analyses()?;
        // it is over, or somebody has removed it
        let Some(analysis) = kept.look(self.analysis_id).await? else { return Ok(Done::nothing()) };
        let at = Asking { desk, analyses: kept, analysis: &analysis };
        let end = match at.carry_out().await? {
            Step::Ended(end) => end,
            Step::Wait(done) => return Ok(done),
        };
        kept.end(analysis.id, &end).await?;
        Ok(Done::Finished { output: json!({ "outcome": end.outcome.word() }), then: Vec::new() })
    }
}

/// What cannot be had, and ends it; or what may pass.
fn missing(failure: Failure) -> Result<Step, JobError> {
    match failure.class {
        Class::Permanent => Ok(Step::Ended(End::without(Outcome::Failed, failure))),
        Class::Transient | Class::Rate | Class::Auth | Class::Permission | Class::Unknown => {
            Err(failure.into_error())
        }
    }
}

fn withheld(found: PlatformData) -> Step {
    Step::ended(Outcome::Withheld, "platform_data", &format!("{found}: leave it out"))
}

impl Asking<'_> {
    async fn carry_out(&self) -> Result<Step, JobError> {
        if !self.analysis.policy.enabled {
            let why = "analyses are switched off for this workspace";
            return Ok(Step::ended(Outcome::Withheld, "off", why));
        }
        match self.analysis.kind {
            Kind::Caption => self.caption().await,
            Kind::VideoReview => self.review().await,
            Kind::Results => self.results().await,
        }
    }

    /// The words as they may leave, with what is said in a film.
    fn words(&self, said: &[Said]) -> Result<Anonymous, PlatformData> {
        let it = self.analysis;
        let spoken: Vec<_> = said.iter().map(|it| Authored::spoken_in_own_film(it.text.clone())).collect();
        let mut texts = vec![("brief", &it.brief), ("brand", &it.brand)];
        texts.extend(spoken.iter().map(|text| ("transcript", text)));
        Anonymous::of(&texts, &it.names, &it.ids)
    }

    fn done(&self, prompt: &'static str, result: Value, cached: bool) -> Result<Step, JobError> {
        let model = self.desk.analyst()?.model();
        let end = End {
            outcome: Outcome::Done,
            result: Some(result),
            failure: None,
            prompt: None,
            model: None,
            cached,
        };
        Ok(Step::Ended(end.asked(prompt, model)))
    }

    async fn caption(&self) -> Result<Step, JobError> {
        let analysis = self.analysis;
        let words = match self.words(&[]) {
            Ok(words) => words,
            Err(found) => return Ok(withheld(found)),
        };
        let known = analysis.platforms.iter().filter_map(|name| self.desk.networks.platform(name));
        let networks: Vec<&'static Platform> = known.collect();
        if networks.is_empty() {
            return Ok(Step::ended(Outcome::Failed, "no_network", "none of its networks is known here"));
        }
        let (shown, pictures): (Vec<usize>, Vec<_>) = match self.pictures().await {
            Ok(pictures) => pictures.into_iter().unzip(),
            Err(failure) => return missing(failure),
        };
        let wanted =
            caption::Wanted { language: analysis.language, networks: &networks, words: &words, pictures };
        let read = |answer: &str| -> Result<Value, Unusable> {
            let suggestions = wanted.read(answer)?;
            Ok(json!({
                "variants": suggestions.variants,
                "alt_texts": suggestions.alt_texts,
                "pictures": shown,
                "left_out": suggestions.left_out,
            }))
        };
        match self.ask(&Errand::Question(&wanted.question()), &read).await? {
            Ok(Answered { result, cached }) => self.done(prompts::CAPTION.id, result, cached),
            Err(step) => Ok(step),
        }
    }

    /// The pictures among the files, made small, each with its place; none where the workspace lets none go.
    async fn pictures(&self) -> Result<Vec<(usize, Vec<u8>)>, Failure> {
        let mut pictures = Vec::new();
        if !self.analysis.policy.media {
            return Ok(pictures);
        }
        let files = self.analysis.media.iter().enumerate();
        let of_pictures = files.filter(|(_, it)| it.file.content_type.starts_with("image/"));
        for (place, it) in of_pictures.take(MOST_PICTURES) {
            let small = self.desk.media.rendition(&it.file, &PICTURE).await?;
            pictures.push((place, self.desk.media.read(&small.key, 0, small.bytes).await?));
        }
        Ok(pictures)
    }

    /// Looks at a film, or at pictures: whether each may be shown, what is said, and then at all of it together.
    async fn review(&self) -> Result<Step, JobError> {
        if !self.analysis.policy.media {
            let why = "this workspace lets no files go to a provider of AI";
            return Ok(Step::ended(Outcome::Withheld, "media_off", why));
        }
        let (film, duration_ms) = match self.film().await {
            Ok(film) => film,
            Err(failure) => return missing(failure),
        };
        let risks = match self.risks(&film.shots).await? {
            Ok(risks) => risks,
            Err(step) => return Ok(step),
        };
        let said = match self.said(film.sound.as_deref(), duration_ms).await? {
            Ok(said) => said,
            Err(step) => return Ok(step),
        };
        let words = match self.words(&said) {
            Ok(words) => words,
            Err(found) => return Ok(withheld(found)),
        };
        let wanted = review::Wanted {
            language: self.analysis.language,
            words: &words,
            said: &said,
            duration_ms,
            shots: &film.shots,
        };
        let frames: Vec<_> = film.shots.iter().map(|shot| shot.at_ms).collect();
        let read = |answer: &str| -> Result<Value, Unusable> {
            let review = wanted.read(answer)?;
            Ok(json!({
                "summary": review.summary,
                "findings": review.findings,
                "moderation": risks,
                "transcript": said,
                "frames": frames,
                "duration_ms": duration_ms,
            }))
        };
        match self.ask(&Errand::Question(&wanted.question()), &read).await? {
            Ok(Answered { result, cached }) => self.done(prompts::VIDEO_REVIEW.id, result, cached),
            Err(step) => Ok(step),
        }
    }

    /// Of the first film pictures and sound; or else the pictures, without a place in time.
    async fn film(&self) -> Result<(Film, Option<u64>), Failure> {
        let is_film = |it: &&Material| it.file.content_type.starts_with("video/");
        if let Some(it) = self.analysis.media.iter().find(is_film) {
            let length = Duration::from_millis(it.duration_ms.unwrap_or_default());
            let cuts = Cuts::of(length, PICTURE.most_width);
            let film = self.desk.media.look_through(&it.file, &cuts).await?;
            return Ok((film, it.duration_ms));
        }
        let pictures = self.pictures().await?.into_iter();
        let shots: Vec<_> = pictures.map(|(_, jpeg)| Shot { at_ms: None, jpeg }).collect();
        if shots.is_empty() {
            let why = "there is neither a film nor a picture to look at";
            return Err(Failure::new(Class::Permanent, "no_media", why));
        }
        Ok((Film { shots, sound: None }, None))
    }

    /// Puts in words what was counted, where the workspace lets that go.
    async fn results(&self) -> Result<Step, JobError> {
        let analysis = self.analysis;
        let Some(figures) = analysis.figures.let_out(&analysis.policy) else {
            let why = "this workspace lets nothing that networks have counted go to a provider of AI";
            return Ok(Step::ended(Outcome::Withheld, "numbers_off", why));
        };
        if figures.is_empty() {
            return Ok(Step::ended(Outcome::Failed, "no_figures", "nothing has been counted of it yet"));
        }
        let title = |name: &'static str| self.desk.networks.platform(name).map_or(name, |it| it.title);
        let figures: Vec<_> = figures
            .iter()
            .take(results::MOST_FIGURES)
            .map(|figure| (*figure, title(figure.metric.platform)))
            .collect();
        let words = match self.words(&[]) {
            Ok(words) => words,
            Err(found) => return Ok(withheld(found)),
        };
        let about = if analysis.month.is_some() { "month" } else { "post" };
        let wanted = results::Wanted { language: analysis.language, about, words: &words, figures: &figures };
        let told = figures.iter().enumerate().map(|(n, (figure, _))| figure.told(&results::id(n)));
        let told: Vec<Value> = told.collect();
        let read = |answer: &str| -> Result<Value, Unusable> {
            let found = wanted.read(answer)?;
            Ok(json!({
                "statements": found.statements,
                "advice": found.advice,
                "left_out": found.left_out,
                "figures": told,
                "month": analysis.month,
            }))
        };
        match self.ask(&Errand::Question(&wanted.question()), &read).await? {
            Ok(Answered { result, cached }) => self.done(prompts::RESULTS.id, result, cached),
            Err(step) => Ok(step),
        }
    }

    /// What the provider's rules say of each picture: only those that they say something of.
    async fn risks(&self, shots: &[Shot]) -> Result<Result<Vec<Value>, Step>, JobError> {
        let mut risks = Vec::new();
        for (n, shot) in shots.iter().enumerate() {
            let part = shot.part(n);
            let read = |answer: &str| read_list(answer, "categories");
            match self.ask(&Errand::Moderation(&part), &read).await? {
                Ok(Answered { result, .. }) if result.as_array().is_some_and(|all| !all.is_empty()) => {
                    risks.push(json!({ "at_ms": shot.at_ms, "categories": result }));
                }
                Ok(_) => {}
                Err(step) => return Ok(Err(step)),
            }
        }
        Ok(Ok(risks))
    }

    /// What is said in the film.
    async fn said(
        &self,
        sound: Option<&[u8]>,
        duration_ms: Option<u64>,
    ) -> Result<Result<Vec<Said>, Step>, JobError> {
        let Some(sound) = sound else { return Ok(Ok(Vec::new())) };
        let part = Part::sound("sound", sound.to_vec());
        let seconds = duration_ms.unwrap_or_default().div_ceil(1_000).max(1);
        let errand = Errand::Speech { sound: &part, seconds };
        let read = |answer: &str| -> Result<Value, Unusable> {
            let list = read_list(answer, "said")?;
            // what cannot be read is asked for again
            Vec::<Said>::deserialize(&list).map_err(|error| Unusable(error.to_string()))?;
            Ok(list)
        };
        let list = match self.ask(&errand, &read).await? {
            Ok(Answered { result, .. }) => result,
            Err(step) => return Ok(Err(step)),
        };
        let unreadable =
            |error: serde_json::Error| Failure::new(Class::Permanent, "transcript", error.to_string());
        let said = Vec::<Said>::deserialize(&list).map_err(|error| JobError::Malformed(unreadable(error)))?;
        Ok(Ok(said))
    }
}

/// The list of that name in an answer that the provider's adapter has put together.
fn read_list(answer: &str, name: &str) -> Result<Value, Unusable> {
    let answer: Value = caption::shaped(answer)?;
    match answer[name].as_array() {
        Some(list) => Ok(json!(list)),
        None => Err(Unusable(format!("there is no list of {name}"))),
    }
}
