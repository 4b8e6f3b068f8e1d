//! One round: posts and blows at their times, then quiet, then the oracles.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    blows::{Blow, Line, Weather},
    door::{Accepted, Door},
    lies::Target,
    oracles::{self, Tallies},
    report::{Breach, Found, Round},
    schedule::Plan,
    stage::{LATE_LIMIT, LEASE, LOOK_MOST, REAP_EVERY, SETTLE, Stage},
    strike::{Keeper, strike_all},
    surfaces::Surface,
};

/// A job that its worker no longer runs is given up within this (`worker::reaper`, in code), and the reaper's
/// pace on top.
const STRAY_AFTER: Duration = Duration::from_secs(5);
/// Rests that the networks ask for, retries and turns of an account, of which none takes over a second.
const TURNS: Duration = Duration::from_secs(8);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(15);
/// Connections that are half open are found out within this (row 30).
const HALF_OPEN: Duration = Duration::from_mins(1);

/// From the last blow or the last acceptance until everything must be settled.
pub fn bound(plan: &Plan) -> Duration {
    let commit_timeout = LEASE / 2;
    let quarantine = commit_timeout + SETTLE + LEASE / 6;
    // a lease runs out, and who takes back has itself been alive for a lease
    let found_dead = LEASE * 2 + REAP_EVERY + STRAY_AFTER;
    // an answer that never comes, the quarantine, two reads that lie apart, each at the pace of looks
    let doubt = commit_timeout + quarantine + SETTLE + LOOK_MOST * 2;
    let half_open = plan.blows.iter().any(|(_, blow)| match blow {
        Blow::Hole(hole) => hole.line == Line::Postgres && hole.weather == Weather::Mute,
        _ => false,
    });
    let half_open = if half_open { HALF_OPEN } else { Duration::ZERO };
    // what was sent and is given up is waited for where the network takes nothing back
    let fetched = Duration::from_millis(plan.pull_after_ms);
    found_dead + (doubt + fetched) * (1 + plan.doubts()) + LATE_LIMIT + TURNS + SLACK + half_open
}

/// Plays a round and judges it.
pub async fn play(stage: &mut Stage, door: &Door, plan: &Plan) -> Round {
    let begun = Instant::now();
    stage.honest_networks().await;
    stage.staff(plan.workers).await;
    let since = stage.effects().await.last().map_or(0, |effect| effect.seq);
    let lies = lies(door, plan);
    stage.lying_networks(lies.iter().map(|(_, rule)| rule.clone()), plan.pull_after_ms).await;
    let (accepted, struck) = tokio::join!(door.post_all(&plan.posts), strike_all(stage, plan));
    let last = accepted.iter().map(|post| post.at).chain(struck.over).max().unwrap_or(begun);
    let mut found = Vec::new();
    let settled = quiet(stage, plan, &accepted, last).await;
    let at = settled.unwrap_or_else(|stuck| {
        found.push(Found { breach: Breach::Stuck, surface: None, what: stuck });
        Instant::now()
    });
    let (broken, mut tallies) = oracles::ask(stage, door, &accepted, since).await;
    found.extend(broken);
    count_lies(&mut tallies, &lies, &stage.lies_told().await);
    Round {
        seed: plan.seed,
        workers: plan.workers,
        blows: plan.blows.iter().map(|(_, blow)| blow.name()).collect(),
        fired: struck.fired,
        tallies,
        found,
        recovery: struck.over.map_or(Duration::ZERO, |over| at.saturating_duration_since(over)),
        took: begun.elapsed(),
    }
}

/// The rules by which the networks lie, each with the surface at whose calls.
fn lies(door: &Door, plan: &Plan) -> Vec<(Surface, Value)> {
    let mut rules = Vec::new();
    for (post, files) in plan.posts.iter().zip(door.files(&plan.posts)) {
        for &(surface, account) in &post.targets {
            let account = door.external(surface.platform(), account);
            let target = Target { surface, account, words: &post.caption, files: &files };
            let told = post.lies.iter().flat_map(|lie| lie.rules(&target));
            rules.extend(told.map(|rule| (surface, rule)));
        }
    }
    rules
}

fn count_lies(tallies: &mut Tallies, lies: &[(Surface, Value)], told: &[u64]) {
    for ((surface, _), told) in lies.iter().zip(told) {
        tallies.entry(*surface).or_default().lies += told;
    }
}

/// Waits until every publication is settled, and then until nothing is left over; gives when they were settled.
async fn quiet(
    stage: &mut Stage,
    plan: &Plan,
    accepted: &[Accepted],
    last: Instant,
) -> Result<Instant, String> {
    let ids: Vec<Uuid> = accepted.iter().filter_map(|post| post.id).collect();
    let mut keeper = Keeper::default();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let (mut until, mut settled) = (last + bound(plan), None);
    loop {
        tick.tick().await;
        keeper.keep(stage, plan.workers, &[]);
        let left = match settled {
            None => unsettled(stage, &ids).await,
            Some(_) => oracles::left_over(stage, accepted).await,
        };
        match (left, settled) {
            (Ok(()), Some(at)) => return Ok(at),
            (Ok(()), None) => {
                settled = Some(Instant::now());
                // claims of the dead are taken back by who has lived for a lease
                until = until.max(Instant::now() + LEASE * 2 + REAP_EVERY + STRAY_AFTER + SLACK);
            }
            (Err(left), _) if Instant::now() > until => {
                return Err(format!("not quiet {:.0?} after the last blow: {left}", last.elapsed()));
            }
            (Err(_), _) => {}
        }
    }
}

async fn unsettled(stage: &Stage, ids: &[Uuid]) -> Result<(), String> {
    let states: Vec<String> = sqlx::query_scalar(
        "SELECT state::text FROM publication
         WHERE post_id = ANY($1) AND state NOT IN ('published', 'held', 'failed', 'cancelled')",
    )
    .bind(ids)
    .fetch_all(&stage.system.database.pool)
    .await
    .map_err(|e| e.to_string())?;
    if states.is_empty() { Ok(()) } else { Err(states.join(", ")) }
}
