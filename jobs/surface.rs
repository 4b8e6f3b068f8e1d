//! What each network takes: one typed description that the door, the form and the worker all read.
//!
//! The facts themselves stand in the file of their network; here is what they are made of and how a post is
//! measured against them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::comment::{self, Comments};

/// A network as the door, the form and the worker need to know it.
#[derive(Debug, Clone, Copy)]
pub struct Platform {
    /// `facebook_page` and the like: the word in the API and the ledger.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The longest caption.
    pub caption: CaptionLimit,
    /// The most hashtags in a caption.
    pub hashtags: Option<usize>,
    /// The most mentions in a caption.
    pub mentions: Option<usize>,
    /// The kinds of thing it publishes.
    pub surfaces: &'static [Surface],
    /// The values of the option `privacy_level`, one of which a post must choose; empty where there is none.
    pub privacy_levels: &'static [&'static str],
    /// What it takes as the first comment under a post; `None`: it takes none.
    pub comments: Option<Comments>,
    /// Where people see it.
    pub site: Site,
}

/// Where people see a network.
#[derive(Debug, Clone, Copy)]
pub struct Site {
    /// Its hosts; what is below one of them is its, too.
    pub hosts: &'static [&'static str],
    /// Its front page, without a slash at the end.
    pub home: &'static str,
    /// Where an account's page is.
    pub page: AccountPage,
}

/// Where a network shows an account.
#[derive(Debug, Clone, Copy)]
pub enum AccountPage {
    /// Below the front page, by the network's id.
    ById,
    /// By its name, after this.
    ByName(&'static str),
}

impl Site {
    /// Where to look at an account; the front page, where the account is called something that is no name there.
    pub fn page_of(&self, external_id: &str, name: &str) -> String {
        let plain = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let name = name.trim().trim_start_matches('@');
        match self.page {
            AccountPage::ById if plain(external_id) => format!("{}/{external_id}", self.home),
            AccountPage::ByName(prefix) if plain(name) => format!("{}/{prefix}{name}", self.home),
            AccountPage::ById | AccountPage::ByName(_) => self.home.to_owned(),
        }
    }
}

/// How long a caption may be, and how the network counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptionLimit {
    /// The most units.
    pub most: usize,
    /// What a unit is.
    pub unit: CaptionUnit,
}

/// What a network counts in a caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptionUnit {
    /// Unicode scalar values.
    Characters,
    /// UTF-16 code units, as `String.length` in a browser.
    Utf16,
}

impl CaptionLimit {
    /// The caption's length as this network counts it.
    pub fn length(self, caption: &str) -> usize {
        match self.unit {
            CaptionUnit::Characters => caption.chars().count(),
            CaptionUnit::Utf16 => caption.encode_utf16().count(),
        }
    }
}

/// The kinds of post that a person can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostKind {
    /// Whatever the content makes of it.
    Post,
    /// A short upright video.
    Reel,
    /// Something for a day.
    Story,
    /// Several files to leaf through.
    Carousel,
}

impl PostKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Post, Self::Reel, Self::Story, Self::Carousel];

    /// The API's and the ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Reel => "reel",
            Self::Story => "story",
            Self::Carousel => "carousel",
        }
    }
}

/// One kind of thing that a network publishes.
#[derive(Debug, Clone, Copy)]
pub struct Surface {
    /// `text`, `photo`, `video` …: the word in the API and the ledger.
    pub name: &'static str,
    /// The kinds of post that it serves.
    pub kinds: &'static [PostKind],
    /// What it is made of.
    pub takes: Takes,
    /// No read of the network proves that it is absent.
    pub one_shot: bool,
    /// Who can take it down once it is public.
    pub take_down: TakeDown,
}

/// Who can take something public down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeDown {
    /// We can, by the network's API.
    Api {
        /// The permission that the account's owner has granted for it.
        permission: &'static str,
    },
    /// Only people can, at the network.
    ByHand {
        /// Who, where and how: a sentence.
        how: &'static str,
    },
}

