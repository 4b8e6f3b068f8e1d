//! Making a copy of everything that is known of somebody, as one file that they fetch by a link.
//!
//! What goes into it is written down at once, so that it is of one moment; then it is packed from front to back and stored in
//! parts. Each part is kept in the ledger with up to where it goes: a run may end at any point, and the next one goes on
//! from there with the same bytes. No more than one part is in memory.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    contract::{Class, Done, Failure, Job, JobError, Retry},
    desk::Desk,
    fp,
    packing::{Content, Item, Mark, Package, Packing, Stage, Stored},
    sums::Sums,
    zip::{self, Packed},
};

/// A part has at least so many bytes, but for the last one: the store takes none below 5 MiB. Trials take small ones.
pub(crate) const PART: usize = if cfg!(test) { 64 << 10 } else { 8 << 20 };
/// After so many parts they are twice as large, up to eight times: the store takes 10,000 of one file.
const DOUBLED_AFTER: i32 = 2_500;
/// So much of a file is read at a time.
const CHUNK: u64 = if cfg!(test) { 16 << 10 } else { 1 << 20 };
/// What the file is stored as.
pub const TYPE: &str = "application/zip";

/// The payload: which copy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Export {
    /// The copy.
    pub export_id: Uuid,
}

impl Job for Export {
    const KIND: &'static str = "export";
    const RETRY: Retry = Retry { attempts: 12, ..Retry::STANDARD };
    const LIMIT: Duration = Duration::from_mins(5);

    async fn run(&self, desk: &Desk<'_>) -> Result<Done, JobError> {
        let (packing, id) = (desk.packing()?, self.export_id);
        let Some(it) = packing.look(id).await? else { return Ok(Done::nothing()) };
        match it.stage {
            Stage::Made => return Ok(Done::nothing()),
            Stage::Gathered => {}
            Stage::Asked => {
                packing.gather(id).await?;
                fp!(AfterExportGathered);
            }
        }
        let parts = match it.parts.clone() {
            Some(parts) => parts,
            None => match open(desk, packing, id, &it.key).await? {
                Some(parts) => parts,
                None => return Ok(Done::nothing()),
            },
        };
        let mut packer = Packer::new(desk, packing, id, &it, parts);
        if packer.pack().await? {
            let bytes = packer.close().await?;
            return Ok(Done::Finished { output: json!({ "export": id, "bytes": bytes }), then: vec![] });
        }
        Ok(Done::Waiting { until: desk.clock.now(), reason: "there is more to pack".into() })
    }
}

/// None: it is not wanted any more.
async fn open(
    desk: &Desk<'_>,
    packing: &dyn Packing,
    id: Uuid,
    key: &str,
) -> Result<Option<String>, JobError> {
    let parts = desk.media.open(key, TYPE).await.map_err(store)?;
    if packing.opened(id, &parts).await? {
        return Ok(Some(parts));
    }
    desk.media.abandon(key, &parts).await.map_err(store)?;
    Ok(None)
}

/// What is packed and not stored yet.
struct Packer<'a> {
    desk: &'a Desk<'a>,
    packing: &'a dyn Packing,
    id: Uuid,
    key: String,
    parts: String,
    /// How many parts the store has, and how many bytes these are.
    stored: i32,
    bytes: u64,
    mark: Mark,
    /// Of the item that the mark is in the middle of.
    sums: Option<Sums>,
    /// Then this run's time is up, well before it is cut off.
    until: Duration,
    buffer: Vec<u8>,
    begun: Vec<(i32, u64)>,
    packed: Vec<(i32, Packed, [u8; 32])>,
}

impl<'a> Packer<'a> {
    fn new(desk: &'a Desk<'a>, packing: &'a dyn Packing, id: Uuid, it: &Package, parts: String) -> Self {
        Self {
            desk,
            packing,
            id,
            key: it.key.clone(),
            parts,
            stored: it.stored,
            bytes: it.bytes,
            mark: it.mark,
            sums: it.sums.as_deref().and_then(Sums::taken_up),
            until: desk.clock.monotonic() + desk.limits.attempt / 2,
            buffer: Vec::new(),
            begun: Vec::new(),
            packed: Vec::new(),
        }
    }

    fn is_late(&self) -> bool {
        self.desk.clock.monotonic() > self.until
    }

    /// Packs item after item; false: this run's time is up. What has not made a part yet is packed again.
    async fn pack(&mut self) -> Result<bool, JobError> {
        loop {
            if self.is_late() {
                return Ok(false);
            }
            if let Some(item) = self.packing.item(self.id, self.mark.position).await? {
                if !self.add(&item).await? {
                    return Ok(false);
                }
            } else {
                // what the list says of is in the store
                self.flush().await?;
                if !self.packing.list(self.id).await? {
                    return Ok(true);
                }
            }
        }
    }

