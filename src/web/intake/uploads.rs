//! Files that a browser sends straight to the object store: first promised, then looked at.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use jobs::store::Part;
use uuid::Uuid;

use super::{
    answered, answered_before, asked_json, asked_nothing, give, id,
    media::{answer, described, fresh_key, told},
    shapes::{MediaShape, NewUploadBody, PartShape, PresignedShape, instant},
};
use crate::{
    ledger::{
        idempotency::{Answer, Asked, Once},
        media::Media,
        uploads::Upload,
    },
    web::{
        App,
        access::{Caller, MediaWrite},
        body::{self, WishedUpload},
        finding::Finding,
        inspect::Type,
        problem::{Problem, ProblemDocument},
        stored::{self, Promised},
        upload::too_large,
    },
};

/// How long the store takes a file that was promised.
const LIFE: Duration = Duration::from_hours(1);
/// The same for the parts of a large one.
const LIFE_OF_PARTS: Duration = Duration::from_hours(6);
const FIELD: &str = "file";

/// Promises a file, and is told where to send it: a form's address and its fields, or, for a large one, an address for
/// each of its parts.
#[utoipa::path(
    post,
    path = "/api/v1/media/uploads",
    tag = "media",
    security(("bearer" = ["media:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer")),
    request_body(content = NewUploadBody),
    responses(
        (status = 201, description = "Send it there: each of the parts with a PUT, or all of it as multipart/form-data, the fields first and the file last, as `file`; then complete the upload", body = PresignedShape),
        (status = 422, description = "Not a type that is taken, or too large", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "A part of the house is away", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn promise(
    State(app): State<Arc<App>>,
    caller: Caller<MediaWrite>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let route = "POST /api/v1/media/uploads";
    let (asked, said) = asked_json(&app, &headers, caller.workspace_id, route, body).await?;
    let (wish, mut found) = body::upload(&said);
    found.extend(not_taken(&app, &wish));
    if !found.is_empty() {
        return Err(Problem::invalid(found));
    }
    // before the store opens parts that nobody needs
    if let Some(answer) = answered_before(&caller.ledger, asked.as_ref()).await? {
        return Ok(answer);
    }
    let (new, answer) = app.promised(wish, caller.workspace_id).await?;
    let added = caller.ledger.add_upload(&new, asked.as_ref(), answer).await?;
    if let (Once::Before(_) | Once::KeyReused, Some(parts)) = (&added, &new.parts) {
        app.abandon(&new.object_key, parts).await;
    }
    answered(added.map(Ok))
}

/// Says that the file is sent. It is looked at from end to end, and is a file like any other from then on. Saying it
/// again is harmless.
#[utoipa::path(
    post,
    path = "/api/v1/media/uploads/{id}/complete",
    tag = "media",
    security(("bearer" = ["media:write"])),
    params(
        ("id" = String, Path, description = "The upload"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    responses(
        (status = 201, description = "The file", body = MediaShape),
        (status = 400, description = "Not JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No key, or none that opens anything", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such upload in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Nothing has come yet, or it has expired", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "Over 256 KiB", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "What came is not what was promised, or is broken; or a field that there is none of; or the Idempotency-Key came with another body", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "A part of the house is away", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn complete(
    State(app): State<Arc<App>>,
    caller: Caller<MediaWrite>,
    headers: HeaderMap,
    Path(upload): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let workspace = caller.workspace_id;
    let upload = caller.ledger.upload(workspace, id(&upload, "upload")?).await?;
    let upload = upload.ok_or_else(|| Problem::not_found("upload"))?;
    let route = format!("POST /api/v1/media/uploads/{}/complete", upload.id);
    let asked = asked_nothing(&app, &headers, workspace, &route, body).await?;
    // before anything is copied
    if let Some(answer) = answered_before(&caller.ledger, asked.as_ref()).await? {
        return Ok(answer);
    }
    // A caller who hangs up now must not leave a copy that nobody knows of.
    tokio::spawn(async move { app.completed(&upload, asked.as_ref()).await }).await?
}

fn not_taken(app: &App, wish: &WishedUpload) -> Option<Finding> {
    if wish.content_type.is_empty() {
        return None; // its reader has said so
    }
    let Some(kind) = Type::named(&wish.content_type) else {
        let detail = format!(
            "“{}” is neither a picture nor a film that the networks take.",
            crate::web::text::shown(&wish.content_type)
        );
        return Some(
            Finding::new("type", "media_type", detail).accepting(Type::ALL.iter().map(|it| it.word())),
        );
    };
    let most = kind.limit(&app.house.web);
    (wish.bytes > most).then(|| too_large("bytes", &wish.name, most))
}

/// What an upload has become, and when.
enum Taken {
    Now(Once<Media>),
    Earlier(Media),
}

impl App {
    /// The upload, and the answer with the form for it, or with its parts.
    async fn promised(&self, wish: WishedUpload, workspace_id: Uuid) -> Result<(Upload, Answer), Problem> {
        let mut new = Upload {
            id: Uuid::now_v7(),
            workspace_id,
            object_key: format!("{workspace_id}/incoming/{}", Uuid::now_v7()),
            name: wish.name,
            content_type: wish.content_type,
            bytes: i64::try_from(wish.bytes).unwrap_or(i64::MAX),
            parts: None,
            media_id: None,
        };
        let (store, key, kind) = (&self.house.media, &new.object_key, &new.content_type);
        let shape = if wish.bytes < self.house.web.parts_from {
            let form = store.form(key, kind, wish.bytes, LIFE)?;
            let (url, expires_at) = (Some(form.url), instant(form.expires_at));
            PresignedShape { id: new.id, url, fields: form.fields, parts: Vec::new(), expires_at }
        } else {
            // first, so that what is opened is given up even if nobody here lives to keep its name
            self.within(workspace_id).about_to_store(key).await?;
            let opened = store.parts(key, kind, wish.bytes, LIFE_OF_PARTS).await?;
            let shape = |part: Part| PartShape { url: part.url, bytes: part.bytes };
            let (parts, expires_at) =
                (opened.parts.into_iter().map(shape).collect(), instant(opened.expires_at));
            new.parts = Some(opened.id);
            PresignedShape { id: new.id, url: None, fields: BTreeMap::new(), parts, expires_at }
        };
        Ok((new, Answer::of(201, &shape)))
    }

    /// The file that an upload has become.
    async fn became(&self, upload: &Upload) -> Result<Option<Media>, Problem> {
        match upload.media_id {
            Some(id) => Ok(self.within(upload.workspace_id).media(upload.workspace_id, id).await?),
            None => Ok(None),
        }
    }

    /// The answer to who says that the file is sent.
    async fn completed(&self, upload: &Upload, asked: Option<&Asked>) -> Result<Response, Problem> {
        let taken = match self.became(upload).await? {
            Some(media) => Taken::Earlier(media),
            None => self.take(upload, asked).await?,
        };
        let earlier = match taken {
            Taken::Now(done) => return answered(done.map(|media| Ok(answer(&media)))),
            Taken::Earlier(media) => media,
        };
        let Some(asked) = asked else { return Ok(give(answer(&earlier), true)) };
        match self.within(upload.workspace_id).answer_of(asked, earlier.id, answer(&earlier)).await? {
            Once::Done(answer) | Once::Before(answer) => Ok(give(answer, true)),
            Once::KeyReused => Err(Problem::key_reused()),
        }
    }

    /// Copies what came to where its sender cannot reach it any more, looks at the copy, and keeps that.
    async fn take(&self, upload: &Upload, asked: Option<&Asked>) -> Result<Taken, Problem> {
        let store = &self.house.media;
        let kind = Type::named(&upload.content_type).ok_or_else(Problem::internal)?;
        self.join(upload).await?;
        if !self.has_come(upload).await? {
            return self.faster(upload).await;
        }
        let key = fresh_key(upload.workspace_id, kind);
        self.within(upload.workspace_id).about_to_store(&key).await?;
        if let Err(failure) = store.copy(&upload.object_key, &key, kind.word()).await {
            // Who was faster has removed what came.
            let first = self.faster(upload).await;
            return if first.is_ok() { first } else { Err(failure.into()) };
        }
        let kept = self.keep_copy(upload, &key, asked).await;
        // After an error of the ledger the row may stand all the same: a file too many is swept, too few is a broken post.
        let needed = matches!(&kept, Ok(Once::Done(Some(_))))
            || matches!(&kept, Err(problem) if problem.word != "invalid");
        if !needed {
            self.discard(&key).await;
        }
        let media = match kept? {
            Once::Done(Some(media)) => media,
            Once::Done(None) => return self.faster(upload).await,
            Once::Before(answer) => return Ok(Taken::Now(Once::Before(answer))),
            Once::KeyReused => return Ok(Taken::Now(Once::KeyReused)),
        };
        self.discard(&upload.object_key).await;
        Ok(Taken::Now(Once::Done(media)))
    }

    /// Whether what was promised is there; nothing is, where it never came or was completed at this moment.
    async fn has_come(&self, upload: &Upload) -> Result<bool, Problem> {
        let promised = upload.bytes.unsigned_abs();
        match self.house.media.size(&upload.object_key).await? {
            Some(found) if found == promised => Ok(true),
            Some(found) => {
                let detail = format!(
                    "{promised} bytes were promised; {found} have come. Send it again, or promise anew."
                );
                Err(Problem::invalid(vec![Finding::new("bytes", "media_size_differs", detail)]))
            }
            None => Ok(false),
        }
    }

    /// Has the store make one file of what came in parts. Where that was done before, the file is there already.
    async fn join(&self, upload: &Upload) -> Result<(), Problem> {
        let Some(parts) = &upload.parts else { return Ok(()) };
        let promised = upload.bytes.unsigned_abs();
        match self.house.media.join(&upload.object_key, parts, promised).await? {
            Some(have) if have == promised => {
                Ok(self.within(upload.workspace_id).upload_joined(upload.id).await?)
            }
            None | Some(0) => Ok(()),
            Some(have) => {
                let detail = format!(
                    "{promised} bytes were promised; the parts that have come have {have}. Send the others, then say so."
                );
                Err(Problem::invalid(vec![Finding::new("bytes", "media_size_differs", detail)]))
            }
        }
    }

    /// Looks at the copy and writes it down; `None`: somebody was faster.
    async fn keep_copy(
        &self,
        upload: &Upload,
        key: &str,
        asked: Option<&Asked>,
    ) -> Result<Once<Option<Media>>, Problem> {
        let bytes = upload.bytes.unsigned_abs();
        // What is copied may have been sent anew since it was measured.
        let found = self.house.media.size(key).await?;
        if found != Some(bytes) {
            let detail = "What came is being sent once more. Complete it when that is over.";
            return Err(Problem::invalid(vec![Finding::new("bytes", "media_size_differs", detail)]));
        }
        let promised = Promised { key, bytes, content_type: &upload.content_type };
        let seen = stored::look(&*self.house.media, promised, FIELD, self.house.web.pixel_limit);
        let seen = seen.await.map_err(told)?;
        let at = (upload.workspace_id, key.to_owned());
        let new = described(&upload.name, bytes, seen.sha256, seen.kind, seen.measure, at);
        Ok(self.within(upload.workspace_id).complete_upload(upload.id, &new, asked, answer).await?)
    }

    /// What somebody else made of the upload meanwhile.
    async fn faster(&self, upload: &Upload) -> Result<Taken, Problem> {
        let now = self.within(upload.workspace_id).upload(upload.workspace_id, upload.id).await?;
        let now = now.ok_or_else(|| {
            Problem::conflict("The upload was not completed in time and has expired. Promise the file anew.")
        })?;
        self.became(&now).await?.map(Taken::Earlier).ok_or_else(|| {
            Problem::conflict(
                "Nothing has come to the store yet. Send the file with the form, or its parts, first; then say so.",
            )
        })
    }

    async fn abandon(&self, key: &str, parts: &str) {
        if let Err(failure) = self.house.media.abandon(key, parts).await {
            tracing::warn!(%failure, key, "parts that are not needed could not be given up");
        }
    }

    async fn discard(&self, key: &str) {
        if let Err(failure) = self.house.media.remove(key).await {
            tracing::warn!(%failure, key, "a file that is not needed could not be removed");
        }
    }
}
