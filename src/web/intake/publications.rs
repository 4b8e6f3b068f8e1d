//! Single publications: deciding about one that is held.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};

use super::{
    answered, asked_json, id,
    jobs::sentence,
    shapes::{PublicationShape, VerdictBody},
};
use crate::{
    ledger::{
        audit::Who,
        idempotency::{Answer, Asked, Once},
        posts::Publication,
        verdict::{By, Place, Undecided, Word},
    },
    web::{
        App,
        access::{Caller, PostsWrite},
        problem::{Problem, ProblemDocument},
        verdict::{self, Verdict},
    },
};

/// Decides a publication that is held because nobody could prove whether it is public. “Not published” means failed,
/// and trying again sends it anew; what the network shows later outweighs both. `409` where there is nothing to decide
/// or not yet, and where somebody has decided before.
#[utoipa::path(
    post,
    path = "/api/v1/publications/{id}/verdict",
    tag = "posts",
    security(("bearer" = ["posts:write"])),
    params(
        ("id" = String, Path, description = "The publication"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    request_body = VerdictBody,
    responses(
        (status = 202, description = "Committed", body = PublicationShape),
        (status = 404, description = "No such publication in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not as it stands; detail says why", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each field", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away; nothing was decided", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn verdict(
    State(app): State<Arc<App>>,
    caller: Caller<PostsWrite>,
    headers: HeaderMap,
    Path(publication): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("publication");
    let id = id(&publication, "publication")?;
    let place = caller.ledger.place(Some(caller.workspace_id), id).await?.ok_or_else(missing)?;
    let route = format!("POST /api/v1/publications/{id}/verdict");
    let (asked, said) = asked_json(&app, &headers, caller.workspace_id, &route, body).await?;
    let (verdict, found) = verdict::read(&said);
    let found = verdict.judge(app.shown(&place.platform), found);
    if !found.is_empty() {
        return Err(Problem::invalid(found));
    }
    let done = app.decide(place, id, verdict, By::Key(caller.key_id), asked, caller.who).await?;
    answered(done.map(|made| match made {
        Ok(decided) => Ok(answer(&decided)),
        Err(Undecided::Missing) => Err(missing()),
        Err(why) => Err(Problem::conflict(sentence(&why))),
    }))
}

fn answer(it: &Publication) -> Answer {
    Answer::of(202, &PublicationShape::from(it))
}

impl App {
    /// Carries out a word that was judged. Once begun it goes on to its end, whether or not somebody still waits for
    /// the answer.
    ///
    /// # Errors
    /// The ledger is away, or worse.
    pub async fn decide(
        self: &Arc<Self>,
        place: Place,
        publication_id: uuid::Uuid,
        verdict: Verdict,
        by: By,
        asked: Option<Asked>,
        who: Who,
    ) -> Result<Once<Result<Publication, Undecided>>, Problem> {
        let app = Arc::clone(self);
        let deciding = tokio::spawn(async move {
            let word = Word {
                publication_id,
                published: verdict.published == Some(true),
                permalink: verdict.permalink.as_deref(),
                reason: verdict.reason(),
                by,
                one_shot: app.shown(&place.platform).is_some_and(|shown| shown.is_one_shot(&place)),
                keyed: asked.as_ref().map(|asked| (asked, answer as fn(&Publication) -> Answer)),
            };
            app.within(place.workspace_id).of(who).decide_held(&place, &word).await
        });
        Ok(deciding.await??)
    }
}
