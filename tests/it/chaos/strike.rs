//! Strikes the blows of a round at their times, lifts what lasts, and puts back what dies otherwise, as the
//! platform would.

use std::time::Duration;

use chrono::DateTime;
use jobs::hint::Hint;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    blows::{Action, Blow, Hints, Loss},
    dice::Dice,
    schedule::{Plan, SLOTS},
    servers::Redis,
    stage::{LEASE, Stage},
};

/// An armed failpoint is given up when nobody came by for so long.
const NOBODY_CAME: Duration = Duration::from_secs(4);
/// A platform starts a process again so long after its end.
const STARTED_AGAIN_AFTER: Duration = Duration::from_millis(300);
/// Finished jobs that are hinted at again, at most.
const FINISHED: i64 = 20;

/// A blow on its way.
struct Strike {
    at: Duration,
    blow: Blow,
    begun: Option<Instant>,
    /// When its failpoint was seen to have been reached.
    fired: Option<Instant>,
    done: Option<Instant>,
}

/// What the blows of a round left.
#[derive(Debug, Default)]
pub struct Struck {
    /// When the last of them was over.
    pub over: Option<Instant>,
    /// The failpoints that were reached.
    pub fired: Vec<&'static str>,
}

/// Strikes them all; when this returns, servers, links and processes are whole again.
pub async fn strike_all(stage: &mut Stage, plan: &Plan) -> Struck {
    let begun = Instant::now();
    let new = |&(at, blow)| Strike { at, blow, begun: None, fired: None, done: None };
    let mut strikes: Vec<Strike> = plan.blows.iter().map(new).collect();
    let mut keeper = Keeper::default();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while strikes.iter().any(|strike| strike.done.is_none()) {
        tick.tick().await;
        for strike in &mut strikes {
            strike.go_on(stage, plan.seed, begun).await;
        }
        let busy: Vec<usize> = strikes.iter().filter_map(Strike::slot_in_hand).collect();
        keeper.keep(stage, plan.workers, &busy);
    }
    whole_again(stage, plan.workers).await;
    let fired = strikes.iter().filter(|strike| strike.fired.is_some()).filter_map(Strike::point);
    Struck { over: strikes.iter().filter_map(|strike| strike.done).max(), fired: fired.collect() }
}

/// Starts again what ends by itself.
#[derive(Default)]
pub struct Keeper {
    ended: [Option<Instant>; SLOTS],
    /// How often it had to.
    pub restarts: usize,
}

impl Keeper {
    /// Looks at every slot that should have a worker and is in nobody's hand.
    pub fn keep(&mut self, stage: &mut Stage, workers: usize, busy: &[usize]) {
        for slot in (0..workers).filter(|slot| !busy.contains(slot)) {
            if stage.alive(slot) {
                self.ended[slot] = None;
            } else if self.ended[slot].get_or_insert_with(Instant::now).elapsed() > STARTED_AGAIN_AFTER {
                self.restarts += 1;
                self.ended[slot] = None;
                stage.employ(slot, &[]);
            }
        }
    }
}

async fn whole_again(stage: &mut Stage, workers: usize) {
    stage.clear();
    stage.open_web(&[]).await;
    for slot in 0..workers {
        if !stage.alive(slot) {
            stage.employ(slot, &[]);
        }
    }
}

impl Strike {
    async fn go_on(&mut self, stage: &mut Stage, seed: u64, round: Instant) {
        match (self.begun, self.done) {
            (None, _) if round.elapsed() >= self.at => {
                self.begin(stage, seed).await;
                self.begun = Some(Instant::now());
            }
            (Some(begun), None) if self.over(stage, begun) => {
                self.lift(stage).await;
                self.done = Some(Instant::now());
            }
            _ => {}
        }
    }

