//! The program's log on standard error: logging never waits for the reader of standard error.
//!
//! Lines wait in a queue, and a thread writes them. If standard error is not read, the queue fills
//! up; lines that do not fit are counted, and the count is written once there is space. The audit
//! log is a separate file, and waits for its disk.
//!
//! There is one log in a process, as there is one standard error.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Most that may wait to be read, in bytes.
const MAX_WAITING: usize = 4 * 1024 * 1024;
/// Lines are written together up to this many bytes: a pipe takes so much at once, and never between
/// the lines of another process (`PIPE_BUF` of pipe(7)).
const MAX_WRITE: usize = 4096;
/// How long the end of a program waits for its last lines to be read.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The log of this process.
static LOG: OnceLock<Arc<LogQueue>> = OnceLock::new();

/// Standard error for code that writes whole lines: each call of `write` is one.
#[derive(Clone, Copy, Debug)]
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        process().put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the thread that writes; until then, lines wait. A process that gives up its rights does so
/// before: the thread has to live under the same rules as all others.
///
/// # Errors
/// When there is no thread. Lines then wait until [`flush`].
pub fn start() -> io::Result<()> {
    process().start(io::stderr())
}

/// Waits until the lines are read, for a bounded time: for the end of a program, and for one that
/// becomes another.
pub fn flush() {
    let Some(queue) = LOG.get() else { return };
    // The thread was never started: the program ends early.
    if queue.start(io::stderr()).is_ok() {
        queue.flush(LAST_LINES);
    }
}

fn process() -> &'static Arc<LogQueue> {
    LOG.get_or_init(Arc::default)
}

/// Lines on their way.
#[derive(Debug, Default)]
struct LogQueue {
    state: Mutex<QueueState>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    dropped: u64,
    has_thread: bool,
    /// The thread has lines that are not written yet.
    is_writing: bool,
}

impl LogQueue {
    fn put(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.bytes + line.len() > MAX_WAITING {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line.into());
        drop(state);
        self.filled.notify_one();
    }

    /// Starts the thread, once.
    fn start(self: &Arc<Self>, out: impl Write + Send + 'static) -> io::Result<()> {
        let mut state = self.lock();
        if state.has_thread {
            return Ok(());
        }
        let queue = Arc::clone(self);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || queue.write(out))?;
        state.has_thread = true;
        Ok(())
    }

    /// Writes for as long as the process lives.
    fn write(&self, mut out: impl Write) {
        const HALF: usize = MAX_WAITING / 2;
        let mut text = Vec::new();
        loop {
            let mut state = self.lock();
            state.is_writing = false;
            while state.lines.is_empty() && state.dropped == 0 {
                self.emptied.notify_all();
                state = self
                    .filled
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.is_writing = true;
            text.clear();
            while let Some(line) = state.lines.front()
                && (text.is_empty() || text.len() + line.len() <= MAX_WRITE)
            {
                text.extend_from_slice(line);
                state.lines.pop_front();
            }
            state.bytes -= text.len();
            // Once there is room to say it in.
            let dropped = match state.bytes {
                0..HALF => std::mem::take(&mut state.dropped),
                _ => 0,
            };
            drop(state);
            // With standard error closed there is no way to tell.
            let _closed = out.write_all(&text);
            if dropped > 0 {
                tracing::warn!(
                    lines = dropped,
                    "lines of this log were dropped: whoever reads it was too slow"
                );
            }
        }
    }

    /// Waits until everything is written.
    fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while !state.lines.is_empty() || state.dropped > 0 || state.is_writing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.emptied.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A panic elsewhere leaves whole lines.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn queue() -> (Arc<LogQueue>, io::PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let queue = Arc::<LogQueue>::default();
        queue.start(writer).unwrap();
        queue.start(io::sink()).unwrap();
        (queue, reader)
    }

    #[test]
    fn lines_come_in_their_order() {
        let (queue, reader) = queue();
        for number in 0..100 {
            queue.put(format!("line {number}\n").as_bytes());
        }
        queue.flush(PATIENCE);
        let lines = BufReader::new(reader).lines().take(100);
        for (number, line) in lines.enumerate() {
            assert_eq!(line.unwrap(), format!("line {number}"));
        }
    }

    /// A pipe that is not read holds 64 KiB. A writer to it waits; code that logs does not.
    #[test]
    fn a_log_that_nobody_reads_keeps_nobody_waiting_and_has_bounds() {
        let (queue, mut reader) = queue();
        let line = [b'x'; 1000];
        let count = 3 * MAX_WAITING / line.len();
        for _ in 0..count {
            queue.put(&line);
        }
        let state = queue.lock();
        let waiting = state.lines.len();
        assert!(state.bytes <= MAX_WAITING);
        assert!(state.dropped > 0);
        let dropped = usize::try_from(state.dropped).unwrap();
        drop(state);
        // What was not dropped comes, and then it is said how much was.
        let mut rest = (count - dropped) * line.len();
        assert!(waiting * line.len() <= rest);
        let mut buffer = vec![0; 64 * 1024];
        while rest > 0 {
            let read = reader.read(&mut buffer).unwrap();
            assert!(read > 0);
            rest -= read;
        }
        queue.flush(PATIENCE);
        let state = queue.lock();
        assert_eq!(state.dropped, 0);
        assert!(state.lines.is_empty());
    }
}
