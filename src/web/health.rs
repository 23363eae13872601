//! Whether the proxy lives, and whether it is of use: `/healthz` and `/readyz`.
//!
//! Alive means that its threads run: a proxy that is not alive should be started again. Ready means that the next
//! client would be served: a proxy that is not ready should get no clients meanwhile. Each check says what is wrong.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::probe::{PATIENCE, Probe};
use super::status::{Status, StatusSource};
use crate::model::{chain, format_duration};
use crate::net::RuntimeProbe;
use crate::session::RecordingPolicy;
use crate::sys::files::{self, Files};
use crate::sys::fs::{self, FsError};

/// How long a thread may take to answer.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Free space below which the next session could not be recorded for long.
const LEAST_FREE: u64 = 16 * 1024 * 1024;

/// What is looked at.
#[derive(Debug)]
pub struct Health {
    source: Arc<dyn StatusSource>,
    /// Who opens the audit log.
    files: Arc<dyn Files>,
    pulse: RuntimeProbe,
    /// The proxy takes no clients any more.
    stopping: CancellationToken,
    state: Probe<Vec<Check>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HealthReport {
    checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    name: &'static str,
    verdict: CheckResult,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum CheckResult {
    Good(String),
    /// It does not work, and the configuration says that sessions go on without it.
    Tolerated(String),
    Bad(String),
}

impl Check {
    fn new(name: &'static str, verdict: CheckResult) -> Self {
        Self { name, verdict }
    }

    /// A check that sessions depend on if `is_needed`.
    fn of(name: &'static str, result: Result<String, String>, is_needed: bool) -> Self {
        let verdict = match result {
            Ok(good) => CheckResult::Good(good),
            Err(why) if is_needed => CheckResult::Bad(why),
            Err(why) => CheckResult::Tolerated(why),
        };
        Self::new(name, verdict)
    }
}

impl HealthReport {
    /// Whether nothing is wrong.
    pub(super) fn is_good(&self) -> bool {
        let is_bad = |check: &Check| matches!(check.verdict, CheckResult::Bad(_));
        !self.checks.iter().any(is_bad)
    }

    /// A line for each check.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for Check { name, verdict } in &self.checks {
            let (word, what) = match verdict {
                CheckResult::Good(what) => ("ok", what),
                CheckResult::Tolerated(what) => ("warning", what),
                CheckResult::Bad(what) => ("failed", what),
            };
            let _infallible = writeln!(text, "{name}: {word}: {what}");
        }
        text
    }
}

impl Health {
    /// Looks at this proxy, which takes no clients any more once `stopping` is cancelled. `files` opens
    /// its audit log.
    #[must_use]
    pub fn new(
        source: Arc<dyn StatusSource>,
        files: Arc<dyn Files>,
        pulse: RuntimeProbe,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            source,
            files,
            pulse,
            stopping,
            state: Probe::default(),
        }
    }

    /// Whether every thread that serves clients turns.
    pub(super) async fn liveness(&self) -> HealthReport {
        // Then threads end one by one, and the proxy should not be started again.
        let verdict = if self.stopping.is_cancelled() {
            CheckResult::Good("stopping".to_owned())
        } else {
            let heard = self.pulse.feel(HEARTBEAT).await;
            let all = heard.answered + heard.late + heard.ended;
            match all - heard.answered {
                0 => CheckResult::Good(format!("{all} answer")),
                dead => CheckResult::Bad(format!("{dead} of {all} do not answer within a second")),
            }
        };
        HealthReport {
            checks: vec![Check::new("threads", verdict)],
        }
    }

    /// Whether the next client would be served.
    pub(super) async fn readiness(&self) -> HealthReport {
        let listener = if self.stopping.is_cancelled() {
            CheckResult::Bad("stopping, no new connections".to_owned())
        } else {
            CheckResult::Good("takes connections".to_owned())
        };
        let mut checks = vec![Check::new("listener", listener)];
        let (source, files) = (Arc::clone(&self.source), Arc::clone(&self.files));
        match self.state.result(move || state(&*source, &*files)).await {
            Some(more) => checks.extend(more),
            None => {
                let seconds = PATIENCE.as_secs();
                let text = format!("not done within {seconds} seconds, a disk or an agent hangs");
                checks.push(Check::new("checks", CheckResult::Bad(text)));
            }
        }
        HealthReport { checks }
    }
}