/// What a surface is made of.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// Words alone.
    Words,
    /// Words and a web address.
    Link,
    /// Words and files.
    Files(Files),
}

/// How many files, and what each of them must be like.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    /// A file must keep the one of these rules that names its type.
    pub rules: &'static [MediaRule],
    /// The fewest.
    pub least: usize,
    /// The most.
    pub most: usize,
}

impl Takes {
    /// Words and one file that keeps one of these rules.
    pub const fn one(rules: &'static [MediaRule]) -> Self {
        Self::Files(Files { rules, least: 1, most: 1 })
    }
}

impl Files {
    /// The rule that names this media type.
    fn rule(&self, content_type: &str) -> Option<&'static MediaRule> {
        let takes = |rule: &&MediaRule| rule.types.contains(&content_type);
        self.rules
            .iter()
            .find(takes)
            .or_else(|| self.rules.iter().find(|r| r.renders.contains(&content_type)))
    }

    fn count(&self) -> String {
        match (self.least, self.most) {
            (1, 1) => "one file".to_owned(),
            (least, most) => format!("{least} to {most} files"),
        }
    }
}

/// What a file must be like.
#[derive(Debug, Clone, Copy)]
pub struct MediaRule {
    /// Media types, by content.
    pub types: &'static [&'static str],
    /// Types that the first of `types` is made of: what is of another type goes out as that, and a picture that is too
    /// wide or too large goes out smaller. Empty: a file goes out as it is or not at all.
    pub renders: &'static [&'static str],
    /// The largest file, in bytes.
    pub most_bytes: u64,
    /// The narrowest picture, in pixels.
    pub least_width: u32,
    /// The widest picture, in pixels.
    pub most_width: u32,
    /// Width over height, least and most.
    pub ratio: Option<(f64, f64)>,
    /// The shortest film, in milliseconds.
    pub least_duration_ms: Option<u64>,
    /// The longest film, in milliseconds.
    pub most_duration_ms: Option<u64>,
}

/// What is made of a file that a network does not take as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rendition {
    /// Of this type.
    pub content_type: &'static str,
    /// Not wider; what is narrower stays so.
    pub most_width: u32,
    /// Not larger.
    pub most_bytes: u64,
}

impl Rendition {
    /// Where it is kept: beside what it was made of, and the same for all that need the same.
    pub fn key(&self, original: &str) -> String {
        let kind = self.content_type.rsplit('/').next().unwrap_or_default();
        format!("{original}.{}x{}.{kind}", self.most_width, self.most_bytes)
    }
}

/// Hashtags or mentions, of which there are more than a network takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    /// How many there are.
    pub found: usize,
    /// How many it takes.
    pub most: usize,
    /// What they are called.
    pub what: &'static str,
    /// The word for a finding.
    pub code: &'static str,
}

/// The hashtags, and the mentions, that are more than may be.
pub(crate) fn too_many(
    words: &str,
    hashtags: Option<usize>,
    mentions: Option<usize>,
) -> impl Iterator<Item = Marks> {
    let limits =
        [('#', hashtags, "hashtags", "too_many_hashtags"), ('@', mentions, "mentions", "too_many_mentions")];
    limits.map(|(sign, most, what, code)| (marked(words, sign), most, what, code)).into_iter().filter_map(
        |(found, most, what, code)| {
            let most = most.filter(|most| found > *most)?;
            Some(Marks { found, most, what, code })
        },
    )
}

/// How many words bear this sign. One may follow another without a space, `#a#b`; what stands within a word, a mail
/// address or a web address is none.
fn marked(words: &str, sign: char) -> usize {
    let ends = |letter: char| letter.is_whitespace() || (letter.is_ascii_punctuation() && letter != '_');
    let (mut count, mut before, mut bears) = (0, ' ', false);
    let mut letters = words.chars().peekable();
    while let Some(letter) = letters.next() {
        let begins = bears || !(before.is_alphanumeric() || matches!(before, '_' | '/' | '&'));
        if letter == sign && begins && letters.peek().is_some_and(|next| !ends(*next)) {
            count += 1;
            bears = true;
        } else if ends(letter) {
            bears = false;
        }
        before = letter;
    }
    count
}

