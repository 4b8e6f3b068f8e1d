//! What a file really is: its type by content, its size in pixels, whether it opens from end to end.

use std::{
    ffi::OsStr,
    io::{BufReader, Read},
    path::Path,
    process::Stdio,
    time::Duration,
};

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits,
    codecs::{png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation,
};
use serde_json::Value;
use tokio::{process::Command, sync::Semaphore};

use super::{finding::Finding, problem::Problem, upload::NotTaken};
use crate::config;

/// What decoding one picture may take.
const MEMORY: u64 = 512 << 20;
/// Looking through the largest film takes a few seconds.
const SLOWEST_PROBE: Duration = Duration::from_mins(1);

/// Pictures are unfolded one or two at a time: each may take [`MEMORY`].
static UNFOLDING: Semaphore = Semaphore::const_new(2);

/// The types that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `image/jpeg`
    Jpeg,
    /// `image/png`
    Png,
    /// `image/webp`
    Webp,
    /// `video/mp4`
    Mp4,
    /// `video/quicktime`
    Mov,
    /// `video/webm`
    Webm,
    /// `video/x-matroska`
    Mkv,
}

impl Type {
    /// Every type.
    pub const ALL: &'static [Self] =
        &[Self::Jpeg, Self::Png, Self::Webp, Self::Mp4, Self::Mov, Self::Webm, Self::Mkv];

    /// The type of a file that begins so.
    pub fn of(head: &[u8]) -> Option<Self> {
        let found = infer::get(head)?.mime_type();
        let found = if found == "video/x-m4v" { "video/mp4" } else { found };
        Self::ALL.iter().copied().find(|kind| kind.word() == found)
    }

    /// The media type.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Mp4 => "video/mp4",
            Self::Mov => "video/quicktime",
            Self::Webm => "video/webm",
            Self::Mkv => "video/x-matroska",
        }
    }

    /// The type that is called so.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// Whether it moves.
    pub const fn is_film(self) -> bool {
        matches!(self.opener(), Opener::Film(_))
    }

    /// How its files are called.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Mp4 => "mp4",
            Self::Mov => "mov",
            Self::Webm => "webm",
            Self::Mkv => "mkv",
        }
    }

    /// The largest file of this type.
    pub const fn limit(self, limits: &config::Web) -> u64 {
        match self.opener() {
            Opener::Picture(_) => limits.image_limit,
            Opener::Film(_) => limits.video_limit,
        }
    }

    const fn opener(self) -> Opener {
        match self {
            Self::Jpeg => Opener::Picture(ImageFormat::Jpeg),
            Self::Png => Opener::Picture(ImageFormat::Png),
            Self::Webp => Opener::Picture(ImageFormat::WebP),
            Self::Mp4 | Self::Mov => Opener::Film("mov"),
            Self::Webm | Self::Mkv => Opener::Film("matroska"),
        }
    }
}

enum Opener {
    Picture(ImageFormat),
    /// Opened as this and nothing else: a playlist dressed as a film would make us fetch things.
    Film(&'static str),
}

/// How large it is, as shown, and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Of a film.
    pub duration_ms: Option<u64>,
}

/// Opens the file from end to end and measures it.
///
/// # Errors
/// It does not open, or would unfold to more than `pixel_limit`.
pub async fn measure(path: &Path, kind: Type, field: &str, pixel_limit: u64) -> Result<Measure, NotTaken> {
    match kind.opener() {
        Opener::Picture(format) => {
            let (path, field) = (path.to_owned(), field.to_owned());
            let _permit = UNFOLDING.acquire().await.map_err(|_| Problem::internal())?;
            let opened = move || picture(&path, format, &field, pixel_limit);
            Ok(tokio::task::spawn_blocking(opened).await.map_err(Problem::from)??)
        }
        Opener::Film(_) => film("ffprobe", Source::File(path), kind, field, pixel_limit).await,
    }
}

/// Where a film lies.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
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

/// The same for a film at an address of the object store; nothing of it is kept.
///
/// # Errors
/// Those of [`measure`].
pub async fn measure_at(
    address: &str,
    kind: Type,
    field: &str,
    pixel_limit: u64,
) -> Result<Measure, NotTaken> {
    film("ffprobe", Source::Address(address), kind, field, pixel_limit).await
}

fn picture(path: &Path, format: ImageFormat, field: &str, pixel_limit: u64) -> Result<Measure, Finding> {
    let broken = |_| broken(field);
    let reader = || {
        let mut reader = ImageReader::open(path)?;
        reader.set_format(format);
        Ok(reader)
    };
    unpublishable(path, format, field)?;
    let (width, height) = reader().and_then(|r: ImageReader<_>| r.into_dimensions()).map_err(broken)?;
    if u64::from(width) * u64::from(height) > pixel_limit {
        let detail = format!("It has {width} × {height} pixels; at most {pixel_limit} in all are taken.");
        return Err(Finding::new(field, "media_too_many_pixels", detail));
    }
    if format == ImageFormat::Jpeg && !ends_properly(path).map_err(|_| self::broken(field))? {
        return Err(self::broken(field));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY);
    let mut reader = reader().map_err(broken)?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    DynamicImage::from_decoder(decoder).map_err(broken)?;
    let (width, height) = if lies_on_its_side(orientation) { (height, width) } else { (width, height) };
    Ok(Measure { width, height, duration_ms: None })
}

