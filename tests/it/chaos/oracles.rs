//! What must be true once a round is quiet: nothing lost, nothing doubled, nothing stuck, and the ledger says
//! what the networks' own log says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    door::{Accepted, Door, edited},
    files::File,
    report::{Breach, Found},
    schedule::Wish,
    stage::Stage,
    surfaces::Surface,
    tally::{Hold, Tally},
};

/// A publication that needed more attempts or calls than this went in circles.
const CIRCLES: i64 = 80;

/// A publication of the round, as the ledger has it.
#[derive(Debug, FromRow)]
struct Row {
    id: Uuid,
    post_id: Uuid,
    account: String,
    surface: String,
    state: String,
    code: Option<String>,
    turns: i64,
}

const ROWS: &str =
    "SELECT p.id, p.post_id, a.external_id AS account, p.surface, p.state::text, p.error->>'code' AS code,
       (SELECT count(*) FROM attempt t WHERE t.publication_id = p.id)
           + (SELECT count(*) FROM remote_call c WHERE c.publication_id = p.id) AS turns
     FROM publication p JOIN account a ON a.id = p.account_id WHERE p.post_id = ANY($1)";

/// What the public came to see.
#[derive(Debug, Clone, Deserialize)]
pub struct Effect {
    /// Its place in the networks' log.
    pub seq: u64,
    /// Where.
    pub account: String,
    /// The words it shows.
    pub caption: String,
    /// The SHA-256 of each file that it shows.
    pub media: Vec<String>,
}

/// How the publications of each surface ended.
pub type Tallies = BTreeMap<Surface, Tally>;

/// Asks all of them about a round, which saw the effects that are newer than `since`.
pub async fn ask(stage: &Stage, door: &Door, accepted: &[Accepted], since: u64) -> (Vec<Found>, Tallies) {
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
    let effects = stage.effects().await.into_iter().filter(|effect| effect.seq > since).collect();
    let mut asked = Asked { effects, rows, commits, found: Vec::new(), tallies: Tallies::default() };
    for post in accepted {
        asked.about(post, door);
    }
    asked.accepted_once(stage, accepted).await;
    asked.calls_were_logged_first(stage).await;
    (asked.found, asked.tallies)
}

/// O2 once more when all rounds are over: what came out after its own round.
pub fn late(effects: &[Effect]) -> Vec<Found> {
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for effect in effects.iter().filter(|effect| effect.caption.starts_with("chaos ")) {
        let words = effect.caption.trim_end_matches(edited("").as_str());
        *seen.entry((&effect.account, words)).or_default() += 1;
    }
    let doubled = seen.into_iter().filter(|(_, times)| *times > 1);
    let found = doubled.map(|((account, words), times)| Found {
        breach: Breach::Doubled,
        surface: None,
        what: format!("in the end {words:?} on {account} is public {times} times"),
    });
    found.collect()
}

/// One target of a post, and what the ledger says of it.
struct One<'a> {
    post: &'a Accepted,
    surface: Surface,
    row: Row,
    what: String,
}

struct Asked {
    effects: Vec<Effect>,
    rows: Vec<Row>,
    commits: Vec<(Uuid, Uuid)>,
    found: Vec<Found>,
    tallies: Tallies,
}

impl Asked {
    fn find(&mut self, surface: impl Into<Option<Surface>>, breach: Breach, what: String) {
        self.found.push(Found { breach, surface: surface.into(), what });
    }

    fn tally(&mut self, surface: Surface) -> &mut Tally {
        self.tallies.entry(surface).or_default()
    }

    fn about(&mut self, post: &Accepted, door: &Door) {
        for &(surface, account) in &post.plan.targets {
            self.tally(surface).posts += 1;
            let Some(id) = post.id else {
                self.find(surface, Breach::Stuck, format!("{:?} was never accepted", post.plan.caption));
                continue;
            };
            let account = door.external(surface.platform(), account);
            match self.rows.iter().position(|row| row.post_id == id && row.account == account) {
                // O1
                None => {
                    self.find(
                        surface,
                        Breach::Lost,
                        format!("{:?} on {account} has no row", post.plan.caption),
                    );
                }
                Some(row) => {
                    let row = self.rows.swap_remove(row);
                    let what =
                        format!("{:?} on {} ({}, {})", post.plan.caption, account, surface.label(), row.id);
                    self.publication(&One { post, surface, row, what });
                }
            }
        }
    }

    fn publication(&mut self, one: &One) {
        let (old, new) = self.seen(one);
        let what = &one.what;
        // O2
        if old.len() + new.len() > 1 {
            let times = old.len() + new.len();
            self.find(one.surface, Breach::Doubled, format!("{what} is public {times} times"));
        }
        self.came_out_whole(one, old.iter().chain(&new));
        self.ledger_agrees(one, old.len() + new.len());
        self.wishes_were_kept(one, old.len());
        // O9
        if one.row.turns > CIRCLES {
            let turns = one.row.turns;
            self.find(
                one.surface,
                Breach::Stuck,
                format!("{what} went in circles: {turns} attempts and calls"),
            );
        }
    }

