//! Facebook Pages: a post is made as a draft that nobody sees, and one call makes it public.
//!
//! The call sets `is_published`, so repeating it harms nobody, and the draft can be read at any time. Films are
//! uploaded unseen and finished, which may be repeated as well. Stories alone are told at once.

mod drafts;
mod film;
mod film_upload;
mod story;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs::{
    comment::{self, Comments},
    connections::Connecting,
    contract::{Class, Failure},
    desk::{Call, Content, File, Handle, KeepHandle, Network, Readiness, Unseen},
    forgetting::Revoking,
    gate::{Allowance, Errand},
    machine::{Answer, Public, Sight, Withdrawal},
    metrics::{Heard, Insights, Object, Question, Trouble},
    preflight::Fact,
    removal::{Presence, Removal},
    renewals::Renewing,
    surface::{
        AccountPage, CaptionLimit, CaptionUnit, Files, MediaRule, Platform, PostKind, Site, Surface,
        TakeDown, Takes,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use self::film::Kind;

use super::{
    Entry, Environment,
    graph::{self, Graph, comments, insights},
    http::{Deadline, Fault, Phase, Row, Tables, id_of, no_evidence, unreadable},
};

/// This network's line in the registry.
pub const ENTRY: Entry = Entry {
    file: "facebook",
    platform: &PLATFORM,
    check,
    connect,
    dialog: Some(graph::connect::dialog),
    address: graph::ADDRESS,
    rate_of: None,
};

/// What a Page takes. The length of a message is not documented; it is what the form on the site allows.
const PLATFORM: Platform = Platform {
    name: "facebook_page",
    title: "Facebook",
    caption: CaptionLimit { most: 63_206, unit: CaptionUnit::Characters },
    hashtags: None,
    mentions: None,
    surfaces: &[
        Surface {
            name: "text",
            kinds: &[PostKind::Post],
            takes: Takes::Words,
            one_shot: false,
            take_down: DELETE,
        },
        Surface {
            name: "link",
            kinds: &[PostKind::Post],
            takes: Takes::Link,
            one_shot: false,
            take_down: DELETE,
        },
        Surface {
            name: "photo",
            kinds: &[PostKind::Post],
            takes: Takes::one(&[PHOTO]),
            one_shot: false,
            take_down: DELETE,
        },
        Surface {
            name: "photos",
            kinds: &[PostKind::Post, PostKind::Carousel],
            takes: ALBUM,
            one_shot: false,
            take_down: DELETE,
        },
        Surface {
            name: "video",
            kinds: &[PostKind::Post],
            takes: Takes::one(&[VIDEO]),
            one_shot: false,
            take_down: DELETE,
        },
        Surface {
            name: "reel",
            kinds: &[PostKind::Reel],
            takes: Takes::one(&[REEL]),
            one_shot: false,
            take_down: DELETE,
        },
        // Only a few stories are listed, for a day: that one is not among them proves nothing.
        Surface {
            name: "story",
            kinds: &[PostKind::Story],
            takes: Takes::one(&[PHOTO, STORY]),
            one_shot: true,
            take_down: STORIES,
        },
    ],
    privacy_levels: &[],
    comments: Some(COMMENTS),
    site: Site {
        hosts: &["facebook.com", "fb.com", "fb.watch"],
        home: "https://www.facebook.com",
        page: AccountPage::ById,
    },
};

/// A story takes none. The length is what the site lets people write.
const COMMENTS: Comments = Comments {
    under: &["text", "link", "photo", "photos", "video", "reel"],
    length: CaptionLimit { most: 8_000, unit: CaptionUnit::Characters },
    hashtags: None,
    mentions: None,
};

/// "Pages API: Posts" of Meta's documents.
const DELETE: TakeDown = TakeDown::Api { permission: "pages_manage_posts" };

/// "Facebook Stories API" of Meta's documents tells of no way to remove one.
const STORIES: TakeDown = TakeDown::ByHand {
    how: "Facebook removes no story by its API: whoever manages the Page deletes it in the app or in Meta Business \
          Suite. After 24 hours it is gone by itself.",
};

/// "Photos should be smaller than 4 MB", says the error that a larger one gets.
const PHOTO: MediaRule = MediaRule {
    types: &["image/jpeg", "image/png"],
    renders: &["image/jpeg", "image/png", "image/webp"],
    most_bytes: 4_000_000,
    least_width: 1,
    most_width: u32::MAX,
    ratio: None,
    least_duration_ms: None,
    most_duration_ms: None,
};

/// The handle of what is made public by a flip of `is_published`.
const DRAFT: &str = "draft";

/// Where a draft keeps the ids of its photos.
const PHOTOS: &str = "photos";

const ALBUM: Takes = Takes::Files(Files { rules: &[PHOTO], least: 2, most: 10 });

/// "The video is over 2 GB", says error 1363023.
const VIDEO: MediaRule = MediaRule {
    types: &["video/mp4", "video/quicktime"],
    renders: &[],
    most_bytes: 2_000_000_000,
    least_width: 1,
    most_width: u32::MAX,
    ratio: None,
    least_duration_ms: None,
    most_duration_ms: None,
};

/// "Reels Publishing API" of Meta's documents: upright, 3 to 90 seconds. A file that Meta fetches by its address
/// may have about 1 GB.
const REEL: MediaRule = MediaRule {
    most_bytes: 1_000_000_000,
    least_width: 540,
    ratio: Some((0.5625, 0.5625)),
    least_duration_ms: Some(3_000),
    most_duration_ms: Some(90_000),
    ..VIDEO
};

/// "Facebook Stories API" of Meta's documents.
const STORY: MediaRule = MediaRule { ratio: None, most_duration_ms: Some(60_000), ..REEL };

/// What a Page's codes mean.
pub const TABLES: Tables = Tables { rows: &[FILMS, graph::ERRORS], definite_no: graph::DEFINITE_NO };

/// What the upload address says.
const FILMS: &[Row] = &[
    Row::is("389", Class::Transient),
    Row::is("OffsetInvalidError", Class::Transient),
    Row::is("PartialRequestError", Class::Transient),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    #[serde(with = "humantime_serde")]
    pull_timeout: Duration,
}

/// The scopes that publishing needs.
pub(super) const NEEDED: &[&str] = &["pages_manage_posts", "pages_read_engagement"];

fn check(table: &Value) -> Result<(), String> {
    graph::Settings::split::<Settings>(table).map(|_| ())
}

fn connect(table: &Value, environment: Environment<'_>) -> Result<Option<Box<dyn Network>>, String> {
    let split = graph::Settings::split(table).map_err(|error| format!("networks.facebook: {error}"))?;
    let (common, Settings { timeout, pull_timeout }) = split;
    let graph = Graph::connect(environment, timeout, common, TABLES)?.map(|graph| graph.needing(NEEDED));
    Ok(graph.map(|graph| Box::new(Facebook { graph, pull_timeout }) as Box<dyn Network>))
}

/// How Facebook tells of comments.
const COMMENTED: comments::Dialect = comments::Dialect {
    words: "message",
    time: "created_time",
    order: Some(("order", "reverse_chronological")),
    permission: "pages_manage_engagement",
    own_address: Some("permalink_url"),
    posts_address: "permalink_url",
};

struct Facebook {
    graph: Graph,
    /// The longest that Meta may take to fetch a film.
    pull_timeout: Duration,
}

#[async_trait]
impl Network for Facebook {
    fn allowance(&self) -> Allowance {
        self.graph.allowance()
    }

    /// Graph counts every call: the files and what shows them; the look, the call itself and the look for its
    /// address. Whether a film was told as a story takes two looks.
    fn counts(&self, errand: Errand, content: &Content) -> u32 {
        let story = content.surface == "story";
        if content.surface == comment::SURFACE.name {
            return comments::counts(errand);
        }
        match errand {
            Errand::Prepare => 1 + content.media.iter().map(film_upload::calls).sum::<u32>(),
            Errand::Commit => {
                if story {
                    5
                } else {
                    3
                }
            }
            Errand::Look => {
                if story {
                    2
                } else {
                    1
                }
            }
        }
    }

    async fn prepare(
        &self,
        call: &Call<'_>,
        content: &Content,
        keep: &dyn KeepHandle,
    ) -> Result<(Handle, Readiness), Failure> {
        let deadline = Deadline::of(call);
        match content.surface.as_str() {
            "text" | "link" | "photo" | "photos" => self.draft(call, deadline, content).await,
            "video" => self.film(call, deadline, Kind::Video, content, keep).await,
            "reel" => self.film(call, deadline, Kind::Reel, content, keep).await,
            "story" if is_film(content) => self.film(call, deadline, Kind::Story, content, keep).await,
            "story" => self.picture_story(call, deadline, content).await,
            "comment" => comments::prepare(call, content),
            other => Err(Failure::new(Class::Permanent, "surface", format!("no {other} on a Page"))),
        }
    }

    async fn inspect(&self, call: &Call<'_>, handle: &Handle, armed: bool) -> Result<Sight, Failure> {
        if handle.kind == comments::HANDLE {
            return self.graph.comment_sight(&COMMENTED, call, handle, armed).await.map_err(no_evidence);
        }
        self.look(call, handle).await.map_err(no_evidence)
    }

    async fn commit(&self, call: &Call<'_>, handle: &Handle, content: &Content) -> Answer {
        match (Kind::of(handle), handle.kind.as_str()) {
            (None, comments::HANDLE) => self.graph.comment(&COMMENTED, call, handle).await,
            (Some(kind), _) => self.finish(call, kind, handle, content).await,
            (None, story::PICTURE) => self.tell(call, handle).await,
            (None, _) => self.flip(call, handle).await,
        }
    }

    /// A film that was asked to be public and is not there yet may still come; nothing says that it can be stopped.
    fn takes_back(&self, handle: &Handle) -> bool {
        handle.kind == DRAFT
    }

    /// Facebook shows drafts to nobody and forgets none.
    fn lingers(&self, handle: &Handle) -> bool {
        handle.kind == DRAFT
    }

    /// A draft that is deleted leaves its photos behind, unseen.
    fn made_of(&self, handle: &Handle) -> Vec<String> {
        photos_of(handle)
    }

    /// A draft that is deleted cannot be made public any more. That it is missing (100/33) may mean anything.
    async fn withdraw(&self, call: &Call<'_>, handle: &Handle) -> Result<Withdrawal, Failure> {
        let deleted = self.graph.delete(call, Deadline::of(call), &[&handle.id]).await;
        match deleted.map_err(Fault::into_failure)? {
            body if body["success"] == true => Ok(Withdrawal::Withdrawn),
            _ => {
                Err(unreadable(Phase::Prepare, "the answer does not say whether it is deleted")
                    .into_failure())
            }
        }
    }

    fn lists_unseen(&self) -> bool {
        true
    }

    async fn unseen(&self, call: &Call<'_>, since: DateTime<Utc>) -> Result<Vec<Unseen>, Failure> {
        self.own_drafts(call, since).await.map_err(no_evidence)
    }

    async fn take_down(&self, call: &Call<'_>, remote_id: &str) -> Removal {
        self.graph.remove(call, remote_id).await
    }

    async fn presence(&self, call: &Call<'_>, remote_id: &str) -> Result<Presence, Failure> {
        self.graph.presence(call, remote_id).await
    }

    /// The request, a read of what it was about, and one of its account.
    fn take_down_calls(&self) -> u32 {
        3
    }

    async fn describe(
        &self,
        call: &Call<'_>,
        handle: &Handle,
        _content: &Content,
        known: Public,
    ) -> Result<Public, Failure> {
        if known.id.is_some() && known.url.is_some() {
            return Ok(known);
        }
        if handle.kind == comments::HANDLE {
            return self.graph.describe_comment(&COMMENTED, call, handle, known).await;
        }
        match self.look(call, handle).await? {
            Sight::Public(seen) => Ok(Public { id: known.id.or(seen.id), url: known.url.or(seen.url) }),
            Sight::Building | Sight::Ready | Sight::Processing | Sight::Dead(_) => Ok(known),
        }
    }

    async fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        self.graph.check(call).await
    }

    async fn facts(&self, call: &Call<'_>) -> Result<Vec<Fact>, Failure> {
        Ok(vec![Fact::of_token(self.graph.check(call).await)?])
    }

    fn fact_calls(&self) -> u32 {
        1
    }

    fn renewing(&self) -> Option<&dyn Renewing> {
        Some(&self.graph)
    }

    fn connecting(&self) -> Option<&dyn Connecting> {
        Some(&self.graph)
    }

    fn insights(&self) -> Option<&dyn Insights> {
        Some(self)
    }

    fn revoking(&self) -> Option<&dyn Revoking> {
        Some(&self.graph)
    }
}

#[async_trait]
impl Insights for Facebook {
    fn objects_at_once(&self, object: Object) -> usize {
        insights::objects_at_once(object)
    }

