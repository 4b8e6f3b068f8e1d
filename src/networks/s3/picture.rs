//! Pictures made smaller, upright and into JPEG, for networks that take nothing else.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits, RgbImage,
    codecs::jpeg::JpegEncoder, imageops::FilterType, metadata::Orientation,
};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// What a picture may carry besides its pixels, unfolded: its profile of colours, words, a line of pixels at a time.
const BESIDES: u64 = 32 << 20;
/// JPEG has no longer sides, and no screen shows longer ones.
const LONGEST_SIDE: u32 = 16_384;
/// Tried one after the other until the file is small enough; then the picture is made smaller.
const QUALITIES: [u8; 5] = [90, 85, 80, 70, 60];
/// How much smaller, in percent of each side.
const SMALLER: u32 = 80;
/// Smaller than this nothing is made.
const LEAST_SIDE: u32 = 16;

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The most pixels across; what is narrower stays so.
    pub width: u32,
    /// The most pixels up and down.
    pub height: u32,
    /// The largest file.
    pub bytes: u64,
}

impl Wanted {
    /// Not wider and not larger than this.
    pub fn within(width: u32, bytes: u64) -> Self {
        Self { width, height: LONGEST_SIDE, bytes }
    }
}

/// The picture as a JPEG: upright, in sRGB, on white where it is transparent. The same bytes for the same picture.
///
/// # Errors
/// Why none can be made.
pub fn jpeg(bytes: Vec<u8>, content_type: &str, wanted: Wanted) -> Result<Vec<u8>, String> {
    let mut picture = scaled(open(bytes, content_type)?, wanted);
    loop {
        for quality in QUALITIES {
            let encoded = encoded(&picture, quality)?;
            if encoded.len() as u64 <= wanted.bytes {
                return Ok(encoded);
            }
        }
        let (width, height) = picture.dimensions();
        if width.min(height) < LEAST_SIDE {
            return Err(format!("it does not fit into {} bytes", wanted.bytes));
        }
        let smaller = |side: u32| (side * SMALLER / 100).max(1);
        picture = image::imageops::resize(&picture, smaller(width), smaller(height), FilterType::Triangle);
    }
}

fn open(bytes: Vec<u8>, content_type: &str) -> Result<RgbImage, String> {
    let format = ImageFormat::from_mime_type(content_type).ok_or("it is no picture")?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(BESIDES);
    reader.limits(limits);
    let broken = |error: image::ImageError| format!("it does not open: {error}");
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    picture.apply_orientation(orientation);
    let mut flat = on_white(picture);
    if let Some(profile) = profile {
        to_srgb(&mut flat, &profile);
    }
    Ok(flat)
}

/// What shows through is white.
fn on_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let see_through = picture.into_rgba8();
    let (width, height) = see_through.dimensions();
    let mut flat = RgbImage::new(width, height);
    for (to, from) in flat.pixels_mut().zip(see_through.pixels()) {
        let [red, green, blue, alpha] = from.0.map(u32::from);
        let over =
            |colour: u32| u8::try_from((colour * alpha + 255 * (255 - alpha) + 127) / 255).unwrap_or(255);
        to.0 = [over(red), over(green), over(blue)];
    }
    flat
}

/// The colours that the file's own profile means, in sRGB. A profile that cannot be read, or is not of RGB, is as none.
fn to_srgb(picture: &mut RgbImage, profile: &[u8]) {
    let Ok(profile) = ColorProfile::new_from_slice(profile) else { return };
    if profile.color_space != DataColorSpace::Rgb {
        return;
    }
    let (to, options) = (ColorProfile::new_srgb(), TransformOptions::default());
    let Ok(transform) = profile.create_transform_8bit(Layout::Rgb, &to, Layout::Rgb, options) else { return };
    let row = 3 * picture.width().max(1) as usize;
    let mut meant = vec![0; row];
    for line in picture.chunks_exact_mut(row) {
        if transform.transform(line, &mut meant).is_ok() {
            line.copy_from_slice(&meant);
        }
    }
}

/// Never larger than it is.
fn scaled(picture: RgbImage, wanted: Wanted) -> RgbImage {
    let (width, height) = picture.dimensions();
    let (most_width, most_height) = (wanted.width.min(LONGEST_SIDE), wanted.height.min(LONGEST_SIDE));
    if width <= most_width && height <= most_height {
        return picture;
    }
    // Of the two the one that is further out decides; the other side follows it.
    let by_width = u64::from(width) * u64::from(most_height) >= u64::from(height) * u64::from(most_width);
    let follow = |side: u32, of: u32, to: u32| {
        let exact = (u64::from(side) * u64::from(to) + u64::from(of) / 2) / u64::from(of);
        u32::try_from(exact).unwrap_or(to).max(1)
    };
    let (width, height) = if by_width {
        (most_width, follow(height, width, most_width))
    } else {
        (follow(width, height, most_height), most_height)
    };
    image::imageops::resize(&picture, width, height, FilterType::CatmullRom)
}