/// A file as the rules see it.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Its media type, found by content.
    pub content_type: String,
    /// Its size.
    pub bytes: u64,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Of a film.
    pub duration_ms: Option<u64>,
}

/// Something a network would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which part of the request: `caption`, `media_ids`, `link`, `kind`, `options.privacy_level`,
    /// `options.first_comment`.
    pub field: &'static str,
    /// A stable word.
    pub code: &'static str,
    /// What was found, what is accepted, who can mend it.
    pub detail: String,
    /// Values that would be taken.
    pub accepted: Vec<String>,
}

impl Finding {
    pub(crate) fn new(field: &'static str, code: &'static str, detail: String) -> Self {
        Self { field, code, detail, accepted: Vec::new() }
    }

    pub(crate) fn accepting<I: IntoIterator<Item = S>, S: Into<String>>(mut self, accepted: I) -> Self {
        self.accepted = accepted.into_iter().map(Into::into).collect();
        self
    }
}

/// What is to go to one account.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The kind asked for.
    pub kind: PostKind,
    /// The words this account gets.
    pub caption: &'a str,
    /// A web address to show.
    pub link: Option<&'a str>,
    /// The files, in order.
    pub media: &'a [Shape],
    /// The option `privacy_level`, or the account's default.
    pub privacy_level: Option<&'a str>,
}

