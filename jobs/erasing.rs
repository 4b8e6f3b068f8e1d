//! Erasing files, and looking whether they are gone: some at once, because a store that is far away answers about each of
//! them slowly.

use futures_util::future::join_all;

use crate::{contract::Failure, desk::Media, forgetting::Doomed};

/// Erases these files with their parts. Tells of each, in their order, how much there was of it or why it is still there: one
/// that the store does not erase keeps no other from being erased.
pub async fn erase(store: &dyn Media, doomed: &[Doomed]) -> Vec<Result<u64, Failure>> {
    join_all(doomed.iter().map(|it| erase_one(store, it))).await
}

async fn erase_one(store: &dyn Media, doomed: &Doomed) -> Result<u64, Failure> {
    if let Some(parts) = &doomed.parts {
        store.abandon(&doomed.key, parts).await?;
    }
    store.erase(&doomed.key).await
}

/// How much there still is of these files.
///
/// # Errors
/// The store is away.
pub async fn left(store: &dyn Media, keys: &[String]) -> Result<u64, Failure> {
    let found = join_all(keys.iter().map(|key| store.traces(key))).await;
    found.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use async_trait::async_trait;
    use tokio::{sync::Barrier, time::timeout};

    use super::*;
    use crate::contract::Class;

    const SOME: usize = 16;

    /// Answers nobody before so many have asked, and does not erase one of the files.
    struct Far(Barrier);

    fn refused() -> Failure {
        Failure::new(Class::Transient, "media_store", "refused")
    }

    #[async_trait]
    impl Media for Far {
        async fn address(&self, _: &str) -> Result<String, Failure> {
            Err(refused())
        }

        async fn read(&self, _: &str, _: u64, _: u64) -> Result<Vec<u8>, Failure> {
            Err(refused())
        }

        async fn size(&self, _: &str) -> Result<Option<u64>, Failure> {
            Err(refused())
        }

        async fn store(&self, _: &str, _: &str, _: &Path) -> Result<(), Failure> {
            Err(refused())
        }

        async fn remove(&self, _: &str) -> Result<(), Failure> {
            Err(refused())
        }

        async fn erase(&self, key: &str) -> Result<u64, Failure> {
            self.0.wait().await;
            if key == "3" { Err(refused()) } else { Ok(2) }
        }

        async fn traces(&self, _: &str) -> Result<u64, Failure> {
            self.0.wait().await;
            Ok(3)
        }
    }

    #[tokio::test]
    async fn files_are_erased_and_looked_for_at_once_and_one_that_is_refused_keeps_no_other() {
        let (store, soon) = (Far(Barrier::new(SOME)), Duration::from_secs(20));
        let doomed: Vec<_> = (0..SOME).map(|n| Doomed { key: n.to_string(), parts: None }).collect();
        let erased = timeout(soon, erase(&store, &doomed)).await.expect("none waits for another");
        let expected: Vec<Result<u64, Failure>> =
            (0..SOME).map(|n| if n == 3 { Err(refused()) } else { Ok(2) }).collect();
        assert_eq!(erased, expected);
        let keys: Vec<_> = doomed.into_iter().map(|it| it.key).collect();
        let found = timeout(soon, left(&store, &keys)).await.expect("none waits for another");
        assert_eq!(found, Ok(3 * SOME as u64));
    }
}
