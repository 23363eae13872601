//! The ledger of issued certificates: `issued.jsonl`, one JSON object per line, append-only.
//!
//! A line is on disk before its certificate is returned. Every writer holds an exclusive lock on
//! the file, so that lines of several processes do not mix and no serial is used twice.
//!
//! Beside certificates it contains marks: the state of the revocations and the rotations. If one of
//! their files is missing, or an old copy was restored, the marks do not match.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::error::CaError;
use super::issue_log::{IssueLog, IssueRecord, IssuedFor, RotationMoves};
use super::kind::CaKind;
use super::lines::{self, LinesEnd};
use crate::cert::random_serial;
use crate::model::{DataDir, Serial};
use crate::sys::clock::Clock;
use crate::sys::files::Direct;
use crate::sys::fs::{FileLock, FsError};

/// How far another file had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Mark {
    /// The revocations.
    Revocations {
        /// The version of the last line.
        version: u64,
        /// How many lines there were.
        lines: u64,
    },
    /// The rotation of a CA's key.
    Rotation {
        /// Which CA's.
        authority: CaKind,
        /// How often it had moved.
        moves: u64,
    },
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revocations { version, lines } => write!(f, "version {version}, {lines} lines"),
            Self::Rotation { moves, .. } => write!(f, "step {moves}"),
        }
    }
}

/// A mark, as a line.
#[derive(Serialize)]
struct MarkLine {
    time: DateTime<Utc>,
    #[serde(flatten)]
    mark: Mark,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum About {
    User,
    Host,
    Revocations,
    Rotation,
    /// Something that a later version has written.
    #[serde(other)]
    Other,
}

/// What has to be known of a line at the least.
#[derive(Deserialize)]
struct LineHead {
    #[serde(rename = "type")]
    about: About,
    serial: Option<Serial>,
    version: Option<u64>,
    lines: Option<u64>,
    authority: Option<CaKind>,
    moves: Option<u64>,
}

impl LineHead {
    /// `None` where a line is damaged.
    fn parse(line: &[u8]) -> Option<Self> {
        let line: Self = serde_json::from_slice(line).ok()?;
        let is_whole = match line.about {
            About::User | About::Host => line.serial.is_some(),
            About::Revocations => line.version.is_some() && line.lines.is_some(),
            About::Rotation => line.authority.is_some() && line.moves.is_some(),
            About::Other => true,
        };
        is_whole.then_some(line)
    }
}

/// The marks that the ledger has: the furthest of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// Version and lines of the revocations.
    pub(super) revocations: Option<(u64, u64)>,
    rotations: RotationMoves,
}

impl Marks {
    /// Reads them all.
    pub(super) fn read(ledger: &Path) -> Result<Self, CaError> {
        let mut marks = Self::default();
        let read = lines::read(&Direct, ledger, 0, |line| {
            LineHead::parse(line)
                .map(|line| marks.take(&line))
                .is_some()
        });
        match read {
            Err(CaError::Fs(error)) if error.is_not_found() => Ok(marks),
            read => read.map(|_end| marks),
        }
    }

    /// Whether nothing of this mark is news.
    fn has(&self, mark: Mark) -> bool {
        match mark {
            Mark::Revocations { version, lines } => self
                .revocations
                .is_some_and(|known| known.0 >= version && known.1 >= lines),
            Mark::Rotation { authority, moves } => self.rotations.of(authority) >= moves,
        }
    }

    fn take(&mut self, line: &LineHead) {
        if line.about == About::Revocations {
            let known = self.revocations.unwrap_or_default();
            let version = line.version.unwrap_or_default().max(known.0);
            let lines = line.lines.unwrap_or_default().max(known.1);
            self.revocations = Some((version, lines));
        }
        let moves = line.moves.unwrap_or_default();
        match line.authority.filter(|_| line.about == About::Rotation) {
            Some(CaKind::User) => self.rotations.user = self.rotations.user.max(moves),
            Some(CaKind::Host) => self.rotations.host = self.rotations.host.max(moves),
            None => {}
        }
    }
}

/// The ledger of one data directory.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    seen: Mutex<IndexedLines>,
}

/// The serials and marks in the first `upto` bytes of the file.
#[derive(Debug, Default)]
struct IndexedLines {
    serials: HashSet<Serial>,
    marks: Marks,
    upto: u64,
}