impl Platform {
    /// One of its surfaces by its name, or what a comment is where it takes any.
    pub fn surface(&self, name: &str) -> Option<&'static Surface> {
        if name == comment::SURFACE.name {
            return self.comments.is_some().then_some(&comment::SURFACE);
        }
        self.surfaces.iter().find(|it| it.name == name)
    }

    /// The surface that the draft goes out on, or everything that the network would refuse about it.
    ///
    /// # Errors
    /// At least one finding.
    pub fn place(&self, draft: &Draft<'_>) -> Result<&'static Surface, Vec<Finding>> {
        let mut findings = self.caption_findings(draft.caption);
        findings.extend(self.privacy_finding(draft.privacy_level));
        match self.surface_for(draft) {
            Ok(surface) => {
                findings.extend(surface.findings(draft, self.title));
                if findings.is_empty() { Ok(surface) } else { Err(findings) }
            }
            Err(finding) => {
                findings.push(finding);
                Err(findings)
            }
        }
    }

    /// What the network would refuse about a caption with its hashtags and mentions.
    pub fn caption_findings(&self, caption: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (length, most) = (self.caption.length(caption), self.caption.most);
        if length > most {
            let detail = format!(
                "The caption has {length} characters; {} takes at most {most}. Shorten it.",
                self.title
            );
            findings.push(Finding::new("caption", "caption_too_long", detail));
        }
        for mark in too_many(caption, self.hashtags, self.mentions) {
            let Marks { found, most, what, code } = mark;
            let detail = format!("The caption has {found} {what}; {} takes at most {most}.", self.title);
            findings.push(Finding::new("caption", code, detail));
        }
        findings
    }

    fn privacy_finding(&self, chosen: Option<&str>) -> Option<Finding> {
        let known = chosen.is_some_and(|level| self.privacy_levels.contains(&level));
        if known || self.privacy_levels.is_empty() {
            return None;
        }
        let detail = match chosen {
            None => format!("{} needs a choice of who may see the post.", self.title),
            Some(level) => format!("“{level}” is not a privacy level of {}.", self.title),
        };
        Some(
            Finding::new("options.privacy_level", "privacy_level", detail)
                .accepting(self.privacy_levels.iter().copied()),
        )
    }

    fn surface_for(&self, draft: &Draft<'_>) -> Result<&'static Surface, Finding> {
        let title = self.title;
        let of_kind = || self.surfaces.iter().filter(|surface| surface.kinds.contains(&draft.kind));
        if of_kind().next().is_none() {
            let kinds = PostKind::ALL.iter().filter(|k| self.surfaces.iter().any(|s| s.kinds.contains(k)));
            let detail = format!("{title} does not take the kind “{}” here.", draft.kind.word());
            return Err(Finding::new("kind", "kind_unsupported", detail).accepting(kinds.map(|k| k.word())));
        }
        let takes_link = self.surfaces.iter().any(|s| matches!(s.takes, Takes::Link));
        match (draft.media, draft.link) {
            ([], None) => of_kind().find(|s| matches!(s.takes, Takes::Words)).ok_or_else(|| {
                let detail = format!("{title} does not take words alone: add a file.");
                Finding::new("media_ids", "media_required", detail).accepting(self.types())
            }),
            (_, Some(_)) if !takes_link => {
                let detail = format!("{title} shows no link: put the address into the caption.");
                Err(Finding::new("link", "link_unsupported", detail))
            }
            ([], Some(_)) => of_kind().find(|s| matches!(s.takes, Takes::Link)).ok_or_else(|| {
                Finding::new("link", "link_unsupported", format!("{title} shows a link only in a post."))
            }),
            (_, Some(_)) => {
                let detail =
                    format!("{title} shows a link or a file, not both: put the address into the caption.");
                Err(Finding::new("link", "link_with_media", detail))
            }
            (files, None) => self.surface_of_files(draft.kind, files, of_kind()),
        }
    }

    /// The first surface that takes each of these types and so many of them.
    fn surface_of_files(
        &self,
        kind: PostKind,
        files: &[Shape],
        of_kind: impl Iterator<Item = &'static Surface>,
    ) -> Result<&'static Surface, Finding> {
        let title = self.title;
        // what is leafed through has a second leaf, even where one file makes a post
        let fewest = if kind == PostKind::Carousel { 2 } else { 1 };
        let of_files = |surface: &'static Surface| {
            let takes = *surface.files()?;
            Some((surface, Files { least: takes.least.max(fewest), ..takes }))
        };
        let of_types: Vec<_> = of_kind
            .filter_map(of_files)
            .filter(|(_, takes)| files.iter().all(|file| takes.rule(&file.content_type).is_some()))
            .collect();
        let fits = |takes: &Files| (takes.least..=takes.most).contains(&files.len());
        if let Some((surface, _)) = of_types.iter().find(|(_, takes)| fits(takes)) {
            return Ok(surface);
        }
        if of_types.is_empty() {
            let mut found: Vec<_> = files.iter().map(|file| file.content_type.as_str()).collect();
            found.dedup();
            let detail = match found.as_slice() {
                [one] => format!("The file is {one}; {title} takes other types here."),
                several => format!(
                    "The files are {}; {title} does not take these together here.",
                    several.join(", ")
                ),
            };
            return Err(Finding::new("media_ids", "media_type", detail).accepting(self.types()));
        }
        let counts: Vec<_> = of_types.iter().map(|(_, takes)| takes.count()).collect();
        let detail = format!("{title} takes {} here; there are {}.", counts.join(" or "), files.len());
        Err(Finding::new("media_ids", "media_count", detail).accepting(counts))
    }

    fn types(&self) -> impl Iterator<Item = &'static str> {
        self.surfaces
            .iter()
            .filter_map(Surface::files)
            .flat_map(|takes| takes.rules)
            .flat_map(|rule| rule.types.iter().chain(rule.renders))
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
    }
}

impl Surface {
    /// What files it takes; `None` where it takes none.
    pub const fn files(&self) -> Option<&Files> {
        match &self.takes {
            Takes::Files(files) => Some(files),
            Takes::Words | Takes::Link => None,
        }
    }

    /// Whether people get to see the caption: no network shows one with a story.
    pub fn shows_words(&self) -> bool {
        !self.kinds.contains(&PostKind::Story)
    }

