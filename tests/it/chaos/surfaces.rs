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
    /// Several pictures on a Page.
    FacebookPhotos,
    /// A film on a Page.
    FacebookVideo,
    /// A reel of a Page.
    FacebookReel,
    /// A picture told as a story of a Page.
    FacebookPictureStory,
    /// A film told as a story of a Page.
    FacebookFilmStory,
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
    /// A picture on TikTok, which fetches it from us.
    TiktokPhotos,
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
    /// Several pictures to leaf through.
    Pictures,
    /// A film.
    Film,
    /// A film that is a reel.
    Reel,
    /// A picture and a film to leaf through.
    Slides,
    /// A picture for a day.
    PictureStory,
    /// A film for a day.
    FilmStory,
}

impl Shape {
    /// The kind of such a post.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Words | Self::Link | Self::Picture | Self::Film => "post",
            Self::Pictures | Self::Slides => "carousel",
            Self::Reel => "reel",
            Self::PictureStory | Self::FilmStory => "story",
        }
    }

    /// Whether it shows no words, so that it is known by its calls alone.
    pub fn is_story(self) -> bool {
        self.kind() == "story"
    }
}

impl Surface {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::FacebookText,
        Self::FacebookLink,
        Self::FacebookPhoto,
        Self::FacebookPhotos,
        Self::FacebookVideo,
        Self::FacebookReel,
        Self::FacebookPictureStory,
        Self::FacebookFilmStory,
        Self::InstagramImage,
        Self::InstagramReel,
        Self::InstagramCarousel,
        Self::InstagramStory,
        Self::TiktokVideo,
        Self::TiktokPhotos,
    ];

    /// Its platform and its name there.
    pub const fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::FacebookText => (FACEBOOK, "text"),
            Self::FacebookLink => (FACEBOOK, "link"),
            Self::FacebookPhoto => (FACEBOOK, "photo"),
            Self::FacebookPhotos => (FACEBOOK, "photos"),
            Self::FacebookVideo => (FACEBOOK, "video"),
            Self::FacebookReel => (FACEBOOK, "reel"),
            Self::FacebookPictureStory | Self::FacebookFilmStory => (FACEBOOK, "story"),
            Self::InstagramImage => (INSTAGRAM, "image"),
            Self::InstagramReel => (INSTAGRAM, "reel"),
            Self::InstagramCarousel => (INSTAGRAM, "carousel"),
            Self::InstagramStory => (INSTAGRAM, "story"),
            Self::TiktokVideo => (TIKTOK, "video"),
            Self::TiktokPhotos => (TIKTOK, "photos"),
        }
    }

    /// What a post to it carries.
    pub const fn shape(self) -> Shape {
        match self {
            Self::FacebookText => Shape::Words,
            Self::FacebookLink => Shape::Link,
            Self::FacebookPhoto | Self::InstagramImage | Self::TiktokPhotos => Shape::Picture,
            Self::FacebookPhotos => Shape::Pictures,
            Self::FacebookReel => Shape::Reel,
            Self::FacebookPictureStory | Self::InstagramStory => Shape::PictureStory,
            Self::FacebookFilmStory => Shape::FilmStory,
            Self::InstagramCarousel => Shape::Slides,
            Self::FacebookVideo | Self::InstagramReel | Self::TiktokVideo => Shape::Film,
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
