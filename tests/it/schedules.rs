//! Schedules on real workers: each tick once, whoever dies; what was missed is made up for as the file says.

use std::{collections::BTreeSet, fs, time::Instant};

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tempfile::NamedTempFile;

use crate::harness::{Process, System, eventually};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// One table of `worker.toml`.
fn schedule(name: &str, cron: &str, zone: &str, more: &str) -> String {
    format!(
        "[schedules.{name}]\ncron = \"{cron}\"\ntime_zone = \"{zone}\"\nkind = \"probe\"\npayload = {{ does = \"nothing\" }}\n{more}\n"
    )
}

/// A system whose clock the test sets, at this time, with these schedules and no worker.
async fn system(now: DateTime<Utc>, settings: &str) -> (System, NamedTempFile) {
    let mut system = System::start().await;
    system.database.own_clock().await;
    system.database.set_clock(now).await;
    let file = NamedTempFile::new().unwrap();
    fs::write(&file, settings).unwrap();
    system.environment.insert("POSTROOM_CONFIG".into(), file.path().to_str().unwrap().to_owned());
    system.environment.insert("POSTROOM__RELAY__SWEEP_EVERY".into(), "200ms".into());
    // workers are killed from outside here, so often that a job may have been with five of them
    system.environment.insert("POSTROOM__LEASE__CRASH_LIMIT".into(), "1000".into());
    (system, file)
}

/// Ends the workers without a word and starts one with these settings, which it then goes by.
async fn restart(system: &mut System, file: &NamedTempFile, settings: &str) {
    let starts = |system: &System| {
        system.workers.last().map_or(0, |worker| worker.log().matches("worker started").count())
    };
    let before = starts(system);
    for mut worker in std::mem::take(&mut system.workers) {
        worker.kill9().await;
    }
    fs::write(file, settings).unwrap();
    system.start_worker(&[]);
    eventually("the worker", || async {
        if starts(system) > before { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
}

async fn ticks(system: &System, name: &str) -> BTreeSet<DateTime<Utc>> {
    let rows = sqlx::query_scalar("SELECT fire_at FROM cron_tick WHERE name = $1").bind(name);
    rows.fetch_all(&system.database.pool).await.unwrap().into_iter().collect()
}

async fn until_ticked(system: &System, name: &str, expected: &BTreeSet<DateTime<Utc>>) {
    eventually(&format!("the ticks of {name}"), || async {
        let here = ticks(system, name).await;
        let logs = || system.workers.last().map(Process::log).unwrap_or_default();
        if here.is_superset(expected) {
            return Ok(());
        }
        Err(format!("missing {:?}\n{}", expected.difference(&here).collect::<Vec<_>>(), logs()))
    })
    .await;
}

/// Every tick has one job, every job a tick, and all of them are done.
async fn each_tick_was_one_job(system: &System) {
    eventually("the jobs", || async {
        let left = system.database.count("SELECT count(*) FROM job WHERE kind = 'probe'").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} left: {}", system.workers[0].log())) }
    })
    .await;
    let counts: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM cron_tick), (SELECT count(*) FROM job_history WHERE kind = 'probe'),
                (SELECT count(DISTINCT id) FROM job_history WHERE kind = 'probe'),
                (SELECT count(*) FROM cron_tick t JOIN job_history h ON h.id = t.job_id
                 WHERE h.outcome = 'done' AND h.workspace_id = '00000000-0000-0000-0000-000000000000')",
    )
    .fetch_one(&system.database.pool)
    .await
    .unwrap();
    assert!(counts.0 > 0 && [counts.1, counts.2, counts.3] == [counts.0; 3], "{counts:?}");
}

/// What a line that names these wall times must do, found minute by minute from the offsets alone: a wall time
/// fires when it is first shown, and one that is jumped over at the jump.
fn expected(
    zone: Tz,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    named: impl Fn(NaiveDateTime) -> bool,
) -> BTreeSet<DateTime<Utc>> {
    let minute = TimeDelta::minutes(1);
    let wall = |at: DateTime<Utc>| at.naive_utc() + zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let mut shown = wall(from);
    let mut fires = BTreeSet::new();
    let mut at = from;
    while at < until {
        at += minute;
        while shown < wall(at) {
            shown += minute;
            if named(shown) {
                fires.insert(at);
            }
        }
    }
    fires
}

