//! The machine's clock, and what Linux says of processes.

use std::{env, fs, time::SystemTime};

/// The machine's clock, in microseconds: for spans between processes of one machine.
pub fn micros() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// CPU seconds of a process.
pub fn cpu(pid: u32) -> Option<f64> {
    Some(Stat::read(pid)?.own)
}

/// CPU seconds of the Postgres that `POSTGRES_PID` names and of all its processes, those that have ended among them.
pub fn postgres_cpu() -> Option<f64> {
    let server = env::var("POSTGRES_PID").ok()?.parse().ok()?;
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_it = pids.filter_map(Stat::read).filter(|stat| stat.parent == server).map(|stat| stat.own);
    let of_it: f64 = of_it.sum();
    let server = Stat::read(server)?;
    Some(server.own + server.ended + of_it)
}

struct Stat {
    parent: u32,
    /// CPU seconds of it, and of its children that have ended.
    own: f64,
    ended: f64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold spaces.
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: (ticks(11)? + ticks(12)?) / 100.0,
            ended: (ticks(13)? + ticks(14)?) / 100.0,
        })
    }
}
