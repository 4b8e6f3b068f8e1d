//! What each network takes, as a table for people: the README's is made of this, and a test compares the two.

use std::fmt::Write as _;

use jobs::comment::Comments;
use jobs::surface::{CaptionUnit, Files, MediaRule, Platform, PostKind, Surface, TakeDown, Takes};

use super::{Entry, NETWORKS};

/// The line of the README above the table; renewed with `postroom capabilities`.
pub const BEGIN: &str = "<!-- capabilities: made by `postroom capabilities`; a test compares -->";
/// The line below it.
pub const END: &str = "<!-- end of capabilities -->";

/// Every network's rules as Markdown: what holds for all its posts, then each surface with its files.
pub fn markdown() -> String {
    let mut page = String::from(
        "| network | caption | hashtags | mentions | privacy levels | first comment |\n|---|---|---|---|---|---|\n",
    );
    for entry in takers() {
        let Platform { title, name, caption, hashtags, mentions, privacy_levels, comments, .. } =
            entry.platform;
        let unit = match caption.unit {
            CaptionUnit::Characters => "characters",
            CaptionUnit::Utf16 => "UTF-16 units",
        };
        let marks =
            |most: Option<usize>| most.map_or_else(|| "any".to_owned(), |most| format!("at most {most}"));
        let (tags, mentions) = (marks(*hashtags), marks(*mentions));
        let levels = if privacy_levels.is_empty() { "none".to_owned() } else { code(privacy_levels) };
        let said = comments.as_ref().map_or_else(|| "none".to_owned(), first_comment);
        let caption = caption.most;
        let _ = writeln!(
            page,
            "| {title} (`{name}`) | at most {caption} {unit} | {tags} | {mentions} | {levels} | {said} |"
        );
    }
    page.push_str("\n| network | surface | `kind` | files | type | size | width | ratio | length |\n");
    page.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for entry in takers() {
        for surface in entry.platform.surfaces {
            rows(&mut page, entry.platform.title, surface);
        }
    }
    page.push_str("\n| network | surface | taken down once it is public |\n|---|---|---|\n");
    for entry in takers() {
        for Surface { name, take_down, .. } in entry.platform.surfaces {
            let how = match take_down {
                TakeDown::Api { permission } => format!("by API, with the permission `{permission}`"),
                TakeDown::ByHand { how } => format!("by hand. {how}"),
            };
            let _ = writeln!(page, "| {} | `{name}` | {how} |", entry.platform.title);
        }
    }
    page
}

/// The networks that something can be published to.
fn takers() -> impl Iterator<Item = &'static Entry> {
    NETWORKS.iter().filter(|entry| !entry.platform.surfaces.is_empty())
}

fn first_comment(takes: &Comments) -> String {
    let most =
        |most: Option<usize>, what: &str| most.map_or_else(String::new, |most| format!(", {most} {what}"));
    let (tags, mentions) = (most(takes.hashtags, "hashtags"), most(takes.mentions, "mentions"));
    format!("at most {} characters{tags}{mentions}, under {}", takes.length.most, code(takes.under))
}

fn rows(page: &mut String, title: &str, surface: &Surface) {
    let kinds: Vec<&str> = surface.kinds.iter().copied().map(PostKind::word).collect();
    let head = format!("| {title} | `{}` | {} |", surface.name, code(&kinds));
    match &surface.takes {
        Takes::Words => _ = writeln!(page, "{head} none: words | | | | | |"),
        Takes::Link => _ = writeln!(page, "{head} none: words and a link | | | | | |"),
        Takes::Files(files) => {
            for rule in files.rules {
                let _ = writeln!(page, "{head} {} | {}", count(files), columns(rule));
            }
        }
    }
}

fn count(files: &Files) -> String {
    if files.least == files.most {
        files.most.to_string()
    } else {
        format!("{} to {}", files.least, files.most)
    }
}

