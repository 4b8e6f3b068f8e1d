//! Copies that are packed while whatever can die dies: after every call there is, before it and behind it; while files go
//! away under it, and while there is never enough time.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    contract::{Class, Done, Failure, Job, JobError},
    desk::{Clock, Desk, Limits, Media, Network, Networks, Vault},
    export::{Export, PART},
    packing::{Content, Item, Mark, Package, Packing, Stage, Stored},
    surface::Surface,
    zip::{Crc, Packed},
};

/// An item as the ledger keeps it.
#[derive(Clone)]
struct Kept {
    path: String,
    content: Content,
    begins_at: Option<u64>,
    packed: Option<(u32, u64, [u8; 32])>,
}

/// What the ledger and the store keep, whoever dies.
#[derive(Default)]
struct Lasting {
    gathered: bool,
    made: Option<u64>,
    parts: Option<String>,
    stored: Vec<(u64, Mark, Option<Vec<u8>>)>,
    items: Vec<Kept>,
    files: BTreeMap<String, Vec<u8>>,
    sent: BTreeMap<i32, Vec<u8>>,
    joined: Option<Vec<u8>>,
    read: u64,
}

struct World {
    lasting: Mutex<Lasting>,
    /// So many halves of calls until it dies.
    fuse: AtomicUsize,
    /// What the clock shows, and how much later each look at it finds it.
    now: AtomicU64,
    tick: u64,
    /// Sums that were put away are lost.
    forgets: bool,
}

fn dead() -> JobError {
    JobError::Infrastructure("dead".into())
}

fn away() -> Failure {
    Failure::new(Class::Transient, "away", "dead")
}

impl World {
    fn with(files: &[(&str, Vec<u8>)]) -> Self {
        let text = |path: &str, text: &str| (path.to_owned(), Content::Text(text.to_owned()));
        let named = files.iter().map(|(key, _)| (format!("media/{key}"), Content::File((*key).to_owned())));
        let all = std::iter::once(text("data/post.json", "[]")).chain(named);
        let kept = |(path, content)| Kept { path, content, begins_at: None, packed: None };
        let lasting = Lasting {
            items: all.map(kept).collect(),
            files: files.iter().map(|(key, bytes)| ((*key).to_owned(), bytes.clone())).collect(),
            ..Lasting::default()
        };
        Self {
            lasting: Mutex::new(lasting),
            fuse: AtomicUsize::new(usize::MAX),
            now: AtomicU64::new(0),
            tick: 0,
            forgets: false,
        }
    }

    fn lasting<T>(&self, act: impl FnOnce(&mut Lasting) -> T) -> T {
        act(&mut self.lasting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Half of a call. False: dead.
    fn lives(&self) -> bool {
        let burn = |left: usize| Some(left.saturating_sub(1));
        self.fuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, burn).is_ok_and(|left| left > 0)
    }

    /// A call of the ledger: one may die before it, and behind it.
    fn call<T>(&self, act: impl FnOnce(&mut Lasting) -> T) -> Result<T, JobError> {
        let done = if self.lives() { Some(self.lasting(act)) } else { None };
        done.filter(|_| self.lives()).ok_or_else(dead)
    }

    /// The same of the store.
    fn ask<T>(&self, act: impl FnOnce(&mut Lasting) -> T) -> Result<T, Failure> {
        self.call(act).map_err(|_| away())
    }

    async fn run(&self) -> Result<Done, JobError> {
        let bare = Desk::bare(self);
        let limits = Limits { attempt: Duration::from_secs(100), ..bare.limits };
        let desk = Desk { packing: Some(self), limits, ..bare };
        Export { export_id: Uuid::nil() }.run(&desk).await
    }

    /// Runs it until it is made, and gives the file.
    async fn made(&self) -> Vec<u8> {
        for _ in 0..1000 {
            if let Ok(Done::Finished { .. }) = self.run().await {
                let (joined, made) = self.lasting(|it| (it.joined.clone(), it.made));
                let joined = joined.expect("it is one file");
                assert_eq!(made, Some(joined.len() as u64));
                return joined;
            }
        }
        panic!("it comes to no end");
    }
}

impl Clock for World {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.now.fetch_add(self.tick, Ordering::SeqCst))
    }
}

impl Networks for World {
    fn of(&self, _: &str) -> Option<&dyn Network> {
        None
    }

    fn surface(&self, _: &str, _: &str) -> Option<&'static Surface> {
        None
    }
}

