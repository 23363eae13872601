//! Stock ssh and its family, with a configuration of their own: `~/.ssh` is never looked at.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use std::os::unix::process::ExitStatusExt;

use super::children::{Children, Running};
use super::double::Pipes;
use super::programs;
use super::terminal::Terminal;

/// A client command that is being put together.
#[derive(Debug)]
pub(crate) struct ClientCommand<'w> {
    children: &'w Children,
    command: Command,
    stdin: Vec<u8>,
}

/// The exit status of a client, and its output.
#[derive(Debug)]
pub(crate) struct ClientOutcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl ClientOutcome {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The exit code; it fails the test when the client was killed.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| {
            panic!(
                "the client was killed by signal {:?}\n{}",
                self.status.signal(),
                self.stderr
            )
        })
    }

    /// The same outcome, which must be a success.
    pub(crate) fn success(self) -> Self {
        assert_eq!(
            self.code(),
            0,
            "stdout: {}\nstderr: {}",
            self.text(),
            self.stderr
        );
        self
    }
}

impl<'w> ClientCommand<'w> {
    /// Starts from a program in the client's environment.
    pub(crate) fn new(children: &'w Children, program: &Path, home: &Path) -> Self {
        Self::of(children, Command::new(program), home)
    }

    /// The same for a program with its first arguments.
    pub(crate) fn of(children: &'w Children, mut command: Command, home: &Path) -> Self {
        command
            .env_clear()
            .env("PATH", programs::search_path())
            .env("HOME", home)
            .env("TERM", "xterm-256color")
            .current_dir(home);
        Self {
            children,
            command,
            stdin: Vec::new(),
        }
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of the client's environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The client's standard input; empty by default.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> ClientOutcome {
        let stdin = std::mem::take(&mut self.stdin);
        let mut live = self.start();
        live.feed(stdin);
        live.finish()
    }

    /// Starts it without a terminal and hands over its ends.
    pub(crate) fn start(mut self) -> Live {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut running = self.children.spawn(&mut self.command);
        let stdin = running.child.stdin.take();
        let stdout = running.child.stdout.take();
        let stderr = running.child.stderr.take().map(read_stderr);
        Live {
            running,
            stdin,
            stdout,
            stderr,
            feeder: None,
        }
    }

    /// Starts it and makes one stream of its standard input and output; what it says on standard
    /// error is dropped.
    pub(crate) fn into_pipes(mut self) -> (Pipes, Running) {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut running = self.children.spawn(&mut self.command);
        let pipes = Pipes {
            stdin: running.child.stdin.take().expect("it is piped"),
            stdout: running.child.stdout.take().expect("it is piped"),
        };
        (pipes, running)
    }

    /// Starts it in a terminal of this size.
    pub(crate) fn in_terminal(self, rows: u16, cols: u16) -> Terminal {
        Terminal::start(self.children, self.command, rows, cols)
    }
}

/// A client that is running without a terminal.
#[derive(Debug)]
pub(crate) struct Live {
    running: Running,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    feeder: Option<JoinHandle<()>>,
}

impl Live {
    /// Writes to its standard input from a thread, then closes it.
    pub(crate) fn feed(&mut self, bytes: Vec<u8>) {
        let stdin = self.stdin.take();
        self.feeder = stdin.map(|mut stdin| {
            std::thread::spawn(move || {
                // A client that ends early closes the pipe; its outcome tells.
                stdin.write_all(&bytes).unwrap_or_default();
            })
        });
    }

    /// Reads exactly so many bytes of its standard output.
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stdout
            .as_mut()
            .expect("standard output is still open")
            .read_exact(&mut bytes)
            .expect("the client writes that much");
        bytes
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.running.ended().is_some()
    }

    /// Closes its standard input and waits for its end.
    pub(crate) fn finish(mut self) -> ClientOutcome {
        self.stdin = None;
        let mut stdout = Vec::new();
        if let Some(mut pipe) = self.stdout.take() {
            pipe.read_to_end(&mut stdout).expect("a readable pipe");
        }
        let status = self.running.wait();
        let stderr = self
            .stderr
            .take()
            .map(|reader| reader.join().expect("the reader does not panic"))
            .unwrap_or_default();
        if let Some(feeder) = self.feeder.take() {
            feeder.join().expect("the feeder does not panic");
        }
        ClientOutcome {
            status,
            stdout,
            stderr,
        }
    }
}

fn read_stderr(mut pipe: ChildStderr) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a readable pipe");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