    /// What has to be made of a file of this type, size and width for the network; `None`: it goes as it is.
    pub fn rendition(&self, content_type: &str, bytes: u64, width: u32) -> Option<Rendition> {
        self.files()?.rule(content_type)?.rendition(content_type, bytes, width)
    }

    fn findings(&self, draft: &Draft<'_>, title: &str) -> Vec<Finding> {
        match self.takes {
            Takes::Files(files) => {
                let kept =
                    |file: &Shape| files.rule(&file.content_type).map(|rule| rule.findings(file, title));
                draft.media.iter().filter_map(kept).flatten().collect()
            }
            Takes::Words | Takes::Link if draft.caption.trim().is_empty() && draft.link.is_none() => {
                vec![Finding::new(
                    "caption",
                    "empty_post",
                    "There is nothing to publish: write a caption or add a file.".into(),
                )]
            }
            Takes::Words | Takes::Link => Vec::new(),
        }
    }
}

impl MediaRule {
    /// Whether a file of this type is made as small as need be.
    fn shrinks(&self, content_type: &str) -> bool {
        content_type.starts_with("image/") && self.renders.contains(&content_type)
    }

    /// What is made of such a file; `None`: it goes as it is.
    fn rendition(&self, content_type: &str, bytes: u64, width: u32) -> Option<Rendition> {
        let fits = bytes <= self.most_bytes && width <= self.most_width;
        let as_it_is = self.types.contains(&content_type) && (fits || !self.shrinks(content_type));
        let to = Rendition {
            content_type: self.types.first()?,
            most_width: self.most_width,
            most_bytes: self.most_bytes,
        };
        (!as_it_is).then_some(to)
    }

