//! The intake as chaos uses it: every post is asked for until it is accepted, under one Idempotency-Key, as a
//! careful client does whose answers get lost.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    files::{File, Shelf},
    schedule::{PostPlan, Wish},
    surfaces::Shape,
};
use crate::harness::{System, TIKTOK};

/// One request.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// Requests for one post, in all.
const ASK_FOR: Duration = Duration::from_secs(40);

/// The intake, and what posts are made of.
pub struct Door {
    http: reqwest::Client,
    url: String,
    key: String,
    pool: sqlx::PgPool,
    /// Of each network: our id of an account, and the network's.
    accounts: BTreeMap<&'static str, [(String, String); 2]>,
    shelf: Shelf,
}

/// A post that was accepted, and what became of the wish about it.
#[derive(Debug)]
pub struct Accepted {
    /// Its plan.
    pub plan: PostPlan,
    /// Its files, which no other post of the round has.
    pub files: Vec<File>,
    /// Our id of it; none where it was never accepted.
    pub id: Option<Uuid>,
    /// When it was accepted, or given up.
    pub at: Instant,
    /// The wishes that were acknowledged, by publication.
    pub granted: BTreeMap<Uuid, Granted>,
}

/// A wish that was acknowledged.
#[derive(Debug, Clone)]
pub struct Granted {
    /// What was wished.
    pub wish: Wish,
    /// The commit calls that were there by then; there must never be another, or never one of the old words.
    pub commits: Vec<Uuid>,
}

impl Door {
    /// The door of a system.
    pub fn new(
        system: &System,
        accounts: BTreeMap<&'static str, [(String, String); 2]>,
        shelf: Shelf,
    ) -> Self {
        Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(ANSWER_WITHIN)
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
            url: system.url("/api/v1/posts"),
            key: system.key.clone(),
            pool: system.database.pool.clone(),
            accounts,
            shelf,
        }
    }

    /// The network's id of an account.
    pub fn external(&self, platform: &str, account: usize) -> &str {
        &self.accounts[platform][account].1
    }

    /// The files of each of these posts.
    pub fn files(&self, plans: &[PostPlan]) -> Vec<Vec<File>> {
        let mut taker = self.shelf.taker();
        plans.iter().map(|plan| taker.take(plan.shape.files())).collect()
    }

    /// Posts everything at its time, and tells the wishes at theirs.
    pub async fn post_all(&self, plans: &[PostPlan]) -> Vec<Accepted> {
        let files = self.files(plans);
        let posts = plans.iter().zip(files).map(|(plan, files)| self.post(plan, files));
        futures_util::future::join_all(posts).await
    }

    async fn post(&self, plan: &PostPlan, files: Vec<File>) -> Accepted {
        tokio::time::sleep(plan.at).await;
        let id = self.accepted(plan, &files).await;
        let at = Instant::now();
        let mut granted = BTreeMap::new();
        if let (Some(id), Some((after, wish))) = (id, plan.wish) {
            tokio::time::sleep(after).await;
            // a wish that the ledger does not take is not acknowledged, and nothing follows from it
            if let Ok(taken) = self.wish(id, wish, &edited(&plan.caption)).await {
                granted = taken;
            }
        }
        Accepted { plan: plan.clone(), files, id, at, granted }
    }

    async fn accepted(&self, plan: &PostPlan, files: &[File]) -> Option<Uuid> {
        let (body, key) = (self.body(plan, files), Uuid::now_v7().to_string());
        let until = Instant::now() + ASK_FOR;
        let mut again = tokio::time::interval(Duration::from_millis(150));
        while Instant::now() < until {
            again.tick().await;
            let request = self.http.post(&self.url).bearer_auth(&self.key).header("Idempotency-Key", &key);
            let Ok(answer) = request.json(&body).send().await else { continue };
            let status = answer.status();
            let Ok(answer) = answer.json::<Value>().await else { continue };
            if status == 202 {
                return answer["id"].as_str().and_then(|id| id.parse().ok());
            }
            assert!(status.is_server_error(), "{status}: {answer}");
        }
        None
    }

    fn body(&self, plan: &PostPlan, files: &[File]) -> Value {
        let targets = plan.targets.iter().map(|(surface, account)| {
            let platform = surface.platform();
            let options =
                if platform == TIKTOK { json!({ "privacy_level": "PUBLIC_TO_EVERYONE" }) } else { json!({}) };
            json!({ "account_id": self.accounts[platform][*account].0, "options": options })
        });
        let (kind, targets) = (plan.shape.kind(), targets.collect::<Vec<_>>());
        let mut body = json!({ "caption": plan.caption, "kind": kind, "targets": targets });
        if plan.shape == Shape::Link {
            body["link"] = json!("https://example.com/bread");
        }
        if !files.is_empty() {
            body["media_ids"] = files.iter().map(|file| file.id.as_str()).collect();
        }
        if let Some(latest) = plan.latest {
            body["latest_after"] = json!(format!("PT{latest}S"));
        }
        body
    }

    /// Tells the intake a wish, once: one that is not acknowledged may be kept, and nothing follows from it.
    async fn wish(&self, post: Uuid, wish: Wish, words: &str) -> Result<BTreeMap<Uuid, Granted>, String> {
        let url = format!("{}/{post}", self.url);
        let request = match wish {
            Wish::Cancel => self.http.post(format!("{url}/cancel")),
            Wish::Edit => self.http.patch(url).json(&json!({ "caption": words })),
        };
        let answer = request.bearer_auth(&self.key).send().await.map_err(|e| e.to_string())?;
        if answer.status() != 202 {
            return Ok(BTreeMap::new());
        }
        let answer: Value = answer.json().await.map_err(|e| e.to_string())?;
        let granted = answer["publications"].as_array().into_iter().flatten();
        let granted = granted.filter(|it| it["state"] != "published");
        let ids: Vec<Uuid> = granted.filter_map(|it| it["id"].as_str()?.parse().ok()).collect();
        let commits: Vec<(Uuid, Uuid)> = sqlx::query_as(
            "SELECT publication_id, call_id FROM remote_call WHERE kind = 'commit' AND publication_id = ANY($1)",
        )
        .bind(&ids)
        .fetch_all(&self.pool)
        .await
        .map_err(|e| e.to_string())?;
        let of = |id: Uuid| commits.iter().filter(|(of, _)| *of == id).map(|(_, call)| *call).collect();
        Ok(ids.into_iter().map(|id| (id, Granted { wish, commits: of(id) })).collect())
    }
}

/// A caption after an edit.
pub fn edited(caption: &str) -> String {
    format!("{caption}, edited")
}
