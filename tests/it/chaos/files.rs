//! Files for posts, each with bytes that no other has, so that what shows no words is known by its file.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::surfaces::Sort;
use crate::harness::{System, film, picture};

/// A file that was uploaded.
#[derive(Debug, Clone)]
pub struct File {
    /// Our id of it.
    pub id: String,
    /// Its key in the object store, a part of every address of it.
    pub key: String,
    /// The SHA-256 of its bytes, by which the networks name it.
    pub sha256: String,
    /// Its size.
    pub bytes: usize,
}

/// The files of a run. Each round takes from the first on: what one round leaves behind is over before the next.
#[derive(Debug, Default)]
pub struct Shelf(BTreeMap<Sort, Vec<File>>);

impl Shelf {
    /// Uploads as many of each sort as this.
    pub async fn stocked(system: &System, wanted: &[(Sort, usize)]) -> Self {
        let mut shelf = Self::default();
        for (sort, many) in wanted {
            for n in 0..*many {
                let (name, bytes) = match sort {
                    Sort::Picture => ("picture.jpg", marked_picture(n)),
                    Sort::Film => ("film.mp4", marked_film(n)),
                };
                shelf.0.entry(*sort).or_default().push(upload(system, name, bytes).await);
            }
        }
        shelf
    }

    /// Begins to take files from it, from the first on.
    pub fn taker(&self) -> Taker<'_> {
        Taker { shelf: self, taken: BTreeMap::new() }
    }
}

/// Takes files from a shelf, none twice.
pub struct Taker<'a> {
    shelf: &'a Shelf,
    taken: BTreeMap<Sort, usize>,
}

impl Taker<'_> {
    /// The next files of these sorts.
    pub fn take(&mut self, sorts: &[Sort]) -> Vec<File> {
        let mut next = |sort: &Sort| {
            let taken = self.taken.entry(*sort).or_default();
            *taken += 1;
            self.shelf.0[sort][*taken - 1].clone()
        };
        sorts.iter().map(&mut next).collect()
    }
}

async fn upload(system: &System, name: &str, bytes: Vec<u8>) -> File {
    let (size, sha256) = (bytes.len(), hex::encode(Sha256::digest(&bytes)));
    let id = system.upload(name, bytes).await;
    let key = sqlx::query_scalar("SELECT object_key FROM media WHERE id = $1::text::uuid")
        .bind(&id)
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    File { id, key, sha256, bytes: size }
}

/// A picture with a comment.
fn marked_picture(n: usize) -> Vec<u8> {
    let (mut bytes, mark) = (picture(), format!("chaos {n:04}"));
    let length = u16::try_from(mark.len() + 2).unwrap().to_be_bytes();
    let comment = [&[0xff, 0xfe], &length[..], mark.as_bytes()].concat();
    bytes.splice(2..2, comment);
    bytes
}

/// A film with room at its end that nobody plays. Each is of another length, which is all that the first call of an
/// upload in parts tells of it.
fn marked_film(n: usize) -> Vec<u8> {
    let (mut bytes, room) = (film(), vec![0; n + 1]);
    bytes.extend(u32::try_from(8 + room.len()).unwrap().to_be_bytes());
    bytes.extend(b"free");
    bytes.extend(room);
    bytes
}

#[test]
fn no_two_files_are_alike_and_no_two_films_of_a_length() {
    let pictures: std::collections::BTreeSet<_> = (0..20).map(marked_picture).collect();
    let films: std::collections::BTreeSet<_> = (0..20).map(|n| marked_film(n).len()).collect();
    assert_eq!((pictures.len(), films.len()), (20, 20));
    assert!(pictures.iter().all(|bytes| image::load_from_memory(bytes).is_ok()));
}