    /// The slot whose worker is, or is being kept, away on purpose.
    fn slot_in_hand(&self) -> Option<usize> {
        let in_hand = self.begun.is_some() && self.done.is_none();
        match self.blow {
            Blow::Kill { slot, .. }
            | Blow::Armed { slot, .. }
            | Blow::Stop { slot, .. }
            | Blow::Terminate { slot, .. }
                if in_hand =>
            {
                Some(slot)
            }
            _ => None,
        }
    }

    fn point(&self) -> Option<&'static str> {
        match self.blow {
            Blow::Armed { point, .. } => Some(point.word()),
            Blow::ArmedWeb => Some("after_accept"),
            _ => None,
        }
    }

    async fn begin(&self, stage: &mut Stage, seed: u64) {
        match self.blow {
            Blow::Kill { slot, .. } => stage.kill(slot).await,
            Blow::Stop { slot, .. } => stage.signal(slot, "STOP").await,
            Blow::Terminate { slot, .. } => stage.signal(slot, "TERM").await,
            Blow::Armed { slot, point, action } => {
                stage.kill(slot).await;
                let armed = format!("{}={}", point.word(), action.word());
                stage.employ(slot, &[("POSTROOM_FAILPOINTS", &armed)]);
            }
            Blow::ArmedWeb => {
                stage.kill_web().await;
                stage.open_web(&[("POSTROOM_FAILPOINTS", "after_accept=kill9")]).await;
            }
            Blow::KillWeb { .. } => stage.kill_web().await,
            Blow::Flush => flush(&stage.redis).await,
            Blow::Redis { .. } => stage.redis.down().await,
            Blow::Hole(hole) => stage.hole(&hole, true),
            Blow::Postgres { crash, .. } => stage.postgres.down(crash).await,
            Blow::Hints(hints) => give(stage, &stage.redis, hints, seed).await,
            Blow::Skew { slot, seconds } => skew(stage, slot, seconds).await,
        }
    }

    /// Whether it has lasted long enough.
    fn over(&mut self, stage: &mut Stage, begun: Instant) -> bool {
        let lasted = begun.elapsed();
        match self.blow {
            Blow::Kill { away, .. }
            | Blow::KillWeb { away }
            | Blow::Redis { away, .. }
            | Blow::Postgres { away, .. } => lasted >= away,
            Blow::Stop { held, .. } => lasted >= held,
            Blow::Hole(hole) => lasted >= hole.lasts,
            Blow::Armed { slot, point, action } => {
                let reached = match action {
                    Action::Kill => !stage.alive(slot),
                    Action::Stop => stage.stopped(slot),
                    Action::Panic => stage.log(slot).contains(&format!("failpoint {}", point.word())),
                };
                self.fires(
                    reached,
                    lasted,
                    if action == Action::Kill { Duration::ZERO } else { LEASE * 3 / 2 },
                )
            }
            Blow::ArmedWeb => {
                let reached = stage.web_ended();
                self.fires(reached, lasted, Duration::ZERO)
            }
            Blow::Terminate { slot, grace } => lasted >= grace || !stage.alive(slot),
            Blow::Flush | Blow::Hints(_) | Blow::Skew { .. } => true,
        }
    }

    /// Over a while after it was reached, or when nobody came by.
    fn fires(&mut self, reached: bool, lasted: Duration, then: Duration) -> bool {
        if reached {
            self.fired.get_or_insert_with(Instant::now);
        }
        self.fired.map_or(lasted >= NOBODY_CAME, |at| at.elapsed() >= then)
    }

    async fn lift(&self, stage: &mut Stage) {
        match self.blow {
            Blow::Kill { slot, .. } => {
                if !stage.alive(slot) {
                    stage.employ(slot, &[]);
                }
            }
            Blow::Stop { slot, .. } => stage.signal(slot, "CONT").await,
            Blow::Terminate { slot, .. } => {
                stage.kill(slot).await;
                stage.employ(slot, &[]);
            }
            Blow::Armed { slot, action, .. } => {
                if action == Action::Stop && self.fired.is_some() {
                    awake_for_a_moment(stage, slot).await;
                }
                stage.kill(slot).await;
                stage.employ(slot, &[]);
            }
            Blow::ArmedWeb => {
                stage.kill_web().await;
                stage.open_web(&[]).await;
            }
            Blow::KillWeb { .. } => stage.open_web(&[]).await,
            Blow::Redis { loss, .. } => bring_back(stage, loss).await,
            Blow::Hole(hole) => stage.hole(&hole, false),
            Blow::Postgres { .. } => stage.postgres.up().await,
            Blow::Flush | Blow::Hints(_) | Blow::Skew { .. } => {}
        }
    }
}

