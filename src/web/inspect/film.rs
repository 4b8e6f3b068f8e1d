//! Looking at films, by ffprobe.

use std::{
    ffi::OsStr,
    io,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    sync::Semaphore,
};

use super::{
    super::{finding::Finding, problem::Problem, upload::NotTaken},
    Measure, Opener, Type, broken,
};

/// Looking through the largest film takes a few seconds.
const SLOWEST_PROBE: Duration = Duration::from_mins(1);

/// The most that the program may say on either pipe. What it is asked for takes a few hundred bytes a stream.
const MOST_SAID: u64 = 1 << 20;
/// What is asked of it.
const ENTRIES: &str = "stream=codec_type,codec_name,width,height,duration:stream_disposition=attached_pic:\
                       stream_side_data=rotation:format=duration";

/// Films are looked through a few at a time: each takes a process of its own, and reads the whole film.
static PROBING: Semaphore = Semaphore::const_new(4);

/// Where a film lies.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    File(&'a Path),
    /// At an address of the object store: it is read in pieces, as far as need be.
    Address(&'a str),
}

impl<'a> Source<'a> {
    fn input(self) -> &'a OsStr {
        match self {
            Self::File(path) => path.as_os_str(),
            Self::Address(address) => OsStr::new(address),
        }
    }

    /// What the input may be fetched by, and nothing that it names besides.
    fn protocols(self) -> &'static [&'static str] {
        match self {
            Self::File(_) => &["-protocol_whitelist", "file"],
            Self::Address(address) if address.starts_with("https:") => {
                &["-protocol_whitelist", "https,tls,tcp", "-tls_verify", "1"]
            }
            Self::Address(_) => &["-protocol_whitelist", "http,tcp"],
        }
    }
}

/// Looks through a film with this program.
pub(super) async fn film(
    program: &str,
    source: Source<'_>,
    kind: Type,
    field: &str,
    pixel_limit: u64,
) -> Result<Measure, NotTaken> {
    let Opener::Film(demuxer) = kind.opener() else { return Err(Problem::internal().into()) };
    let _permit = PROBING.acquire().await.map_err(|_| Problem::internal())?;
    let mut command = Command::new(program);
    command
        .args(["-v", "error", "-print_format", "json", "-show_entries", ENTRIES])
        // Reads to the end, and so finds what is cut off.
        .args(["-count_packets", "-f", demuxer])
        .args(source.protocols())
        .arg("-i")
        .arg(source.input());
    let output = match tokio::time::timeout(SLOWEST_PROBE, output(command)).await {
        Err(_) => return Err(broken(field).into()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => return Err(broken(field).into()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            let detail = "Films cannot be checked here: ffprobe is missing. Whoever runs this house installs ffmpeg (apt-get install ffmpeg).";
            return Err(Problem::away("ffprobe-missing", detail).into());
        }
        Ok(output) => output?,
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    let cut_off = ["partial file", "ended prematurely"].iter().any(|words| complaints.contains(words));
    let probed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if kind == Type::Mkv && output.status.success() && !goes_into_mp4(&probed) {
        let detail = "A Matroska file is taken where its film is H.264 and its sound AAC; this one is not. Export it as MP4 (H.264, AAC).";
        return Err(Finding::new(field, "media_codecs", detail).into());
    }
    match read_probe(&probed) {
        Some(measure) if output.status.success() && !cut_off => {
            if u64::from(measure.width) * u64::from(measure.height) > pixel_limit {
                let detail = format!("It has {} × {} pixels, too many.", measure.width, measure.height);
                return Err(Finding::new(field, "media_too_many_pixels", detail).into());
            }
            Ok(measure)
        }
        _ => Err(broken(field).into()),
    }
}

/// Runs the program to its end, or to where it has said too much.
async fn output(mut command: Command) -> io::Result<Output> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn()?;
    let (stdout, stderr) = tokio::try_join!(said(child.stdout.take()), said(child.stderr.take()))?;
    Ok(Output { status: child.wait().await?, stdout, stderr })
}

async fn said(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MOST_SAID + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > MOST_SAID {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it says too much"));
    }
    Ok(bytes)
}

/// Width, height and length of the first real film in what ffprobe found.
fn read_probe(probed: &Value) -> Option<Measure> {
    let stream = probed["streams"]
        .as_array()?
        .iter()
        .find(|stream| stream["codec_type"] == "video" && stream["disposition"]["attached_pic"] != 1)?;
    let pixels = |name: &str| stream[name].as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    let (width, height) = (pixels("width")?, pixels("height")?);
    let turned = stream["side_data_list"].as_array().is_some_and(|list| {
        list.iter().any(|it| it["rotation"].as_i64().is_some_and(|r| r.rem_euclid(180) == 90))
    });
    let (width, height) = if turned { (height, width) } else { (width, height) };
    let seconds: f64 = [&probed["format"]["duration"], &stream["duration"]]
        .into_iter()
        .find_map(|value| value.as_str()?.parse().ok())?;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())?;
    Some(Measure { width, height, duration_ms: Some(u64::try_from(duration.as_millis()).ok()?) })
}