    /// False: the time is up in the middle of it.
    async fn add(&mut self, item: &Item) -> Result<bool, JobError> {
        // where its sums were not put away, what the store has already is only summed up again
        let (mut sums, mut from) = match self.sums.take().filter(|_| self.mark.within > 0) {
            Some(sums) => (sums, self.mark.within),
            None => (Sums::default(), 0),
        };
        if self.mark.within == 0 {
            self.begun.push((item.position, self.at()));
            zip::header(&mut self.buffer, &item.path);
        }
        let bytes = self.length(item, from).await?;
        while from < bytes {
            let data = self.read(item, from, bytes.min(from + CHUNK)).await?;
            sums.update(&data);
            let to = from + data.len() as u64;
            if to > self.mark.within {
                let known = usize::try_from(self.mark.within.saturating_sub(from)).unwrap_or_default();
                self.buffer.extend_from_slice(&data[known..]);
                self.mark.within = to;
                self.flush_full(Some(&sums)).await?;
            }
            from = to;
            if self.is_late() {
                return Ok(false);
            }
        }
        let (crc, sha) = sums.end();
        zip::descriptor(&mut self.buffer, crc, bytes);
        let packed = Packed { path: item.path.clone(), begins_at: 0, crc, bytes };
        self.packed.push((item.position, packed, sha));
        self.mark = Mark { position: item.position + 1, within: 0 };
        self.flush_full(None).await?;
        Ok(true)
    }

    /// Where in the whole file the next byte stands.
    fn at(&self) -> u64 {
        self.bytes + self.buffer.len() as u64
    }

    /// How long an item is. What has gone meanwhile is nothing; what has gone while it was packed ends where that was, as far
    /// as its sums are known.
    async fn length(&self, item: &Item, summed: u64) -> Result<u64, JobError> {
        let there = match &item.content {
            Content::Text(text) => text.len() as u64,
            Content::File(key) => self.desk.media.size(key).await.map_err(store)?.unwrap_or_default(),
        };
        let within = self.mark.within;
        if there < within && summed < within {
            let why = format!("{} has gone while it was packed, and its sums are not known", item.path);
            return Err(JobError::Unavailable(Failure::new(Class::Transient, "gone", why)));
        }
        Ok(there.max(within))
    }

    async fn read(&self, item: &Item, from: u64, to: u64) -> Result<Vec<u8>, JobError> {
        match &item.content {
            Content::Text(text) => {
                let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(text.len());
                Ok(text.as_bytes()[at(from)..at(to)].to_vec())
            }
            Content::File(key) => self.desk.media.read(key, from, to).await.map_err(store),
        }
    }

    async fn flush_full(&mut self, sums: Option<&Sums>) -> Result<(), JobError> {
        if self.buffer.len() < part(self.stored) { Ok(()) } else { self.flush_any(sums).await }
    }

    /// What is packed goes out, unless it is too little for a part.
    async fn flush(&mut self) -> Result<(), JobError> {
        self.flush_full(None).await?;
        if self.packed.is_empty() && self.begun.is_empty() {
            return Ok(());
        }
        // the ledger knows what the list is to say, though the store has not got it: it is packed again, the same
        let (begun, packed) = (std::mem::take(&mut self.begun), std::mem::take(&mut self.packed));
        let part = Stored { number: 0, bytes: 0, mark: self.mark, sums: None, begun, packed };
        self.packing.stored(self.id, &part).await
    }

    async fn flush_any(&mut self, sums: Option<&Sums>) -> Result<(), JobError> {
        let bytes = std::mem::take(&mut self.buffer);
        let (number, length) = (self.stored + 1, bytes.len() as u64);
        self.desk.media.add(&self.key, &self.parts, number, bytes).await.map_err(store)?;
        let (begun, packed) = (std::mem::take(&mut self.begun), std::mem::take(&mut self.packed));
        let sums = sums.map(Sums::put_away);
        let part = Stored { number, bytes: length, mark: self.mark, sums, begun, packed };
        self.packing.stored(self.id, &part).await?;
        (self.stored, self.bytes) = (number, self.bytes + length);
        fp!(AfterExportPart);
        Ok(())
    }

    /// Adds the directory, and makes one file of all parts.
    async fn close(&mut self) -> Result<u64, JobError> {
        let begins_at = self.at();
        let all = self.packing.packed(self.id).await?;
        zip::directory(&mut self.buffer, begins_at, &all);
        let bytes = std::mem::take(&mut self.buffer);
        let whole = self.bytes + bytes.len() as u64;
        // one that was joined before is there, and takes no part any more
        if self.desk.media.size(&self.key).await.map_err(store)? != Some(whole) {
            self.desk.media.add(&self.key, &self.parts, self.stored + 1, bytes).await.map_err(store)?;
            self.join(whole).await?;
            fp!(AfterExportJoined);
        }
        self.packing.made(self.id, whole).await?;
        Ok(whole)
    }

    async fn join(&self, whole: u64) -> Result<(), JobError> {
        match self.desk.media.close(&self.key, &self.parts, whole).await.map_err(store)? {
            Some(bytes) if bytes == whole => Ok(()),
            other => {
                let why = format!("the store has {other:?} bytes of parts where {whole} were sent");
                Err(JobError::Unavailable(Failure::new(Class::Transient, "media_store", why)))
            }
        }
    }
}

/// How large the next part is at least, after so many.
fn part(stored: i32) -> usize {
    PART << (stored / DOUBLED_AFTER).clamp(0, 3)
}

/// The store is away: this goes on later.
fn store(failure: Failure) -> JobError {
    JobError::Unavailable(Failure { class: Class::Transient, ..failure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_takes_of_one_file_is_more_than_anybody_has() {
        let parts = |from: i32, to: i32| (from..to).map(|stored| (part(stored) / PART) as u64).sum::<u64>();
        assert_eq!(parts(0, DOUBLED_AFTER), 2_500);
        assert_eq!(parts(0, 10_000), 2_500 * (1 + 2 + 4 + 8));
        // 8 MiB each time: more than a quarter of a terabyte, and 64 MiB in memory in the end
        assert!(parts(0, 10_000) * (8 << 20) > 1 << 38 && part(10_000) == 8 * PART);
    }
}
