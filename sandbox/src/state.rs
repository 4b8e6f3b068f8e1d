//! What every handler shares: the state and its journal, the clock, the faults, the logs.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

use crate::calls::CallLog;
use crate::clock::Clock;
use crate::effects::{Effect, EffectsLog, OnDisk};
use crate::event::Event;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::media::MediaStore;
use crate::model::{Network, Settings, Upload, UploadState, Video, VideoKind, Webhook};
use crate::openai::Asked;
use crate::tiktok::webhook;
use crate::world::World;

/// What the command line decided.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The Meta app's secret; an `appsecret_proof` is verified with it.
    pub meta_app_secret: Option<String>,
    /// A mutating call without an `X-Call-Id` is refused.
    pub require_call_id: bool,
    /// How long media are processed, where the command line said so.
    pub processing_ms: Option<u64>,
    /// Where TikTok's webhooks go, where the command line said so.
    pub tiktok_webhook: Option<Webhook>,
}

impl Rules {
    /// These settings with what the command line says above them, where it says anything.
    pub fn over(&self, settings: Settings) -> Option<Settings> {
        let silent = self.processing_ms.is_none() && self.tiktok_webhook.is_none();
        (!silent).then(|| Settings {
            processing_ms: self.processing_ms.unwrap_or(settings.processing_ms),
            tiktok_webhook: self.tiktok_webhook.clone().or_else(|| settings.tiktok_webhook.clone()),
            ..settings
        })
    }
}

/// The sandbox: one value that all handlers hold.
#[derive(Debug)]
pub struct Sandbox {
    book: Mutex<Book>,
    /// The networks' clock.
    pub clock: Arc<Clock>,
    /// The scripted faults.
    pub faults: Mutex<Faults>,
    /// The log of mutating and reading calls.
    pub calls: Mutex<CallLog>,
    /// What OpenAI was asked and has answered.
    pub asked: Mutex<Vec<Asked>>,
    /// Whether the media store answers everything with a 503.
    pub store_away: Arc<AtomicBool>,
    /// The ledger in which a call's id must already stand.
    pub ledger: Option<Ledger>,
    /// Where bytes are kept.
    pub media: MediaStore,
    /// What the command line decided.
    pub rules: Rules,
    /// The address of this process, `http://127.0.0.1:PORT`.
    pub base: String,
    /// Rung when something new will become due.
    due: Notify,
    /// Requests that will be carried out later than their callers wait.
    late: AtomicUsize,
}