    async fn ask(&self, call: &Call<'_>, question: &Question<'_>) -> Vec<Result<Heard, Trouble>> {
        self.graph.insights(call, question, insights::Dialect::Page).await
    }
}

impl Facebook {
    /// Makes the post with everything it shows, unseen.
    async fn draft(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        content: &Content,
    ) -> Result<(Handle, Readiness), Failure> {
        let photos = self.pictures(call, deadline, content).await?;
        let mut attached: Vec<_> = photos.iter().enumerate().map(attachment).collect();
        if content.surface == "link" {
            attached.push(("link".to_owned(), content.link.clone().ok_or_else(|| missing("link"))?));
        }
        let mut form = vec![("published", "false"), ("message", content.caption.as_str())];
        form.extend(attached.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let made = self.graph.post(Phase::Prepare, call, deadline, &[call.account, "feed"], &form).await;
        let id = id_in(&made.map_err(Fault::into_failure)?)?;
        let detail = if photos.is_empty() { Value::Null } else { json!({ PHOTOS: photos }) };
        // Nothing follows the draft's name that it would have to be kept before.
        Ok((Handle { kind: DRAFT.into(), id, detail }, Readiness::Ready))
    }

    /// Uploads the pictures unseen, one after the other, and gives what the network calls them. One that fails fails
    /// them all: no post shows fewer than were approved.
    async fn pictures(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        content: &Content,
    ) -> Result<Vec<String>, Failure> {
        let wanted = match content.surface.as_str() {
            "photo" => 1,
            "photos" => 2,
            _ => return Ok(Vec::new()),
        };
        if content.media.len() < wanted {
            return Err(missing("picture"));
        }
        let mut photos = Vec::new();
        for file in &content.media {
            let photo = self.photo(call, deadline, file).await?;
            if photos.contains(&photo) {
                let why = "two pictures were given the same name";
                return Err(unreadable(Phase::Prepare, why).into_failure());
            }
            photos.push(photo);
        }
        Ok(photos)
    }

    /// Uploads a picture unseen, and gives its name.
    async fn photo(&self, call: &Call<'_>, deadline: Deadline, file: &File) -> Result<String, Failure> {
        let address = call.media.address(&file.key).await?;
        let form = [("published", "false"), ("url", address.as_str())];
        let made = self.graph.post(Phase::Prepare, call, deadline, &[call.account, "photos"], &form).await;
        id_in(&made.map_err(Fault::into_failure)?)
    }

    /// Makes a draft public.
    async fn flip(&self, call: &Call<'_>, handle: &Handle) -> Answer {
        let form = [("is_published", "true")];
        let flipped = self.graph.post(Phase::Commit, call, Deadline::of(call), &[&handle.id], &form).await;
        match flipped {
            Ok(body) if body["success"] == true => {
                Answer::Published(Public { id: Some(handle.id.clone()), url: None })
            }
            Ok(_) => unsaid().into_answer(),
            Err(fault) => fault.into_answer(),
        }
    }

    async fn look(&self, call: &Call<'_>, handle: &Handle) -> Result<Sight, Failure> {
        let deadline = Deadline::of(call);
        match (Kind::of(handle), handle.kind.as_str()) {
            (Some(Kind::Story), _) | (None, story::PICTURE) => self.story(call, deadline, handle).await,
            (Some(Kind::Video | Kind::Reel), _) => self.film_sight(call, deadline, handle).await,
            (None, _) => {
                let fields = [("fields", "is_published,permalink_url")];
                let post = self.graph.get(call, deadline, &[&handle.id], &fields).await;
                sight(&post.map_err(Fault::into_failure)?, handle)
            }
        }
    }
}

/// What a post names one of its pictures by.
fn attachment((n, photo): (usize, &String)) -> (String, String) {
    (format!("attached_media[{n}]"), json!({ "media_fbid": photo }).to_string())
}

fn is_film(content: &Content) -> bool {
    content.media.first().is_some_and(|file| file.content_type.starts_with("video/"))
}

fn photos_of(handle: &Handle) -> Vec<String> {
    let photos = handle.detail[PHOTOS].as_array().into_iter().flatten();
    photos.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A commit was answered with a success that does not say so.
fn unsaid() -> Fault {
    unreadable(Phase::Commit, "the answer does not say whether it worked")
}

fn sight(post: &Value, handle: &Handle) -> Result<Sight, Failure> {
    match post["is_published"].as_bool() {
        Some(true) => {
            let url = post["permalink_url"].as_str().map(str::to_owned);
            Ok(Sight::Public(Public { id: Some(handle.id.clone()), url }))
        }
        Some(false) => Ok(Sight::Ready),
        None => Err(unreadable(Phase::Read, "the post does not say whether it is public").into_failure()),
    }
}

fn id_in(body: &Value) -> Result<String, Failure> {
    let nameless = || unreadable(Phase::Prepare, "the answer names no id").into_failure();
    id_of(&body["id"]).ok_or_else(nameless)
}

fn missing(what: &str) -> Failure {
    Failure::new(Class::Permanent, "content", format!("the post has no {what}"))
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::networks::http::{Rest, Said, classify};

    fn draft() -> Handle {
        Handle { kind: "draft".into(), id: "104_1".into(), detail: Value::Null }
    }

    #[test]
    fn only_what_is_looked_at_before_anything_is_done_is_a_no() {
        let commits_to = |code: &str| {
            let status = StatusCode::BAD_REQUEST;
            let (code, message) = (code.to_owned(), String::new());
            classify(
                Phase::Commit,
                Said { status, code, message, transient: false, rest: Rest::Unsaid },
                &TABLES,
            )
        };
        for code in ["190", "190/460", "10", "200", "294"] {
            assert!(matches!(commits_to(code), Fault::Refused(_)), "{code}");
        }
        for code in ["506", "100", "100/33", "368/1390008", "1", "2", "4", "32", "1366051"] {
            assert!(matches!(commits_to(code), Fault::Unknown(_)), "{code}");
        }
    }

    #[test]
    fn a_draft_knows_the_photos_that_it_leaves_behind() {
        assert_eq!(photos_of(&draft()), Vec::<String>::new());
        let photos = Handle { detail: json!({ PHOTOS: ["1", "2"] }), ..draft() };
        assert_eq!(photos_of(&photos), ["1", "2"]);
        let (name, value) = attachment((1, &"2".to_owned()));
        assert_eq!((name.as_str(), value.as_str()), ("attached_media[1]", r#"{"media_fbid":"2"}"#));
    }

    #[test]
    fn a_post_is_public_only_where_the_network_says_so() {
        let seen = |body: Value| sight(&body, &draft());
        let link = json!({ "is_published": true, "permalink_url": "https://f/1" });
        let public = Public { id: Some("104_1".into()), url: Some("https://f/1".into()) };
        assert_eq!(seen(link), Ok(Sight::Public(public)));
        assert_eq!(seen(json!({ "is_published": false, "permalink_url": "https://f/1" })), Ok(Sight::Ready));
        assert!(seen(json!({ "id": "104_1" })).is_err_and(|failure| failure.class == Class::Transient));
    }
}
