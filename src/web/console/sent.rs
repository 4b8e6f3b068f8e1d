//! Reading the form of a new post, with the files that come with it. Why it cannot be taken is no reason to lose it.

use std::sync::Arc;

use axum::extract::multipart::Field;

use super::{
    form::{LONGEST_FIELD, LONGEST_FORM, MOST_FIELDS, Written},
    seat::{Author, Seat},
    texts::ENGLISH,
};
use crate::{
    ledger::media::Kept,
    web::{
        App,
        finding::Finding,
        multipart::{self, Form},
        problem::Problem,
        upload::{self, NotTaken},
    },
};

/// So many files at once; the form says which did not fit.
const MOST_FILES: usize = 40;

/// A form as it was sent.
#[derive(Default)]
pub struct Sent {
    /// The fields.
    pub written: Written,
    /// What is wrong with its files.
    pub found: Vec<Finding>,
    /// Why it is not taken, for a reason that is not in it.
    pub trouble: Option<Problem>,
}

/// Reads the fields in the order in which the page has them: the token comes before any file.
pub async fn read(app: &Arc<App>, seat: &Seat<Author>, mut form: Form) -> Result<Sent, Problem> {
    let (mut came, mut fields, mut files) = (Sent::default(), 0, 0);
    let mut room = LONGEST_FORM;
    while let Some(mut field) = form.next_field().await? {
        fields += 1;
        if fields > MOST_FIELDS {
            return Err(Problem::malformed("The form has too many fields."));
        }
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            if field.file_name().is_none_or(str::is_empty) {
                continue; // a browser sends an empty one where none was chosen
            }
            files += 1;
            if files > MOST_FILES {
                return Err(Problem::malformed("The form has too many files."));
            }
            came.file(app, seat, &mut field).await?;
            // what was not taken is passed over: the fields behind it are part of what was written
            multipart::pass_over(&mut field, app.house.web.video_limit).await?;
        } else {
            let value = text(field).await?;
            room = room.checked_sub(value.len()).ok_or_else(|| Problem::too_large(LONGEST_FORM as u64))?;
            came.written.put(&name, value)?;
        }
    }
    came.know(seat);
    Ok(came)
}

impl Sent {
    /// Whether it is really theirs; nothing of it is taken else.
    fn know(&mut self, seat: &Seat<Author>) {
        if self.trouble.is_none() && seat.check(&self.written.token).is_err() {
            self.trouble = Some(Problem::forbidden(ENGLISH.form_stale));
        }
    }

    /// Takes a file in, unless the form cannot be taken anyway.
    async fn file(
        &mut self,
        app: &Arc<App>,
        seat: &Seat<Author>,
        field: &mut Field<'_>,
    ) -> Result<(), Problem> {
        self.know(seat);
        if self.trouble.is_some() {
            return Ok(());
        }
        match take_file(app, seat, field).await {
            Ok((id, digest)) => {
                self.written.came.push(digest);
                self.written.media_ids.push(id);
            }
            Err(NotTaken::File(finding)) => self.found.push(finding),
            Err(NotTaken::Problem(problem)) if problem.status.is_server_error() => {
                self.trouble = Some(problem);
            }
            Err(NotTaken::Problem(problem)) => return Err(problem),
        }
        Ok(())
    }
}

/// The text of one field, never more than the limit in memory.
async fn text(mut field: Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = multipart::chunk(&mut field).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_FIELD {
            return Err(Problem::too_large(LONGEST_FIELD as u64));
        }
    }
    String::from_utf8(bytes).map_err(|_| Problem::malformed("A field of the form is not UTF-8."))
}

async fn take_file(
    app: &Arc<App>,
    seat: &Seat<Author>,
    field: &mut Field<'_>,
) -> Result<(String, String), NotTaken> {
    let called = crate::web::text::file_name(field.file_name().unwrap_or_default());
    let named = |error| match error {
        NotTaken::File(finding) => {
            let detail = format!("“{called}”: {}", finding.detail);
            NotTaken::File(Finding { detail, ..finding })
        }
        NotTaken::Problem(problem) => NotTaken::Problem(problem),
    };
    let received = upload::receive(field, "media_ids", &app.house.web).await.map_err(&named)?;
    let digest = hex::encode(received.sha256);
    let kept = app.keep_file(received, seat.member.workspace_id, None, "media_ids").await.map_err(&named)?;
    match kept {
        Kept::New(media, _) => Ok((media.id.to_string(), digest)),
        // No key was given, so none was taken.
        Kept::Before(_) | Kept::KeyReused => Err(Problem::internal().into()),
    }
}