/// What sessions need. Blocks.
fn state(source: &dyn StatusSource, files: &dyn Files) -> Vec<Check> {
    let authority = source.check_host_ca();
    let authority = authority.map(|()| "its key is within reach".to_owned());
    let Status {
        recording,
        recordings,
        audit_log,
        state_age,
        is_stale,
        ..
    } = source.status();
    let state = known(state_age, is_stale);
    let is_strict = recording == RecordingPolicy::Strict;
    let recordings = match recording {
        RecordingPolicy::Off => Ok("nothing is recorded, as configured".to_owned()),
        RecordingPolicy::Strict | RecordingPolicy::BestEffort => takes_recordings(&recordings),
    };
    vec![
        Check::of("host_authority", authority, true),
        Check::of("recordings", recordings, is_strict),
        Check::of("audit_log", takes_events(files, &audit_log), is_strict),
        Check::of("state", state, true),
    ]
}

/// Whether it is known what is revoked and which sign-ins have ended.
fn known(age: Duration, is_stale: bool) -> Result<String, String> {
    let age = format_duration(age);
    match is_stale {
        false => Ok(format!("what is revoked was read {age} ago")),
        true => Err(format!(
            "what is revoked was last read {age} ago: new logins are refused"
        )),
    }
}

/// Whether a recording can be made here, as a session would make it.
fn takes_recordings(directory: &Path) -> Result<String, String> {
    fs::private_dir(directory)
        .and_then(|()| fs::takes_files(directory))
        .map_err(|error| chain(&error))?;
    has_room(directory)
}

/// Whether the file is there, and can be opened for the next line. Nothing is written.
fn takes_events(opened_by: &dyn Files, path: &Path) -> Result<String, String> {
    opened_by
        .open_read(path)
        .map_err(FsError::io("open", path))
        .and_then(|_it_is_there| files::append_private(opened_by, path))
        .map_err(|error| chain(&error))?;
    has_room(path)
}

fn has_room(path: &Path) -> Result<String, String> {
    let space = fs::space(path).map_err(|error| chain(&error))?;
    let free = format!("{} MiB free", space.free / (1024 * 1024));
    if !space.takes_files {
        return Err("the file system has no inodes left".to_owned());
    }
    if space.free < LEAST_FREE {
        let least = LEAST_FREE / (1024 * 1024);
        return Err(format!("only {free}, {least} are needed"));
    }
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: &[CheckResult]) -> HealthReport {
        let check = |verdict: &CheckResult| Check::new("one", verdict.clone());
        HealthReport {
            checks: verdicts.iter().map(check).collect(),
        }
    }

    #[test]
    fn without_fresh_knowledge_of_the_state_a_proxy_is_not_ready() {
        let fresh = known(Duration::from_millis(200), false);
        assert_eq!(fresh.unwrap(), "what is revoked was read 0s ago");
        let stale = known(Duration::from_secs(90), true).unwrap_err();
        assert!(
            stale.contains("1m30s ago: new logins are refused"),
            "{stale}"
        );
    }

    #[test]
    fn one_failure_is_enough() {
        let (good, tolerated, bad) = (
            CheckResult::Good("a".to_owned()),
            CheckResult::Tolerated("b".to_owned()),
            CheckResult::Bad("c".to_owned()),
        );
        assert!(report(&[]).is_good());
        assert!(report(&[good.clone(), tolerated.clone()]).is_good());
        let all = report(&[good, tolerated, bad]);
        assert!(!all.is_good());
        assert_eq!(all.text(), "one: ok: a\none: warning: b\none: failed: c\n");
    }

    #[test]
    fn a_place_that_takes_no_recording_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("recordings");
        takes_recordings(&there).unwrap();
        assert_eq!(
            std::fs::read_dir(&there).unwrap().count(),
            0,
            "nothing stays"
        );
        let file = directory.path().join("file");
        fs::create_new(&file, fs::PRIVATE_FILE).unwrap();
        let refused = takes_recordings(&file).unwrap_err();
        assert!(refused.contains("file"), "{refused}");
        takes_events(&files::Direct, &file).unwrap();
        takes_events(&files::Direct, &there).unwrap_err();
        takes_events(&files::Direct, &directory.path().join("missing")).unwrap_err();
    }

    #[test]
    fn a_file_system_without_room_is_found() {
        // That of /proc has no blocks at all.
        let refused = has_room(Path::new("/proc")).unwrap_err();
        assert!(refused.contains("0 MiB"), "{refused}");
    }
}
