//! The surfaces that chaos posts to.

use crate::harness::{FACEBOOK, INSTAGRAM, TIKTOK};

/// Where a post can go, as `--surface` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Surface {
    /// Words on a Page.
    FacebookText,
    /// A link on a Page.
    FacebookLink,
    /// A picture on a Page.
    FacebookPhoto,
    /// A picture on Instagram.
    InstagramImage,
    /// A film on Instagram.
    InstagramReel,
    /// A picture and a film on Instagram.
    InstagramCarousel,
    /// A picture on Instagram, for a day.
    InstagramStory,
    /// A film on TikTok.
    TiktokVideo,
}

/// What a post carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Words alone.
    Words,
    /// A link.
    Link,
    /// A picture.
    Picture,
    /// A film.
    Film,
    /// A picture and a film.
    Slides,
    /// A picture, which says nothing.
    Story,
}

impl Shape {
    /// The kind that is asked for.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Words | Self::Link | Self::Picture | Self::Film => "post",
            Self::Slides => "carousel",
            Self::Story => "story",
        }
    }
}

impl Surface {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::FacebookText,
        Self::FacebookLink,
        Self::FacebookPhoto,
        Self::InstagramImage,
        Self::InstagramReel,
        Self::InstagramCarousel,
        Self::InstagramStory,
        Self::TiktokVideo,
    ];

    /// Its platform and its name there.
    pub const fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::FacebookText => (FACEBOOK, "text"),
            Self::FacebookLink => (FACEBOOK, "link"),
            Self::FacebookPhoto => (FACEBOOK, "photo"),
            Self::InstagramImage => (INSTAGRAM, "image"),
            Self::InstagramReel => (INSTAGRAM, "reel"),
            Self::InstagramCarousel => (INSTAGRAM, "carousel"),
            Self::InstagramStory => (INSTAGRAM, "story"),
            Self::TiktokVideo => (TIKTOK, "video"),
        }
    }

    /// What a post to it carries.
    pub const fn shape(self) -> Shape {
        match self {
            Self::FacebookText => Shape::Words,
            Self::FacebookLink => Shape::Link,
            Self::FacebookPhoto | Self::InstagramImage => Shape::Picture,
            Self::InstagramCarousel => Shape::Slides,
            Self::InstagramStory => Shape::Story,
            Self::InstagramReel | Self::TiktokVideo => Shape::Film,
        }
    }

    /// Those that a name means: `tiktok/video`, or all of `facebook_page`.
    pub fn named(name: &str) -> Vec<Self> {
        let means = |surface: &Self| {
            let (platform, one) = surface.name();
            name == platform || name == format!("{platform}/{one}")
        };
        Self::ALL.iter().copied().filter(means).collect()
    }
}

#[test]
fn every_surface_of_every_network_is_put_to_the_test() {
    for network in postroom::networks::NETWORKS {
        for surface in network.platform.surfaces {
            let name = (network.platform.name, surface.name);
            assert!(Surface::ALL.iter().any(|it| it.name() == name), "{name:?} is not part of chaos");
        }
    }
}