fn columns(rule: &MediaRule) -> String {
    let width = match (rule.least_width, rule.most_width) {
        (least, u32::MAX) => format!("from {least} px"),
        (least, most) => format!("{least} to {most} px"),
    };
    let ratio =
        rule.ratio.map_or_else(|| "any".to_owned(), |(least, most)| format!("{least:.2} to {most:.2}"));
    let length = match (rule.least_duration_ms, rule.most_duration_ms) {
        (None, None) => String::new(),
        (Some(least), None) => format!("from {}", seconds(least)),
        (None, Some(most)) => format!("to {}", seconds(most)),
        (Some(least), Some(most)) => format!("{} to {}", seconds(least), seconds(most)),
    };
    let made: Vec<&str> = rule.renders.iter().copied().filter(|it| !rule.types.contains(it)).collect();
    let made = if made.is_empty() { String::new() } else { format!("; made of {}", code(&made)) };
    format!("{}{made} | {} | {width} | {ratio} | {length} |", code(rule.types), size(rule.most_bytes))
}

/// In the largest unit that makes no more than three decimals.
fn size(bytes: u64) -> String {
    let scaled = |unit: u64, name: &str| {
        let thousandths = bytes.is_multiple_of(unit / 1000).then_some(bytes / (unit / 1000))?;
        let (whole, rest) = (thousandths / 1000, thousandths % 1000);
        let decimals = format!("{rest:03}");
        let decimals = decimals.trim_end_matches('0');
        let dot = if decimals.is_empty() { "" } else { "." };
        (whole > 0).then(|| format!("{whole}{dot}{decimals} {name}"))
    };
    let binary = |unit: u64, name: &str| {
        (bytes >= unit && bytes.is_multiple_of(unit)).then(|| format!("{} {name}", bytes / unit))
    };
    binary(1 << 30, "GiB")
        .or_else(|| binary(1 << 20, "MiB"))
        .or_else(|| scaled(1_000_000_000, "GB"))
        .or_else(|| scaled(1_000_000, "MB"))
        .unwrap_or_else(|| format!("{bytes} B"))
}

fn seconds(milliseconds: u64) -> String {
    let (whole, rest) = (milliseconds / 1000, milliseconds % 1000);
    if rest == 0 { format!("{whole} s") } else { format!("{whole}.{rest:03} s") }
}