/// What opens well and no network shows as it is meant.
fn unpublishable(path: &Path, format: ImageFormat, field: &str) -> Result<(), Finding> {
    let broken = |_| broken(field);
    let open = || std::fs::File::open(path).map(BufReader::new).map_err(|_| self::broken(field));
    let moves = match format {
        ImageFormat::Png => PngDecoder::new(open()?).and_then(|it| it.is_apng()).map_err(broken)?,
        ImageFormat::WebP => WebPDecoder::new(open()?).map_err(broken)?.has_animation(),
        _ => false,
    };
    if moves {
        let detail = "The picture moves, and the networks show the first of its pictures or none. Export it as a film (MP4), or as a picture that stands still.";
        return Err(Finding::new(field, "media_animated", detail));
    }
    if format == ImageFormat::Jpeg && colours(open()?).map_err(|_| self::broken(field))? == Some(4) {
        let detail = "The picture is made for print (CMYK) and would show wrong colours on a screen. Export it in RGB (sRGB).";
        return Err(Finding::new(field, "media_cmyk", detail));
    }
    Ok(())
}

/// How many colours a JPEG is mixed of, as its frame says; `None`: it has no frame.
fn colours(mut jpeg: impl Read) -> std::io::Result<Option<u8>> {
    let mut marker = [0; 2];
    jpeg.read_exact(&mut marker)?; // the start of the image
    while jpeg.read_exact(&mut marker).is_ok() && marker[0] == 0xff {
        while marker[1] == 0xff {
            jpeg.read_exact(&mut marker[1..])?; // filled up with more of the same
        }
        match marker[1] {
            // Tables and an extension, which look like frames.
            0xc4 | 0xc8 | 0xcc => skip(&mut jpeg)?,
            0xc0..=0xcf => {
                let mut frame = [0; 8]; // length, precision, height, width, colours
                jpeg.read_exact(&mut frame)?;
                return Ok(Some(frame[7]));
            }
            0xd9 | 0xda => break,
            _ => skip(&mut jpeg)?,
        }
    }
    Ok(None)
}

/// Passes over a segment, which begins with its length.
fn skip(jpeg: &mut impl Read) -> std::io::Result<()> {
    let mut length = [0; 2];
    jpeg.read_exact(&mut length)?;
    let rest = u64::from(u16::from_be_bytes(length)).saturating_sub(2);
    std::io::copy(&mut jpeg.take(rest), &mut std::io::sink()).map(drop)
}

fn lies_on_its_side(orientation: Orientation) -> bool {
    match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => true,
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => false,
    }
}

/// Whether a JPEG's last scan has an end: the decoder paints what is missing grey and says nothing.
fn ends_properly(path: &Path) -> std::io::Result<bool> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.read_to_end(&mut bytes)?;
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    Ok(last(0xd9) > last(0xda))
}

async fn film(
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

fn broken(field: &str) -> Finding {
    Finding::new(
        field,
        "media_broken",
        "The file is broken: it does not open from end to end. Export it again.",
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use image::{ExtendedColorType, ImageEncoder, codecs};
    use serde_json::json;

    use super::*;

    const PIXELS: u64 = 50_000_000;

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let noise: Vec<u8> =
            (0..width * height * 3).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut bytes = Vec::new();
        codecs::jpeg::JpegEncoder::new(&mut bytes)
            .write_image(&noise, width, height, ExtendedColorType::Rgb8)
            .expect("encodes");
        bytes
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let grey = vec![7; (width * height) as usize];
        codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&grey, width, height, ExtendedColorType::L8)
            .expect("encodes");
        bytes
    }

    /// A small file whose header promises 2.5 thousand million pixels.
    fn bomb() -> Vec<u8> {
        let mut bytes = png(1, 1);
        bytes[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
        let sum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |sum, byte| {
            (0..8)
                .fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
        })
    }

    async fn look(bytes: &[u8]) -> Result<Measure, &'static str> {
        let kind = Type::of(bytes).ok_or("media_type")?;
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(bytes).expect("written");
        measure(file.path(), kind, "file", PIXELS).await.map_err(|error| match error {
            NotTaken::File(finding) => finding.code,
            NotTaken::Problem(problem) => problem.word,
        })
    }

    #[tokio::test]
    async fn a_picture_is_measured() {
        let measure = Measure { width: 40, height: 30, duration_ms: None };
        assert_eq!(look(&jpeg(40, 30)).await, Ok(measure));
        assert_eq!(look(&png(40, 30)).await, Ok(measure));
    }

    #[tokio::test]
    async fn a_bomb_is_refused_by_its_header() {
        assert_eq!(look(&bomb()).await, Err("media_too_many_pixels"));
    }

    #[tokio::test]
    async fn a_file_that_is_cut_off_is_broken() {
        for whole in [jpeg(200, 200), png(200, 200)] {
            assert!(look(&whole).await.is_ok());
            for part in [whole.len() / 4, whole.len() / 2, whole.len() - 20] {
                assert_eq!(look(&whole[..part]).await, Err("media_broken"), "{part} of {}", whole.len());
            }
        }
    }

    #[tokio::test]
    async fn a_film_that_is_none_is_broken() {
        let mut liar = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
        liar.extend_from_slice(&[0; 5_000]);
        assert_eq!(look(&liar).await, Err("media_broken"));
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
    fn the_type_is_found_by_content() {
        assert_eq!(Type::of(&jpeg(8, 8)), Some(Type::Jpeg));
        assert_eq!(Type::of(b"just words"), None);
        assert_eq!(Type::of(b"GIF89a"), None);
        assert_eq!(Type::of(b"#EXTM3U\nhttp://10.0.0.1/x"), None);
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