/// A request that is carried out later than its caller waits.
#[derive(Debug)]
pub struct Pending(Arc<Sandbox>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.late.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The state with the files that back it. Held locked for as long as one decision takes.
#[derive(Debug)]
pub struct Book {
    /// What exists.
    pub world: World,
    /// For how long after its effect a handle reads as before, in milliseconds.
    pub stale: HashMap<String, i64>,
    journal: Journal,
    effects: EffectsLog,
}

/// What became public, before it has its place in the log.
#[derive(Debug)]
pub struct NewEffect {
    /// Where.
    pub platform: Network,
    /// The account's external id.
    pub account: String,
    /// The public id.
    pub object_id: String,
    /// What it came from.
    pub handle: String,
    /// Its text.
    pub caption: String,
    /// Its media's SHA-256.
    pub media: Vec<String>,
    /// The call that did it.
    pub call_id: Option<String>,
    /// Where it can be seen.
    pub permalink: String,
}

impl Book {
    /// Rebuilds the state from the files under `data`.
    pub fn open(data: &Path) -> io::Result<Self> {
        let mut world = World::seeded();
        let journal = Journal::open(&data.join("journal.jsonl"), |_, event| world.apply(event))?;
        let effects = EffectsLog::open(data.join("effects.jsonl"), &world.effects)?;
        Ok(Self { world, stale: HashMap::new(), journal, effects })
    }

    /// A number that no object has had: the next line of the journal. The event recorded next owns it.
    pub fn number(&self) -> u64 {
        self.journal.next()
    }

    /// Writes an event down and lets it happen.
    pub fn record(&mut self, event: Event) -> io::Result<()> {
        self.journal.append(&event)?;
        self.world.apply(event);
        Ok(())
    }

    /// Makes something public. The answer may only leave once the returned promise is kept.
    pub fn publish(&mut self, new: NewEffect, at: DateTime<Utc>) -> io::Result<OnDisk> {
        let effect = Effect {
            seq: self.world.effects.len() as u64 + 1,
            at,
            platform: new.platform,
            account: new.account,
            object_id: new.object_id,
            handle: new.handle,
            caption: new.caption,
            media: new.media,
            call_id: new.call_id,
            permalink: new.permalink,
        };
        self.record(Event::Effect(effect.clone()))?;
        Ok(self.effects.append(effect))
    }

    /// Forgets everything but the seeded accounts.
    pub fn reset(&mut self) -> io::Result<OnDisk> {
        let number = self.number();
        self.record(Event::Reset)?;
        self.stale.clear();
        Ok(self.effects.start_over(number))
    }

    /// Whether reads still show the state before this effect, because a fault says so.
    pub fn hides(&self, effect: &Effect, now: DateTime<Utc>) -> bool {
        self.stale.get(&effect.handle).is_some_and(|&ms| now < effect.at + TimeDelta::milliseconds(ms))
    }

    /// When everybody may see what TikTok published at this time.
    pub fn moderated_at(&self, published: DateTime<Utc>) -> DateTime<Utc> {
        let wait = i64::try_from(self.world.settings.tiktok_moderation_ms).unwrap_or(i64::MAX);
        published + TimeDelta::try_milliseconds(wait).unwrap_or(TimeDelta::days(365))
    }

    /// The same for whatever was published from a handle at a given time.
    pub fn hides_handle(&self, handle: &str, published: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.stale.get(handle).is_some_and(|&ms| now < published + TimeDelta::milliseconds(ms))
    }
}

impl Sandbox {
    /// Puts the parts together.
    pub fn new(
        book: Book,
        ledger: Option<Ledger>,
        media: MediaStore,
        rules: Rules,
        base: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::new(Clock::ahead_by(book.world.ahead_ms)),
            book: Mutex::new(book),
            faults: Mutex::default(),
            calls: Mutex::default(),
            asked: Mutex::default(),
            store_away: Arc::default(),
            ledger,
            media,
            rules,
            base,
            due: Notify::new(),
            late: AtomicUsize::new(0),
        })
    }

    /// Counts a request as pending for as long as what this returns is kept.
    pub fn will_be_carried_out(self: &Arc<Self>) -> Pending {
        self.late.fetch_add(1, Ordering::SeqCst);
        Pending(Arc::clone(self))
    }

    /// How much may become public by itself, without anybody asking for more.
    pub fn pending(&self) -> usize {
        self.late.load(Ordering::SeqCst) + self.book().world.due.len()
    }

    /// The state, locked.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permalink as it is now: the port may have changed since it was written.
    pub fn here(&self, permalink: &str) -> String {
        let path = permalink.splitn(4, '/').nth(3).unwrap_or_default();
        format!("{}/{path}", self.base)
    }

    /// When something that starts to be processed now will be ready.
    pub fn processed_at(&self, book: &Book) -> DateTime<Utc> {
        let wait = i64::try_from(book.world.settings.processing_ms).unwrap_or(i64::MAX);
        self.clock.now() + TimeDelta::try_milliseconds(wait).unwrap_or(TimeDelta::days(365))
    }

    /// Moves the clock forward by `ms` and lets everything happen that is due by then.
    pub async fn advance(&self, ms: i64) -> io::Result<DateTime<Utc>> {
        let ahead_ms = {
            let mut book = self.book();
            let ahead_ms = book.world.ahead_ms + ms;
            book.record(Event::ClockMoved { ahead_ms })?;
            ahead_ms
        };
        self.clock.set_ahead(ahead_ms);
        self.settle().await?;
        Ok(self.clock.now())
    }

    /// Publishes what has been processed by now; with a processing time of 0 that is what was accepted just now.
    pub async fn settle(&self) -> io::Result<()> {
        self.publish_due().await?;
        // What is not due yet is waited for.
        self.due.notify_one();
        Ok(())
    }

    async fn publish_due(&self) -> io::Result<()> {
        let (mut written, mut over) = (Vec::new(), Vec::new());
        {
            let mut book = self.book();
            let now = self.clock.now();
            while let Some((due, id)) = book.world.due.first().cloned().filter(|(due, _)| *due <= now) {
                written.extend(self.process(&mut book, due, &id)?);
                over.push(id);
            }
        }
        for effect in written {
            effect.reached().await?;
        }
        self.tell(&over);
        Ok(())
    }

    /// Tells an app by webhook what became of these uploads, if it wants to know.
    fn tell(&self, over: &[String]) {
        let book = self.book();
        let Some(hook) = &book.world.settings.tiktok_webhook else { return };
        for upload in over.iter().filter_map(|id| book.world.uploads.get(id)) {
            for told in webhook::news(upload) {
                let seen = match (&upload.state, told.event) {
                    (UploadState::Complete { at, .. }, webhook::AVAILABLE) => book.moderated_at(*at),
                    (_, _) => self.clock.now(),
                };
                let (hook, clock) = (hook.clone(), Arc::clone(&self.clock));
                tokio::spawn(async move {
                    clock.reach(seen).await;
                    webhook::tell(hook, told, clock.machine()).await;
                });
            }
        }
    }

    /// Publishes what becomes due, for as long as the process lives.
    pub async fn keep_settling(&self) -> io::Result<()> {
        loop {
            self.publish_due().await?;
            let next = self.book().world.due.first().map(|(due, _)| *due);
            match next {
                Some(due) => tokio::select! {
                    () = self.clock.reach(due) => {}
                    () = self.due.notified() => {}
                },
                None => self.due.notified().await,
            }
        }
    }

    /// Ends the processing of one upload or video: it becomes public, or it fails.
    fn process(&self, book: &mut Book, due: DateTime<Utc>, id: &str) -> io::Result<Option<OnDisk>> {
        if let Some(upload) = book.world.uploads.get(id).cloned() {
            return self.process_upload(book, due, upload);
        }
        if let Some(video) = book.world.videos.get(id).cloned() {
            return self.process_video(book, due, video);
        }
        // Its video was deleted meanwhile.
        book.world.due.remove(&(due, id.to_owned()));
        Ok(None)
    }

    fn process_upload(
        &self,
        book: &mut Book,
        due: DateTime<Utc>,
        upload: Upload,
    ) -> io::Result<Option<OnDisk>> {
        if let Some(reason) = upload.doomed {
            book.record(Event::UploadFailed { publish_id: upload.publish_id, reason })?;
            return Ok(None);
        }
        debug_assert!(matches!(upload.state, UploadState::Processing { .. }));
        let post = (7_400_000_000_000_000_000 + book.number()).to_string();
        let name = book.world.accounts.get(&upload.account).map_or("", |account| account.name.as_str());
        let effect = NewEffect {
            platform: Network::Tiktok,
            permalink: format!("{}/@{name}/video/{post}", self.base),
            account: upload.account,
            object_id: post,
            handle: upload.publish_id,
            caption: upload.title,
            media: upload.media,
            call_id: upload.call_id,
        };
        book.publish(effect, due).map(Some)
    }

    fn process_video(&self, book: &mut Book, due: DateTime<Utc>, video: Video) -> io::Result<Option<OnDisk>> {
        if let Some(reason) = video.doomed {
            book.record(Event::UploadFailed { publish_id: video.id, reason })?;
            return Ok(None);
        }
        let (caption, call_id, post) =
            video.finished.map(|done| (done.caption, done.call_id, done.post)).unwrap_or_default();
        let object_id = post.unwrap_or_else(|| Self::video_post(book, &video.page));
        let number = object_id.rsplit('_').next().unwrap_or_default();
        let place = match video.kind {
            VideoKind::Video => "videos",
            VideoKind::Reel => "reels",
            VideoKind::Story => "stories",
        };
        let effect = NewEffect {
            platform: Network::FacebookPage,
            permalink: format!("{}/{}/{place}/{number}", self.base, video.page),
            account: video.page,
            object_id,
            handle: video.id,
            caption,
            media: video.media.into_iter().collect(),
            call_id,
        };
        book.publish(effect, due).map(Some)
    }

    /// The id of a post that will show a video.
    pub fn video_post(book: &Book, page: &str) -> String {
        format!("{page}_{}", 122_300_000_000_000 + book.number())
    }
}
