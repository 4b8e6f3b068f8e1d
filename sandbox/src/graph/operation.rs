//! What a Graph call means, told from its method, its path and the objects that exist.

use http::Method;

use super::{Asked, ads, header_text};
use crate::calls::{Call, Phase};
use crate::effects::Effect;
use crate::model::{Network, Video, VideoKind};
use crate::state::Sandbox;
use crate::world::World;

/// Every call that the stand-in knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Feed { page: String },
    Photos { page: String },
    PublishPost { post: String },
    EditPost { post: String },
    Delete { object: String },
    DeleteMedia { media: String },
    ReadPost { post: String },
    PublishedPosts { page: String },
    PageFeed { page: String },
    UnpublishedPosts { page: String },
    ScheduledPosts { page: String },
    WholeVideo { page: String },
    StartVideo { page: String, kind: VideoKind },
    TransferVideo { page: String },
    UploadVideo { video: String },
    FinishVideo { page: String, kind: VideoKind },
    ReadVideo { video: String },
    PhotoStory { page: String },
    Stories { page: String },
    CreateComment { object: String },
    ListComments { object: String },
    ReadComment { comment: String },
    Insights { object: String },
    AdInsights { object: String },
    BeginReport { object: String },
    ReadReport { report: String },
    ReadAdAccount { account: String },
    MyAdAccounts,
    ReadAccount { account: String },
    Me,
    MyPages,
    MyBusinesses,
    BusinessPages { business: String },
    DebugToken,
    Exchange,
    Permissions,
    RevokePermissions,
    CreateContainer { account: String },
    FillContainer { container: String },
    ReadContainer { container: String },
    MediaPublish { account: String },
    ReadMedia { media: String },
    ListMedia { account: String },
    ListIgStories { account: String },
    PublishingLimit { account: String },
    Nothing { object: String },
}

impl Operation {
    /// Understands a call.
    pub fn of(sandbox: &Sandbox, asked: &Asked) -> Self {
        let book = sandbox.book();
        let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
        match (&asked.method, path.as_slice()) {
            (&Method::POST, ["rupload", "video-upload", _, video]) => {
                Self::UploadVideo { video: (*video).into() }
            }
            (&Method::POST, ["rupload", "ig-api-upload", _, container]) => {
                Self::FillContainer { container: (*container).into() }
            }
            (&Method::GET | &Method::POST, ["oauth", "access_token"]) => Self::Exchange,
            (&Method::GET, ["debug_token"]) => Self::DebugToken,
            (&Method::GET, ["me"]) => Self::Me,
            (&Method::GET, ["me", "accounts"]) => Self::MyPages,
            (&Method::GET, ["me", "businesses"]) => Self::MyBusinesses,
            (&Method::GET, ["me", "adaccounts"]) => Self::MyAdAccounts,
            (&Method::GET, [business, "owned_pages" | "client_pages"]) => {
                Self::BusinessPages { business: format!("{business}/{}", path[1]) }
            }
            (&Method::GET, [_, "permissions"]) => Self::Permissions,
            (&Method::DELETE, [_, "permissions"]) => Self::RevokePermissions,
            (&Method::GET, [id, "insights"]) if ads::knows(&book.world.settings, id) => {
                Self::AdInsights { object: (*id).into() }
            }
            (&Method::POST, [id, "insights"]) if ads::knows(&book.world.settings, id) => {
                Self::BeginReport { object: (*id).into() }
            }
            (&Method::POST, [id]) => Self::update((*id).into(), asked),
            (&Method::DELETE, [id]) => Self::delete((*id).into(), &book.world),
            (&Method::GET, [id]) => Self::read((*id).into(), &book.world),
            (&Method::POST, [id, edge]) => Self::create(&book.world, id, edge, asked),
            (&Method::GET, [id, "insights"]) => Self::Insights { object: (*id).into() },
            (&Method::GET, [id, edge]) => Self::list(&book.world, id, edge),
            (_, path) => Self::Nothing { object: path.join("/") },
        }
    }

