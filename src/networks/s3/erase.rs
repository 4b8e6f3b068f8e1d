//! Erasing a file for good: every version of it and of what was made of it, the marks that deletions leave behind in a bucket
//! with versions, and every part that was never joined.

use aws_sdk_s3::error::ProvideErrorMetadata;
use jobs::contract::{Class, Failure};

use super::{CODE, S3, failure};

/// The store's word for what it cannot do: then there is none of it.
const UNKNOWN: &str = "NotImplemented";
/// More rounds than a file with a million versions takes: a store that forgets to forget ends here.
const MOST_ROUNDS: usize = 1_000;

/// Something that the store has of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trace {
    /// An object, or one version of it, or the mark of its deletion.
    Object { key: String, version: Option<String> },
    /// Parts that were never joined.
    Parts { key: String, id: String },
}

/// A page of versions, and where the next one begins.
struct Page {
    traces: Vec<Trace>,
    next: Option<(Option<String>, Option<String>)>,
}

/// Whether a key is that of the file, or of something that was made of it; other files' keys may begin alike.
fn is_of(file: &str, key: &str) -> bool {
    key.strip_prefix(file).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl S3 {
    /// Erases all there is of a file, and tells how much that was.
    pub(super) async fn erase_all(&self, key: &str) -> Result<u64, Failure> {
        let file = self.key(key);
        let mut erased = 0;
        for _ in 0..MOST_ROUNDS {
            let found = self.some_traces(&file).await?;
            if found.is_empty() {
                return Ok(erased);
            }
            for trace in &found {
                self.erase_one(trace).await?;
                erased += 1;
            }
        }
        Err(Failure::new(Class::Transient, CODE, "erasing a file: the store has ever more of it"))
    }

    /// Counts all there is of a file.
    pub(super) async fn count_traces(&self, key: &str) -> Result<u64, Failure> {
        let file = self.key(key);
        let (mut count, mut from) = (self.parts_of(&file).await?.len(), None);
        loop {
            let page = self.versions_of(&file, from).await?;
            count += page.traces.len();
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(count as u64),
            }
        }
    }

    async fn some_traces(&self, file: &str) -> Result<Vec<Trace>, Failure> {
        let mut from = None;
        loop {
            let page = self.versions_of(file, from).await?;
            match page.next {
                // a page of other files' keys alone
                Some(next) if page.traces.is_empty() => from = Some(next),
                _ if page.traces.is_empty() => return self.parts_of(file).await,
                _ => return Ok(page.traces),
            }
        }
    }

    async fn versions_of(
        &self,
        file: &str,
        from: Option<(Option<String>, Option<String>)>,
    ) -> Result<Page, Failure> {
        let (after, version) = from.unwrap_or_default();
        let list = self.client.list_object_versions().bucket(&self.bucket).prefix(file);
        let list = list.set_key_marker(after).set_version_id_marker(version);
        let listed = match list.send().await {
            Ok(listed) => listed,
            Err(error) if error.code() == Some(UNKNOWN) => return self.objects_of(file).await,
            Err(error) => return Err(failure("listing the versions of a file", &error)),
        };
        let more = listed.is_truncated.unwrap_or_default();
        let next = more.then_some((listed.next_key_marker, listed.next_version_id_marker));
        let versions = listed.versions.unwrap_or_default().into_iter().map(|it| (it.key, it.version_id));
        let marks = listed.delete_markers.unwrap_or_default().into_iter().map(|it| (it.key, it.version_id));
        let traces = versions.chain(marks).filter_map(|(key, version)| {
            key.filter(|key| is_of(file, key)).map(|key| Trace::Object { key, version })
        });
        Ok(Page { traces: traces.collect(), next })
    }

    /// Of a store without versions. What lies behind a full page is found when that is erased.
    async fn objects_of(&self, file: &str) -> Result<Page, Failure> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(file);
        let listed = list.send().await.map_err(|error| failure("listing what there is of a file", &error))?;
        let keys = listed.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
        let traces = keys.filter(|key| is_of(file, key)).map(|key| Trace::Object { key, version: None });
        Ok(Page { traces: traces.collect(), next: None })
    }

    async fn parts_of(&self, file: &str) -> Result<Vec<Trace>, Failure> {
        let list = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(file);
        let listed = match list.send().await {
            Ok(listed) => listed.uploads.unwrap_or_default(),
            Err(error) if error.code() == Some(UNKNOWN) => return Ok(Vec::new()),
            Err(error) => return Err(failure("listing the parts of a file", &error)),
        };
        let named = listed.into_iter().filter_map(|upload| Some((upload.key?, upload.upload_id?)));
        let own = named.filter(|(key, _)| is_of(file, key));
        Ok(own.map(|(key, id)| Trace::Parts { key, id }).collect())
    }

    /// Everything that is stored in a folder, each at once: for a few small things.
    ///
    /// # Errors
    /// The store is away.
    pub async fn folder(&self, folder: &str) -> Result<Vec<Vec<u8>>, Failure> {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(folder));
            let listed = list.set_continuation_token(from).send().await;
            let listed = listed.map_err(|error| failure("listing a folder", &error))?;
            for key in listed.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
                let get = self.client.get_object().bucket(&self.bucket).key(key).send().await;
                let body = get.map_err(|error| failure("reading a file", &error))?.body.collect().await;
                let broke = |_| Failure::new(Class::Transient, CODE, "reading a file: the connection broke");
                all.push(body.map_err(broke)?.to_vec());
            }
            match listed.next_continuation_token {
                Some(next) => from = Some(next),
                None => return Ok(all),
            }
        }
    }

    async fn erase_one(&self, trace: &Trace) -> Result<(), Failure> {
        match trace {
            Trace::Object { key, version } => {
                let delete = self.client.delete_object().bucket(&self.bucket).key(key);
                match delete.set_version_id(version.clone()).send().await {
                    Ok(_) => Ok(()),
                    Err(error) if matches!(error.code(), Some("NoSuchKey" | "NoSuchVersion")) => Ok(()),
                    Err(error) => Err(failure("erasing a file", &error)),
                }
            }
            Trace::Parts { key, id } => {
                let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key);
                match abort.upload_id(id).send().await {
                    Ok(_) => Ok(()),
                    Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
                    Err(error) => Err(failure("giving up the parts of a file", &error)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_of_a_file_is_of_it_and_another_file_is_not() {
        assert!(is_of("w/1.jpg", "w/1.jpg") && is_of("w/1.jpg", "w/1.jpg.small.jpeg"));
        assert!(!is_of("w/1.jpg", "w/1.jpg2") && !is_of("w/1.jpg", "w/1.jp") && !is_of("w/1.jpg", "v/1.jpg"));
    }
}
