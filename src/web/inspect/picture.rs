//! Looking at pictures, by opening them.

use std::{
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits,
    codecs::{png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation,
};

use super::{super::finding::Finding, Measure};

/// What a picture may carry besides its pixels, unfolded: a profile of colours, words, and a line of pixels at a time.
/// The decoder of PNG counts nothing else, and takes a profile of any size without it; how many pixels there are is
/// asked first.
const BESIDES: u64 = 32 << 20;

/// Opens a picture from end to end.
pub(super) fn picture(
    path: &Path,
    format: ImageFormat,
    field: &str,
    pixel_limit: u64,
) -> Result<Measure, Finding> {
    let broken = |_| super::broken(field);
    let reader = || {
        let mut reader = ImageReader::open(path)?;
        reader.set_format(format);
        reader.limits(limits());
        Ok(reader)
    };
    if format == ImageFormat::Jpeg {
        on_screen(path, field)?;
    }
    if format == ImageFormat::WebP && !parts_fit(path).map_err(|_| super::broken(field))? {
        return Err(super::broken(field));
    }
    let (width, height) = reader().and_then(|r: ImageReader<_>| r.into_dimensions()).map_err(broken)?;
    if u64::from(width) * u64::from(height) > pixel_limit {
        let detail = format!("It has {width} × {height} pixels; at most {pixel_limit} in all are taken.");
        return Err(Finding::new(field, "media_too_many_pixels", detail));
    }
    stands_still(path, format, field)?;
    if format == ImageFormat::Jpeg && !ends_properly(path).map_err(|_| super::broken(field))? {
        return Err(super::broken(field));
    }
    let mut decoder = reader().and_then(|r: ImageReader<_>| r.into_decoder()).map_err(broken)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    DynamicImage::from_decoder(decoder).map_err(broken)?;
    let (width, height) = if lies_on_its_side(orientation) { (height, width) } else { (width, height) };
    Ok(Measure { width, height, duration_ms: None })
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(BESIDES);
    limits
}

/// What opens well and no network shows as it is meant: the first of its pictures, or none.
fn stands_still(path: &Path, format: ImageFormat, field: &str) -> Result<(), Finding> {
    let broken = |_| super::broken(field);
    let open = || std::fs::File::open(path).map(BufReader::new).map_err(|_| super::broken(field));
    let moves = match format {
        ImageFormat::Png => {
            PngDecoder::with_limits(open()?, limits()).and_then(|it| it.is_apng()).map_err(broken)?
        }
        ImageFormat::WebP => WebPDecoder::new(open()?).map_err(broken)?.has_animation(),
        _ => false,
    };
    if moves {
        let detail = "The picture moves, and the networks show the first of its pictures or none. Export it as a film (MP4), or as a picture that stands still.";
        return Err(Finding::new(field, "media_animated", detail));
    }
    Ok(())
}

/// What is made for print shows wrong colours on a screen.
fn on_screen(path: &Path, field: &str) -> Result<(), Finding> {
    let colours = std::fs::File::open(path).and_then(|file| colours(BufReader::new(file)));
    if colours.map_err(|_| super::broken(field))? == Some(4) {
        let detail = "The picture is made for print (CMYK) and would show wrong colours on a screen. Export it in RGB (sRGB).";
        return Err(Finding::new(field, "media_cmyk", detail));
    }
    Ok(())
}

/// Tables and an extension, whose markers stand among those of frames.
const NO_FRAMES: [u8; 3] = [0xc4, 0xc8, 0xcc];

/// How many colours a JPEG is mixed of, as its frame says; `None`: it has no frame.
fn colours(mut jpeg: impl Read) -> std::io::Result<Option<u8>> {
    let mut marker = [0; 2];
    jpeg.read_exact(&mut marker)?; // the start of the image
    while jpeg.read_exact(&mut marker).is_ok() && marker[0] == 0xff {
        while marker[1] == 0xff {
            jpeg.read_exact(&mut marker[1..])?; // filled up with more of the same
        }
        match marker[1] {
            0xc0..=0xcf if !NO_FRAMES.contains(&marker[1]) => {
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

/// The parts that the decoder reads whole, into room for as much as they say of themselves.
const READ_WHOLE: [&[u8]; 3] = [b"EXIF", b"ICCP", b"XMP "];

/// Whether what a file in RIFF carries besides its picture ends where the file ends.
fn parts_fit(path: &Path) -> std::io::Result<bool> {
    let file = std::fs::File::open(path)?;
    let whole = file.metadata()?.len();
    let (mut webp, mut at) = (BufReader::new(file), 12); // behind RIFF, a length and WEBP
    let (mut name, mut length) = ([0; 4], [0; 4]);
    while at + 8 <= whole {
        webp.seek(SeekFrom::Start(at))?;
        webp.read_exact(&mut name)?;
        webp.read_exact(&mut length)?;
        let length = u64::from(u32::from_le_bytes(length));
        if at + 8 + length > whole && READ_WHOLE.contains(&name.as_slice()) {
            return Ok(false);
        }
        at += 8 + length.next_multiple_of(2);
    }
    Ok(true)
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