/// A sleeper goes on where it fell asleep, with all that it believes; then its failpoint would stop it again.
async fn awake_for_a_moment(stage: &mut Stage, slot: usize) {
    stage.signal(slot, "CONT").await;
    let until = Instant::now() + Duration::from_millis(700);
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while Instant::now() < until && !stage.stopped(slot) {
        tick.tick().await;
    }
}

async fn flush(redis: &Redis) {
    // Redis may be away in the same round
    if let Ok(mut connection) = redis.connection().await {
        let _done: Result<(), _> = redis::cmd("FLUSHALL").query_async(&mut connection).await;
    }
}

async fn bring_back(stage: &mut Stage, loss: Loss) {
    match loss {
        Loss::Everything => stage.redis.up_empty().await,
        Loss::LastWrites => stage.redis.up_with_half().await,
        Loss::OldSnapshot => {
            let place = tempfile::tempdir().unwrap();
            let old = Redis::start(place.path()).await;
            give(stage, &old, Hints::Finished, 0).await;
            let snapshot = old.snapshot().await;
            stage.redis.up_with(&snapshot).await;
        }
    }
}

/// Gives hints to a Redis: of live jobs five times each, of finished ones, or of none at all.
async fn give(stage: &Stage, to: &Redis, hints: Hints, seed: u64) {
    let mut dice = Dice::of(seed);
    let mut random = || Uuid::from_u64_pair(dice.any(), dice.any());
    let ids: Vec<Uuid> = match hints {
        Hints::Doubled => ids(stage, "SELECT id FROM job ORDER BY id").await,
        Hints::Finished => ids(stage, "SELECT id FROM job_history ORDER BY finished_at DESC").await,
        Hints::Random => (0..FINISHED).map(|_| random()).collect(),
    };
    let times = if hints == Hints::Doubled { 5 } else { 1 };
    let hint = |job_id, workspace_id| Hint {
        kind: "publish".into(),
        workspace_id,
        job_id,
        run_at: DateTime::UNIX_EPOCH,
    };
    // in the ring of another workspace each time: one ring holds an id once
    let given: Vec<Hint> =
        (0..times).map(|_| random()).flat_map(|ring| ids.iter().map(move |id| hint(*id, ring))).collect();
    // Redis may be away in the same round
    let _away = to.queue().push(&given).await;
}

async fn ids(stage: &Stage, query: &'static str) -> Vec<Uuid> {
    let query = sqlx::AssertSqlSafe(format!("{query} LIMIT {FINISHED}"));
    // so may Postgres
    sqlx::query_scalar(query).fetch_all(&stage.system.database.pool).await.unwrap_or_default()
}

/// A worker whose wall clock is wrong takes the place of a right one, where libfaketime is to be had.
async fn skew(stage: &mut Stage, slot: usize, seconds: i64) {
    let Ok(library) = std::env::var("POSTROOM_FAKETIME") else { return };
    stage.kill(slot).await;
    let (shift, library) = (format!("{seconds:+}"), library.as_str());
    // what counts time rather than tells it stays right, as on a machine whose clock is set wrong
    let wrong =
        [("LD_PRELOAD", library), ("FAKETIME", shift.as_str()), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    stage.employ(slot, &wrong);
}