impl Ledger {
    /// Names the place; nothing is read or made yet.
    #[must_use]
    pub fn of(data_dir: &DataDir) -> Self {
        Self {
            path: data_dir.ledger(),
            seen: Mutex::default(),
        }
    }

    /// The certificates for which this is true, in the order of issue.
    fn records(
        &self,
        is_wanted: impl Fn(&IssueRecord) -> bool,
    ) -> Result<Vec<IssueRecord>, CaError> {
        let mut records = Vec::new();
        let read = lines::read(&Direct, &self.path, 0, |line| match LineHead::parse(line) {
            Some(known) if matches!(known.about, About::User | About::Host) => {
                let record = serde_json::from_slice::<IssueRecord>(line);
                record
                    .map(|record| records.extend(is_wanted(&record).then_some(record)))
                    .is_ok()
            }
            other => other.is_some(),
        });
        match read {
            Err(CaError::Fs(error)) if error.is_not_found() => Ok(records),
            read => read.map(|_end| records),
        }
    }

    /// Writes down how far another file has come, unless that is known.
    pub(super) fn mark(&self, mark: Mark, clock: Clock) -> Result<(), CaError> {
        self.locked(|seen, end| {
            if seen.marks.has(mark) {
                return Ok(());
            }
            let time = clock.now();
            self.append(&MarkLine { time, mark }, end)
        })
    }

    /// Looks at what all processes have written, while no other one writes. The end is the file's.
    fn locked<T>(
        &self,
        look: impl FnOnce(&IndexedLines, LinesEnd) -> Result<T, CaError>,
    ) -> Result<T, CaError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = FileLock::wait(&self.path)?;
        let end = seen.read_on(&self.path)?;
        look(&seen, end)
    }

    fn append(&self, line: &impl Serialize, end: LinesEnd) -> Result<(), CaError> {
        let line = serde_json::to_string(line).map_err(CaError::Record)?;
        Ok(lines::append(
            &Direct,
            &self.path,
            &format!("{line}\n"),
            end,
        )?)
    }
}

impl IssueLog for Ledger {
    fn issued(&self) -> Result<Vec<IssueRecord>, CaError> {
        self.records(|record| record.issued_for == IssuedFor::Signed)
    }

    fn issued_for_connections(&self) -> Result<Vec<IssueRecord>, CaError> {
        self.records(|record| record.issued_for == IssuedFor::Connection)
    }

    fn find(&self, serial: Serial) -> Result<Option<IssueRecord>, CaError> {
        Ok(self.records(|record| record.serial == serial)?.pop())
    }

    fn fresh_serial(&self) -> Result<Serial, CaError> {
        self.locked(|seen, _end| Ok(seen.fresh()))
    }

    fn record(&self, record: &IssueRecord) -> Result<bool, CaError> {
        self.locked(|seen, end| {
            let is_ours = !seen.serials.contains(&record.serial);
            if is_ours {
                self.append(record, end)?;
            }
            Ok(is_ours)
        })
    }

    fn rotation_moves(&self) -> Result<RotationMoves, CaError> {
        Ok(Marks::read(&self.path)?.rotations)
    }

    fn mark_rotation(&self, kind: CaKind, moves: u64, clock: Clock) -> Result<(), CaError> {
        let authority = kind;
        self.mark(Mark::Rotation { authority, moves }, clock)
    }
}

impl IndexedLines {
    /// Reads what was added since the last time.
    fn read_on(&mut self, path: &Path) -> Result<LinesEnd, CaError> {
        let metadata = std::fs::metadata(path).map_err(FsError::io("inspect", path))?;
        let length = metadata.len();
        if length < self.upto {
            *self = Self::default();
        }
        let (serials, marks) = (&mut self.serials, &mut self.marks);
        let end = lines::read(&Direct, path, self.upto, |line| {
            match LineHead::parse(line) {
                Some(line) => {
                    serials.extend(line.serial);
                    marks.take(&line);
                    true
                }
                None => false,
            }
        })?;
        self.upto = end.upto;
        Ok(end)
    }

    /// A random serial that no line has.
    fn fresh(&self) -> Serial {
        loop {
            let serial = random_serial();
            if !self.serials.contains(&serial) {
                return serial;
            }
        }
    }
}
