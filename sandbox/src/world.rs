//! The networks' state in memory, changed by events only.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::effects::Effect;
use crate::event::Event;
use crate::model::{
    Account, Code, Comment, Container, Finished, IgMedia, Network, Photo, Post, PostKind, Settings,
    TokenState, Upload, UploadState, Video, VideoKind,
};

/// Everything that exists at the networks.
#[derive(Debug, Default)]
pub struct World {
    /// The accounts, by external id.
    pub accounts: BTreeMap<String, Account>,
    /// The tokens that do not simply work.
    pub tokens: HashMap<String, TokenState>,
    /// The accounts of refresh tokens that were used up by a rotation.
    pub spent_refresh: HashMap<String, String>,
    /// What each exchanged person's token was exchanged for.
    pub exchanged: HashMap<String, String>,
    /// What dialogs gave.
    pub codes: HashMap<String, Code>,
    /// Photos on Pages.
    pub photos: HashMap<String, Photo>,
    /// The photos that a public post shows.
    pub shown_photos: HashSet<String>,
    /// Posts on Pages, drafts included.
    pub posts: HashMap<String, Post>,
    /// The drafts among the posts, by Page.
    pub drafts: BTreeSet<(String, String)>,
    /// Facebook videos.
    pub videos: HashMap<String, Video>,
    /// The video that a post shows.
    pub video_posts: HashMap<String, String>,
    /// Instagram containers.
    pub containers: HashMap<String, Container>,
    /// The time of each container of an account, oldest first.
    pub container_times: HashMap<String, Vec<DateTime<Utc>>>,
    /// Instagram's public media.
    pub media: HashMap<String, IgMedia>,
    /// What is said under posts.
    pub comments: HashMap<String, Comment>,
    /// The comments under a post, oldest first.
    pub said_under: HashMap<String, Vec<String>>,
    /// TikTok uploads.
    pub uploads: HashMap<String, Upload>,
    /// The publish id of an upload URL's last part.
    pub upload_keys: HashMap<String, String>,
    /// The publish ids of an account, oldest first.
    pub upload_order: HashMap<String, Vec<String>>,
    /// What is being processed and becomes public by itself, by its time.
    pub due: BTreeSet<(DateTime<Utc>, String)>,
    /// Everything that became public, in order.
    pub effects: Vec<Effect>,
    /// The places in `effects` of one account's.
    pub by_account: HashMap<String, Vec<usize>>,
    /// The places in `effects`, by public id.
    pub by_object: HashMap<String, usize>,
    /// Objects that their owners removed.
    pub deleted: HashSet<String>,
    /// What was public and was removed, in order. The effects themselves stay: they have been seen.
    pub removals: Vec<Gone>,
    /// What was set.
    pub settings: Settings,
    /// How far the clock was moved.
    pub ahead_ms: i64,
}

/// Something that was public and was removed.
#[derive(Debug, Clone, Serialize)]
pub struct Gone {
    /// Where.
    pub platform: Network,
    /// The account's external id.
    pub account: String,
    /// The id of the public post.
    pub object_id: String,
    /// Its text.
    pub caption: String,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// The `X-Call-Id` of the call that removed it.
    pub call_id: Option<String>,
}

impl World {
    /// The world as it is before anything happened.
    pub fn seeded() -> Self {
        let mut world = Self::default();
        for account in Account::seeded() {
            world.accounts.insert(account.external_id.clone(), account);
        }
        world
    }

