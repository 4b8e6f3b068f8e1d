//! Looking at pictures, by opening them.

use std::{
    io::{BufReader, Read},
    path::Path,
};

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits,
    codecs::{png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation,
};

use super::{super::finding::Finding, Measure};

/// What decoding one picture may take.
const MEMORY: u64 = 512 << 20;

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
        Ok(reader)
    };
    unpublishable(path, format, field)?;
    let (width, height) = reader().and_then(|r: ImageReader<_>| r.into_dimensions()).map_err(broken)?;
    if u64::from(width) * u64::from(height) > pixel_limit {
        let detail = format!("It has {width} × {height} pixels; at most {pixel_limit} in all are taken.");
        return Err(Finding::new(field, "media_too_many_pixels", detail));
    }
    if format == ImageFormat::Jpeg && !ends_properly(path).map_err(|_| super::broken(field))? {
        return Err(super::broken(field));
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
    let broken = |_| super::broken(field);
    let open = || std::fs::File::open(path).map(BufReader::new).map_err(|_| super::broken(field));
    let moves = match format {
        ImageFormat::Png => PngDecoder::new(open()?).and_then(|it| it.is_apng()).map_err(broken)?,
        ImageFormat::WebP => WebPDecoder::new(open()?).map_err(broken)?.has_animation(),
        _ => false,
    };
    if moves {
        let detail = "The picture moves, and the networks show the first of its pictures or none. Export it as a film (MP4), or as a picture that stands still.";
        return Err(Finding::new(field, "media_animated", detail));
    }
    if format == ImageFormat::Jpeg && colours(open()?).map_err(|_| super::broken(field))? == Some(4) {
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