    fn update(id: String, asked: &Asked) -> Self {
        if asked.params.flag("is_published").is_some() {
            Self::PublishPost { post: id }
        } else {
            Self::EditPost { post: id }
        }
    }

    /// What is gone keeps its network.
    fn delete(id: String, world: &World) -> Self {
        let of_instagram = |effect: &Effect| effect.platform == Network::InstagramBusiness;
        if world.effect_of(&id).is_some_and(of_instagram) {
            Self::DeleteMedia { media: id }
        } else {
            Self::Delete { object: id }
        }
    }

    fn read(id: String, world: &World) -> Self {
        if world.accounts.contains_key(&id) {
            Self::ReadAccount { account: id }
        } else if world.containers.contains_key(&id) {
            Self::ReadContainer { container: id }
        } else if world.media.contains_key(&id) {
            Self::ReadMedia { media: id }
        } else if world.videos.contains_key(&id) {
            Self::ReadVideo { video: id }
        } else if world.comments.contains_key(&id) {
            Self::ReadComment { comment: id }
        } else if ads::is_report(&id) {
            Self::ReadReport { report: id }
        } else if id.starts_with("act_") {
            Self::ReadAdAccount { account: id }
        } else if id.contains('_') {
            Self::ReadPost { post: id }
        } else {
            Self::Nothing { object: id }
        }
    }

    fn create(world: &World, id: &str, edge: &str, asked: &Asked) -> Self {
        let (page, account) = (id.to_owned(), id.to_owned());
        match (kind_of(world, id), edge) {
            (Some(Network::FacebookPage), "feed") => Self::Feed { page },
            (Some(Network::FacebookPage), "photos") => Self::Photos { page },
            (Some(Network::FacebookPage), "photo_stories") => Self::PhotoStory { page },
            (Some(Network::FacebookPage), "videos") => match asked.params.word("upload_phase").as_deref() {
                None => Self::WholeVideo { page },
                Some("transfer") => Self::TransferVideo { page },
                Some(_) => Self::phase_of(page, VideoKind::Video, asked),
            },
            (Some(Network::FacebookPage), "video_reels") => Self::phase_of(page, VideoKind::Reel, asked),
            (Some(Network::FacebookPage), "video_stories") => Self::phase_of(page, VideoKind::Story, asked),
            (Some(Network::InstagramBusiness), "media") => Self::CreateContainer { account },
            (Some(Network::InstagramBusiness), "media_publish") => Self::MediaPublish { account },
            (None, "comments") => Self::CreateComment { object: page },
            (_, edge) => Self::Nothing { object: format!("{id}/{edge}") },
        }
    }

    fn phase_of(page: String, kind: VideoKind, asked: &Asked) -> Self {
        match asked.params.word("upload_phase").as_deref() {
            Some("finish") => Self::FinishVideo { page, kind },
            Some(_) | None => Self::StartVideo { page, kind },
        }
    }

    fn list(world: &World, id: &str, edge: &str) -> Self {
        let (page, account) = (id.to_owned(), id.to_owned());
        match (kind_of(world, id), edge) {
            (Some(Network::FacebookPage), "feed" | "posts") => Self::PageFeed { page },
            (Some(Network::FacebookPage), "published_posts") => Self::PublishedPosts { page },
            (Some(Network::FacebookPage), "promotable_posts") => Self::UnpublishedPosts { page },
            (Some(Network::FacebookPage), "scheduled_posts") => Self::ScheduledPosts { page },
            (Some(Network::FacebookPage), "stories") => Self::Stories { page },
            (Some(Network::InstagramBusiness), "media") => Self::ListMedia { account },
            (Some(Network::InstagramBusiness), "stories") => Self::ListIgStories { account },
            (None, "comments") => Self::ListComments { object: page },
            (Some(Network::InstagramBusiness), "content_publishing_limit") => {
                Self::PublishingLimit { account }
            }
            (_, edge) => Self::Nothing { object: format!("{id}/{edge}") },
        }
    }

