//! The measurements: one function each, one sample at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Stdio};
use std::time::{Duration, Instant};

use super::Result;
use super::process::{Running, Usage, usage};
use super::world::{Kex, Way, World};

/// What a transfer consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Nothing but zeros.
    Zeros,
    /// Incompressible.
    Random,
}

impl Payload {
    pub(crate) const ALL: [Self; 2] = [Self::Zeros, Self::Random];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Random => "random",
        }
    }

    /// A file with `bytes` bytes of it.
    pub(crate) fn file(self, world: &World, bytes: u64) -> Result<PathBuf> {
        let path = world.path(self.name());
        let device = match self {
            Self::Zeros => "/dev/zero",
            Self::Random => "/dev/urandom",
        };
        let mut source = File::open(device)?.take(bytes);
        let mut target = rproxy::sys::fs::create_new(&path, rproxy::sys::fs::PRIVATE_FILE)?;
        std::io::copy(&mut source, &mut target)?;
        // Not while something is measured.
        target.sync_all()?;
        Ok(path)
    }
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Download,
    Upload,
}

impl Direction {
    pub(crate) const ALL: [Self; 2] = [Self::Download, Self::Upload];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }
}

/// One transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) mb_per_second: f64,
    /// CPU seconds per GiB of the process in the middle.
    pub(crate) cpu_per_gib: Option<f64>,
}

/// How long the proxy or the jump host may take to write its last lines after the client has
/// exited.
const AFTERMATH: Duration = Duration::from_millis(50);

/// Moves a file once. The clock runs from the command's start on the host to the end of `ssh`, so
/// that the connection's setup does not count.
pub(crate) fn transfer(
    world: &World,
    way: &Way,
    cipher: &str,
    direction: Direction,
    file: &Path,
) -> Result<Transfer> {
    let bytes = file.metadata()?.len();
    let (command, stdin) = match direction {
        Direction::Download => (format!("exec cat {}", file.display()), Stdio::null()),
        Direction::Upload => ("exec cat >/dev/null".to_owned(), File::open(file)?.into()),
    };
    let mut ssh = world.ssh(way, cipher, Kex::Preferred);
    ssh.arg(format!("echo go >&2; {command}"));
    ssh.stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut ssh = Running::start(&mut ssh)?;
    let stderr = wait_for_go(&mut ssh)?;
    let before = middle(way)?;
    let started = Instant::now();
    ssh.succeed()?;
    let seconds = started.elapsed().as_secs_f64();
    drop(stderr);
    std::thread::sleep(AFTERMATH);
    let after = middle(way)?;
    way.tidy();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = bytes as f64;
    let cpu = before
        .zip(after)
        .map(|(before, after)| after.cpu - before.cpu);
    Ok(Transfer {
        mb_per_second: bytes / 1e6 / seconds,
        cpu_per_gib: cpu.map(|cpu| cpu / (bytes / f64::from(1 << 30))),
    })
}

fn middle(way: &Way) -> Result<Option<Usage>> {
    way.middle.map(usage).transpose()
}

fn wait_for_go(ssh: &mut Running) -> Result<BufReader<ChildStderr>> {
    let stderr = ssh.child().stderr.take().ok_or("stderr is not a pipe")?;
    let mut stderr = BufReader::new(stderr);
    let mut line = String::new();
    stderr.read_line(&mut line)?;
    if line != "go\n" {
        stderr.read_to_string(&mut line)?;
        return Err(format!("ssh said: {line}").into());
    }
    Ok(stderr)
}

/// Milliseconds of a whole `ssh host true`.
pub(crate) fn connect(world: &World, way: &Way, cipher: &str, kex: Kex) -> Result<f64> {
    let started = Instant::now();
    let mut ssh = world.ssh(way, cipher, kex);
    Running::start(ssh.arg("true").stdin(Stdio::null()))?.succeed()?;
    let milliseconds = started.elapsed().as_secs_f64() * 1e3;
    way.tidy();
    Ok(milliseconds)
}

/// An open session that sends back what it gets.
#[derive(Debug)]
pub(crate) struct Echo {
    ssh: Running,
    stdin: std::process::ChildStdin,
    stdout: std::process::ChildStdout,
}

impl Echo {
    pub(crate) fn open(world: &World, way: &Way, cipher: &str, pty: bool) -> Result<Self> {
        let mut ssh = world.ssh(way, cipher, Kex::Preferred);
        if pty {
            ssh.args(["-tt", "stty raw -echo; echo go; exec cat"]);
        } else {
            ssh.arg("echo go; exec cat");
        }
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = Running::start(&mut ssh)?;
        let stdin = ssh.child().stdin.take().ok_or("stdin is not a pipe")?;
        let stdout = ssh.child().stdout.take().ok_or("stdout is not a pipe")?;
        let mut echo = Self { ssh, stdin, stdout };
        echo.expect(b"go\n")?;
        Ok(echo)
    }

    fn expect(&mut self, text: &[u8]) -> Result<()> {
        let mut read = vec![0; text.len()];
        self.stdout.read_exact(&mut read)?;
        if read == text {
            Ok(())
        } else {
            let id = self.ssh.id();
            Err(format!("ssh {id} wrote {:?}", String::from_utf8_lossy(&read)).into())
        }
    }

    /// Microseconds of one byte there and back.
    pub(crate) fn round_trip(&mut self) -> Result<f64> {
        let started = Instant::now();
        self.stdin.write_all(b"x")?;
        self.expect(b"x")?;
        Ok(started.elapsed().as_secs_f64() * 1e6)
    }
}

/// Memory of the middle for one idle session, in KiB: resident (RSS) and proportional (PSS).
pub(crate) fn idle_session(
    world: &World,
    way: &Way,
    cipher: &str,
    count: u32,
) -> Result<Option<(f64, f64)>> {
    // Memory that the first session allocates once does not count for each session.
    drop(Echo::open(world, way, cipher, false)?);
    std::thread::sleep(IDLE);
    let Some(before) = middle(way)? else {
        return Ok(None);
    };
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(Echo::open(world, way, cipher, false)?);
    }
    std::thread::sleep(IDLE);
    let Some(after) = middle(way)? else {
        return Ok(None);
    };
    drop(sessions);
    way.tidy();
    let per_session = |before: u64, after: u64| {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let difference = after as f64 - before as f64;
        difference / 1024.0 / f64::from(count)
    };
    Ok(Some((
        per_session(before.rss, after.rss),
        per_session(before.pss, after.pss),
    )))
}

/// After this long, everything that is given back when a session is silent has been.
const IDLE: Duration = Duration::from_secs(4);