fn code(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use jobs::surface::{Draft, Shape};

    use super::*;

    /// What stands between the lines of the README.
    fn written() -> Option<&'static str> {
        let readme = include_str!("../../README.md");
        let (_, rest) = readme.split_once(BEGIN)?;
        rest.split_once(END).map(|(table, _)| table.trim())
    }

    #[test]
    fn the_readme_has_the_table_that_the_rules_make() {
        let written = written().expect("README.md has a place for the table");
        assert_eq!(written, markdown().trim(), "renew it: put what `postroom capabilities` prints there");
    }

    #[test]
    fn sizes_and_lengths_are_said_exactly() {
        let sizes = [8_000_000, 8 << 20, 4_294_967_296, 1_500_000_000, 10_000_001].map(size);
        assert_eq!(sizes, ["8 MB", "8 MiB", "4 GiB", "1.5 GB", "10000001 B"]);
        assert_eq!([600_000, 2_500].map(seconds), ["600 s", "2.500 s"]);
    }

    /// A file that keeps a rule.
    fn good(rule: &MediaRule, content_type: &str) -> Shape {
        let width = rule.least_width.max(1080).min(rule.most_width);
        let (least, most) = rule.ratio.unwrap_or((0.1, 10.0));
        let ratio = 1.0_f64.clamp(least, most);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small picture")]
        let height = (f64::from(width) / ratio).round() as u32;
        let film = content_type.starts_with("video/");
        let length = rule.least_duration_ms.unwrap_or(1_000).max(1_000);
        let length = rule.most_duration_ms.map_or(length, |most| length.min(most));
        Shape {
            content_type: content_type.to_owned(),
            bytes: rule.most_bytes,
            width,
            height,
            duration_ms: film.then_some(length),
        }
    }

    fn draft<'a>(platform: &Platform, kind: PostKind, surface: &Surface, media: &'a [Shape]) -> Draft<'a> {
        Draft {
            kind,
            caption: "words",
            link: matches!(surface.takes, Takes::Link).then_some("https://example.com/"),
            media,
            privacy_level: platform.privacy_levels.first().copied(),
        }
    }

    fn codes(platform: &Platform, draft: &Draft<'_>) -> Vec<&'static str> {
        let found = platform.place(draft).err().unwrap_or_default();
        found.iter().map(|finding| finding.code).collect()
    }

    /// So many files that keep a rule of a surface.
    fn files(files: &Files, rule: &MediaRule, content_type: &str, many: usize) -> Vec<Shape> {
        debug_assert!(files.least <= files.most, "a surface takes something");
        vec![good(rule, content_type); many]
    }

    /// Every surface of every network, for each kind that it serves and each type that it takes; with nothing, where it
    /// takes no files.
    fn each(
        mut look: impl FnMut(&'static Platform, &'static Surface, PostKind, Option<(&Files, &MediaRule, &str)>),
    ) {
        for platform in NETWORKS.iter().map(|entry| entry.platform) {
            for surface in platform.surfaces {
                for kind in surface.kinds {
                    match surface.files() {
                        None => look(platform, surface, *kind, None),
                        Some(takes) => {
                            for rule in takes.rules {
                                for content_type in rule.types {
                                    look(platform, surface, *kind, Some((takes, rule, content_type)));
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_keeps_every_rule_of_a_surface_is_placed_on_it() {
        let mut looked = 0;
        each(|platform, surface, kind, file| {
            let media = file.map(|(takes, rule, of)| files(takes, rule, of, takes.most)).unwrap_or_default();
            let placed = platform.place(&draft(platform, kind, surface, &media));
            let placed = placed.map(|placed| placed.name).map_err(|found| format!("{found:?}"));
            assert_eq!(placed.as_deref(), Ok(surface.name), "{} {kind:?} {file:?}", platform.title);
            looked += 1;
        });
        assert!(looked > NETWORKS.len());
    }

    #[test]
    fn every_rule_about_a_file_is_broken_once_and_found() {
        let mut broken = std::collections::BTreeSet::new();
        each(|platform, surface, kind, file| {
            let Some((takes, rule, of)) = file else { return };
            let mut breaks = |code: &'static str, change: &dyn Fn(&mut Shape)| {
                let least = if kind == PostKind::Carousel { 2 } else { 1 };
                let mut media = files(takes, rule, of, takes.least.max(least));
                change(&mut media[0]);
                let found = codes(platform, &draft(platform, kind, surface, &media));
                assert!(
                    found.contains(&code),
                    "{} {} {of}: {found:?} and not {code}",
                    platform.title,
                    surface.name
                );
                broken.insert(code);
            };
            // of what is too large a smaller picture is made
            let shrinks = of.starts_with("image/") && rule.renders.contains(&of);
            if !shrinks {
                breaks("media_too_large", &|file| file.bytes = rule.most_bytes + 1);
            }
            if rule.least_width > 0 {
                breaks("media_width", &|file| file.width = rule.least_width - 1);
            }
            if rule.most_width < u32::MAX && !shrinks {
                breaks("media_width", &|file| file.width = rule.most_width + 1);
            }
            if rule.ratio.is_some() {
                breaks("media_ratio", &|file| file.height = file.width * 100);
                breaks("media_ratio", &|file| file.height = 1);
            }
            if let Some(least) = rule.least_duration_ms {
                breaks("media_too_short", &|file| file.duration_ms = Some(least - 1));
            }
            if let Some(most) = rule.most_duration_ms {
                breaks("media_too_long", &|file| file.duration_ms = Some(most + 1));
            }
            breaks("media_type", &|file| file.content_type = "application/pdf".to_owned());
        });
        for code in ["media_too_large", "media_width", "media_ratio", "media_too_long", "media_type"] {
            assert!(broken.contains(code), "no network has a rule for {code}");
        }
    }

    #[test]
    fn too_few_and_too_many_files_are_found_on_every_surface() {
        each(|platform, surface, kind, file| {
            let Some((takes, rule, of)) = file else { return };
            // another surface of the kind may take a number that this one does not
            let elsewhere = |many: usize| {
                let of_kind = platform.surfaces.iter().filter(|it| it.kinds.contains(&kind));
                of_kind.filter_map(Surface::files).any(|takes| (takes.least..=takes.most).contains(&many))
            };
            for many in [takes.least - 1, takes.most + 1] {
                let media = files(takes, rule, of, many);
                let found = codes(platform, &draft(platform, kind, surface, &media));
                match many {
                    0 => assert!(found.is_empty() || found.contains(&"media_required"), "{found:?}"),
                    _ if elsewhere(many) => {}
                    _ => assert!(found.contains(&"media_count"), "{} {many}: {found:?}", platform.title),
                }
            }
        });
    }

    #[test]
    fn every_rule_about_words_is_broken_once_and_found() {
        each(|platform, surface, kind, file| {
            let fewest = |takes: &Files| takes.least.max(if kind == PostKind::Carousel { 2 } else { 1 });
            let media =
                file.map(|(takes, rule, of)| files(takes, rule, of, fewest(takes))).unwrap_or_default();
            let of = |caption: &str, privacy_level: Option<&str>| {
                let draft = draft(platform, kind, surface, &media);
                codes(platform, &Draft { caption, privacy_level, ..draft })
            };
            let level = platform.privacy_levels.first().copied();
            let fits = "a".repeat(platform.caption.most);
            assert!(of(&fits, level).is_empty(), "{}", platform.title);
            assert_eq!(of(&format!("{fits}a"), level), ["caption_too_long"], "{}", platform.title);
            if let Some(most) = platform.hashtags {
                assert!(of(&"#a ".repeat(most), level).is_empty());
                assert_eq!(of(&"#a ".repeat(most + 1), level), ["too_many_hashtags"]);
            }
            if let Some(most) = platform.mentions {
                assert!(of(&"@a ".repeat(most), level).is_empty());
                assert_eq!(of(&"@a ".repeat(most + 1), level), ["too_many_mentions"]);
            }
            if level.is_some() {
                assert_eq!(of("words", None), ["privacy_level"]);
                assert_eq!(of("words", Some("EVERYONE_AND_THEIR_DOG")), ["privacy_level"]);
            }
            if matches!(surface.takes, Takes::Words) {
                assert_eq!(of("  ", level), ["empty_post"]);
            }
        });
    }

    #[test]
    fn kinds_that_a_network_does_not_take_are_refused() {
        for platform in NETWORKS.iter().map(|entry| entry.platform) {
            for kind in PostKind::ALL {
                let takes = platform.surfaces.iter().any(|surface| surface.kinds.contains(kind));
                let draft = Draft {
                    kind: *kind,
                    caption: "words",
                    link: None,
                    media: &[],
                    privacy_level: platform.privacy_levels.first().copied(),
                };
                assert_eq!(
                    codes(platform, &draft).contains(&"kind_unsupported"),
                    !takes,
                    "{} {kind:?}",
                    platform.title
                );
            }
        }
    }

    /// 2,200 characters that are two UTF-16 units each, and 31 hashtags: where the limits of the networks differ.
    #[test]
    fn emoji_and_hashtags_are_counted_as_each_network_counts() {
        let (emoji, tags) = ("🥐".repeat(2_200), "#bread ".repeat(31));
        for platform in NETWORKS.iter().map(|entry| entry.platform) {
            let length = match platform.caption.unit {
                CaptionUnit::Characters => 2_200,
                CaptionUnit::Utf16 => 4_400,
            };
            assert_eq!(platform.caption.length(&emoji), length, "{}", platform.title);
            let of = |caption: &str| {
                let draft = Draft {
                    kind: PostKind::Post,
                    caption,
                    link: None,
                    media: &[],
                    privacy_level: platform.privacy_levels.first().copied(),
                };
                codes(platform, &draft)
            };
            assert_eq!(
                of(&emoji).contains(&"caption_too_long"),
                length > platform.caption.most,
                "{}",
                platform.title
            );
            let most = platform.hashtags.unwrap_or(usize::MAX);
            assert_eq!(of(&tags).contains(&"too_many_hashtags"), 31 > most, "{}", platform.title);
        }
        let refuses = |name: &str, caption: &str| {
            let platform =
                NETWORKS.iter().find(|entry| entry.platform.name == name).expect("it is there").platform;
            let found = platform.place(&Draft {
                kind: PostKind::Post,
                caption,
                link: None,
                media: &[],
                privacy_level: platform.privacy_levels.first().copied(),
            });
            found.err().unwrap_or_default().iter().any(|finding| finding.field == "caption")
        };
        assert_eq!(
            ["facebook_page", "instagram_business", "tiktok"].map(|it| refuses(it, &emoji)),
            [false, false, true]
        );
        assert_eq!(
            ["facebook_page", "instagram_business", "tiktok"].map(|it| refuses(it, &tags)),
            [false, true, false]
        );
    }
}
