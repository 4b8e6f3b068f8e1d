//! The port of whoever packs a copy of what is known of somebody: what the ledger keeps of it.

use async_trait::async_trait;
use uuid::Uuid;

use crate::{contract::JobError, zip::Packed};

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is gathered.
    Asked,
    /// All that goes into it is written down.
    Gathered,
    /// It is made.
    Made,
}

/// Up to where it is packed: so many bytes of the data of the item at this position, or nothing of it, not even its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Which item.
    pub position: i32,
    /// How much of it.
    pub within: u64,
}

/// A copy on its way, as the holder of its job sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// How far it is.
    pub stage: Stage,
    /// Where it is put.
    pub key: String,
    /// What the store calls the parts of it.
    pub parts: Option<String>,
    /// How many parts the store has.
    pub stored: i32,
    /// How many bytes these are.
    pub bytes: u64,
    /// Up to where they go.
    pub mark: Mark,
    /// The sums of the item that this is in the middle of, as they were put away.
    pub sums: Option<Vec<u8>>,
}

/// Something that goes into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which.
    pub position: i32,
    /// Its name.
    pub path: String,
    /// What it is.
    pub content: Content,
}

/// What goes into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Words.
    Text(String),
    /// A file of the store.
    File(String),
}

/// A part that the store has taken, and what it finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The how manieth it is, from 1.
    pub number: i32,
    /// How many bytes.
    pub bytes: u64,
    /// Up to where it goes.
    pub mark: Mark,
    /// The sums of the item that it ends in the middle of.
    pub sums: Option<Vec<u8>>,
    /// Items that begin in it, and where in the whole file.
    pub begun: Vec<(i32, u64)>,
    /// Items that end in it, with SHA-256 of their data.
    pub packed: Vec<(i32, Packed, [u8; 32])>,
}

/// What the ledger keeps of copies on their way, bound to one claim: every write is fenced by it.
///
/// Every method answers `Fenced` once the claim is gone and `Infrastructure` where the ledger is away.
#[async_trait]
pub trait Packing: Send + Sync {
    /// As it is now; none: there is no such copy any more.
    async fn look(&self, export: Uuid) -> Result<Option<Package>, JobError>;
    /// Writes down all that goes into it.
    async fn gather(&self, export: Uuid) -> Result<(), JobError>;
    /// Keeps what the store calls its parts. False: it is not wanted any more.
    async fn opened(&self, export: Uuid, parts: &str) -> Result<bool, JobError>;
    /// The item at this position; none: there is no further one.
    async fn item(&self, export: Uuid, position: i32) -> Result<Option<Item>, JobError>;
    /// Keeps that the store has a part.
    async fn stored(&self, export: Uuid, part: &Stored) -> Result<(), JobError>;
    /// Adds the list of all that is in it, as its last item. False: it is there already.
    async fn list(&self, export: Uuid) -> Result<bool, JobError>;
    /// All that is packed, in order.
    async fn packed(&self, export: Uuid) -> Result<Vec<Packed>, JobError>;
    /// It is made, and has so many bytes.
    async fn made(&self, export: Uuid, bytes: u64) -> Result<(), JobError>;
}
