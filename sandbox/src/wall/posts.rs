//! Posts as the wall shows them.

use chrono::TimeDelta;

use crate::effects::Effect;
use crate::model::{Network, VideoKind};
use crate::state::{Book, Sandbox};

/// How long a story is shown.
const STORY: TimeDelta = TimeDelta::hours(24);

/// One account with the newest of its posts.
#[derive(Debug)]
pub struct AccountView {
    /// Its place on the wall: by network, then by id.
    pub order: Network,
    /// The external id.
    pub id: String,
    /// The network as the API writes it.
    pub platform: &'static str,
    /// The network as people write it.
    pub network: &'static str,
    /// The account's name.
    pub name: String,
    /// How many posts it has in all.
    pub total: usize,
    /// The posts, newest first.
    pub posts: Vec<PostView>,
    /// Where the older ones are.
    pub older: Option<String>,
}

/// One post.
#[derive(Debug)]
pub struct PostView {
    /// Its text.
    pub caption: String,
    /// The link it shares, if it is one that a browser should follow.
    pub link: Option<String>,
    /// Its media.
    pub media: Vec<MediaView>,
    /// What else is to be said of it.
    pub badges: Vec<&'static str>,
    /// What is said under it, oldest first.
    pub comments: Vec<CommentView>,
    /// The path of its own page.
    pub permalink: String,
    /// When it became public, for machines.
    pub datetime: String,
    /// When it became public, for people.
    pub time: String,
}

/// What somebody said under a post.
#[derive(Debug, Clone)]
pub struct CommentView {
    /// Who.
    pub name: String,
    /// What.
    pub words: String,
}

/// One picture or video.
#[derive(Debug)]
pub struct MediaView {
    /// Its name in the store.
    pub sha256: String,
    /// Whether it moves.
    pub video: bool,
}

/// An account's posts before a place in the log, `count` at most.
pub async fn account(sandbox: &Sandbox, id: &str, before: Option<u64>, count: usize) -> Option<AccountView> {
    let (mut view, shown) = {
        let book = sandbox.book();
        let account = book.world.accounts.get(id)?;
        let visible = book.world.shown(id).filter(|effect| is_visible(sandbox, &book, effect));
        let older = visible.filter(|effect| before.is_none_or(|before| effect.seq < before));
        let shown: Vec<_> = older.take(count + 1).map(|effect| known(sandbox, &book, effect)).collect();
        let view = AccountView {
            order: account.platform,
            id: id.to_owned(),
            platform: account.platform.name(),
            network: account.platform.title(),
            name: account.name.clone(),
            total: book.world.shown(id).count(),
            posts: Vec::new(),
            older: None,
        };
        (view, shown)
    };
    if shown.len() > count {
        let last = shown.get(count - 1).map_or(0, |known| known.effect.seq);
        view.older = Some(format!("/_account/{id}?before={last}"));
    }
    for known in shown.into_iter().take(count) {
        view.posts.push(post(sandbox, known).await);
    }
    Some(view)
}

/// The post whose permalink has this path, with its network and its account's name.
pub async fn at(sandbox: &Sandbox, path: &str) -> Option<(&'static str, String, PostView)> {
    let mut parts = path.trim_matches('/').split('/');
    let (first, last) = (parts.next()?, parts.next_back()?);
    let (network, name, known) = {
        let book = sandbox.book();
        let paged = format!("{first}_{last}");
        let effect = book.world.effect_of(&paged).or_else(|| book.world.effect_of(last))?;
        let gone = book.world.deleted.contains(&effect.object_id) || !is_visible(sandbox, &book, effect);
        if gone || !effect.permalink.ends_with(path.trim_end_matches('/')) {
            return None;
        }
        let name = book.world.accounts.get(&effect.account).map(|account| account.name.clone());
        (effect.platform.title(), name.unwrap_or_default(), known(sandbox, &book, effect))
    };
    Some((network, name, post(sandbox, known).await))
}

/// What the state knows of a post, taken out while it is locked.
struct Known {
    effect: Effect,
    badges: Vec<&'static str>,
    link: Option<String>,
    comments: Vec<CommentView>,
}

fn known(sandbox: &Sandbox, book: &Book, effect: &Effect) -> Known {
    let link = book.world.posts.get(&effect.object_id).and_then(|post| post.link.clone());
    let caption = book.world.posts.get(&effect.object_id).map(|post| post.message.clone());
    let mut effect = effect.clone();
    // An edited post shows its new text; the log keeps the one that was published.
    effect.caption = caption.unwrap_or(effect.caption);
    let mut badges = Vec::new();
    if is_story(book, &effect) {
        badges.push("Story");
    }
    if is_reel(book, &effect) {
        badges.push("Reel");
    }
    if book.world.uploads.get(&effect.handle).is_some_and(|it| it.privacy_level != "PUBLIC_TO_EVERYONE") {
        badges.push("Not for everyone");
    }
    if effect.platform == Network::Tiktok && sandbox.clock.now() < book.moderated_at(effect.at) {
        badges.push("In moderation");
    }
    let link = link.filter(|link| link.starts_with("https://") || link.starts_with("http://"));
    let name = |account: &str| book.world.accounts.get(account).map(|it| it.name.clone()).unwrap_or_default();
    let comments = book.world.comments_under(&effect.object_id);
    let comments =
        comments.map(|it| CommentView { name: name(&it.account), words: it.words.clone() }).collect();
    Known { effect, badges, link, comments }
}

async fn post(sandbox: &Sandbox, known: Known) -> PostView {
    let mut media = Vec::new();
    for sha256 in known.effect.media {
        let video = sandbox.media.is_video(&sha256).await.unwrap_or_default();
        media.push(MediaView { sha256, video });
    }
    let permalink = sandbox.here(&known.effect.permalink);
    PostView {
        caption: known.effect.caption,
        link: known.link,
        media,
        badges: known.badges,
        comments: known.comments,
        permalink: permalink[sandbox.base.len()..].to_owned(),
        datetime: known.effect.at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        time: known.effect.at.format("%-d %b %Y, %H:%M:%S UTC").to_string(),
    }
}

/// Stories are gone after a day.
fn is_visible(sandbox: &Sandbox, book: &Book, effect: &Effect) -> bool {
    !is_story(book, effect) || sandbox.clock.now() < effect.at + STORY
}

fn is_story(book: &Book, effect: &Effect) -> bool {
    book.world.is_story(effect)
}

fn is_reel(book: &Book, effect: &Effect) -> bool {
    let facebook = book.world.videos.get(&effect.handle).is_some_and(|video| video.kind == VideoKind::Reel);
    facebook || book.world.containers.get(&effect.handle).is_some_and(|it| it.product == "REELS")
}