    fn findings(&self, file: &Shape, title: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |code, detail| findings.push(Finding::new("media_ids", code, detail));
        let shrinks = self.shrinks(&file.content_type);
        if file.bytes > self.most_bytes && !shrinks {
            let (has, most) = (megabytes(file.bytes), megabytes(self.most_bytes));
            find("media_too_large", format!("The file has {has} MB; {title} takes at most {most} MB."));
        }
        if file.width < self.least_width || (file.width > self.most_width && !shrinks) {
            find(
                "media_width",
                format!(
                    "It is {} pixels wide; {title} takes {} to {}.",
                    file.width, self.least_width, self.most_width
                ),
            );
        }
        let ratio = f64::from(file.width) / f64::from(file.height.max(1));
        if let Some((least, most)) =
            self.ratio.filter(|(least, most)| ratio < least - 0.005 || ratio > most + 0.005)
        {
            find(
                "media_ratio",
                format!("Width over height is {ratio:.2}; {title} takes {least:.2} to {most:.2}."),
            );
        }
        if let (Some(most), Some(length)) = (self.most_duration_ms, file.duration_ms)
            && length > most
        {
            find(
                "media_too_long",
                format!("It lasts {} s; {title} takes at most {} s.", seconds(length), seconds(most)),
            );
        }
        if let (Some(least), Some(length)) = (self.least_duration_ms, file.duration_ms)
            && length < least
        {
            find(
                "media_too_short",
                format!("It lasts {} s; {title} takes at least {} s.", seconds(length), seconds(least)),
            );
        }
        findings
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{}", milliseconds / 1000, milliseconds % 1000 / 100)
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_HAND: TakeDown = TakeDown::ByHand { how: "Its owner removes it." };
    const PHOTO: MediaRule = MediaRule {
        types: &["image/jpeg"],
        renders: &[],
        most_bytes: 1_000_000,
        least_width: 320,
        most_width: 1440,
        ratio: Some((0.8, 1.91)),
        least_duration_ms: None,
        most_duration_ms: None,
    };
    const FILM: MediaRule = MediaRule {
        types: &["video/mp4"],
        least_duration_ms: Some(3_000),
        most_duration_ms: Some(60_000),
        ratio: None,
        ..PHOTO
    };
    const MIXED: Takes = Takes::Files(Files { rules: &[PHOTO, FILM], least: 2, most: 3 });
    const SURFACES: &[Surface] = &[
        Surface {
            name: "text",
            kinds: &[PostKind::Post],
            takes: Takes::Words,
            one_shot: false,
            take_down: BY_HAND,
        },
        Surface {
            name: "photo",
            kinds: &[PostKind::Post],
            takes: Takes::one(&[PHOTO]),
            one_shot: false,
            take_down: BY_HAND,
        },
        Surface {
            name: "video",
            kinds: &[PostKind::Post],
            takes: Takes::one(&[FILM]),
            one_shot: false,
            take_down: BY_HAND,
        },
        Surface {
            name: "carousel",
            kinds: &[PostKind::Carousel],
            takes: MIXED,
            one_shot: false,
            take_down: BY_HAND,
        },
    ];
    const LEAFED: Surface = Surface {
        name: "photos",
        kinds: &[PostKind::Post, PostKind::Carousel],
        takes: Takes::Files(Files { rules: &[PHOTO], least: 1, most: 2 }),
        one_shot: false,
        take_down: BY_HAND,
    };
    const PLATFORM: Platform = Platform {
        name: "test",
        title: "Test",
        caption: CaptionLimit { most: 10, unit: CaptionUnit::Utf16 },
        hashtags: Some(1),
        mentions: Some(2),
        surfaces: SURFACES,
        privacy_levels: &[],
        comments: None,
        site: Site { hosts: &["test.example"], home: "https://test.example", page: AccountPage::ByName("@") },
    };

    #[test]
    fn an_account_is_looked_at_where_its_network_shows_it() {
        let page = |name| PLATFORM.site.page_of("104", name);
        assert_eq!(page("@corner.bakery"), "https://test.example/@corner.bakery");
        assert_eq!(page("Corner Bakery"), "https://test.example", "no account is called so there");
        assert_eq!(page("x/../y"), "https://test.example");
        let by_id = Site { page: AccountPage::ById, ..PLATFORM.site };
        assert_eq!(by_id.page_of("104", "Corner Bakery"), "https://test.example/104");
    }

    fn shape(width: u32, height: u32) -> Shape {
        Shape { content_type: "image/jpeg".into(), bytes: 1000, width, height, duration_ms: None }
    }

    fn place(caption: &str, media: &[Shape]) -> Result<&'static str, Vec<&'static str>> {
        place_as(PostKind::Post, caption, media)
    }

    fn place_as(kind: PostKind, caption: &str, media: &[Shape]) -> Result<&'static str, Vec<&'static str>> {
        let draft = Draft { kind, caption, link: None, media, privacy_level: None };
        PLATFORM.place(&draft).map(|s| s.name).map_err(|all| all.iter().map(|f| f.code).collect())
    }

    #[test]
    fn a_post_finds_its_surface_by_what_it_is_made_of() {
        assert_eq!(place("hello", &[]), Ok("text"));
        assert_eq!(place("", &[shape(1080, 1080)]), Ok("photo"));
    }

    #[test]
    fn a_caption_is_counted_as_the_network_counts() {
        assert_eq!(place("1234567890", &[]), Ok("text"));
        assert_eq!(place("🥐🥐🥐🥐🥐🥐", &[]), Err(vec!["caption_too_long"]));
        assert_eq!(place("#a #b", &[]), Err(vec!["too_many_hashtags"]));
        assert_eq!(place("@a @b", &[]), Ok("text"));
        assert_eq!(place("@a @b @c", &[]), Err(vec!["too_many_mentions"]));
    }

    #[test]
    fn hashtags_and_mentions_are_what_bears_their_sign_and_nothing_else() {
        let tags = |words| marked(words, '#');
        assert_eq!(["#a", "(#a)", "#a #b", "#a#b", "#חם", "#🥐", "a\n#b"].map(tags), [1, 1, 2, 2, 1, 1, 1]);
        assert_eq!(["#", "# a", "##", "C#", "a#b", "&#39;", "https://x.example/#a"].map(tags), [0; 7]);
        let mentions = |words| marked(words, '@');
        assert_eq!(["@a", "@a.b", "by @a, @b", "@a@b"].map(mentions), [1, 1, 2, 2]);
        assert_eq!(["@", "dana@example.com", "@ noon", "https://x.example/@a"].map(mentions), [0; 4]);
    }

    #[test]
    fn what_a_network_would_refuse_is_found_before() {
        assert_eq!(place("  ", &[]), Err(vec!["empty_post"]));
        assert_eq!(place("", &[shape(300, 300)]), Err(vec!["media_width"]));
        assert_eq!(place("", &[shape(1000, 200)]), Err(vec!["media_ratio"]));
        assert_eq!(place("", &[shape(400, 400), shape(400, 400)]), Err(vec!["media_count"]));
    }
    #[test]
    fn several_files_go_where_each_type_and_their_number_are_taken() {
        let film = |duration| Shape {
            content_type: "video/mp4".into(),
            duration_ms: Some(duration),
            ..shape(400, 800)
        };
        let photo = || shape(400, 400);
        let carousel = |media: &[Shape]| place_as(PostKind::Carousel, "", media);
        assert_eq!(place("", &[film(3_000)]), Ok("video"));
        assert_eq!(carousel(&[photo(), film(60_000)]), Ok("carousel"));
        assert_eq!(carousel(&[photo()]), Err(vec!["media_count"]));
        let leafed = |kind, media: &[Shape]| {
            let draft = Draft { kind, caption: "", link: None, media, privacy_level: None };
            Platform { surfaces: &[LEAFED], ..PLATFORM }.place(&draft).is_ok()
        };
        assert!(leafed(PostKind::Post, &[photo()]) && leafed(PostKind::Carousel, &[photo(), photo()]));
        assert!(!leafed(PostKind::Carousel, &[photo()]), "a carousel of one is none");
        assert_eq!(carousel(&[photo(), photo(), photo(), photo()]), Err(vec!["media_count"]));
        assert_eq!(carousel(&[film(2_900), shape(300, 300)]), Err(vec!["media_too_short", "media_width"]));
        assert_eq!(carousel(&[film(60_001), photo()]), Err(vec!["media_too_long"]));
        let sound = Shape { content_type: "audio/mpeg".into(), ..photo() };
        assert_eq!(carousel(&[photo(), sound]), Err(vec!["media_type"]));
    }

    #[test]
    fn a_picture_that_a_network_does_not_take_is_made_into_one_that_it_takes() {
        let rule = MediaRule {
            types: &["image/jpeg", "image/gif"],
            renders: &["image/jpeg", "image/png"],
            most_width: 1440,
            most_bytes: 1_000_000,
            ..PHOTO
        };
        let made = |kind, bytes, width| rule.rendition(kind, bytes, width).map(|made| made.key("w/1"));
        let key = Some("w/1.1440x1000000.jpeg".to_owned());
        assert_eq!(made("image/jpeg", 1_000_000, 1440), None, "it fits");
        assert_eq!(made("image/jpeg", 1_000_001, 1440), key);
        assert_eq!(made("image/jpeg", 1_000_000, 1441), key);
        assert_eq!(made("image/png", 10, 10), key);
        assert_eq!(made("image/gif", 1_000_001, 1440), None, "of this nothing is made");
        let found = |kind: &str, width| {
            let file = Shape { content_type: kind.into(), bytes: 2_000_000, width, ..shape(1, 1) };
            rule.findings(&Shape { height: width, ..file }, "X").iter().map(|it| it.code).collect::<Vec<_>>()
        };
        assert_eq!(found("image/png", 4_000), [""; 0], "it is made smaller");
        assert_eq!(found("image/png", 10), ["media_width"], "nothing is made larger");
        assert_eq!(found("image/gif", 4_000), ["media_too_large", "media_width"]);
    }
}
