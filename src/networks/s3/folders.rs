//! Folders on disk in which films are worked on. Each goes when its work is done; what a worker that was killed has left is
//! cleared away by the next one that starts.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
    time::{Duration, SystemTime},
};

use tempfile::{Builder, TempDir};

/// How their names begin, so that nobody else's are taken for ours.
const PREFIX: &str = "postroom-film-";
/// No film is worked on for so long: what is older has nobody any more.
const LEFT_AFTER: Duration = Duration::from_hours(6);

/// One that goes with whoever holds it.
pub(super) fn folder() -> io::Result<TempDir> {
    Builder::new().prefix(PREFIX).tempdir()
}

/// Clears away what workers that were killed have left. What cannot be cleared away is said, and left.
pub fn clear() {
    // a new one has the time by the clock that the others have theirs by
    let now = folder().and_then(|new| new.path().metadata()?.modified());
    match now.and_then(|now| clear_in(&std::env::temp_dir(), now)) {
        Ok(0) => {}
        Ok(cleared) => tracing::info!(cleared, "folders were cleared away that killed workers had left"),
        Err(error) => tracing::warn!(%error, "folders that killed workers have left cannot be cleared away"),
    }
}

fn clear_in(parent: &Path, now: SystemTime) -> io::Result<usize> {
    let mut cleared = 0;
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        match clear_one(&path, now) {
            Ok(left) => cleared += usize::from(left),
            // another worker that starts now was faster
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a killed worker's folder cannot be cleared away");
            }
        }
    }
    Ok(cleared)
}

/// Whether it was left, and is gone now.
fn clear_one(path: &Path, now: SystemTime) -> io::Result<bool> {
    let left = is_left(path, now)?;
    if left {
        fs::remove_dir_all(path)?;
    }
    Ok(left)
}

/// Whether it is a folder of ours, and old. A link to one is none.
fn is_left(path: &Path, now: SystemTime) -> io::Result<bool> {
    let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    if !ours {
        return Ok(false);
    }
    let about = path.symlink_metadata()?;
    let age = now.duration_since(about.modified()?);
    Ok(about.is_dir() && age.is_ok_and(|age| age >= LEFT_AFTER))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_folder_has_our_name_and_goes_with_whoever_holds_it() {
        let folder = folder().expect("a folder");
        let path = folder.path().to_owned();
        assert!(path.file_name().expect("a name").to_string_lossy().starts_with(PREFIX) && path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn what_was_left_long_ago_is_cleared_away_and_nothing_else() {
        let parent = tempfile::tempdir().expect("a folder");
        let now = parent.path().metadata().and_then(|about| about.modified()).expect("a time");
        let aged = |path: &Path, age: Duration| {
            File::open(path).and_then(|it| it.set_modified(now - age)).expect("another time");
        };
        let folder = |name: &str, age: Duration| {
            let path = parent.path().join(name);
            fs::create_dir(&path).expect("a folder");
            fs::write(path.join("001.jpg"), "a picture").expect("a file");
            aged(&path, age);
            path
        };
        let left = folder("postroom-film-left", LEFT_AFTER);
        let stays = [
            folder("postroom-film-in-use", LEFT_AFTER.saturating_sub(Duration::from_secs(1))),
            folder("somebody-elses", LEFT_AFTER * 9),
        ];
        let (file, link) =
            (parent.path().join("postroom-film-file"), parent.path().join("postroom-film-link"));
        fs::write(&file, "no folder").expect("a file");
        aged(&file, LEFT_AFTER);
        symlink(&stays[1], &link).expect("a link");
        assert_eq!(clear_in(parent.path(), now).expect("a folder"), 1);
        assert!(!left.exists() && stays.iter().chain([&file, &link]).all(|path| path.exists()));
        // the link itself is old by then, and what is in use is in use no more
        assert_eq!(clear_in(parent.path(), now + LEFT_AFTER * 9).expect("a folder"), 1);
        assert!(!stays[0].exists() && stays[1].exists() && file.exists() && link.exists());
    }
}
