//! The things that exist at the networks.

mod account;
mod ads;
mod code;
mod comment;
mod facebook;
mod instagram;
mod settings;
mod tiktok;

pub use account::{Account, Network, TokenState};
pub use ads::{AdAccount, AdLevel, AdObject};
pub use code::Code;
pub use comment::Comment;
pub use facebook::{Finished, Photo, Post, PostKind, Video, VideoKind};
pub use instagram::{Container, ContainerState, IgMedia};
pub use settings::{Settings, Webhook};
pub use tiktok::{Upload, UploadState};