/// Five workers over a day on which the clock is set forward in Morocco and back in Germany.
struct Day {
    system: System,
    _file: NamedTempFile,
    random: StdRng,
    kills: usize,
    expected: Vec<(&'static str, BTreeSet<DateTime<Utc>>)>,
}

const DAWN: &str = "2038-10-30T22:00:00Z";
const NIGHT: &str = "2038-10-31T22:00:00Z";

impl Day {
    async fn start() -> Self {
        let (berlin, casablanca) = (Tz::Europe__Berlin, Tz::Africa__Casablanca);
        let all = "catch_up = \"all\"";
        let settings = [
            schedule("back", "*/10 * * * *", berlin.name(), all),
            schedule("forth", "*/10 * * * *", casablanca.name(), all),
            schedule("twice", "30 2 * * *", berlin.name(), all),
            schedule("never", "30 2 * * *", casablanca.name(), all),
        ];
        let (system, file) = system(at(DAWN), &settings.concat()).await;
        let often = |wall: NaiveDateTime| wall.minute().is_multiple_of(10);
        let daily = |wall: NaiveDateTime| (wall.hour(), wall.minute()) == (2, 30);
        let (from, until) = (at(DAWN), at(NIGHT));
        let expected = vec![
            ("back", expected(berlin, from, until, often)),
            ("forth", expected(casablanca, from, until, often)),
            ("twice", expected(berlin, from, until, daily)),
            ("never", expected(casablanca, from, until, daily)),
        ];
        let sizes: Vec<_> = expected.iter().map(|(_, ticks)| ticks.len()).collect();
        assert_eq!(sizes, [138, 144, 1, 1], "an hour happens twice in Berlin, and one never in Casablanca");
        let mut day = Self { system, _file: file, random: StdRng::seed_from_u64(43), kills: 0, expected };
        for _ in 0..5 {
            day.system.start_worker(&[]);
        }
        eventually("five workers", || async {
            let here = day.system.database.count("SELECT count(*) FROM worker").await;
            // what nobody has declared yet does not tick
            let declared = day.system.database.count("SELECT count(*) FROM schedule").await;
            if (here, declared) == (5, 4) { Ok(()) } else { Err(format!("{here}, {declared} schedules")) }
        })
        .await;
        day
    }

    async fn kill_one(&mut self) {
        let victim = self.random.random_range(0..self.system.workers.len());
        self.system.workers.remove(victim).kill9().await;
        self.kills += 1;
    }

    fn refill(&mut self) {
        while self.system.workers.len() < 5 {
            self.system.start_worker(&[]);
        }
    }

    async fn first_tick_after(&self, before: i64) {
        eventually("a tick", || async {
            let here = self.system.database.count("SELECT count(*) FROM cron_tick").await;
            if here > before { Ok(()) } else { Err("none".into()) }
        })
        .await;
    }

    async fn all_ticked(&self, now: DateTime<Utc>) {
        for (name, all) in &self.expected {
            let due = all.iter().filter(|tick| **tick <= now).copied().collect();
            until_ticked(&self.system, name, &due).await;
        }
    }

