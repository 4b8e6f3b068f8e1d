//! What must be true once a round is quiet: nothing lost, nothing doubled, nothing stuck, and the ledger says
//! what the networks' own log says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    door::{Accepted, Door, edited},
    report::{Breach, Found, Tally},
    schedule::{PostPlan, Wish},
    stage::Stage,
};

/// A publication that needed more attempts or calls than this went in circles.
const CIRCLES: i64 = 80;

/// A publication of the round, as the ledger has it.
#[derive(Debug, FromRow)]
struct Row {
    id: Uuid,
    post_id: Uuid,
    account: String,
    state: String,
    code: Option<String>,
    turns: i64,
}

const ROWS: &str =
    "SELECT p.id, p.post_id, a.external_id AS account, p.state::text, p.error->>'code' AS code,
       (SELECT count(*) FROM attempt t WHERE t.publication_id = p.id)
           + (SELECT count(*) FROM remote_call c WHERE c.publication_id = p.id) AS turns
     FROM publication p JOIN account a ON a.id = p.account_id WHERE p.post_id = ANY($1)";

/// Asks all of them about a round.
pub async fn ask(stage: &Stage, door: &Door, accepted: &[Accepted]) -> (Vec<Found>, Tally) {
    let ids: Vec<Uuid> = accepted.iter().filter_map(|post| post.id).collect();
    let pool = &stage.system.database.pool;
    let rows: Vec<Row> = sqlx::query_as(ROWS).bind(&ids).fetch_all(pool).await.unwrap();
    let commits: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT publication_id, call_id FROM remote_call WHERE kind = 'commit' AND publication_id = ANY($1)",
    )
    .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
    .fetch_all(pool)
    .await
    .unwrap();
    let public = stage.effects().await;
    let (effects, told) = (seen(&public), by_call(&public));
    let mut asked = Asked { effects, told, rows, commits, found: Vec::new(), tally: Tally::default() };
    for post in accepted {
        asked.about(post, door);
    }
    asked.accepted_once(stage, accepted).await;
    asked.calls_were_logged_first(stage).await;
    (asked.found, asked.tally)
}

/// How often the public sees each text on each account.
fn seen(effects: &[Value]) -> BTreeMap<(String, String), usize> {
    let mut seen = BTreeMap::new();
    for effect in effects {
        let word = |name: &str| effect[name].as_str().unwrap_or_default().to_owned();
        *seen.entry((word("account"), word("caption"))).or_default() += 1;
    }
    seen
}

/// How often each call made something public.
fn by_call(effects: &[Value]) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for call in effects.iter().filter_map(|effect| effect["call_id"].as_str()) {
        *told.entry(call.to_owned()).or_default() += 1;
    }
    told
}

struct Asked {
    effects: BTreeMap<(String, String), usize>,
    told: BTreeMap<String, usize>,
    rows: Vec<Row>,
    commits: Vec<(Uuid, Uuid)>,
    found: Vec<Found>,
    tally: Tally,
}

impl Asked {
    fn find(&mut self, breach: Breach, what: String) {
        self.found.push(Found { breach, what });
    }

    fn about(&mut self, post: &Accepted, door: &Door) {
        let Some(id) = post.id else {
            return self.find(Breach::Stuck, format!("{:?} was never accepted", post.plan.caption));
        };
        for (surface, account) in &post.plan.targets {
            let account = door.external(surface.name().0, *account);
            match self.rows.iter().position(|row| row.post_id == id && row.account == account) {
                // O1
                None => self.find(Breach::Lost, format!("{:?} on {account} has no row", post.plan.caption)),
                Some(row) => {
                    let row = self.rows.swap_remove(row);
                    self.publication(post, &row);
                }
            }
        }
    }

    fn publication(&mut self, post: &Accepted, row: &Row) {
        let plan = &post.plan;
        let count = |words: String| self.effects.get(&(row.account.clone(), words)).copied().unwrap_or(0);
        let (old, new) = if plan.shape.is_story() {
            (0, self.told(row.id))
        } else {
            (count(plan.caption.clone()), count(edited(&plan.caption)))
        };
        let what = format!("{:?} on {} ({})", plan.caption, row.account, row.id);
        // O2
        if old + new > 1 {
            self.find(Breach::Doubled, format!("{what} is public {} times", old + new));
        }
        self.ledger_agrees(plan, row, old + new, &what);
        self.wishes_were_kept(post, row, old, &what);
        // O9
        if row.turns > CIRCLES {
            self.find(Breach::Stuck, format!("{what} went in circles: {} attempts and calls", row.turns));
        }
    }

    /// How often a story is public: it shows no words, and is known by the calls that were armed for it.
    fn told(&self, publication: Uuid) -> usize {
        let calls = self.commits.iter().filter(|(id, _)| *id == publication);
        calls.filter_map(|(_, call)| self.told.get(&call.to_string())).sum()
    }