    /// What the public sees of it with the words of before an edit, and with those after. A story shows no words, and
    /// is known by its file.
    fn seen(&self, one: &One) -> (Vec<Effect>, Vec<Effect>) {
        let of = |words: &str, file: Option<&File>| -> Vec<Effect> {
            let here = self.effects.iter().filter(|effect| effect.account == one.row.account);
            let same = |effect: &&Effect| {
                effect.caption == words && file.is_none_or(|file| effect.media.contains(&file.sha256))
            };
            here.filter(same).cloned().collect()
        };
        let words = one.post.plan.caption.as_str();
        if one.surface.shape().is_story() {
            (Vec::new(), of("", one.post.files.first()))
        } else {
            (of(words, None), of(&edited(words), None))
        }
    }

    /// It went out as what it was accepted for, with all of its files in their order.
    fn came_out_whole<'a>(&mut self, one: &One, seen: impl Iterator<Item = &'a Effect>) {
        let (_, name) = one.surface.name();
        if one.row.surface != name {
            self.find(one.surface, Breach::Lost, format!("{} went out as {}", one.what, one.row.surface));
        }
        let files: Vec<&str> = one.post.files.iter().map(|file| file.sha256.as_str()).collect();
        for effect in seen.filter(|effect| effect.media != files) {
            let what = format!("{} shows {:?} instead of {files:?}", one.what, effect.media);
            self.find(one.surface, Breach::Lost, what);
        }
    }

    /// O3: published and public are the same; and what is neither has a reason that the round gave it.
    fn ledger_agrees(&mut self, one: &One, effects: usize) {
        let (surface, what, plan) = (one.surface, &one.what, &one.post.plan);
        let (state, code) = (one.row.state.as_str(), one.row.code.as_deref());
        let wished_away = matches!(plan.wish, Some((_, Wish::Cancel)));
        let may_fail = plan.lies.iter().any(|lie| lie.fails(surface));
        let tally = self.tally(surface);
        match state {
            "published" => tally.published += 1,
            "cancelled" => tally.cancelled += 1,
            "failed" => tally.failed += 1,
            _ => {}
        }
        match (state, effects) {
            ("published", 0) => {
                self.find(surface, Breach::Lost, format!("{what} is called published and nobody sees it"));
            }
            ("published", _) => {}
            ("held", _) => self.held(one, effects),
            ("cancelled" | "failed", 1..) => {
                self.find(surface, Breach::Doubled, format!("{what} is called {state} and is public"));
            }
            ("cancelled", 0) if wished_away => {}
            ("failed", 0) if may_fail => {}
            ("cancelled" | "failed", 0) => {
                self.find(surface, Breach::Lost, format!("{what} is {state}: {code:?}"));
            }
            // O4
            (_, _) => self.find(surface, Breach::Stuck, format!("{what} is still {state}: {code:?}")),
        }
    }

    /// A person decides where the protocol has it so, and nowhere else.
    fn held(&mut self, one: &One, effects: usize) {
        let (surface, code) = (one.surface, one.row.code.as_deref().unwrap_or_default());
        let hold = Hold::of(&one.post.plan, surface, code);
        *self.tally(surface).held.entry(hold).or_default() += 1;
        let what = &one.what;
        match (hold, effects) {
            // nobody can prove that a story was not told
            (Hold::OneShot, 0 | 1) | (Hold::TooLate | Hold::Forgotten, 0) => {}
            (Hold::Needless, 0) => {
                self.find(surface, Breach::Stuck, format!("{what} is held without need: {code}"));
            }
            (Hold::OneShot | Hold::TooLate | Hold::Forgotten | Hold::Needless, _) => {
                self.find(surface, Breach::Doubled, format!("{what} is held ({code}) and is public"));
            }
        }
    }

    /// O5: nothing is armed after an acknowledged cancel, and no old words go out after an acknowledged edit.
    fn wishes_were_kept(&mut self, one: &One, old: usize) {
        let (row, what) = (&one.row, &one.what);
        let Some(granted) = one.post.granted.get(&row.id) else { return };
        let later =
            self.commits.iter().filter(|(id, call)| *id == row.id && !granted.commits.contains(call)).count();
        match granted.wish {
            Wish::Cancel if later > 0 => {
                let what = format!("{what} was armed after its cancel was acknowledged");
                self.find(one.surface, Breach::Doubled, what);
            }
            Wish::Edit if old > 0 => {
                let what = format!("{what} went out with the words of before its edit");
                self.find(one.surface, Breach::Doubled, what);
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
            self.find(None, Breach::Doubled, format!("{caption:?} was accepted {times} times under one key"));
        }
    }

    /// I3: every mutating call was in the ledger before it arrived, as far as the ledger could be asked.
    async fn calls_were_logged_first(&mut self, stage: &Stage) {
        let calls = stage.system.control("calls?mutating=true&in_ledger=false").await;
        let unknown: BTreeSet<String> =
            calls["data"].as_array().into_iter().flatten().map(Value::to_string).collect();
        for call in unknown {
            self.find(None, Breach::Doubled, format!("a call that no ledger knows of: {call}"));
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
