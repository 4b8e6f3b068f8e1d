//! A mail server that delivers to nobody: what is sent to it shows at `/mail`, and as JSON at `/_control/mail`.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The newest letters are kept, up to so many.
const KEPT: usize = 500;
/// The largest letter, in bytes.
const LONGEST: usize = 1 << 20;
/// The longest command, in bytes.
const LONGEST_LINE: u64 = 2_048;

/// A letter that came.
#[derive(Debug, Clone, Serialize)]
pub struct Letter {
    /// From whom, as the envelope says.
    pub from: String,
    /// To whom, as the envelope says.
    pub to: Vec<String>,
    /// Its name.
    pub message_id: String,
    /// What it is about.
    pub subject: String,
    /// Its head, as it came.
    pub head: String,
    /// What it says.
    pub body: String,
}

/// What the next letters meet.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mood {
    /// So many are answered with `code`.
    #[serde(default)]
    pub refuse_next: u32,
    /// 451 unless given: try again later; 550 is never.
    #[serde(default)]
    pub code: Option<u16>,
    /// Then so many are taken, and nobody hears of it.
    #[serde(default)]
    pub lose_next: u32,
}

/// Where letters lie.
#[derive(Debug, Default)]
pub struct Mailroom {
    letters: Mutex<VecDeque<Letter>>,
    mood: Mutex<Mood>,
}

/// What a letter meets.
enum Reception {
    Taken,
    Refused(u16),
    Lost,
}

impl Mailroom {
    fn letters(&self) -> MutexGuard<'_, VecDeque<Letter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self, letter: Letter) -> Reception {
        let mut mood = self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        if mood.refuse_next > 0 {
            mood.refuse_next -= 1;
            return Reception::Refused(mood.code.unwrap_or(451));
        }
        let mut letters = self.letters();
        letters.push_back(letter);
        if letters.len() > KEPT {
            letters.pop_front();
        }
        if mood.lose_next > 0 {
            mood.lose_next -= 1;
            return Reception::Lost;
        }
        Reception::Taken
    }
}

/// The page and its JSON.
pub fn router(room: Arc<Mailroom>) -> Router {
    Router::new()
        .route("/mail", get(page))
        .route("/_control/mail", get(list).post(set_mood).delete(forget))
        .with_state(room)
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    faults: usize,
    letters: Vec<Letter>,
}

async fn page(State(room): State<Arc<Mailroom>>) -> Response {
    let letters = room.letters().iter().rev().cloned().collect();
    match (MailPage { faults: 0, letters }).render() {
        Ok(html) => crate::wall::guard(Html(html).into_response()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn list(State(room): State<Arc<Mailroom>>) -> Json<Value> {
    Json(json!({ "data": *room.letters() }))
}

async fn set_mood(State(room): State<Arc<Mailroom>>, Json(mood): Json<Mood>) -> Json<Value> {
    *room.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    Json(json!({ "success": true }))
}

async fn forget(State(room): State<Arc<Mailroom>>) -> Json<Value> {
    room.letters().clear();
    Json(json!({ "success": true }))
}

/// Takes letters until told to stop.
pub async fn serve(listener: TcpListener, room: Arc<Mailroom>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (room, stop) = (Arc::clone(&room), stop.clone());
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            let (reader, writer) = stream.into_split();
            // who breaks off has not sent a letter
            let _ = talk(BufReader::new(reader), writer, &room).await;
        }));
    }
}

