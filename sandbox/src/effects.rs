//! The log of public effects: what the public saw, when, and through which call.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::model::Network;

/// One thing that became public.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Effect {
    /// Its place in the log, from 1.
    pub seq: u64,
    /// When it became public, by the networks' clock.
    pub at: DateTime<Utc>,
    /// Where.
    pub platform: Network,
    /// The account's external id.
    pub account: String,
    /// The id of the public post.
    pub object_id: String,
    /// The draft, container or publish id that it came from.
    pub handle: String,
    /// Its text.
    pub caption: String,
    /// The SHA-256 of each of its media files.
    pub media: Vec<String>,
    /// The `X-Call-Id` of the call that made it public.
    pub call_id: Option<String>,
    /// Where it can be seen.
    pub permalink: String,
}

/// Writes effects to their file on a thread of its own, many under one `fsync` when they come together.
#[derive(Debug, Clone)]
pub struct EffectsLog {
    orders: mpsc::Sender<Order>,
}

#[derive(Debug)]
enum Order {
    Append(Box<Effect>, oneshot::Sender<()>),
    StartOver(u64, oneshot::Sender<()>),
}

impl EffectsLog {
    /// Opens the log and writes whatever of `known` a crash kept from it.
    pub fn open(path: PathBuf, known: &[Effect]) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
        let written = whole_lines(&file)?;
        let mut log = file;
        for effect in known.iter().filter(|effect| effect.seq > written) {
            append(&mut log, effect)?;
        }
        log.sync_data()?;
        let (orders, inbox) = mpsc::channel();
        std::thread::Builder::new().name("effects".into()).spawn(move || serve(&path, log, &inbox))?;
        Ok(Self { orders })
    }

    /// Hands one effect over; what comes back resolves when it is on disk.
    /// To be called in the order of `seq`, so while the state is locked.
    pub fn append(&self, effect: Effect) -> OnDisk {
        let (done, on_disk) = oneshot::channel();
        self.order(Order::Append(Box::new(effect), done));
        OnDisk(on_disk)
    }

    /// Begins an empty log; the old one is kept beside it under a number that never comes again.
    pub fn start_over(&self, number: u64) -> OnDisk {
        let (done, on_disk) = oneshot::channel();
        self.order(Order::StartOver(number, done));
        OnDisk(on_disk)
    }

    fn order(&self, order: Order) {
        // Without its thread the log is broken; `OnDisk::reached` then says so.
        let _ = self.orders.send(order);
    }
}

/// A promise that something is on disk.
#[derive(Debug)]
#[must_use]
pub struct OnDisk(oneshot::Receiver<()>);

impl OnDisk {
    /// Waits for the disk. An error means that the log is broken.
    pub async fn reached(self) -> io::Result<()> {
        self.0.await.map_err(|_| io::Error::other("the effects log could not be written"))
    }
}

/// The writing thread: takes what has piled up, writes it, syncs once, tells everyone.
fn serve(path: &Path, mut log: File, inbox: &mpsc::Receiver<Order>) {
    while let Ok(first) = inbox.recv() {
        let mut waiting = Vec::new();
        for order in std::iter::once(first).chain(inbox.try_iter()) {
            let outcome = match order {
                Order::Append(effect, done) => append(&mut log, &effect).map(|()| done),
                Order::StartOver(number, done) => start_over(path, number).map(|fresh| {
                    log = fresh;
                    done
                }),
            };
            match outcome {
                Ok(done) => waiting.push(done),
                Err(error) => return eprintln!("effects log {}: {error}", path.display()),
            }
        }
        if let Err(error) = log.sync_data() {
            return eprintln!("effects log {}: {error}", path.display());
        }
        for done in waiting {
            // Whoever waited may have gone; the effect is written all the same.
            let _ = done.send(());
        }
    }
}

fn append(log: &mut File, effect: &Effect) -> io::Result<()> {
    let mut line = serde_json::to_vec(effect)?;
    line.push(b'\n');
    log.write_all(&line)
}

fn start_over(path: &Path, number: u64) -> io::Result<File> {
    let kept = path.with_file_name(format!("effects-until-{number}.jsonl"));
    std::fs::rename(path, kept)?;
    OpenOptions::new().create(true).append(true).open(path)
}

/// Counts the lines that are whole and cuts off one that is not.
fn whole_lines(file: &File) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    let (mut lines, mut length, mut line) = (0, 0, Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        lines += 1;
        length += line.len() as u64;
        line.clear();
    }
    file.set_len(length)?;
    Ok(lines)
}
