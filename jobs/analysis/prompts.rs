//! What the model is told: files with versions. A file that is changed is a new version: answers are kept by it, and what
//! was asked stays known.

/// A prompt.
#[derive(Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Its name and version, as they are kept.
    pub id: &'static str,
    /// What the model is told.
    pub text: &'static str,
    /// The SHA-256 of the text: who changes the file makes a new version of it.
    pub sha256: &'static str,
}

/// Writes captions.
pub const CAPTION: Prompt = Prompt {
    id: "caption.1",
    text: include_str!("prompts/caption.1.md"),
    sha256: "4096a5c93aff89b910ba9696cf47ca82b7fb34126b5028e78aa1e77be563cbb1",
};

/// Looks at films and pictures.
pub const VIDEO_REVIEW: Prompt = Prompt {
    id: "video_review.1",
    text: include_str!("prompts/video_review.1.md"),
    sha256: "f82cb954ad60f069c0c771e9388090f0dcad236a368c58028b53b32b9b71cd3e",
};

/// Puts in words what was counted.
pub const RESULTS: Prompt = Prompt {
    id: "results.1",
    text: include_str!("prompts/results.1.md"),
    sha256: "0fe2663ff2a9061310c3c4e9cc37b3d87f0365afd5e40bd269cc2adfb278d6e2",
};

/// Every prompt.
pub const PROMPTS: &[&Prompt] = &[&CAPTION, &VIDEO_REVIEW, &RESULTS];

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn a_prompt_that_is_changed_is_another_version() {
        for prompt in PROMPTS {
            let found = hex::encode(Sha256::digest(prompt.text));
            assert_eq!(found, prompt.sha256, "{} was changed: make it a new version", prompt.id);
        }
    }

    #[test]
    fn every_file_is_a_prompt_of_its_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("analysis/prompts");
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("a file").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            assert!(PROMPTS.iter().any(|prompt| prompt.id == name), "{name} is none of the prompts");
        }
    }
}
