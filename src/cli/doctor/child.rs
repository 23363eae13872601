//! Runs other programs to query them, with a time limit.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most that is read of either stream, in bytes; a program that says more waits, and is ended.
const MAX_OUTPUT: u64 = 1 << 20;
/// How long its last words may take after its end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often is looked whether it has ended.
const INTERVAL: Duration = Duration::from_millis(10);

/// What a program said.
#[derive(Clone, Debug)]
pub(super) struct ProgramOutput {
    /// How it ended; `None` where it was ended.
    pub(super) status: Option<ExitStatus>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl ProgramOutput {
    /// Whether it ended well.
    pub(super) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The last line of its complaints.
    pub(super) fn complaint(&self) -> &str {
        let fallback = match self.status {
            Some(_) => "it says nothing",
            None => "it takes too long",
        };
        let mut lines = self.stderr.lines().map(str::trim);
        lines.rfind(|line| !line.is_empty()).unwrap_or(fallback)
    }
}

/// Runs a program with this on its standard input.
///
/// # Errors
/// When it cannot be started.
pub(super) fn run(
    command: &mut Command,
    stdin: &str,
    limit: Duration,
) -> io::Result<ProgramOutput> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // What it does not read, it does not need. A pipe holds more than what is written here.
        let _not_wanted = pipe.write_all(stdin.as_bytes());
    }
    let stdout = child.stdout.take().map(PipeReader::start);
    let stderr = child.stderr.take().map(PipeReader::start);
    let status = wait(&mut child, Instant::now() + limit)?;
    // What it has started may hold the pipes for longer than it lives.
    let patience = Instant::now() + LAST_WORDS;
    let text = |reader: Option<PipeReader>| reader.map(|reader| reader.text(patience));
    Ok(ProgramOutput {
        status,
        stdout: text(stdout).unwrap_or_default(),
        stderr: text(stderr).unwrap_or_default(),
    })
}

/// What comes out of a pipe, as it comes.
struct PipeReader {
    thread: JoinHandle<()>,
    read: Arc<Mutex<Vec<u8>>>,
}

impl PipeReader {
    fn start(pipe: impl Read + Send + 'static) -> Self {
        let read = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&read);
        let thread = std::thread::spawn(move || {
            let mut pipe = pipe.take(MAX_OUTPUT);
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                let mut read = shared.lock().unwrap_or_else(PoisonError::into_inner);
                read.extend_from_slice(buffer.get(..length).unwrap_or_default());
            }
        });
        Self { thread, read }
    }

    fn text(&self, patience: Instant) -> String {
        while !self.thread.is_finished() && Instant::now() < patience {
            std::thread::sleep(INTERVAL);
        }
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&read).into_owned()
    }
}

fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> ProgramOutput {
        run(Command::new("sh").args(["-c", script]), "in\n", limit).unwrap()
    }

    #[test]
    fn a_program_says_something_or_takes_too_long() {
        let said = sh(
            "cat; echo one >&2; echo two >&2; exit 3",
            Duration::from_secs(20),
        );
        assert_eq!((said.stdout.as_str(), said.complaint()), ("in\n", "two"));
        assert!(!said.is_success());
        assert!(sh("exit 0", Duration::from_secs(20)).is_success());
        let said = sh("echo begun; sleep 5; true", Duration::from_millis(300));
        assert_eq!((said.status, said.stdout.as_str()), (None, "begun\n"));
        assert_eq!(said.complaint(), "it takes too long");
    }
}
