//! Makes jobs of the ticks of schedules, a little ahead of their moments. Every worker does; the ledger lets
//! each tick through once.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    desk::Clock,
    timetable::{AHEAD, Timetable},
    zones,
};

use super::Worker;
use crate::{
    config::{ScheduleSettings, Settings},
    ledger::{
        LedgerError,
        schedules::{Declared, Schedule},
    },
};

/// The longest wait: schedules may come from the settings of a worker that started later.
const IDLE: TimeDelta = TimeDelta::seconds(30);
/// The wait before more of a long past is made up for, or before what failed is tried again.
const AGAIN: TimeDelta = TimeDelta::seconds(1);
/// The most jobs of one schedule that making up for the past leaves waiting at a time.
const MOST: usize = 1_000;

/// Takes ticks as they fall due, and looks again whenever the ledger's clock was moved.
pub(super) async fn run(worker: Arc<Worker>) {
    loop {
        let wait = worker.in_time(worker.take_due_ticks()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "ticks could not be taken; it is tried again");
            AGAIN.to_std().unwrap_or_default()
        });
        tokio::select! {
            () = worker.stop.cancelled() => return,
            () = worker.parts.clock.moved() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// The schedules of the settings, which were checked when they were loaded.
pub(super) fn declared(settings: &Settings) -> Vec<Declared> {
    let declare = |(name, it): (&String, &ScheduleSettings)| {
        let kind = jobs::kind(&it.kind)?;
        Some(Declared {
            name: name.clone(),
            cron: it.cron.clone(),
            time_zone: it.time_zone.clone(),
            kind: kind.name,
            version: kind.version,
            payload: it.payload.clone(),
            catch_up: it.catch_up.parse().ok()?,
            enabled: it.enabled,
        })
    };
    settings.schedules.iter().filter_map(declare).collect()
}

impl Worker {
    /// Takes every tick that is due; returns how long the next one can wait.
    async fn take_due_ticks(&self) -> Result<Duration, LedgerError> {
        let (schedules, now) = self.parts.duties.schedules().await?;
        self.parts.clock.set(now);
        let mut wake = now + IDLE;
        for schedule in schedules {
            match timetable(&schedule) {
                Ok(table) => wake = wake.min(self.take_ticks(&schedule, &table, now).await?),
                Err(why) => tracing::error!(schedule = schedule.name, why, "a schedule cannot be read"),
            }
        }
        Ok((wake - self.parts.clock.now()).to_std().unwrap_or_default())
    }

    /// Takes one schedule's ticks; returns when to look at it again.
    async fn take_ticks(
        &self,
        it: &Schedule,
        table: &Timetable,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, LedgerError> {
        let wake = |decided| {
            let next = table.next(decided).map_or(now + IDLE, |tick| tick - AHEAD);
            next.max(now + AGAIN)
        };
        let Some(mut due) = table.due(it.catch_up, it.decided_until, now, MOST) else {
            return Ok(wake(it.decided_until));
        };
        if due.ticks.len() > 1 {
            let room = self.room(&it.name).await?;
            match table.due(it.catch_up, it.decided_until, now, room).filter(|_| room > 0) {
                Some(fits) => due = fits,
                None => return Ok(now + AGAIN),
            }
        }
        let taken = self.parts.duties.take_ticks(it, &due).await?;
        if taken == 0 {
            return Ok(now + AGAIN); // somebody else decided, and not necessarily as much; or all were left out
        }
        tracing::info!(schedule = it.name, ticks = taken, until = %due.until, "ticks taken");
        metrics::counter!("postroom_ticks_total", "schedule" => it.name.clone()).increment(taken);
        self.due.notify_one();
        Ok(wake(due.until))
    }

    /// How many more jobs making up for the past may make now.
    async fn room(&self, name: &str) -> Result<usize, LedgerError> {
        let undone = self.parts.duties.undone_ticks(name, i64::try_from(MOST).unwrap_or(i64::MAX)).await?;
        Ok(MOST.saturating_sub(usize::try_from(undone).unwrap_or(MOST)))
    }
}

fn timetable(schedule: &Schedule) -> Result<Timetable, String> {
    let zone =
        zones::named(&schedule.time_zone).map_err(|_| format!("unknown zone {}", schedule.time_zone))?;
    let line = schedule.cron.parse().map_err(|e: jobs::cron_line::BadLine| e.to_string())?;
    Ok(Timetable::new(line, zone))
}
