//! What a file really is: its type by content, its size in pixels, whether it opens from end to end.

mod film;
mod picture;

use std::path::Path;

use image::ImageFormat;
use tokio::sync::Semaphore;

use self::{
    film::{Source, film},
    picture::picture,
};
use super::{finding::Finding, problem::Problem, upload::NotTaken};
use crate::config;

/// Pictures are unfolded one or two at a time: each may take half a gigabyte.
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
    async fn a_part_of_a_webp_that_says_more_of_itself_than_there_is_is_no_room_to_be_made() {
        let mut webp = Vec::new();
        codecs::webp::WebPEncoder::new_lossless(&mut webp)
            .write_image(&[7; 64], 8, 8, ExtendedColorType::L8)
            .expect("encodes");
        assert!(look(&webp).await.is_ok());
        let pixels = webp.split_off(12);
        let extended = [&b"VP8X"[..], &[10, 0, 0, 0, 0x08, 0, 0, 0, 7, 0, 0, 7, 0, 0]].concat();
        webp.extend([extended, pixels, b"EXIF\xff\xff\xff\x7f".to_vec(), vec![0; 8]].concat());
        let length = u32::try_from(webp.len() - 8).expect("short");
        webp[4..8].copy_from_slice(&length.to_le_bytes());
        assert_eq!(look(&webp).await, Err("media_broken"));
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

    #[test]
    fn the_type_is_found_by_content() {
        assert_eq!(Type::of(&jpeg(8, 8)), Some(Type::Jpeg));
        assert_eq!(Type::of(b"just words"), None);
        assert_eq!(Type::of(b"GIF89a"), None);
        assert_eq!(Type::of(b"#EXTM3U\nhttp://10.0.0.1/x"), None);
    }
}
