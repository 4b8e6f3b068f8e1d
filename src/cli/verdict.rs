//! `verdict`: decides a publication that nobody could prove public or not.

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{Failed, Output, owned_ledger};
use crate::{
    config,
    ledger::{
        idempotency::Once,
        verdict::{By, Word},
    },
    networks::{self, NETWORKS},
    web::{permalink::Shown, verdict},
};

#[derive(Debug, Args)]
pub(super) struct Verdict {
    /// The publication; `postroom explain POST` names those of a post.
    publication: Uuid,
    /// It is public.
    #[arg(long, required_unless_present = "not_published", conflicts_with = "not_published")]
    published: bool,
    /// Where it is to be seen.
    #[arg(long, value_name = "U", conflicts_with = "not_published")]
    permalink: Option<String>,
    /// It is not public: it counts as failed, and trying it again sends it anew.
    #[arg(long, requires = "reason")]
    not_published: bool,
    /// Why: what was looked at, and what was seen. Kept, and shown in its history.
    #[arg(long, value_name = "R")]
    reason: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Verdict {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let (ledger, id) = (owned_ledger()?, self.publication);
        let place = ledger.place(None, id).await?.ok_or_else(|| format!("there is no publication {id}"))?;
        let stand_ins = networks::stand_ins(&config::optional);
        let entry = NETWORKS.iter().find(|entry| entry.platform.name == place.platform);
        let shown = entry.map(|entry| Shown {
            platform: entry.platform,
            stand_in: stand_ins.iter().find(|(name, _)| *name == entry.platform.name).map(|(_, url)| url),
        });
        let verdict = verdict::Verdict {
            published: Some(self.published),
            permalink: self.permalink,
            reason: self.reason,
        };
        if let Some(wrong) = verdict.judge(shown, Vec::new()).first() {
            return Err(format!("--{}: {}", wrong.field, wrong.detail).into());
        }
        let word = Word {
            publication_id: id,
            published: self.published,
            permalink: verdict.permalink.as_deref(),
            reason: verdict.reason(),
            by: By::Operator,
            one_shot: shown.is_some_and(|shown| shown.is_one_shot(&place)),
            keyed: None,
        };
        match ledger.decide_held(&place, &word).await? {
            Once::Done(Ok(decided)) if self.output.json => {
                let state = decided.state.shown();
                println!("{}", json!({ "id": id, "state": state, "permalink": decided.permalink }));
                Ok(())
            }
            Once::Done(Ok(decided)) => {
                println!("publication {id}: {}", decided.state.shown());
                Ok(())
            }
            Once::Done(Err(why)) => Err(why.into()),
            Once::Before(_) | Once::KeyReused => Err("only what carries a key is answered before".into()),
        }
    }
}
