//! The form of a ZIP file (APPNOTE 6.3.10), as far as it is written here: nothing is compressed, sizes follow their data, and
//! what a field of 32 bits cannot hold stands in those of ZIP64. It is written from front to back, so that it can go out in
//! parts and be gone on with.

/// What a file begins with.
const LOCAL: u32 = 0x0403_4b50;
/// What follows its data.
const DESCRIPTOR: u32 = 0x0807_4b50;
/// Its line in the directory.
const CENTRAL: u32 = 0x0201_4b50;
/// The ends of the directory.
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
/// Sizes follow (3), and names are UTF-8 (11).
const FLAGS: u16 = 1 << 3 | 1 << 11;
/// 1 January 1980, midnight: what is the same has the same bytes.
const DATE: u16 = 1 << 5 | 1;
/// What says that a field stands elsewhere.
const ELSEWHERE: u32 = u32::MAX;
const ELSEWHERE_SHORT: u16 = u16::MAX;
/// The versions that are needed to read it: 2.0, and 4.5 for ZIP64.
const PLAIN: u16 = 20;
const LARGE: u16 = 45;

/// A file that is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Its name, with `/` between folders.
    pub path: String,
    /// Where its header begins.
    pub begins_at: u64,
    /// Of its data.
    pub crc: u32,
    /// How much data it has.
    pub bytes: u64,
}

/// A running CRC-32, as ZIP has it.
#[derive(Debug, Clone, Copy)]
pub struct Crc(u32);

impl Default for Crc {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let mut sum = n as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
            bit += 1;
        }
        table[n] = sum;
        n += 1;
    }
    table
}

impl Crc {
    /// Goes on after data of this sum.
    pub fn after(sum: u32) -> Self {
        Self(!sum)
    }

    /// Takes more data in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes
            .iter()
            .fold(self.0, |sum, byte| (sum >> 8) ^ TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)]);
    }

    /// Of all that was taken in.
    pub fn sum(self) -> u32 {
        !self.0
    }
}

/// Bytes that fields are added to, the least first.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn short(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn word(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn long(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
}

fn name_length(path: &str) -> u16 {
    u16::try_from(path.len()).unwrap_or(u16::MAX)
}

/// Writes what comes before the data of a file.
pub fn header(out: &mut Vec<u8>, path: &str) {
    Fields(out).word(LOCAL).short(PLAIN).short(FLAGS).short(0).short(0).short(DATE);
    Fields(out).word(0).word(0).word(0).short(name_length(path)).short(0);
    out.extend_from_slice(path.as_bytes());
}

/// Writes what comes after it. A file has less than 4 GiB: no more is taken in anywhere.
pub fn descriptor(out: &mut Vec<u8>, crc: u32, bytes: u64) {
    let bytes = u32::try_from(bytes).unwrap_or(ELSEWHERE);
    Fields(out).word(DESCRIPTOR).word(crc).word(bytes).word(bytes);
}

/// Writes the directory that the file ends with; `begins_at` is where.
pub fn directory(out: &mut Vec<u8>, begins_at: u64, all: &[Packed]) {
    let before = out.len();
    for it in all {
        line(out, it);
    }
    let length = (out.len() - before) as u64;
    let many = all.len() as u64;
    if many >= u64::from(ELSEWHERE_SHORT)
        || begins_at >= u64::from(ELSEWHERE)
        || length >= u64::from(ELSEWHERE)
    {
        Fields(out).word(END_64).long(44).short(LARGE).short(LARGE).word(0).word(0);
        Fields(out).long(many).long(many).long(length).long(begins_at);
        Fields(out).word(LOCATOR_64).word(0).long(begins_at + length).word(1);
    }
    let many = u16::try_from(many).unwrap_or(ELSEWHERE_SHORT);
    let word = |value: u64| u32::try_from(value).unwrap_or(ELSEWHERE);
    Fields(out).word(END).short(0).short(0).short(many).short(many).word(word(length)).word(word(begins_at));
    Fields(out).short(0);
}

fn line(out: &mut Vec<u8>, it: &Packed) {
    let far = it.begins_at >= u64::from(ELSEWHERE);
    let (version, extra) = if far { (LARGE, 12) } else { (PLAIN, 0) };
    let bytes = u32::try_from(it.bytes).unwrap_or(ELSEWHERE);
    Fields(out).word(CENTRAL).short(version).short(version).short(FLAGS).short(0).short(0).short(DATE);
    Fields(out).word(it.crc).word(bytes).word(bytes).short(name_length(&it.path)).short(extra);
    Fields(out).short(0).short(0).short(0).word(0).word(u32::try_from(it.begins_at).unwrap_or(ELSEWHERE));
    out.extend_from_slice(it.path.as_bytes());
    if far {
        Fields(out).short(1).short(8).long(it.begins_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = Crc::default();
        for half in bytes.chunks(4) {
            crc.update(half);
        }
        crc.sum()
    }

    #[test]
    fn the_sum_is_the_one_that_everybody_has() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc(b""), 0);
    }

    #[test]
    fn each_part_has_the_length_that_its_readers_expect() {
        let mut out = Vec::new();
        header(&mut out, "a/b.json");
        assert_eq!((out.len(), &out[..4], &out[30..]), (38, &b"PK\x03\x04"[..], &b"a/b.json"[..]));
        out.clear();
        descriptor(&mut out, 7, 9);
        assert_eq!((out.len(), &out[..4]), (16, &b"PK\x07\x08"[..]));
        out.clear();
        let packed = Packed { path: "a".into(), begins_at: 0, crc: 7, bytes: 9 };
        directory(&mut out, 55, std::slice::from_ref(&packed));
        assert_eq!((out.len(), &out[..4]), (46 + 1 + 22, &b"PK\x01\x02"[..]));
        assert_eq!(out[out.len() - 6..], [55, 0, 0, 0, 0, 0], "where the directory begins");
    }

    #[test]
    fn what_is_too_large_for_a_field_stands_in_that_of_zip64() {
        let far = Packed { path: "a".into(), begins_at: 1 << 33, crc: 7, bytes: 9 };
        let mut out = Vec::new();
        directory(&mut out, 1 << 34, &[far]);
        assert_eq!(out.len(), 46 + 1 + 12 + 56 + 20 + 22);
        assert_eq!(out[42..46], [0xff; 4], "it stands elsewhere");
        assert_eq!(out[51..59], (1_u64 << 33).to_le_bytes());
        let many = vec![Packed { path: "a".into(), begins_at: 0, crc: 0, bytes: 0 }; 70_000];
        out.clear();
        directory(&mut out, 0, &many);
        assert_eq!(out.len(), 70_000 * 47 + 56 + 20 + 22);
        assert_eq!(out[out.len() - 14..out.len() - 12], [0xff; 2]);
    }
}