    /// The name by which fault rules call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Feed { .. } => "feed",
            Self::Photos { .. } => "photos",
            Self::PublishPost { .. } => "publish_post",
            Self::EditPost { .. } => "edit_post",
            Self::Delete { .. } => "delete_post",
            Self::DeleteMedia { .. } => "media_delete",
            Self::ReadPost { .. } => "post",
            Self::PublishedPosts { .. } => "published_posts",
            Self::PageFeed { .. } => "page_feed",
            Self::UnpublishedPosts { .. } | Self::ScheduledPosts { .. } => "unpublished_posts",
            Self::WholeVideo { .. } => "videos",
            Self::StartVideo { kind, .. } | Self::FinishVideo { kind, .. } => match kind {
                VideoKind::Video => "videos",
                VideoKind::Reel => "video_reels",
                VideoKind::Story => "video_stories",
            },
            Self::UploadVideo { .. } | Self::TransferVideo { .. } => "video_upload",
            Self::ReadVideo { .. } => "video",
            Self::PhotoStory { .. } => "photo_stories",
            Self::Stories { .. } | Self::ListIgStories { .. } => "stories",
            Self::CreateComment { .. } => "comments",
            Self::ListComments { .. } => "comment_list",
            Self::ReadComment { .. } => "comment",
            Self::Insights { .. } => "insights",
            Self::AdInsights { .. } | Self::BeginReport { .. } | Self::ReadReport { .. } => "ads_insights",
            Self::ReadAdAccount { .. } | Self::MyAdAccounts => "ad_accounts",
            Self::ReadAccount { .. } => "page",
            Self::Me | Self::MyPages | Self::MyBusinesses | Self::BusinessPages { .. } => "me",
            Self::DebugToken => "debug_token",
            Self::Exchange => "oauth",
            Self::Permissions | Self::RevokePermissions => "permissions",
            Self::CreateContainer { .. } => "media",
            Self::FillContainer { .. } => "container_upload",
            Self::ReadContainer { .. } => "container_status",
            Self::MediaPublish { .. } => "media_publish",
            Self::ReadMedia { .. } => "media_read",
            Self::ListMedia { .. } => "media_list",
            Self::PublishingLimit { .. } => "publishing_limit",
            Self::Nothing { .. } => "unknown",
        }
    }

    fn phase(&self, asked: &Asked) -> Phase {
        match self {
            Self::Feed { .. } | Self::Photos { .. } | Self::WholeVideo { .. } => {
                if asked.params.flag("published") == Some(false) { Phase::Prepare } else { Phase::Commit }
            }
            Self::PublishPost { .. }
            | Self::FinishVideo { .. }
            | Self::PhotoStory { .. }
            | Self::CreateComment { .. }
            | Self::MediaPublish { .. } => Phase::Commit,
            Self::StartVideo { .. }
            | Self::TransferVideo { .. }
            | Self::UploadVideo { .. }
            | Self::CreateContainer { .. }
            | Self::FillContainer { .. } => Phase::Prepare,
            Self::EditPost { .. }
            | Self::Delete { .. }
            | Self::DeleteMedia { .. }
            | Self::RevokePermissions
            | Self::Exchange => Phase::Manage,
            Self::ReadPost { .. }
            | Self::PublishedPosts { .. }
            | Self::PageFeed { .. }
            | Self::UnpublishedPosts { .. }
            | Self::ScheduledPosts { .. }
            | Self::ReadVideo { .. }
            | Self::Stories { .. }
            | Self::ListComments { .. }
            | Self::ReadComment { .. }
            | Self::Insights { .. }
            | Self::AdInsights { .. }
            // what is made of it is a copy of what can be read
            | Self::BeginReport { .. }
            | Self::ReadReport { .. }
            | Self::ReadAdAccount { .. }
            | Self::MyAdAccounts
            | Self::ReadAccount { .. }
            | Self::Me
            | Self::MyPages
            | Self::MyBusinesses
            | Self::BusinessPages { .. }
            | Self::DebugToken
            | Self::Permissions
            | Self::ReadContainer { .. }
            | Self::ReadMedia { .. }
            | Self::ListMedia { .. }
            | Self::ListIgStories { .. }
            | Self::PublishingLimit { .. } => Phase::Observe,
            Self::Nothing { .. } => {
                if asked.method == Method::GET {
                    Phase::Observe
                } else {
                    Phase::Manage
                }
            }
        }
    }

    /// The call as the gate sees it.
    pub fn call(&self, sandbox: &Sandbox, asked: &Asked, path: String) -> Call {
        let book = sandbox.book();
        let (account, handle) = self.objects(&book.world, asked);
        // an exchange has no words: what tells it from another is of which kind it is
        let caption = ["message", "caption", "description", "grant_type"]
            .iter()
            .find_map(|name| asked.params.text(name))
            .or_else(|| handle.as_deref().and_then(|handle| caption_of(&book.world, handle)));
        let network = account.as_deref().and_then(|account| kind_of(&book.world, account));
        let held = handle.as_deref().map(|handle| files_of(&book.world, handle)).unwrap_or_default();
        let announced = asked.params.text("file_size").map(|size| format!("{size} bytes"));
        Call {
            network: network.or_else(|| self.network()),
            call: self.name(),
            phase: self.phase(asked),
            method: asked.method.to_string(),
            path,
            account,
            handle,
            caption,
            source: source_of(asked),
            files: held.into_iter().chain(announced).collect(),
            call_id: asked.call_id.clone(),
        }
    }

    /// The network of calls whose object does not exist.
    fn network(&self) -> Option<Network> {
        let nobodys = matches!(
            self,
            Self::Nothing { .. }
                | Self::Me
                | Self::MyPages
                | Self::MyBusinesses
                | Self::BusinessPages { .. }
                | Self::DebugToken
                | Self::MyAdAccounts
        );
        let instagrams = matches!(self, Self::FillContainer { .. } | Self::ReadContainer { .. });
        if nobodys {
            None
        } else if instagrams {
            Some(Network::InstagramBusiness)
        } else {
            Some(Network::FacebookPage)
        }
    }

    /// The account and the handle that a call is about.
    fn objects(&self, world: &World, asked: &Asked) -> (Option<String>, Option<String>) {
        match self {
            Self::Feed { page }
            | Self::Photos { page }
            | Self::WholeVideo { page }
            | Self::PublishedPosts { page }
            | Self::PageFeed { page }
            | Self::UnpublishedPosts { page }
            | Self::ScheduledPosts { page }
            | Self::Stories { page } => (Some(page.clone()), None),
            Self::StartVideo { page, .. } | Self::TransferVideo { page } | Self::FinishVideo { page, .. } => {
                (Some(page.clone()), video_of(asked))
            }
            Self::PhotoStory { page } => (Some(page.clone()), asked.params.text("photo_id")),
            Self::PublishPost { post } | Self::EditPost { post } | Self::ReadPost { post } => {
                (world.posts.get(post).map(|post| post.page.clone()), Some(post.clone()))
            }
            Self::Delete { object } | Self::DeleteMedia { media: object } => {
                (owner(world, object), Some(object.clone()))
            }
            Self::CreateComment { object } | Self::ListComments { object } => {
                (commented(world, object), Some(object.clone()))
            }
            Self::ReadComment { comment } => (owner(world, comment), Some(comment.clone())),
            Self::Insights { object } if world.accounts.contains_key(object) => (Some(object.clone()), None),
            Self::Insights { object } => (owner(world, object), Some(object.clone())),
            Self::AdInsights { object } | Self::BeginReport { object } => (None, Some(object.clone())),
            Self::ReadReport { report } => (None, Some(report.clone())),
            Self::ReadAdAccount { account } => (None, Some(account.clone())),
            Self::UploadVideo { video } | Self::ReadVideo { video } => {
                (world.videos.get(video).map(|video| video.page.clone()), Some(video.clone()))
            }
            Self::ReadAccount { account }
            | Self::CreateContainer { account }
            | Self::ListMedia { account }
            | Self::ListIgStories { account }
            | Self::PublishingLimit { account } => (Some(account.clone()), None),
            Self::MediaPublish { account } => (Some(account.clone()), asked.params.text("creation_id")),
            Self::FillContainer { container } | Self::ReadContainer { container } => {
                (world.containers.get(container).map(|it| it.account.clone()), Some(container.clone()))
            }
            Self::ReadMedia { media } => (owner(world, media), container_of(world, media)),
            Self::Exchange => (granted(world, asked), None),
            Self::Me
            | Self::MyPages
            | Self::MyBusinesses
            | Self::BusinessPages { .. }
            | Self::DebugToken
            | Self::MyAdAccounts
            | Self::Permissions
            | Self::RevokePermissions
            | Self::Nothing { .. } => (None, None),
        }
    }
}