async fn talk<R, W>(mut from: BufReader<R>, mut to: W, room: &Mailroom) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    to.write_all(b"220 sandbox ESMTP\r\n").await?;
    let (mut sender, mut receivers) = (String::new(), Vec::new());
    loop {
        let Some(line) = line(&mut from).await? else { return Ok(()) };
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-sandbox\r\n250 8BITMIME",
            "HELO" | "NOOP" => "250 sandbox",
            "MAIL" => {
                (sender, receivers) = (within(&line), Vec::new());
                "250 ok"
            }
            "RCPT" => {
                receivers.push(within(&line));
                "250 ok"
            }
            "RSET" => {
                receivers.clear();
                "250 ok"
            }
            "DATA" if receivers.is_empty() => "503 to whom?",
            "DATA" => {
                to.write_all(b"354 go on\r\n").await?;
                let Some(content) = content(&mut from).await? else { return Ok(()) };
                let letter = read(std::mem::take(&mut sender), std::mem::take(&mut receivers), &content);
                match room.receive(letter) {
                    Reception::Taken => "250 taken",
                    Reception::Refused(code) => {
                        to.write_all(format!("{code} the sandbox was told to refuse it\r\n").as_bytes())
                            .await?;
                        continue;
                    }
                    Reception::Lost => return Ok(()),
                }
            }
            "QUIT" => {
                to.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "502 the sandbox does not know that",
        };
        to.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

async fn line<R: AsyncRead + Unpin>(from: &mut BufReader<R>) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    (&mut *from).take(LONGEST_LINE).read_until(b'\n', &mut bytes).await?;
    if !bytes.ends_with(b"\n") {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned()))
}

/// A letter's lines, up to the one that is a dot.
async fn content<R: AsyncRead + Unpin>(from: &mut BufReader<R>) -> io::Result<Option<String>> {
    let mut all = String::new();
    loop {
        let Some(line) = line(from).await? else { return Ok(None) };
        if line == "." {
            return Ok(Some(all));
        }
        all.push_str(line.strip_prefix('.').unwrap_or(&line));
        all.push('\n');
        if all.len() > LONGEST {
            return Ok(None);
        }
    }
}

/// What stands between the brackets of `MAIL FROM:<…>`.
fn within(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(address, _)| address.to_owned()).unwrap_or_default()
}

fn read(from: String, to: Vec<String>, content: &str) -> Letter {
    let (head, body) = content.split_once("\n\n").unwrap_or((content, ""));
    let field = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let body = match field("content-transfer-encoding:").to_ascii_lowercase().as_str() {
        "quoted-printable" => quoted_printable(body),
        "base64" => {
            let packed: String = body.split_ascii_whitespace().collect();
            String::from_utf8_lossy(&STANDARD.decode(packed).unwrap_or_default()).into_owned()
        }
        _ => body.to_owned(),
    };
    let (message_id, subject) = (field("message-id:"), field("subject:"));
    Letter { from, to, message_id, subject, head: head.to_owned(), body: body.replace("\r\n", "\n") }
}

fn quoted_printable(text: &str) -> String {
    let joined = text.replace("=\n", "");
    let bytes = joined.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let code = (bytes[at] == b'=').then(|| joined.get(at + 1..at + 3)).flatten();
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_for_its_way_is_read() {
        let content = "Message-ID: <a@b>\nSubject: Hi\nContent-Transfer-Encoding: quoted-printable\n\n=E2=80=9Cso=\n long=E2=80=9D a=3Db";
        let letter = read("a@b".into(), vec!["c@d".into()], content);
        assert_eq!((letter.message_id.as_str(), letter.subject.as_str()), ("<a@b>", "Hi"));
        assert_eq!(letter.body, "“so long” a=b");
        let packed = read(String::new(), Vec::new(), "Content-Transfer-Encoding: base64\n\n16nXnA==\n");
        assert_eq!(packed.body, "של");
    }

    #[tokio::test]
    async fn a_letter_is_taken_in_the_way_that_mail_is_sent() {
        let room = Mailroom::default();
        let said = "EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: Hi\r\n\r\n..dot\r\n.\r\nQUIT\r\n";
        let mut answers = Vec::new();
        talk(BufReader::new(said.as_bytes()), &mut answers, &room).await.expect("it is there");
        let answers = String::from_utf8(answers).expect("it is there");
        assert!(answers.contains("250 taken") && answers.ends_with("221 bye\r\n"), "{answers}");
        let letters = room.letters();
        assert_eq!((letters[0].to.as_slice(), letters[0].body.as_str()), (&["c@d".to_owned()][..], ".dot\n"));
    }
}
