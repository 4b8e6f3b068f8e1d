//! Files.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State},
    http::HeaderMap,
    response::Response,
};

use super::{
    answered_before, asked, give, id,
    shapes::{MediaShape, UploadBody},
};
use crate::{
    ledger::{
        idempotency::{Answer, Asked},
        media::{Kept, Media, NewMedia},
    },
    web::{
        App,
        access::{Caller, MediaWrite},
        finding::Finding,
        inspect,
        multipart::Form,
        problem::{Problem, ProblemDocument},
        upload::{self, NotTaken, Received},
    },
};

const FIELD: &str = "file";

/// Takes a file in, as the field `file` of a multipart form. Its type is found by content.
#[utoipa::path(
    post,
    path = "/api/v1/media",
    tag = "media",
    security(("bearer" = ["media:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer")),
    request_body(content_type = "multipart/form-data", description = "One file", content = UploadBody),
    responses(
        (status = 201, description = "Stored", body = MediaShape),
        (status = 415, description = "Not multipart/form-data", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "Not a file that is taken: type, size, pixels, or broken", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "A part of the house is away", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn upload(
    State(app): State<Arc<App>>,
    caller: Caller<MediaWrite>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let received = only_file(Form::open(&headers, request).await?, &app).await.map_err(told)?;
    let asked = asked(&headers, caller.workspace_id, "POST /api/v1/media", &received.sha256)?;
    // before anything is decoded or stored
    if let Some(answer) = answered_before(&caller.ledger, asked.as_ref()).await? {
        return Ok(answer);
    }
    match app.keep_file(received, caller.workspace_id, asked, FIELD).await.map_err(told)? {
        Kept::New(_, answer) => Ok(give(answer, false)),
        Kept::Before(answer) => Ok(give(answer, true)),
        Kept::KeyReused => Err(Problem::key_reused()),
    }
}

/// One file's description.
#[utoipa::path(
    get,
    path = "/api/v1/media/{id}",
    tag = "media",
    security(("bearer" = ["media:write"])),
    params(("id" = String, Path, description = "The file")),
    responses(
        (status = 200, description = "The file", body = MediaShape),
        (status = 404, description = "No such file in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn one(caller: Caller<MediaWrite>, Path(file): Path<String>) -> Result<Json<MediaShape>, Problem> {
    let file = caller.ledger.media(caller.workspace_id, id(&file, "file")?).await?;
    let file = file.ok_or_else(|| Problem::not_found("file"))?;
    Ok(Json(MediaShape::from(&file)))
}

async fn only_file(mut form: Form, app: &App) -> Result<Received, NotTaken> {
    let mut received = None;
    while let Some(mut field) = form.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        if name != FIELD {
            let detail = "There is no such field here.";
            let name = crate::web::text::shown(&name);
            return Err(Finding::new(name, "unknown_field", detail).accepting([FIELD]).into());
        }
        if received.is_some() {
            return Err(Finding::new(FIELD, "one_file", "Send one file at a time.").into());
        }
        received = Some(upload::receive(&mut field, FIELD, &app.house.web).await?);
    }
    received
        .ok_or_else(|| Finding::new(FIELD, "required", "Send the file in the form's field “file”.").into())
}

/// What is told of a file that was not taken.
pub(super) fn told(error: NotTaken) -> Problem {
    match error {
        NotTaken::File(finding) => Problem::invalid(vec![finding]),
        NotTaken::Problem(problem) => problem,
    }
}

impl App {
    /// Looks at a file, stores it, writes it down; if that fails it is removed again.
    ///
    /// # Errors
    /// The file is the trouble, or a part of the house is away.
    pub async fn keep_file(
        self: &Arc<Self>,
        received: Received,
        workspace_id: uuid::Uuid,
        asked: Option<Asked>,
        field: &str,
    ) -> Result<Kept, NotTaken> {
        let measure =
            inspect::measure(received.path(), received.kind, field, self.house.web.pixel_limit).await?;
        let new = new_media(&received, measure, workspace_id);
        let app = Arc::clone(self);
        // A sender who hangs up now must not leave a file that nobody knows of.
        let kept = tokio::spawn(async move { app.store(&received, &new, asked.as_ref()).await });
        Ok(kept.await.map_err(Problem::from)??)
    }

    async fn store(
        &self,
        received: &Received,
        new: &NewMedia,
        asked: Option<&Asked>,
    ) -> Result<Kept, Problem> {
        let (media, ledger) = (&self.house.media, self.within(new.workspace_id));
        ledger.about_to_store(&new.object_key).await?;
        media.store(&new.object_key, new.content_type, received.path()).await?;
        let kept = ledger.add_media(new, asked, answer).await;
        // After an error the row may stand all the same: a file too many is swept, a file too few is a broken post.
        if matches!(kept, Ok(Kept::Before(_) | Kept::KeyReused))
            && let Err(failure) = media.remove(&new.object_key).await
        {
            tracing::warn!(%failure, key = new.object_key, "a file that is not needed could not be removed");
        }
        Ok(kept?)
    }
}

fn new_media(received: &Received, measure: inspect::Measure, workspace_id: uuid::Uuid) -> NewMedia {
    let object_key = fresh_key(workspace_id, received.kind);
    described(
        &received.name,
        received.bytes,
        received.sha256,
        received.kind,
        measure,
        (workspace_id, object_key),
    )
}

/// A key that nobody has been given.
pub(super) fn fresh_key(workspace_id: uuid::Uuid, kind: inspect::Type) -> String {
    format!("{workspace_id}/{}.{}", uuid::Uuid::now_v7(), kind.ending())
}

/// A file as the ledger keeps it, of this workspace and under this key.
pub(super) fn described(
    name: &str,
    bytes: u64,
    sha256: [u8; 32],
    kind: inspect::Type,
    measure: inspect::Measure,
    (workspace_id, object_key): (uuid::Uuid, String),
) -> NewMedia {
    let pixels = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    NewMedia {
        id: uuid::Uuid::now_v7(),
        workspace_id,
        object_key,
        name: name.to_owned(),
        content_type: kind.word(),
        bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        width: pixels(measure.width),
        height: pixels(measure.height),
        duration_ms: measure.duration_ms.and_then(|ms| i64::try_from(ms).ok()),
        sha256,
    }
}

/// The answer to whoever brought it.
pub(super) fn answer(media: &Media) -> Answer {
    Answer::of(201, &MediaShape::from(media))
}