    /// O3: published and public are the same; and what is neither has a reason that the round gave it.
    fn ledger_agrees(&mut self, plan: &PostPlan, row: &Row, effects: usize, what: &str) {
        let (state, code) = (row.state.as_str(), row.code.as_deref());
        match state {
            "published" => self.tally.published += 1,
            "held" => self.tally.held += 1,
            "cancelled" => self.tally.cancelled += 1,
            _ => {}
        }
        let wished_away = matches!(plan.wish, Some((_, Wish::Cancel)));
        match (state, effects) {
            ("published", 0) => {
                self.find(Breach::Lost, format!("{what} is called published and nobody sees it"));
            }
            ("published", _) => {}
            // nobody can prove that a story was not told
            ("held", 0 | 1) if plan.shape.is_story() && code == Some("not_provable") => {}
            ("held" | "cancelled" | "failed", 1..) => {
                self.find(Breach::Doubled, format!("{what} is called {state} and is public"));
            }
            ("held", 0) if code == Some("too_late") && plan.latest.is_some() => {}
            // what was taken back by a process that was killed before it said so
            ("held", 0) if code == Some("not_provable") && (wished_away || plan.latest.is_some()) => {}
            ("held", 0) => self.find(Breach::Stuck, format!("{what} is held without need: {code:?}")),
            ("cancelled", 0) if wished_away => {}
            ("cancelled" | "failed", 0) => self.find(Breach::Lost, format!("{what} is {state}: {code:?}")),
            // O4
            (_, _) => self.find(Breach::Stuck, format!("{what} is still {state}: {code:?}")),
        }
    }

    /// O5: nothing is armed after an acknowledged cancel, and no old words go out after an acknowledged edit.
    fn wishes_were_kept(&mut self, post: &Accepted, row: &Row, old: usize, what: &str) {
        let Some(granted) = post.granted.get(&row.id) else { return };
        let later =
            self.commits.iter().filter(|(id, call)| *id == row.id && !granted.commits.contains(call)).count();
        match granted.wish {
            Wish::Cancel if later > 0 => {
                self.find(Breach::Doubled, format!("{what} was armed after its cancel was acknowledged"));
            }
            Wish::Edit if old > 0 => {
                self.find(Breach::Doubled, format!("{what} went out with the words of before its edit"));
            }
            Wish::Cancel | Wish::Edit => {}
        }
    }

    /// A request that was repeated under its key made one post.
    async fn accepted_once(&mut self, stage: &Stage, accepted: &[Accepted]) {
        let captions: Vec<&str> = accepted.iter().map(|post| post.plan.caption.as_str()).collect();
        let doubled: Vec<(String, i64)> = sqlx::query_as(
            "SELECT caption, count(*) FROM post WHERE caption = ANY($1) GROUP BY 1 HAVING count(*) > 1",
        )
        .bind(captions)
        .fetch_all(&stage.system.database.pool)
        .await
        .unwrap();
        for (caption, times) in doubled {
            self.find(Breach::Doubled, format!("{caption:?} was accepted {times} times under one key"));
        }
    }

    /// I3: every mutating call was in the ledger before it arrived, as far as the ledger could be asked.
    async fn calls_were_logged_first(&mut self, stage: &Stage) {
        let calls = stage.system.control("calls?mutating=true&in_ledger=false").await;
        let unknown: BTreeSet<String> =
            calls["data"].as_array().into_iter().flatten().map(Value::to_string).collect();
        for call in unknown {
            self.find(Breach::Doubled, format!("a call that no ledger knows of: {call}"));
        }
    }
}

/// What is left where nothing should be, once a round is quiet; nothing is the good answer.
pub async fn left_over(stage: &Stage, accepted: &[Accepted]) -> Result<(), String> {
    let ids: Vec<Uuid> = accepted.iter().filter_map(|post| post.id).collect();
    // what a network has yet to carry out may still belie the ledger
    let pending = stage.system.control("pending").await["pending"].as_u64();
    if pending != Some(0) {
        return Err(format!("the networks have {pending:?} requests to carry out"));
    }
    let (jobs, claims): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(c.job_id) FROM job j JOIN publication p ON p.id = j.publication_id
         LEFT JOIN claim c ON c.job_id = j.id WHERE p.post_id = ANY($1)",
    )
    .bind(&ids)
    .fetch_one(&stage.system.database.pool)
    .await
    .map_err(|e| e.to_string())?;
    let stray = "SELECT count(*) FROM claim c WHERE NOT EXISTS (SELECT FROM job j WHERE j.id = c.job_id)";
    let stray: i64 =
        sqlx::query_scalar(stray).fetch_one(&stage.system.database.pool).await.map_err(|e| e.to_string())?;
    let mut connection = stage.redis.connection().await?;
    let (keys, depth): (i64, Option<i64>) = redis::pipe()
        .cmd("DBSIZE")
        .cmd("GET")
        .arg("{publish}:depth")
        .query_async(&mut connection)
        .await
        .map_err(|e| e.to_string())?;
    // five keys a kind, and none for a workspace without hints
    let most = i64::try_from(5 * jobs::kinds().count()).unwrap_or(i64::MAX);
    if jobs + claims + stray == 0 && keys <= most && depth.unwrap_or(0) == 0 {
        return Ok(());
    }
    Err(format!(
        "{jobs} jobs, {claims} claims, {stray} claims without a job; Redis: {keys} keys, depth {depth:?}"
    ))
}