    /// Lets one event happen.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Account(account) => {
                self.tokens.remove(&account.access_token);
                self.accounts.insert(account.external_id.clone(), account);
            }
            Event::Token { access_token, state } => {
                self.tokens.insert(access_token, state);
            }
            Event::Rotated { account, access_token, refresh_token } => {
                self.rotate(&account, access_token, refresh_token);
            }
            Event::GrantEnded { account } => self.end_grant(&account),
            Event::Exchanged { old, new, pages } => self.exchange(&old, &new, pages),
            Event::Code(code) => {
                self.codes.insert(code.code.clone(), code);
            }
            Event::CodeUsed { code, token } => self.grant(&code, &token),
            Event::Removed { subject } => self.remove(&subject),
            Event::Photo(photo) => {
                self.photos.insert(photo.id.clone(), photo);
            }
            Event::Post(post) => {
                self.drafts.insert((post.page.clone(), post.id.clone()));
                self.posts.insert(post.id.clone(), post);
            }
            Event::PostEdited { id, message } => {
                if let Some(post) = self.posts.get_mut(&id) {
                    post.message = message;
                }
            }
            Event::Deleted { id, at, call_id } => self.delete(id, at, call_id),
            Event::Video(video) => {
                self.videos.insert(video.id.clone(), video);
            }
            Event::Filled { id, media, ready_at } => self.fill(&id, media, ready_at),
            Event::VideoGrew { id, received } => {
                if let Some(video) = self.videos.get_mut(&id) {
                    video.received = received;
                }
            }
            Event::VideoFinished { id, caption, due, call_id, post } => {
                self.finish(id, Finished { caption, due, call_id, post });
            }
            Event::Comment(comment) => {
                self.said_under.entry(comment.under.clone()).or_default().push(comment.id.clone());
                self.comments.insert(comment.id.clone(), comment);
            }
            Event::Container(container) => self.contain(container),
            Event::ContainerForced { id, state } => {
                if let Some(container) = self.containers.get_mut(&id) {
                    container.forced = Some(state);
                }
            }
            Event::Upload(upload) => self.open(upload),
            Event::UploadGrew { publish_id, received } => {
                if let Some(upload) = self.uploads.get_mut(&publish_id) {
                    upload.received = received;
                }
            }
            Event::UploadAccepted { publish_id, media, due, call_id } => {
                self.accept(publish_id, media, due, call_id);
            }
            Event::UploadDoomed { publish_id, reason } => {
                if let Some(upload) = self.uploads.get_mut(&publish_id) {
                    upload.doomed = Some(reason);
                } else if let Some(video) = self.videos.get_mut(&publish_id) {
                    video.doomed = Some(reason);
                }
            }
            Event::UploadFailed { publish_id, reason } => self.fail(&publish_id, reason),
            Event::Effect(effect) => self.show(effect),
            Event::ClockMoved { ahead_ms } => self.ahead_ms = ahead_ms,
            Event::Settings(settings) => self.settings = settings,
            Event::Reset => *self = Self::seeded(),
        }
    }

    /// The account that an access token reaches at a network.
    pub fn token_owner(&self, platform: Network, token: &str) -> Option<&Account> {
        self.accounts.values().find(|account| account.platform == platform && account.access_token == token)
    }

    /// One account's effects, newest first, without what was deleted.
    pub fn shown(&self, account: &str) -> impl Iterator<Item = &Effect> {
        let places = self.by_account.get(account).map_or(&[][..], Vec::as_slice);
        places
            .iter()
            .rev()
            .map(|&place| &self.effects[place])
            .filter(|e| !self.deleted.contains(&e.object_id))
    }

    /// What is said under a post, oldest first, without what was deleted.
    pub fn comments_under(&self, post: &str) -> impl Iterator<Item = &Comment> {
        let ids = self.said_under.get(post).map_or(&[][..], Vec::as_slice);
        ids.iter().filter(|id| !self.deleted.contains(*id)).filter_map(|id| self.comments.get(id))
    }

    /// Whether an effect is a story, which is gone after a day.
    pub fn is_story(&self, effect: &Effect) -> bool {
        let photo = self.posts.get(&effect.object_id).is_some_and(|post| post.kind == PostKind::Story);
        let video = self.videos.get(&effect.handle).is_some_and(|video| video.kind == VideoKind::Story);
        photo || video || self.containers.get(&effect.handle).is_some_and(|it| it.product == "STORY")
    }

    /// The effect that made an object public.
    pub fn effect_of(&self, object: &str) -> Option<&Effect> {
        self.by_object.get(object).map(|&place| &self.effects[place])
    }

    fn rotate(&mut self, id: &str, access_token: String, refresh_token: String) {
        let Some(account) = self.accounts.get_mut(id) else { return };
        let old = std::mem::replace(&mut account.access_token, access_token);
        self.tokens.insert(old, TokenState::Expired);
        if let Some(spent) = account.refresh_token.replace(refresh_token) {
            self.spent_refresh.insert(spent, id.to_owned());
        }
    }

    fn end_grant(&mut self, id: &str) {
        let Some(account) = self.accounts.get_mut(id) else { return };
        account.refresh_token = None;
        self.tokens.insert(account.access_token.clone(), TokenState::Expired);
    }

    fn exchange(&mut self, old: &str, new: &str, pages: Vec<(String, String)>) {
        for account in self.accounts.values_mut().filter(|it| it.user_token.as_deref() == Some(old)) {
            account.user_token = Some(new.to_owned());
        }
        self.exchanged.insert(old.to_owned(), new.to_owned());
        for (id, token) in pages {
            if let Some(account) = self.accounts.get_mut(&id) {
                account.access_token = token;
            }
        }
    }

    /// What was ticked opens with the person's new token; what had a token that does not work any more gets another one.
    fn grant(&mut self, code: &str, token: &str) {
        let Some(code) = self.codes.get_mut(code) else { return };
        code.used = true;
        let code = code.clone();
        let ticked = |it: &Account| code.accounts.contains(&it.external_id);
        let reached: Vec<String> =
            self.accounts.values().filter(|it| ticked(it)).map(|it| it.access_token.clone()).collect();
        for account in self.accounts.values_mut().filter(|it| it.platform != Network::Tiktok) {
            // a Page and the Instagram account behind it share a token
            let Some(n) = reached.iter().position(|token| *token == account.access_token) else { continue };
            if let Some(old) = account.user_token.replace(token.to_owned()) {
                self.exchanged.insert(old, token.to_owned());
            }
            account.withheld.clone_from(&code.declined);
            account.app_id = Some(code.client.clone());
            if self.tokens.get(&account.access_token).is_some_and(|state| *state != TokenState::Valid) {
                account.access_token = format!("EAAP{n}-{token}");
            }
        }
    }

    fn remove(&mut self, subject: &str) {
        let of_person = |it: &&Account| it.platform != Network::Tiktok && it.subject_id == subject;
        let tokens: Vec<String> = self
            .accounts
            .values()
            .filter(of_person)
            .flat_map(|it| [Some(it.access_token.clone()), it.user_token.clone()])
            .flatten()
            .collect();
        self.tokens.extend(tokens.into_iter().map(|token| (token, TokenState::Revoked)));
    }

    /// The accounts of the person whom a token was given to, by that token or one that it was exchanged for.
    pub fn granted_by(&self, user_token: &str) -> impl Iterator<Item = &Account> {
        let mut latest = user_token;
        while let Some(newer) = self.exchanged.get(latest) {
            latest = newer;
        }
        let latest = latest.to_owned();
        self.accounts.values().filter(move |it| it.user_token.as_deref() == Some(latest.as_str()))
    }

    fn delete(&mut self, id: String, at: Option<DateTime<Utc>>, call_id: Option<String>) {
        if let Some(effect) = self.effect_of(&id) {
            let (account, caption) = (effect.account.clone(), effect.caption.clone());
            let platform = effect.platform;
            self.removals.push(Gone { platform, account, object_id: id.clone(), caption, at, call_id });
        }
        if let Some(post) = self.posts.remove(&id) {
            self.drafts.remove(&(post.page, post.id));
        }
        // a post and the video that it shows go together
        let shown = self.video_posts.remove(&id);
        let video = shown.unwrap_or_else(|| id.clone());
        if let Some((post, _)) = self.videos.remove(&video).and_then(|video| video.published) {
            self.video_posts.remove(&post);
            self.deleted.insert(post);
        }
        self.photos.remove(&id);
        self.media.remove(&id);
        self.deleted.insert(id);
    }

    fn fill(&mut self, id: &str, media: String, ready_at: DateTime<Utc>) {
        if let Some(video) = self.videos.get_mut(id) {
            video.media = Some(media);
        } else if let Some(container) = self.containers.get_mut(id) {
            container.media = vec![media];
            container.ready_at = Some(ready_at);
        }
    }

    fn finish(&mut self, id: String, finished: Finished) {
        if let Some(video) = self.videos.get_mut(&id) {
            self.due.insert((finished.due, id));
            video.finished = Some(finished);
        }
    }

    fn contain(&mut self, container: Container) {
        self.container_times.entry(container.account.clone()).or_default().push(container.created);
        self.containers.insert(container.id.clone(), container);
    }

    fn open(&mut self, upload: Upload) {
        self.upload_keys.insert(upload.key.clone(), upload.publish_id.clone());
        self.upload_order.entry(upload.account.clone()).or_default().push(upload.publish_id.clone());
        self.uploads.insert(upload.publish_id.clone(), upload);
    }

    fn accept(&mut self, id: String, media: Vec<String>, due: DateTime<Utc>, call_id: Option<String>) {
        if let Some(upload) = self.uploads.get_mut(&id) {
            upload.received = upload.size;
            upload.media = media;
            upload.call_id = call_id;
            upload.state = UploadState::Processing { due };
            self.due.insert((due, id));
        }
    }

    fn fail(&mut self, publish_id: &str, reason: String) {
        if let Some(video) = self.videos.get_mut(publish_id) {
            video.failed = true;
            if let Some(finished) = &video.finished {
                self.due.remove(&(finished.due, publish_id.to_owned()));
            }
        }
        let Some(upload) = self.uploads.get_mut(publish_id) else { return };
        if let UploadState::Processing { due } =
            std::mem::replace(&mut upload.state, UploadState::Failed { reason })
        {
            self.due.remove(&(due, publish_id.to_owned()));
        }
    }

    /// Makes public what the effect names, and puts the effect on the list.
    fn show(&mut self, effect: Effect) {
        if self.comments.contains_key(&effect.object_id) {
            // it stands under its post, and not among the posts
            self.by_object.insert(effect.object_id.clone(), self.effects.len());
            self.effects.push(effect);
            return;
        }
        if let Some(video) = self.videos.get_mut(&effect.handle) {
            video.published = Some((effect.object_id.clone(), effect.at));
            self.video_posts.insert(effect.object_id.clone(), effect.handle.clone());
            self.due.remove(&(effect.at, effect.handle.clone()));
        } else {
            match effect.platform {
                Network::FacebookPage => self.show_post(&effect),
                Network::InstagramBusiness => self.show_media(&effect),
                Network::Tiktok => self.show_upload(&effect),
            }
        }
        let place = self.effects.len();
        self.by_account.entry(effect.account.clone()).or_default().push(place);
        self.by_object.insert(effect.object_id.clone(), place);
        self.effects.push(effect);
    }

    fn show_post(&mut self, effect: &Effect) {
        self.drafts.remove(&(effect.account.clone(), effect.object_id.clone()));
        if let Some(post) = self.posts.get_mut(&effect.object_id) {
            post.published = Some(effect.at);
            self.shown_photos.extend(post.photos.iter().cloned());
        }
    }

    fn show_media(&mut self, effect: &Effect) {
        if let Some(container) = self.containers.get_mut(&effect.handle) {
            container.published = Some(effect.object_id.clone());
        }
        let media =
            IgMedia { id: effect.object_id.clone(), container: effect.handle.clone(), published: effect.at };
        self.media.insert(media.id.clone(), media);
    }

    fn show_upload(&mut self, effect: &Effect) {
        let Some(upload) = self.uploads.get_mut(&effect.handle) else { return };
        upload.state = UploadState::Complete { post: effect.object_id.clone(), at: effect.at };
        self.due.remove(&(effect.at, effect.handle.clone()));
    }
}
