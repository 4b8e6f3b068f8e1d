//! Films, by ffmpeg: put into another container, or their first picture taken.

use std::{ffi::OsStr, io, path::Path, process::Stdio, time::Duration};

use jobs::contract::{Class, Failure};
use tokio::process::Command;

/// Copying the largest film into another container takes some seconds.
pub(super) const SLOWEST_REMUX: Duration = Duration::from_mins(2);
/// The first picture comes within the first pieces of a film.
pub(super) const SLOWEST_FRAME: Duration = Duration::from_secs(30);
/// The code of every failure here.
pub(super) const CODE: &str = "film";

/// Puts the first film and the first sound of a Matroska file into an MP4 file that can be played while it comes.
/// Nothing is encoded anew. Ends with whoever waits for it, and opens nothing but the two files.
///
/// # Errors
/// ffmpeg is missing, or says no: `Class::Permanent`.
pub async fn remux(from: &Path, to: &Path, most_bytes: u64) -> Result<(), Failure> {
    let mut ffmpeg = ffmpeg();
    ffmpeg.args(["-protocol_whitelist", "file", "-f", "matroska", "-i"]).arg(from);
    ffmpeg.args(["-map", "0:v:0", "-map", "0:a:0?", "-map_metadata", "-1", "-c", "copy"]);
    // The same bytes each time: no date and no version of ffmpeg in it.
    ffmpeg.args(["-fflags", "+bitexact", "-movflags", "+faststart", "-f", "mp4", "-y"]).arg(to);
    run(ffmpeg, SLOWEST_REMUX).await?;
    let made = tokio::fs::metadata(to).await.map_err(|error| unusable(&error))?.len();
    if made == 0 || made > most_bytes {
        let why = format!("as MP4 the film has {made} bytes, and at most {most_bytes} are taken");
        return Err(Failure::new(Class::Permanent, CODE, why));
    }
    Ok(())
}

/// The first picture of the film at this address of the store, as a JPEG. Reads no more than it needs.
///
/// # Errors
/// ffmpeg is missing, or says no: `Class::Permanent`.
pub async fn first_picture(address: &str, content_type: &str) -> Result<Vec<u8>, Failure> {
    let mut ffmpeg = ffmpeg();
    of_address(&mut ffmpeg, address, content_type);
    ffmpeg.args(["-map", "0:v:0", "-frames:v", "1", "-vf", "scale='min(640,iw)':-2"]);
    ffmpeg.args(["-c:v", "mjpeg", "-q:v", "3", "-f", "image2pipe", "pipe:1"]);
    let picture = run(ffmpeg, SLOWEST_FRAME).await?;
    if picture.is_empty() {
        return Err(Failure::new(Class::Permanent, CODE, "the film shows nothing"));
    }
    Ok(picture)
}

/// Reads what is at an address, by what it is and by nothing that it names besides.
pub(super) fn of_address(ffmpeg: &mut Command, address: &str, content_type: &str) {
    let demuxer = if matches!(content_type, "video/webm" | "video/x-matroska") { "matroska" } else { "mov" };
    if address.starts_with("https:") {
        ffmpeg.args(["-protocol_whitelist", "https,tls,tcp", "-tls_verify", "1"]);
    } else {
        ffmpeg.args(["-protocol_whitelist", "http,tcp"]);
    }
    ffmpeg.args(["-f", demuxer, "-i"]).arg(OsStr::new(address));
}

pub(super) fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-threads", "1"]);
    command
}

/// Runs to the end. What takes longer may be quicker another time.
pub(super) async fn run(command: Command, longest: Duration) -> Result<Vec<u8>, Failure> {
    let late = || Failure::new(Class::Transient, CODE, "ffmpeg took too long and was ended");
    run_or(command, longest, late).await
}

/// Runs to the end, and is killed where nobody waits for it any more, or where it takes longer: that is this failure. What
/// it complains of may name an address, which holds a signature: it is told to nobody.
pub(super) async fn run_or(
    mut command: Command,
    longest: Duration,
    late: impl Fn() -> Failure,
) -> Result<Vec<u8>, Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(longest, command.output()).await {
        Err(_) => return Err(late()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            let why = "ffmpeg is missing: whoever runs this house installs it (apt-get install ffmpeg)";
            return Err(Failure::new(Class::Transient, CODE, why));
        }
        Ok(output) => output.map_err(|error| unusable(&error))?,
    };
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Failure::new(Class::Permanent, CODE, "ffmpeg could not do it: the film is broken or of an odd make"))
}

pub(super) fn unusable(error: &io::Error) -> Failure {
    Failure::new(Class::Transient, CODE, format!("the disk: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_film_is_no_reason_to_try_again() {
        let (from, to) = (tempfile::NamedTempFile::new().expect("a file"), tempfile::NamedTempFile::new());
        std::fs::write(from.path(), "only words").expect("written");
        let failure = remux(from.path(), to.expect("a file").path(), 1 << 20).await.expect_err("refused");
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, CODE));
    }

    #[tokio::test]
    async fn a_program_that_nobody_waits_for_is_killed() {
        let pid = tempfile::NamedTempFile::new().expect("a file");
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo $$ > \"$0\"; exec sleep 600"]).arg(pid.path());
        let failure = run(shell, Duration::from_secs(1)).await.expect_err("it takes too long");
        assert_eq!(failure.class, Class::Transient);
        let pid = std::fs::read_to_string(pid.path()).expect("it has begun");
        let process = format!("/proc/{}/cmdline", pid.trim());
        // Killed at once, and gathered in the background.
        for _ in 0..1_000_000 {
            if std::fs::read(&process).unwrap_or_default().is_empty() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{process} is still there");
    }
}