/// An account of the person whose token is exchanged.
fn granted(world: &World, asked: &Asked) -> Option<String> {
    let token = asked.params.text("fb_exchange_token")?;
    world.granted_by(&token).next().map(|account| account.external_id.clone())
}

/// The video that a call names, itself or by its upload.
fn video_of(asked: &Asked) -> Option<String> {
    let session = asked.params.text("upload_session_id");
    let of_session = session.as_deref().and_then(Video::of_session).map(str::to_owned);
    asked.params.text("video_id").or(of_session)
}

/// The media that a call names by their address; what signs the address differs from try to try.
fn source_of(asked: &Asked) -> Option<String> {
    let url = ["url", "image_url", "video_url", "file_url"].iter().find_map(|name| asked.params.text(name));
    let url = url.or_else(|| header_text(&asked.headers, "file_url"))?;
    url.split('?').next().map(str::to_owned)
}

fn kind_of(world: &World, id: &str) -> Option<Network> {
    world.accounts.get(id).map(|account| account.platform)
}

fn owner(world: &World, object: &str) -> Option<String> {
    world
        .effect_of(object)
        .map(|effect| effect.account.clone())
        .or_else(|| world.posts.get(object).map(|post| post.page.clone()))
}

/// The account under whose post, or film, something is said.
fn commented(world: &World, object: &str) -> Option<String> {
    owner(world, object).or_else(|| world.videos.get(object).map(|video| video.page.clone()))
}

fn container_of(world: &World, media: &str) -> Option<String> {
    world.media.get(media).map(|media| media.container.clone())
}

/// What is told of the files that a handle holds, or will hold.
fn files_of(world: &World, handle: &str) -> Vec<String> {
    let photo = |id: &String| world.photos.get(id).map(|photo| photo.media.clone());
    let post = world.posts.get(handle).map(|post| post.photos.iter().filter_map(photo).collect::<Vec<_>>());
    let container = world.containers.get(handle).map(|container| container.media.clone());
    let video = world.videos.get(handle).map(|video| {
        let size = video.size.map(|size| format!("{size} bytes"));
        video.media.iter().cloned().chain(size).collect()
    });
    let alone = photo(&handle.to_owned()).map(|media| vec![media]);
    post.or(container).or(video).or(alone).unwrap_or_default()
}

fn caption_of(world: &World, handle: &str) -> Option<String> {
    let post = world.posts.get(handle).map(|post| post.message.clone());
    let video = || Some(world.videos.get(handle)?.finished.as_ref()?.caption.clone());
    post.or_else(|| world.containers.get(handle).map(|container| container.caption.clone())).or_else(video)
}