#[async_trait]
impl Vault for World {
    async fn access_token(&self, _: Uuid) -> Result<SecretString, JobError> {
        Err(dead())
    }
}

#[async_trait]
impl Media for World {
    async fn address(&self, _: &str) -> Result<String, Failure> {
        Err(away())
    }

    async fn read(&self, key: &str, start: u64, end: u64) -> Result<Vec<u8>, Failure> {
        let at = |n: u64| usize::try_from(n).expect("small");
        let found = self.ask(|it| {
            it.read += end - start;
            it.files.get(key).and_then(|file| file.get(at(start)..at(end)).map(<[u8]>::to_vec))
        })?;
        found.ok_or_else(away)
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, Failure> {
        self.ask(|it| match it.files.get(key) {
            Some(file) => Some(file.len() as u64),
            None => it.joined.as_ref().filter(|_| key == "copy").map(|file| file.len() as u64),
        })
    }

    async fn store(&self, _: &str, _: &str, _: &std::path::Path) -> Result<(), Failure> {
        Err(away())
    }

    async fn remove(&self, _: &str) -> Result<(), Failure> {
        Err(away())
    }

    async fn open(&self, _: &str, _: &str) -> Result<String, Failure> {
        self.ask(|it| it.sent.clear())?;
        Ok("parts".to_owned())
    }

    async fn add(&self, _: &str, _: &str, number: i32, bytes: Vec<u8>) -> Result<(), Failure> {
        let open = self.ask(|it| it.joined.is_none().then(|| it.sent.insert(number, bytes)).is_some())?;
        if open { Ok(()) } else { Err(away()) }
    }

    async fn close(&self, _: &str, _: &str, bytes: u64) -> Result<Option<u64>, Failure> {
        self.ask(|it| {
            let have: u64 = it.sent.values().map(|part| part.len() as u64).sum();
            if it.joined.is_some() {
                return None;
            }
            if have == bytes {
                it.joined = Some(it.sent.values().flatten().copied().collect());
            }
            Some(have)
        })
    }
}

#[async_trait]
impl Packing for World {
    async fn look(&self, _: Uuid) -> Result<Option<Package>, JobError> {
        self.call(|it| {
            let last = it.stored.last().cloned();
            let (mark, sums) = last.map_or((Mark::default(), None), |(_, mark, sums)| (mark, sums));
            Some(Package {
                stage: match (it.made, it.gathered) {
                    (Some(_), _) => Stage::Made,
                    (None, true) => Stage::Gathered,
                    (None, false) => Stage::Asked,
                },
                key: "copy".into(),
                parts: it.parts.clone(),
                stored: i32::try_from(it.stored.len()).expect("few"),
                bytes: it.stored.iter().map(|(bytes, ..)| bytes).sum(),
                mark,
                sums: sums.filter(|_| !self.forgets),
            })
        })
    }

    async fn gather(&self, _: Uuid) -> Result<(), JobError> {
        self.call(|it| it.gathered = true)
    }

    async fn opened(&self, _: Uuid, parts: &str) -> Result<bool, JobError> {
        self.call(|it| it.parts = Some(parts.to_owned()))?;
        Ok(true)
    }

    async fn item(&self, _: Uuid, position: i32) -> Result<Option<Item>, JobError> {
        let at = usize::try_from(position).expect("counted from 0");
        self.call(|it| {
            let kept = it.items.get(at)?;
            Some(Item { position, path: kept.path.clone(), content: kept.content.clone() })
        })
    }

    async fn stored(&self, _: Uuid, part: &Stored) -> Result<(), JobError> {
        self.call(|it| {
            if part.number > 0 {
                assert_eq!(usize::try_from(part.number), Ok(it.stored.len() + 1));
                it.stored.push((part.bytes, part.mark, part.sums.clone()));
            }
            let at = |position: i32| usize::try_from(position).expect("counted from 0");
            for (position, begins_at) in &part.begun {
                it.items[at(*position)].begins_at = Some(*begins_at);
            }
            for (position, packed, sha) in &part.packed {
                it.items[at(*position)].packed = Some((packed.crc, packed.bytes, *sha));
            }
        })
    }

    async fn list(&self, _: Uuid) -> Result<bool, JobError> {
        self.call(|it| {
            let listed = it.items.iter().any(|kept| kept.path == "manifest.json");
            if !listed {
                let content = Content::Text("{}".into());
                it.items.push(Kept { path: "manifest.json".into(), content, begins_at: None, packed: None });
            }
            !listed
        })
    }

