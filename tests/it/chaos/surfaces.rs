//! The surfaces that chaos posts to.

use std::collections::BTreeSet;

use crate::harness::{FACEBOOK, INSTAGRAM, TIKTOK};

/// Where a post can go.
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
    FacebookPhotoStory,
    /// A film told as a story of a Page.
    FacebookVideoStory,
    /// A picture on Instagram.
    InstagramImage,
    /// A film on Instagram.
    InstagramReel,
    /// A picture and a film on Instagram.
    InstagramCarousel,
    /// A picture on Instagram, for a day.
    InstagramImageStory,
    /// A film on Instagram, for a day.
    InstagramVideoStory,
    /// A film on TikTok.
    TiktokVideo,
    /// Pictures on TikTok, which fetches them from us.
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

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A picture.
    Picture,
    /// A film.
    Film,
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

    /// Its files, in order.
    pub const fn files(self) -> &'static [Sort] {
        match self {
            Self::Words | Self::Link => &[],
            Self::Picture | Self::PictureStory => &[Sort::Picture],
            Self::Pictures => &[Sort::Picture, Sort::Picture],
            Self::Film | Self::Reel | Self::FilmStory => &[Sort::Film],
            Self::Slides => &[Sort::Picture, Sort::Film],
        }
    }

    /// Whether it shows no words, so that it is known by its file alone.
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
        Self::FacebookPhotoStory,
        Self::FacebookVideoStory,
        Self::InstagramImage,
        Self::InstagramReel,
        Self::InstagramCarousel,
        Self::InstagramImageStory,
        Self::InstagramVideoStory,
        Self::TiktokVideo,
        Self::TiktokPhotos,
    ];

    /// Its platform.
    pub const fn platform(self) -> &'static str {
        match self {
            Self::FacebookText
            | Self::FacebookLink
            | Self::FacebookPhoto
            | Self::FacebookPhotos
            | Self::FacebookVideo
            | Self::FacebookReel
            | Self::FacebookPhotoStory
            | Self::FacebookVideoStory => FACEBOOK,
            Self::InstagramImage
            | Self::InstagramReel
            | Self::InstagramCarousel
            | Self::InstagramImageStory
            | Self::InstagramVideoStory => INSTAGRAM,
            Self::TiktokVideo | Self::TiktokPhotos => TIKTOK,
        }
    }

    /// A word for it that no other of its platform has: stories of pictures and of films take different ways there.
    const fn word(self) -> &'static str {
        match self {
            Self::FacebookText => "text",
            Self::FacebookLink => "link",
            Self::FacebookPhoto => "photo",
            Self::FacebookPhotos | Self::TiktokPhotos => "photos",
            Self::FacebookVideo | Self::TiktokVideo => "video",
            Self::FacebookReel | Self::InstagramReel => "reel",
            Self::FacebookPhotoStory => "photo_story",
            Self::FacebookVideoStory | Self::InstagramVideoStory => "video_story",
            Self::InstagramImage => "image",
            Self::InstagramCarousel => "carousel",
            Self::InstagramImageStory => "image_story",
        }
    }

    /// What reports and `--surface` call it.
    pub fn label(self) -> String {
        format!("{}/{}", self.platform(), self.word())
    }

    /// Its platform, and what the ledger calls it there.
    pub fn name(self) -> (&'static str, &'static str) {
        (self.platform(), if self.shape().is_story() { "story" } else { self.word() })
    }

    /// What a post to it carries.
    pub const fn shape(self) -> Shape {
        match self {
            Self::FacebookText => Shape::Words,
            Self::FacebookLink => Shape::Link,
            Self::FacebookPhoto | Self::InstagramImage => Shape::Picture,
            Self::FacebookPhotos | Self::TiktokPhotos => Shape::Pictures,
            Self::FacebookReel => Shape::Reel,
            Self::FacebookPhotoStory | Self::InstagramImageStory => Shape::PictureStory,
            Self::FacebookVideoStory | Self::InstagramVideoStory => Shape::FilmStory,
            Self::InstagramCarousel => Shape::Slides,
            Self::FacebookVideo | Self::InstagramReel | Self::TiktokVideo => Shape::Film,
        }
    }

    /// Whether no read of the network proves that a post to it is absent.
    pub fn one_shot(self) -> bool {
        let (platform, name) = self.name();
        let mut surfaces = postroom::networks::NETWORKS.iter().flat_map(|network| {
            network.platform.surfaces.iter().map(|surface| (network.platform.name, surface))
        });
        surfaces.any(|(of, surface)| of == platform && surface.name == name && surface.one_shot)
    }

    /// Whether the network deletes what was made ready, and afterwards does not even say that it was there.
    pub const fn forgets(self) -> bool {
        matches!(self, Self::FacebookText | Self::FacebookLink | Self::FacebookPhoto | Self::FacebookPhotos)
    }

    /// Those that a name means: `tiktok/video`, both stories of `facebook_page/story`, or all of `facebook_page`.
    pub fn named(name: &str) -> Vec<Self> {
        let means = |surface: &Self| {
            let (platform, one) = surface.name();
            name == platform || name == format!("{platform}/{one}") || name == surface.label()
        };
        Self::ALL.iter().copied().filter(means).collect()
    }
}

#[test]
fn every_surface_of_every_network_is_put_to_the_test_with_each_sort_of_file_that_it_takes() {
    for network in postroom::networks::NETWORKS {
        for surface in network.platform.surfaces {
            let name = (network.platform.name, surface.name);
            let here: Vec<Surface> =
                Surface::ALL.iter().copied().filter(|surface| surface.name() == name).collect();
            assert!(!here.is_empty(), "{name:?} is not part of chaos");
            let types = surface.files().map_or(&[][..], |files| files.rules).iter().flat_map(|it| it.types);
            let sort = |kind: &&str| if kind.starts_with("video/") { Sort::Film } else { Sort::Picture };
            let taken: BTreeSet<Sort> = types.map(sort).collect();
            let sent = here.iter().flat_map(|surface| surface.shape().files()).copied().collect();
            assert_eq!(taken, sent, "{name:?}");
        }
    }
}

#[test]
fn every_surface_has_a_name_of_its_own() {
    for surface in Surface::ALL {
        assert_eq!(Surface::named(&surface.label()), [*surface]);
    }
    assert_eq!(Surface::named("facebook_page/story").len(), 2);
    assert_eq!(Surface::named(TIKTOK), [Surface::TiktokVideo, Surface::TiktokPhotos]);
}
