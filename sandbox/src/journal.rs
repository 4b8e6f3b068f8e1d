//! The append-only file from which the state is rebuilt at start: one event a line, written before it counts.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use crate::event::Event;

/// An open journal. A line that was cut off by a crash is dropped when it is opened.
#[derive(Debug)]
pub struct Journal {
    file: File,
    lines: u64,
}

impl Journal {
    /// Opens the journal, handing every event that it holds to `replay`, oldest first.
    pub fn open(path: &Path, mut replay: impl FnMut(u64, Event)) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut reader = BufReader::new(&file);
        let (mut lines, mut whole, mut line) = (0, 0, Vec::new());
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            let event = serde_json::from_slice(&line).map_err(|error| {
                io::Error::other(format!("{}, line {}: {error}", path.display(), lines + 1))
            })?;
            lines += 1;
            whole += line.len() as u64;
            replay(lines, event);
            line.clear();
        }
        drop(reader);
        file.set_len(whole)?;
        Ok(Self { file, lines })
    }

    /// The number that the next event will have. It never comes again, so ids are made of it.
    pub fn next(&self) -> u64 {
        self.lines + 1
    }

    /// Appends one event. When this returns, a killed process no longer loses it.
    pub fn append(&mut self, event: &Event) -> io::Result<u64> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.lines += 1;
        Ok(self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cut_off_by_a_crash_is_dropped() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::open(&path, |_, _| {})?;
        journal.append(&Event::ClockMoved { ahead_ms: 5 })?;
        OpenOptions::new().append(true).open(&path)?.write_all(b"{\"event\":\"clo")?;

        let mut seen = Vec::new();
        let mut journal = Journal::open(&path, |line, _| seen.push(line))?;
        assert_eq!(seen, [1]);
        assert_eq!(journal.append(&Event::Reset)?, 2);
        let mut count = 0;
        Journal::open(&path, |_, _| count += 1)?;
        assert_eq!(count, 2);
        Ok(())
    }
}