/// Whether its film and its sound may stand in an MP4 file that every network takes.
fn goes_into_mp4(probed: &Value) -> bool {
    let first = |kind: &str| {
        let mut streams = probed["streams"].as_array().into_iter().flatten();
        streams.find(|stream| stream["codec_type"] == kind).map(|stream| stream["codec_name"].clone())
    };
    first("video").is_some_and(|codec| codec == "h264") && first("audio").is_none_or(|codec| codec == "aac")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use futures_util::future::join_all;
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    const PIXELS: u64 = 50_000_000;

    /// A program that does this, whatever it is asked.
    fn program(does: &str) -> (TempDir, String) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("probe");
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        let path = path.to_str().expect("a path").to_owned();
        (dir, path)
    }

    async fn probed(program: &str) -> Result<Measure, &'static str> {
        let looked = film(program, Source::File(Path::new("x")), Type::Mp4, "file", PIXELS).await;
        looked.map_err(|error| match error {
            NotTaken::File(finding) => finding.code,
            NotTaken::Problem(problem) => problem.word,
        })
    }

    #[tokio::test]
    async fn a_film_that_makes_its_reader_talk_without_end_is_broken() {
        for pipe in ["", " >&2"] {
            let (_dir, program) = program(&format!("exec yes{pipe}"));
            let looked = tokio::time::timeout(SLOWEST_PROBE / 2, probed(&program)).await;
            assert_eq!(looked, Ok(Err("media_broken")), "yes{pipe}");
        }
    }

    /// How many processes run that were started with this in their command line.
    fn running(word: &str) -> usize {
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn films_are_looked_through_a_few_at_a_time() {
        let film = r#"{"streams":[{"codec_type":"video","width":4,"height":3}],"format":{"duration":"1.0"}}"#;
        let (dir, program) = program(&format!("while [ ! -e \"$0.go\" ]; do :; done; echo '{film}'"));
        let mut all = Box::pin(join_all((0..12).map(|_| probed(&program))));
        assert!(futures_util::poll!(&mut all).is_pending());
        // all that begins has been begun; it takes a moment until it bears the program's name
        while running(&program) < 4 {
            std::thread::yield_now();
        }
        assert_eq!(running(&program), 4);
        fs::write(dir.path().join("probe.go"), "").expect("written");
        let measure = Measure { width: 4, height: 3, duration_ms: Some(1_000) };
        assert_eq!(all.await, vec![Ok(measure); 12]);
    }

    #[tokio::test]
    async fn a_house_without_ffprobe_says_what_to_install() {
        let error = film("ffprobe-is-not-here", Source::File(Path::new("x")), Type::Mp4, "file", PIXELS)
            .await
            .expect_err("refused");
        let NotTaken::Problem(problem) = error else { panic!("{error:?}") };
        assert_eq!(problem.word, "ffprobe-missing");
        assert!(problem.detail.contains("apt-get install ffmpeg"));
    }

    #[test]
    fn a_film_turned_by_its_player_is_measured_as_shown() {
        let probed = json!({
            "streams": [
                { "codec_type": "audio" },
                { "codec_type": "video", "width": 1920, "height": 1080, "side_data_list": [{ "rotation": -90 }] }
            ],
            "format": { "duration": "12.345000" }
        });
        assert_eq!(
            read_probe(&probed),
            Some(Measure { width: 1080, height: 1920, duration_ms: Some(12_345) })
        );
        assert_eq!(read_probe(&json!({ "streams": [{ "codec_type": "audio" }] })), None);
    }
}
