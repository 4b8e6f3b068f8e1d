//! No secret that goes through while things break stands where somebody may read it.

use std::collections::BTreeSet;

use super::stage::Stage;
use crate::secrets::{Haystack, Secret, in_database, in_logs, in_redis};

/// What was looked for, where, and what was found.
#[derive(Debug, Default)]
pub struct Leaks {
    /// How many were looked for.
    pub secrets: usize,
    /// In how many texts.
    pub places: usize,
    /// Each: which secret is where.
    pub found: BTreeSet<String>,
}

impl Leaks {
    /// Looks into Redis, which forgets from round to round.
    pub async fn look_into_redis(&mut self, stage: &Stage) {
        self.look(&stage.secrets, &in_redis(&stage.redis.url()).await);
    }

    /// Looks through all that the processes have logged, and all that is in the database.
    pub async fn look_through_what_stays(&mut self, stage: &Stage) {
        self.look(&stage.secrets, &in_logs(&stage.system));
        self.look(&stage.secrets, &in_database(&stage.system).await);
    }

    fn look(&mut self, secrets: &[Secret], places: &Haystack) {
        self.secrets = secrets.len();
        self.places += places.len();
        for (place, text) in places {
            let leaked = secrets.iter().filter(|secret| secret.is_in(text));
            self.found.extend(leaked.map(|secret| format!("{} is in {place}", secret.what)));
        }
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let looked = format!(
            "secrets: {} looked for in {} logs, dumps and keys of Redis; found {}",
            self.secrets,
            self.places,
            self.found.len()
        );
        let leaked = self.found.iter().map(|leak| format!("LEAKED: {leak}"));
        [looked].into_iter().chain(leaked).collect()
    }
}