    /// Moves the clock on, with kills before, in the middle of or after what is then to be done.
    async fn step(&mut self, now: DateTime<Utc>) {
        let before = self.system.database.count("SELECT count(*) FROM cron_tick").await;
        let dies = *[0, 1, 1, 2, 5].choose(&mut self.random).unwrap();
        let early = self.random.random_bool(0.5);
        if early {
            for _ in 0..dies {
                self.kill_one().await;
            }
        }
        self.system.database.set_clock(now).await;
        if !early {
            self.first_tick_after(before).await;
            for _ in 0..dies {
                self.kill_one().await;
            }
        }
        self.refill();
        self.all_ticked(now).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_schedulers_killed_at_random_over_a_day_of_changing_clocks_take_each_tick_once() {
    let begun = Instant::now();
    let mut day = Day::start().await;
    let (mut now, mut steps) = (at(DAWN), 0);
    while now < at(NIGHT) {
        let minutes = day.random.random_range(11..120);
        now = (now + TimeDelta::minutes(minutes)).min(at(NIGHT));
        day.step(now).await;
        steps += 1;
    }
    each_tick_was_one_job(&day.system).await;
    let mut taken = 0;
    for (name, all) in &day.expected {
        assert_eq!(ticks(&day.system, name).await, *all, "{name}");
        taken += all.len();
    }
    println!("{taken} ticks, {steps} steps, {} kills, {:?}", day.kills, begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_ticks_are_made_up_for_as_the_schedule_says_and_the_past_is_never_replayed() {
    let settings = |cron: &str, enabled: bool| {
        let one = |catch_up: &str| {
            schedule(catch_up, cron, "UTC", &format!("catch_up = \"{catch_up}\"\nenabled = {enabled}"))
        };
        ["all", "latest", "none"].map(one).concat()
    };
    let hours = |hours: &[&str]| -> BTreeSet<_> {
        hours.iter().map(|hour| at(&format!("2026-12-01T{hour}:00Z"))).collect()
    };
    let hourly = settings("0 * * * *", true);
    let (mut system, file) = system(at("2026-12-01T06:10:00Z"), &hourly).await;
    restart(&mut system, &file, &hourly).await;

    // four hours without a worker
    system.workers[0].kill9().await;
    system.database.set_clock(at("2026-12-01T10:30:00Z")).await;
    restart(&mut system, &file, &hourly).await;
    until_ticked(&system, "all", &hours(&["07:00", "08:00", "09:00", "10:00"])).await;
    system.database.set_clock(at("2026-12-01T10:59:58Z")).await;
    for name in ["all", "latest", "none"] {
        until_ticked(&system, name, &hours(&["11:00"])).await;
    }
    let made_up = [
        ("all", hours(&["07:00", "08:00", "09:00", "10:00", "11:00"])),
        ("latest", hours(&["10:00", "11:00"])),
        ("none", hours(&["11:00"])),
    ];
    for (name, expected) in &made_up {
        assert_eq!(ticks(&system, name).await, *expected, "{name}");
    }

    // another line, after four more hours without a worker
    system.workers[0].kill9().await;
    system.database.set_clock(at("2026-12-01T15:10:00Z")).await;
    let half_hourly = settings("*/30 * * * *", true);
    restart(&mut system, &file, &half_hourly).await;
    system.database.set_clock(at("2026-12-01T15:29:58Z")).await;
    for (name, before) in &made_up {
        until_ticked(&system, name, &hours(&["15:30"])).await;
        assert_eq!(ticks(&system, name).await, before | &hours(&["15:30"]), "{name}");
    }

    // off for two hours, with a worker
    restart(&mut system, &file, &settings("*/30 * * * *", false)).await;
    system.database.set_clock(at("2026-12-01T17:40:00Z")).await;
    restart(&mut system, &file, &half_hourly).await;
    system.database.set_clock(at("2026-12-01T17:59:58Z")).await;
    for (name, before) in &made_up {
        until_ticked(&system, name, &hours(&["18:00"])).await;
        assert_eq!(ticks(&system, name).await, before | &hours(&["15:30", "18:00"]), "{name}");
    }
    system.database.set_clock(at("2026-12-01T18:00:10Z")).await;
    each_tick_was_one_job(&system).await;

    // retention drops what is old, and what was decided stays so; a schedule that is gone is over
    system.database.set_clock(at("2027-04-01T00:10:00Z")).await;
    restart(&mut system, &file, &schedule("latest", "*/30 * * * *", "UTC", "")).await;
    let first = BTreeSet::from([at("2027-04-01T00:00:00Z")]);
    until_ticked(&system, "latest", &first).await;
    eventually("the old ticks to go", || async {
        let here = ticks(&system, "latest").await;
        if here == first { Ok(()) } else { Err(format!("{here:?}")) }
    })
    .await;
    assert_eq!(system.database.count("SELECT count(*) FROM schedule").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_of_missed_minutes_comes_back_a_thousand_at_a_time() {
    let settings = schedule("minutely", "* * * * *", "UTC", "catch_up = \"all\"");
    let (mut system, _file) = system(at("2026-12-01T06:10:30Z"), &settings).await;
    // nobody works on the jobs
    system.start_worker_on("publish");
    let count = "SELECT count(*) FROM schedule";
    eventually("the schedule", || async {
        if system.database.count(count).await == 1 { Ok(()) } else { Err("none".into()) }
    })
    .await;
    let back = "UPDATE schedule SET decided_until = '2025-12-01T06:10:00Z'";
    sqlx::query(back).execute(&system.database.pool).await.unwrap();
    system.database.set_clock(at("2026-12-01T06:30:30Z")).await;
    for (ticked, done) in [(1_000, 300), (1_300, 450), (1_750, 0)] {
        eventually("a thousand jobs", || async {
            let here = ticks(&system, "minutely").await.len();
            if here == ticked { Ok(()) } else { Err(format!("{here} ticks: {}", system.workers[0].log())) }
        })
        .await;
        assert_eq!(system.database.count("SELECT count(*) FROM job WHERE kind = 'probe'").await, 1_000);
        let finish =
            "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE kind = 'probe' ORDER BY run_at LIMIT $1)";
        sqlx::query(finish).bind(done).execute(&system.database.pool).await.unwrap();
    }
    let last = ticks(&system, "minutely").await.into_iter().next_back();
    assert_eq!(last, Some(at("2025-12-01T06:10:00Z") + TimeDelta::minutes(1_750)), "in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_is_there_before_its_moment_and_starts_on_it() {
    let settings = schedule("minutely", "* * * * *", "UTC", "catch_up = \"none\"");
    let (mut system, file) = system(at("2026-12-01T06:10:40Z"), &settings).await;
    restart(&mut system, &file, &settings).await;
    system.database.set_clock(at("2026-12-01T06:10:55Z")).await;
    eventually("the tick's job", || async {
        let done = system.database.count("SELECT count(*) FROM job_history WHERE kind = 'probe'").await;
        if done > 0 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    let (ahead, late): (f64, f64) = sqlx::query_as(
        "SELECT extract(epoch FROM t.fire_at - t.created_at)::float8, extract(epoch FROM h.started_at - t.fire_at)::float8
         FROM cron_tick t JOIN job_history h ON h.id = t.job_id",
    )
    .fetch_one(&system.database.pool)
    .await
    .unwrap();
    println!("made {ahead:.3} s ahead, started {late:.3} s late");
    assert!(ahead > 1.0, "made {ahead} s before its moment");
    assert!((0.0..1.0).contains(&late), "started {late} s after its moment");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_makes_no_sense_stops_the_start_with_one_line() {
    let (system, file) = system(at("2026-12-01T06:10:30Z"), "").await;
    for (settings, said) in [
        (
            schedule("sane", "0 0 30 2 *", "UTC", ""),
            "schedules.sane.cron: found \"0 0 30 2 *\": it never fires",
        ),
        (
            schedule("sane", "0 0 * * *", "Mars/Base", ""),
            "schedules.sane.time_zone: found \"Mars/Base\"; accepted",
        ),
        (schedule("sane", "0 0 * * *", "UTC", "catch_up = \"some\""), "accepted are all, latest, none"),
        (
            schedule("sane", "0 0 * * *", "UTC", "").replace("probe", "prob"),
            "schedules.sane.kind: found \"prob\"",
        ),
        (
            schedule("sane", "0 0 * * *", "UTC", "")
                .replace("nothing\"", &format!("nothing\", ballast = \"{}\"", "x".repeat(65_536))),
            "at most 65536 are accepted",
        ),
    ] {
        fs::write(&file, settings).unwrap();
        for verb in ["web", "worker"] {
            let (status, _, complaint) = system.try_postroom(&[verb], "").await;
            assert_eq!((status, complaint.lines().count()), (1, 1), "{complaint}");
            assert!(complaint.contains(said), "{complaint}");
        }
    }
}
