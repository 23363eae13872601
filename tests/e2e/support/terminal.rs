//! A user at a terminal: a real PTY with a real client in it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::Pty;

use super::children::{Children, Running};

/// How long the user waits for expected output.
const PATIENCE: Duration = Duration::from_secs(20);
/// What no program writes.
const LAST: &[u8] = b"\x1c the last of the output \x1c";

/// A client that is running in a terminal.
pub(crate) struct Terminal {
    running: Running,
    pty: Arc<Pty>,
    screen: Arc<Screen>,
    /// How much of the screen's text has been searched.
    looked: usize,
    reader: Option<JoinHandle<()>>,
    /// The side of the programs, so that they are not the last to close it.
    held: Option<OwnedFd>,
}

#[derive(Debug, Default)]
struct Screen {
    shown: Mutex<Shown>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Shown {
    bytes: Vec<u8>,
    closed: bool,
}

impl Terminal {
    pub(crate) fn start(children: &Children, command: Command, rows: u16, cols: u16) -> Self {
        let name = format!("{command:?}");
        let (pty, pts) = pty_process::blocking::open().expect("a PTY");
        pty.resize(Size::new(rows, cols)).expect("a PTY has a size");
        let held = pts.as_fd().try_clone_to_owned();
        let child = pty_process::blocking::Command::from(command)
            .spawn(pts)
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let running = children.adopt(child, name);
        let pty = Arc::new(pty);
        let screen = Arc::new(Screen::default());
        let reader = {
            let (pty, screen) = (Arc::clone(&pty), Arc::clone(&screen));
            std::thread::spawn(move || read(&pty, &screen))
        };
        Self {
            running,
            pty,
            screen,
            looked: 0,
            reader: Some(reader),
            held: Some(held.expect("another descriptor")),
        }
    }

    /// Types.
    pub(crate) fn type_in(&self, text: &str) {
        self.type_bytes(text.as_bytes());
    }

    /// Types at a terminal of another encoding than UTF-8.
    pub(crate) fn type_bytes(&self, bytes: &[u8]) {
        (&*self.pty)
            .write_all(bytes)
            .expect("the terminal takes input");
    }

    /// Waits until a text appears after what was looked at before, and gives what led to it.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut shown = self.screen.shown.lock().expect("the reader does not panic");
        loop {
            let fresh = &shown.bytes[self.looked..];
            if let Some(at) = find(fresh, text.as_bytes()) {
                let seen = String::from_utf8_lossy(&fresh[..at]).into_owned();
                self.looked += at + text.len();
                return seen;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !shown.closed,
                "{text:?} does not appear; the terminal shows {:?}",
                String::from_utf8_lossy(fresh),
            );
            shown = self
                .screen
                .changed
                .wait_timeout(shown, left)
                .expect("the reader does not panic")
                .0;
        }
    }

    /// Answers a question as soon as the echo is off. Programs that turn it off only after they
    /// have printed the question discard what was typed in between.
    pub(crate) fn answer_hidden(&mut self, question: &str, secret: &str) {
        self.expect(question);
        let until = Instant::now() + PATIENCE;
        while self.echoes() {
            assert!(Instant::now() < until, "{question:?}: answers are shown");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.type_in(secret);
    }

    /// Whether the terminal shows what is typed. Both ends of a PTY have the same modes.
    fn echoes(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&*self.pty).expect("a PTY has modes");
        modes
            .local_modes
            .contains(rustix::termios::LocalModes::ECHO)
    }

    /// Changes the window's size, as dragging its corner does.
    pub(crate) fn resize(&self, rows: u16, cols: u16) {
        self.pty
            .resize(Size::new(rows, cols))
            .expect("a PTY has a size");
    }

    /// Presses Ctrl-C until the client has ended: `ssh` does not notice a signal that comes between its
    /// question and its reading of the answer.
    pub(crate) fn interrupt(mut self) -> (Option<i32>, Vec<u8>) {
        while self.running.ended().is_none() {
            // It may end at this moment.
            (&*self.pty).write_all(b"\x03").unwrap_or_default();
            std::thread::sleep(Duration::from_millis(50));
        }
        self.finish()
    }

    /// Waits for the client's end; gives its exit code and all that the terminal showed.
    pub(crate) fn finish(mut self) -> (Option<i32>, Vec<u8>) {
        let status = self.running.wait();
        self.read_all();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        let shown = self.screen.shown.lock().expect("the reader does not panic");
        (status.code(), shown.bytes.clone())
    }
}

impl Terminal {
    /// Waits until everything is shown that the client has written. Linux now and then loses what is written just
    /// before the last program closes a PTY, if the other side reads at that moment.
    fn read_all(&mut self) {
        let Some(held) = self.held.take() else {
            return;
        };
        let mut held = File::from(held);
        held.write_all(LAST).expect("the terminal takes output");
        let until = Instant::now() + PATIENCE;
        let mut shown = self.screen.shown.lock().expect("the reader does not panic");
        loop {
            if let Some(at) = find(&shown.bytes, LAST) {
                shown.bytes.drain(at..at + LAST.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the terminal does not show its output");
            let changed = self.screen.changed.wait_timeout(shown, left);
            shown = changed.expect("the reader does not panic").0;
        }
    }
}

/// Collects what the terminal shows. On Linux, reading a PTY fails once its programs have exited.
fn read(mut pty: &Pty, screen: &Screen) {
    let mut buffer = [0; 4096];
    loop {
        let count = match pty.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other.unwrap_or(0),
        };
        let mut shown = screen.shown.lock().expect("nobody panics with the screen");
        shown.bytes.extend_from_slice(&buffer[..count]);
        shown.closed = count == 0;
        screen.changed.notify_all();
        if count == 0 {
            return;
        }
    }
}

/// Where a text begins.
pub(crate) fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}
