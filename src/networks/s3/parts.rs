//! Large files that come straight to the store in parts. What each part may be is signed; the parts are no file before they
//! are joined.

use std::time::Duration;

use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart, Part as Stored},
};
use chrono::TimeDelta;
use jobs::{
    contract::{Class, Failure},
    store::{Part, Parts},
};

use super::{CODE, S3, failure};

/// The size of a part. S3 takes parts from 5 MiB on, and ten thousand of one file.
const SIZE: u64 = 16 << 20;
/// The store's word for parts that it does not have.
const GONE: &str = "NoSuchUpload";

impl S3 {
    /// Opens a file of so many bytes, and signs an address for each part of it.
    pub(super) async fn open_parts(
        &self,
        key: &str,
        content_type: &str,
        bytes: u64,
        life: Duration,
    ) -> Result<Parts, Failure> {
        let id = self.open_file(key, content_type).await?;
        let mut parts = Vec::new();
        for (number, bytes) in (1..).zip(sizes(bytes)) {
            parts.push(Part { url: self.part_address(key, &id, number, bytes, life).await?, bytes });
        }
        #[expect(clippy::disallowed_methods, reason = "the store judges a signature by the true time")]
        let now = chrono::Utc::now();
        Ok(Parts { id, parts, expires_at: now + TimeDelta::from_std(life).unwrap_or_default() })
    }

    /// Opens a file, and tells what the store calls its parts.
    pub(super) async fn open_file(&self, key: &str, content_type: &str) -> Result<String, Failure> {
        let create = self.client.create_multipart_upload().bucket(&self.bucket).key(self.key(key));
        let made = create.content_type(content_type).send().await;
        let made = made.map_err(|error| failure("opening a file in parts", &error))?;
        let nameless = || Failure::new(Class::Transient, CODE, "opening a file in parts: it got no name");
        made.upload_id.ok_or_else(nameless)
    }

    /// Stores one part.
    pub(super) async fn add_part(
        &self,
        key: &str,
        id: &str,
        number: i32,
        bytes: Vec<u8>,
    ) -> Result<(), Failure> {
        let part = self.client.upload_part().bucket(&self.bucket).key(self.key(key)).upload_id(id);
        let sent = part.part_number(number).body(ByteStream::from(bytes)).send().await;
        sent.map(drop).map_err(|error| failure("storing a part", &error))
    }

    /// The length is signed with it, so that the store takes no part of another.
    async fn part_address(
        &self,
        key: &str,
        id: &str,
        number: i32,
        bytes: u64,
        life: Duration,
    ) -> Result<String, Failure> {
        let life = PresigningConfig::expires_in(life);
        let life = life.map_err(|error| Failure::new(Class::Permanent, CODE, error.to_string()))?;
        let part = self.client.upload_part().bucket(&self.bucket).key(self.key(key)).upload_id(id);
        let part = part.part_number(number).content_length(i64::try_from(bytes).unwrap_or(i64::MAX));
        let signed = part.presigned(life).await.map_err(|error| failure("signing an address", &error))?;
        Ok(signed.uri().to_owned())
    }

    /// Joins the parts if together they are so many bytes, and says how many have come; `None`: there are no such parts.
    pub(super) async fn join_parts(&self, key: &str, id: &str, bytes: u64) -> Result<Option<u64>, Failure> {
        let Some(mut parts) = self.parts_sent(key, id).await? else { return Ok(None) };
        let have = parts.iter().filter_map(Stored::size).map(i64::unsigned_abs).sum();
        if have != bytes {
            return Ok(Some(have));
        }
        parts.sort_by_key(Stored::part_number);
        let named = |part: Stored| {
            CompletedPart::builder().set_part_number(part.part_number).set_e_tag(part.e_tag).build()
        };
        let whole =
            CompletedMultipartUpload::builder().set_parts(Some(parts.into_iter().map(named).collect()));
        let join = self.client.complete_multipart_upload().bucket(&self.bucket).key(self.key(key));
        match join.upload_id(id).multipart_upload(whole.build()).send().await {
            Ok(_) => Ok(Some(have)),
            Err(error) if error.code() == Some(GONE) => Ok(None),
            Err(error) => Err(failure("joining the parts of a file", &error)),
        }
    }

    /// The parts that have come, however many: S3 lists a thousand at a time. `None`: there is no file of that name to come.
    async fn parts_sent(&self, key: &str, id: &str) -> Result<Option<Vec<Stored>>, Failure> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let list = self.client.list_parts().bucket(&self.bucket).key(self.key(key)).upload_id(id);
            let listed = match list.set_part_number_marker(after).send().await {
                Ok(listed) => listed,
                Err(error) if error.code() == Some(GONE) => return Ok(None),
                Err(error) => return Err(failure("looking for the parts of a file", &error)),
            };
            let more = listed.is_truncated.unwrap_or_default();
            all.extend(listed.parts.unwrap_or_default());
            match listed.next_part_number_marker {
                Some(next) if more => after = Some(next),
                Some(_) | None => return Ok(Some(all)),
            }
        }
    }

    /// Gives parts up; those that are not there count as given up.
    pub(super) async fn abandon_parts(&self, key: &str, id: &str) -> Result<(), Failure> {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(self.key(key));
        match abort.upload_id(id).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(GONE) => Ok(()),
            Err(error) => Err(failure("giving up the parts of a file", &error)),
        }
    }
}

/// How a file is cut: the last part takes what is left.
fn sizes(bytes: u64) -> impl Iterator<Item = u64> {
    (0..bytes.div_ceil(SIZE)).map(move |n| SIZE.min(bytes - n * SIZE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_into_parts_that_are_the_whole_of_it() {
        for (bytes, wanted) in [(1, vec![1]), (SIZE, vec![SIZE]), (2 * SIZE + 7, vec![SIZE, SIZE, 7])] {
            assert_eq!(sizes(bytes).collect::<Vec<_>>(), wanted);
        }
    }
}