    async fn packed(&self, _: Uuid) -> Result<Vec<Packed>, JobError> {
        self.call(|it| {
            let packed = it.items.iter().map(|kept| {
                let (crc, bytes, _) = kept.packed.expect("it is packed");
                Packed { path: kept.path.clone(), begins_at: kept.begins_at.expect("it begins"), crc, bytes }
            });
            packed.collect()
        })
    }

    async fn made(&self, _: Uuid, bytes: u64) -> Result<(), JobError> {
        self.call(|it| it.made = Some(bytes))
    }
}

fn noise(bytes: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// Two files that make some parts each, and one that makes none.
fn files() -> [(&'static str, Vec<u8>); 3] {
    [("a", noise(3 * PART + 77, 1)), ("b", noise(10, 2)), ("c", noise(2 * PART + 5, 3))]
}

/// What a file without ZIP64 holds, each checked against its sum.
fn unpacked(file: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let short = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    let word = |at: usize| u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]);
    let long = |at: usize| usize::try_from(word(at)).expect("small");
    let end = file.len() - 22;
    let (mut at, mut all) = (long(end + 16), BTreeMap::new());
    for _ in 0..short(end + 10) {
        let (sum, bytes, name, begins) = (word(at + 16), long(at + 24), short(at + 28), long(at + 42));
        let path = String::from_utf8(file[at + 46..at + 46 + name].to_vec()).expect("a name");
        assert_eq!(&file[begins..begins + 4], b"PK\x03\x04", "{path}");
        let data = &file[begins + 30 + name..begins + 30 + name + bytes];
        let mut crc = Crc::default();
        crc.update(data);
        assert_eq!(crc.sum(), sum, "{path}");
        all.insert(path, data.to_vec());
        at += 46 + name + short(at + 30);
    }
    assert_eq!(at, end, "the directory is all that is left");
    all
}

#[tokio::test]
async fn a_copy_is_the_same_wherever_its_packer_dies() {
    let world = World::with(&files());
    let whole = world.made().await;
    let all = unpacked(&whole);
    for (key, bytes) in files() {
        assert!(all[&format!("media/{key}")] == bytes, "{key}");
    }
    let shas: Vec<_> = world.lasting(|it| it.items.iter().map(|kept| kept.packed.map(|it| it.2)).collect());
    assert_eq!(shas[1], Some(Sha256::digest(&files()[0].1).into()));
    for forgets in [false, true] {
        for fuse in 1..10_000 {
            let world = World { forgets, ..World::with(&files()) };
            world.fuse.store(fuse, Ordering::SeqCst);
            if world.run().await.is_ok() {
                assert!(fuse > 60, "it dies at each of its calls");
                break;
            }
            world.fuse.store(usize::MAX, Ordering::SeqCst);
            assert!(world.made().await == whole, "dead after {fuse}");
        }
    }
}

#[tokio::test]
async fn a_copy_comes_to_its_end_although_there_is_never_time_for_a_whole_file() {
    let whole = World::with(&files()).made().await;
    // a hundred seconds an attempt, half of which are used, and five for each look at the clock
    let slow = World { tick: 5, ..World::with(&files()) };
    assert!(slow.run().await.is_ok_and(|done| matches!(done, Done::Waiting { .. })), "it is not cut off");
    assert!(slow.made().await == whole);
    let read = slow.lasting(|it| it.read);
    let all: u64 = files().iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert!(read < 3 * all, "what is stored is not read again: {read} of {all}");
}

#[tokio::test]
async fn a_file_that_goes_away_while_it_is_packed_ends_where_that_was() {
    let world = World::with(&files());
    // it dies in the middle of the first file, with a part of it in the store
    for fuse in 1.. {
        world.fuse.store(fuse, Ordering::SeqCst);
        assert!(world.run().await.is_err());
        if world
            .lasting(|it| it.stored.last().is_some_and(|(_, mark, _)| mark.position == 1 && mark.within > 0))
        {
            break;
        }
    }
    world.fuse.store(usize::MAX, Ordering::SeqCst);
    world.lasting(|it| {
        it.files.remove("a");
        it.files.remove("b");
    });
    let all = unpacked(&world.made().await);
    let [(_, whole), _, (_, other)] = files();
    let left = &all["media/a"];
    assert!(!left.is_empty() && left.len() < whole.len() && whole.starts_with(left), "{}", left.len());
    assert!(all["media/b"].is_empty() && all["media/c"] == other, "the others are as they are");
}
