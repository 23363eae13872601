//! `rproxy serve` as a child process, and the other commands on its data directory.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use super::children::{Children, Running};
use super::programs;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct ProxyProcess {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: PathBuf,
    tap: Option<Arc<Tap>>,
    running: Running,
}

/// Standard error of a proxy as a pipe, which is read for as long as the test wants.
#[derive(Debug, Default)]
struct Tap {
    is_shut: Mutex<bool>,
    changed: Condvar,
}

impl Tap {
    fn set(&self, is_shut: bool) {
        *self.is_shut.lock().expect("nobody panics with it") = is_shut;
        self.changed.notify_all();
    }

    /// Copies what comes from a pipe into the log, until the proxy has ended.
    fn pour(self: Arc<Self>, mut from: impl Read + Send + 'static, mut log: File) {
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let is_shut = self.is_shut.lock().expect("nobody panics with it");
                drop(self.changed.wait_while(is_shut, |is_shut| *is_shut));
                match from.read(&mut buffer) {
                    Ok(count @ 1..) => log.write_all(&buffer[..count]).expect("a file"),
                    Ok(0) | Err(_) => return,
                }
            }
        });
    }
}

impl ProxyProcess {
    /// Starts it and waits for the line that says where it listens.
    ///
    /// With a limit, as the arguments of `ulimit`: a write beyond the size of a file fails as on a full
    /// disk, because the signal that goes with it is ignored.
    pub(crate) fn start(
        children: &Children,
        config: &Path,
        log: &Path,
        limit: Option<&str>,
    ) -> Self {
        let mut serve = match limit {
            None => rproxy(config),
            Some(limit) => {
                let mut shell = clean(&programs::path("bash"), config);
                shell
                    .arg("-c")
                    .arg(format!("trap '' XFSZ; ulimit {limit}; exec \"$@\""))
                    .args(["bash", env!("CARGO_BIN_EXE_rproxy"), "--config"])
                    .arg(config);
                shell
            }
        };
        Self::run(children, &mut serve, log)
    }

    /// The same for a command to which only `serve` has to be added.
    pub(crate) fn run(children: &Children, rproxy: &mut Command, log: &Path) -> Self {
        rproxy.stdin(Stdio::null()).stdout(Stdio::null());
        Self::run_with(children, rproxy, log)
    }

    /// The same, with standard input and output as they are.
    pub(crate) fn run_with(children: &Children, rproxy: &mut Command, log: &Path) -> Self {
        let errors = File::create(log).expect("a writable directory");
        let running = children.spawn(rproxy.arg("serve").stderr(errors));
        Self::started(children, running, log, None)
    }

    /// A proxy whose log is read from a pipe, until [`Self::read_log`] says otherwise.
    pub(crate) fn with_pipe(children: &Children, config: &Path, log: &Path) -> Self {
        let file = File::create(log).expect("a writable directory");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut serve = rproxy(config);
        serve.stdin(Stdio::null()).stdout(Stdio::null());
        let running = children.spawn(serve.arg("serve").stderr(writer));
        // The end of the pipe that the command has would keep it open.
        drop(serve);
        let tap = Arc::new(Tap::default());
        Arc::clone(&tap).pour(reader, file);
        Self::started(children, running, log, Some(tap))
    }

    /// Starts or stops reading the log, which must be a pipe.
    pub(crate) fn read_log(&self, is_read: bool) {
        self.tap.as_ref().expect("its log is a pipe").set(!is_read);
    }

    fn started(
        children: &Children,
        mut running: Running,
        log: &Path,
        tap: Option<Arc<Tap>>,
    ) -> Self {
        let address = children
            .eventually(|| {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                assert!(running.ended().is_none(), "rproxy serve ended:\n{text}");
                listening(&text)
            })
            .expect("the proxy listens in time");
        Self {
            address,
            log: log.to_owned(),
            tap,
            running,
        }
    }

    /// Everything that it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `VmRSS` of all its processes, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        memory_of(self.pid())
    }

    /// The process id of its monitor, which is the process that was started.
    pub(crate) fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// The process ids of its workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        children_that_run(self.pid(), "worker")
    }

    /// The process ids of its auth processes.
    pub(crate) fn auths(&self) -> Vec<u32> {
        children_that_run(self.pid(), "auth-service")
    }

    /// The process ids of its web processes.
    pub(crate) fn webs(&self) -> Vec<u32> {
        children_that_run(self.pid(), "web-service")
    }

    /// Waits for its end; the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.running.wait().code()
    }

    /// SIGKILL for all its processes.
    pub(crate) fn kill(&mut self) {
        for child in children_of(self.pid()) {
            let child = i32::try_from(child).ok().and_then(Pid::from_raw);
            // It may have exited meanwhile.
            kill_process(child.expect("a process id"), Signal::KILL).unwrap_or_default();
        }
        // The monitor has nothing to do but to bury them: killed too, it would leave that to a process
        // that may not do it.
        self.running.wait();
    }

    /// SIGKILL for the monitor alone.
    pub(crate) fn kill_monitor(&mut self) {
        self.running.kill_alone();
    }
}

/// The children of a process, in the order in which they were started.
fn children_of(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("Linux");
    let is_child = |pid: &u32| {
        // proc(5): the parent follows the state, and that the name in parentheses.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest.to_owned());
        let found = rest.and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        found == Some(parent)
    };
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut children: Vec<u32> = numbers.filter(is_child).collect();
    children.sort_unstable();
    children
}

/// Those that were started with this command.
fn children_that_run(parent: u32, command: &str) -> Vec<u32> {
    let mut children = children_of(parent);
    children.retain(|pid| {
        // proc(5): the arguments, each with a zero byte at its end.
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let first = arguments.split(|byte| *byte == 0).nth(1);
        first == Some(command.as_bytes())
    });
    children
}

/// `VmRSS` of the processes of the proxy with this monitor, in KiB.
pub(crate) fn memory_of(monitor: u32) -> u64 {
    let workers = children_of(monitor);
    workers.into_iter().map(resident).sum::<u64>() + resident(monitor)
}

/// The most memory that the processes of the proxy with this monitor have ever had, in KiB (`VmHWM`).
pub(crate) fn peak_of(monitor: u32) -> u64 {
    let workers = children_of(monitor);
    let most = |pid| status(pid, "VmHWM:");
    workers.into_iter().map(most).sum::<u64>() + most(monitor)
}

/// `VmRSS` of a process in KiB.
fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// A line of the status of a process, in KiB.
fn status(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("Linux says how much memory a process has")
}

/// The address in `listening on 127.0.0.1:PORT`.
fn listening(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("listening on ")?;
    // Only a whole line is a whole address.
    let (line, _) = rest.split_once('\n')?;
    line.split_whitespace().next()?.parse().ok()
}

/// `rproxy --config CONFIG`, with nothing of the environment but what it needs.
pub(crate) fn rproxy(config: &Path) -> Command {
    rproxy_at(Path::new(env!("CARGO_BIN_EXE_rproxy")), config)
}

/// The same for the program in this file.
pub(crate) fn rproxy_at(program: &Path, config: &Path) -> Command {
    let mut command = clean(program, config);
    command.arg("--config").arg(config);
    command
}

/// A program with nothing of the environment but what it needs.
fn clean(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", programs::search_path())
        .env("HOME", config.parent().unwrap_or(config))
        .env("LC_ALL", "C.UTF-8");
    command
}
