//! What TikTok has counted: of up to twenty posts in one call, and of the account.
//!
//! What is deleted, and what only its owner sees, is left out of the answer without a word.

use async_trait::async_trait;
use jobs::{
    desk::Call,
    metrics::{Heard, Insights, Metric, Object, Question, Trouble, reading},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    super::http::{Deadline, Fault, Phase, id_of},
    TikTok,
};

/// "Query Videos" of TikTok's documents.
const MOST_VIDEOS: usize = 20;
/// What a field is refused with that there is none of.
const INVALID: [&str; 2] = ["invalid_params", "invalid_param"];

#[async_trait]
impl Insights for TikTok {
    fn objects_at_once(&self, object: Object) -> usize {
        match object {
            Object::Account => 1,
            Object::Post | Object::Reel | Object::Story => MOST_VIDEOS,
        }
    }

    /// The limit is on inits; on these it is six hundred a minute for each.
    fn calls(&self, _objects: usize) -> u32 {
        0
    }

    async fn ask(&self, call: &Call<'_>, question: &Question<'_>) -> Vec<Result<Heard, Trouble>> {
        match self.told(call, question).await {
            Ok(heard) => heard.into_iter().map(Ok).collect(),
            Err(trouble) => vec![Err(trouble); question.ids.len()],
        }
    }
}

impl TikTok {
    async fn told(&self, call: &Call<'_>, question: &Question<'_>) -> Result<Vec<Heard>, Trouble> {
        let deadline = Deadline::of(call);
        let fields = fields(question.metrics);
        if question.object == Object::Account {
            let path = format!("/v2/user/info/?fields={fields}");
            let read =
                self.ask(Phase::Read, call, deadline, Method::GET, &path, None).await.map_err(trouble)?;
            return Ok(vec![Heard::Points(reading::fields(&read["user"], question.metrics))]);
        }
        let path = format!("/v2/video/query/?fields=id,{fields}");
        let body = json!({ "filters": { "video_ids": question.ids } });
        let read = self.ask(Phase::Read, call, deadline, Method::POST, &path, Some(&body)).await;
        let read = read.map_err(trouble)?;
        let videos = read["videos"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(question.ids.iter().map(|id| heard(videos, id, question.metrics)).collect())
    }
}

fn fields(metrics: &[&'static Metric]) -> String {
    metrics.iter().map(|metric| metric.remote).collect::<Vec<_>>().join(",")
}

fn heard(videos: &[Value], id: &str, metrics: &[&'static Metric]) -> Heard {
    let video = videos.iter().find(|video| id_of(&video["id"]).as_deref() == Some(id));
    video.map_or(Heard::Absent, |video| Heard::Points(reading::fields(video, metrics)))
}

fn trouble(fault: Fault) -> Trouble {
    let failure = fault.into_failure();
    if INVALID.contains(&failure.code.as_str()) { Trouble::Metric(failure) } else { Trouble::Other(failure) }
}

#[cfg(test)]
mod tests {
    use jobs::metrics::catalogue::by_id;

    use super::*;

    #[test]
    fn an_id_is_found_as_number_and_as_text_and_what_is_left_out_is_absent() {
        let videos = [json!({ "id": 7_400_000_000_000_000_123_u64, "like_count": 3 }), json!({ "id": "8" })];
        let likes = [by_id(111).expect("likes")];
        let value = |heard| match heard {
            Heard::Points(points) => points.first().and_then(|point| point.value),
            Heard::Spreads(_) | Heard::TooFew | Heard::Absent => Some(-1),
        };
        assert_eq!(value(heard(&videos, "7400000000000000123", &likes)), Some(3));
        assert_eq!(value(heard(&videos, "8", &likes)), None);
        assert_eq!(heard(&videos, "9", &likes), Heard::Absent);
    }
}
