//! Multipart bodies, field by field. What stands before a field, or between two, is held in memory until the field
//! is found: so only so much of it is read.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, header},
};
use futures_util::{Stream, StreamExt};

use super::problem::Problem;

/// The most that may stand before a field, its own headers included.
const BEFORE_A_FIELD: usize = 64 << 10;
/// A sender who is silent for this long is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// A multipart body.
pub struct Form {
    body: Multipart,
    room: Arc<Room>,
}

impl Form {
    /// Opens a body.
    ///
    /// # Errors
    /// 415: it is none; 400: it has no boundary.
    pub async fn open(headers: &HeaderMap, request: Request) -> Result<Self, Problem> {
        let declared =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !declared.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
            return Err(Problem::wrong_type("multipart/form-data"));
        }
        let room = Arc::new(Room::default());
        let rationed = Arc::clone(&room);
        let request = request.map(|body| {
            Body::from_stream(Rationed { body: body.into_data_stream(), room: rationed, let_go: false })
        });
        let unreadable = |_| Problem::malformed("The form's Content-Type names no boundary.");
        let body = Multipart::from_request(request, &()).await.map_err(unreadable)?;
        Ok(Self { body, room })
    }

    /// The next field; what is left of the one before is passed over, where it is little.
    ///
    /// # Errors
    /// 400: there is no field where one has to be; 408: nothing comes.
    pub async fn next_field(&mut self) -> Result<Option<Field<'_>>, Problem> {
        self.room.grant();
        let found = tokio::time::timeout(SILENCE, self.body.next_field()).await;
        let overrun = self.room.is_overrun();
        self.room.lift();
        match found {
            Err(_) => Err(Problem::timeout()),
            Ok(Err(_)) if overrun => {
                let detail =
                    format!("The form is unreadable: no field begins within {BEFORE_A_FIELD} bytes.");
                Err(Problem::malformed(detail))
            }
            Ok(field) => field.map_err(|error| broken(&error)),
        }
    }
}

/// The next piece of a field.
///
/// # Errors
/// 408: nothing comes; 400: what comes cannot be read.
pub async fn chunk(field: &mut Field<'_>) -> Result<Option<Bytes>, Problem> {
    let chunk = tokio::time::timeout(SILENCE, field.chunk()).await.map_err(|_| Problem::timeout())?;
    chunk.map_err(|error| broken(&error))
}

/// Passes over what is left of a field, so that the next one is found.
///
/// # Errors
/// Those of [`chunk`]; 413: it is more than `most` bytes.
pub async fn pass_over(field: &mut Field<'_>, most: u64) -> Result<(), Problem> {
    let mut passed = 0;
    while let Some(bytes) = chunk(field).await? {
        passed += bytes.len() as u64;
        if passed > most {
            return Err(Problem::too_large(most));
        }
    }
    Ok(())
}

/// A multipart body that cannot be read.
fn broken(error: &MultipartError) -> Problem {
    Problem::malformed(format!("The form cannot be read: {}.", error.body_text().trim_end_matches('.')))
}

/// How much may still be read before a field is found; while one is read it is not counted.
#[derive(Debug, Default)]
struct Room {
    left: AtomicUsize,
    overrun: AtomicBool,
}

impl Room {
    fn grant(&self) {
        self.left.store(BEFORE_A_FIELD, Ordering::Relaxed);
    }

    fn lift(&self) {
        self.left.store(usize::MAX, Ordering::Relaxed);
    }

    fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn spend(&self, bytes: usize) {
        let left = self.left.load(Ordering::Relaxed);
        if left < usize::MAX {
            self.left.store(left.saturating_sub(bytes), Ordering::Relaxed);
        }
    }

    fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Relaxed)
    }
}

/// A body of which no more is read than there is room for, and one piece.
struct Rationed {
    body: BodyDataStream,
    room: Arc<Room>,
    /// The reader was let go once since the room was spent, to look for a field in what it has.
    let_go: bool,
}

impl Stream for Rationed {
    type Item = Result<Bytes, axum::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.room.is_spent() {
            // the reader takes whatever there is before it looks at it; a field may begin in the piece it has just taken
            if !self.let_go {
                self.let_go = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.room.overrun.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err("no field begins".into())));
        }
        self.let_go = false;
        let piece = ready!(self.body.poll_next_unpin(cx));
        if let Some(Ok(bytes)) = &piece {
            self.room.spend(bytes.len());
        }
        Poll::Ready(piece.map(|piece| piece.map_err(Into::into)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// What is found in a body that comes in these pieces: the names and lengths of its fields.
    async fn found(pieces: Vec<Vec<u8>>) -> Result<Vec<(String, usize)>, &'static str> {
        let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)));
        let request = Request::builder().header("content-type", "multipart/form-data; boundary=b").body(body);
        let request = request.expect("a request");
        let headers = request.headers().clone();
        let mut form = Form::open(&headers, request).await.map_err(|problem| problem.word)?;
        let mut fields = Vec::new();
        while let Some(mut field) = form.next_field().await.map_err(|problem| problem.word)? {
            let (name, mut length) = (field.name().unwrap_or_default().to_owned(), 0);
            while let Some(bytes) = chunk(&mut field).await.map_err(|problem| problem.word)? {
                length += bytes.len();
            }
            fields.push((name, length));
        }
        Ok(fields)
    }

    fn field(name: &str, length: usize) -> Vec<u8> {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        [head.into_bytes(), vec![b'x'; length], b"\r\n".to_vec()].concat()
    }

    #[tokio::test]
    async fn fields_are_found_however_large_they_are_and_in_whatever_pieces_they_come() {
        let body =
            [field("small", 3), field("large", 1 << 20), field("last", 1), b"--b--\r\n".to_vec()].concat();
        for size in [7_000, 65_536, 300_000, body.len()] {
            let pieces = body.chunks(size).map(<[u8]>::to_vec).collect();
            let all = [("small", 3), ("large", 1 << 20), ("last", 1)];
            assert_eq!(found(pieces).await, Ok(all.map(|(name, n)| (name.to_owned(), n)).to_vec()), "{size}");
        }
    }

    #[tokio::test]
    async fn what_is_no_field_is_not_read_for_ever() {
        let endless = |head: &[u8]| {
            let mut pieces = vec![head.to_vec()];
            pieces.extend(std::iter::repeat_n(vec![b'x'; 10_000], 100));
            pieces
        };
        for head in [&b"words before"[..], b"--b\r\nContent-Disposition: form-data; name=\"", b"--b"] {
            assert_eq!(found(endless(head)).await, Err("malformed"));
        }
    }
}