fn encoded(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let (width, height) = picture.dimensions();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(picture, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| format!("it cannot be encoded: {error}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, Rgba, RgbaImage, codecs::png::PngEncoder};

    use super::*;

    const ANY: Wanted = Wanted { width: 1440, height: LONGEST_SIDE, bytes: 8_000_000 };

    fn png(picture: &DynamicImage, profile: Option<Vec<u8>>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        if let Some(profile) = profile {
            encoder.set_icc_profile(profile).expect("taken");
        }
        let (width, height) = (picture.width(), picture.height());
        encoder.write_image(picture.as_bytes(), width, height, picture.color().into()).expect("encodes");
        bytes
    }

    fn plain(width: u32, height: u32, colour: [u8; 3]) -> DynamicImage {
        RgbImage::from_pixel(width, height, Rgb(colour)).into()
    }

    fn made(bytes: Vec<u8>, content_type: &str, wanted: Wanted) -> RgbImage {
        let jpeg = jpeg(bytes, content_type, wanted).expect("made");
        image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg).expect("a JPEG").into_rgb8()
    }

    fn near(found: Rgb<u8>, wanted: [u8; 3]) -> bool {
        found.0.iter().zip(wanted).all(|(found, wanted)| found.abs_diff(wanted) <= 4)
    }

    #[test]
    fn a_picture_is_made_narrower_in_proportion_and_never_wider() {
        let size =
            |width, height| made(png(&plain(width, height, [9, 9, 9]), None), "image/png", ANY).dimensions();
        assert_eq!(size(2880, 1001), (1440, 501));
        assert_eq!(size(1440, 20), (1440, 20));
        assert_eq!(size(40, 30), (40, 30));
    }

    #[test]
    fn what_is_transparent_becomes_white_and_what_is_half_so_half_white() {
        let mut picture = RgbaImage::from_pixel(32, 16, Rgba([200, 0, 0, 0]));
        picture.enumerate_pixels_mut().filter(|(x, _, _)| *x >= 16).for_each(|(_, _, it)| it.0[3] = 127);
        let made = made(png(&picture.into(), None), "image/png", ANY);
        assert!(near(*made.get_pixel(4, 8), [255, 255, 255]), "{:?}", made.get_pixel(4, 8));
        assert!(near(*made.get_pixel(28, 8), [228, 128, 128]), "{:?}", made.get_pixel(28, 8));
    }

    #[test]
    fn colours_of_another_space_are_brought_into_srgb() {
        let display_p3 = ColorProfile::new_display_p3().encode().expect("a profile");
        let made = made(png(&plain(16, 16, [0, 200, 0]), Some(display_p3)), "image/png", ANY);
        // The same numbers mean a stronger green there than sRGB has: red leaves the scale, green grows.
        let found = made.get_pixel(8, 8).0;
        assert!(found[0] <= 4 && found[1] > 203, "{found:?}");
    }

    #[test]
    fn a_picture_that_lies_on_its_side_is_put_upright() {
        let mut picture = RgbImage::from_pixel(64, 32, Rgb([0, 0, 0]));
        picture
            .enumerate_pixels_mut()
            .filter(|(x, _, _)| *x < 32)
            .for_each(|(_, _, it)| it.0 = [250, 250, 250]);
        // A TIFF header and one entry: orientation 6, to be turned to the right by a quarter.
        let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
        encoder.set_exif_metadata(exif).expect("taken");
        encoder.write_image(&picture, 64, 32, ExtendedColorType::Rgb8).expect("encodes");
        let made = made(bytes, "image/jpeg", ANY);
        assert_eq!(made.dimensions(), (32, 64));
        assert!(made.get_pixel(16, 8).0[0] > 200 && made.get_pixel(16, 56).0[0] < 50);
    }

    #[test]
    fn a_picture_is_made_as_small_as_it_has_to_be_and_always_of_the_same_bytes() {
        let noise = RgbImage::from_fn(300, 300, |x, y| {
            let n = (x * 300 + y).wrapping_mul(2_654_435_761);
            Rgb([n.to_le_bytes()[3], n.to_le_bytes()[2], n.to_le_bytes()[1]])
        });
        let bytes = png(&noise.into(), None);
        let small = Wanted { bytes: 9_000, ..ANY };
        let one = jpeg(bytes.clone(), "image/png", small).expect("made");
        assert!(one.len() <= 9_000, "{}", one.len());
        assert_eq!(Ok(one), jpeg(bytes.clone(), "image/png", small));
        assert!(jpeg(bytes, "image/png", Wanted { bytes: 100, ..ANY }).is_err());
        assert!(jpeg(b"no picture".to_vec(), "image/png", ANY).is_err());
    }
}
