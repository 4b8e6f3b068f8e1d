//! Looking at films, by ffprobe.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::process::Command;

use super::{
    super::{finding::Finding, problem::Problem, upload::NotTaken},
    Measure, Opener, Type, broken,
};

/// Looking through the largest film takes a few seconds.
const SLOWEST_PROBE: Duration = Duration::from_mins(1);

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
    let run = Command::new(program)
        .args(["-v", "error", "-print_format", "json", "-show_streams", "-show_format"])
        // Reads to the end, and so finds what is cut off.
        .args(["-count_packets", "-f", demuxer])
        .args(source.protocols())
        .arg("-i")
        .arg(source.input())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(SLOWEST_PROBE, run).await {
        Err(_) => return Err(broken(field).into()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
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
    use serde_json::json;

    use super::*;

    const PIXELS: u64 = 50_000_000;

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
