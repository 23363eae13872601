//! Child processes that end with their owner, and what `/proc` says about them.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Result;

/// A child process; killed and waited for when it is dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {command:?}: {error}"))?;
        Ok(Self(child))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Waits for its end, which must be a success.
    pub(crate) fn succeed(&mut self) -> Result<()> {
        let status = self.0.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("process {} ended with {status}", self.id()).into())
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have exited by itself: then there is nothing to kill, and the wait returns at
        // once.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Runs a command to its end; its output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {said}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Waits until `ready` has an answer.
pub(crate) fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ready() {
            return Ok(answer);
        }
        if started.elapsed() > Duration::from_secs(20) {
            return Err(format!("waited too long for {what}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processor time and memory of a process and all its descendants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU seconds, user and system, of ended and reaped children too.
    pub(crate) cpu: f64,
    /// Resident memory in bytes; pages that processes share count for each.
    pub(crate) rss: u64,
    /// Resident memory in bytes; pages that processes share are divided among them.
    pub(crate) pss: u64,
}

/// Clock ticks per second in `/proc/PID/stat`: 100 wherever Linux runs.
const TICKS: f64 = 100.0;

/// The processor time and memory of the process and its descendants.
pub(crate) fn usage(root: u32) -> Result<Usage> {
    let processes = processes()?;
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        let children = processes.iter().filter(|one| one.parent == parent);
        family.extend(children.map(|one| one.id));
        next += 1;
    }
    let mut sum = Usage::default();
    for one in processes.iter().filter(|one| family.contains(&one.id)) {
        sum.cpu += one.cpu;
        // A process may end while this looks at it.
        let status = fs::read_to_string(format!("/proc/{}/status", one.id)).unwrap_or_default();
        sum.rss += kib_line(&status, "VmRSS:") * 1024;
        let rollup =
            fs::read_to_string(format!("/proc/{}/smaps_rollup", one.id)).unwrap_or_default();
        sum.pss += kib_line(&rollup, "Pss:") * 1024;
    }
    Ok(sum)
}

struct Process {
    id: u32,
    parent: u32,
    cpu: f64,
}

fn processes() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(Path::new("/proc").join(&name).join("stat"));
        found.extend(stat.ok().and_then(|stat| process(id, &stat)));
    }
    Ok(found)
}

/// Reads `/proc/PID/stat` (proc(5)): the fields after the name, which may hold anything.
fn process(id: u32, stat: &str) -> Option<Process> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
    let ticks = (11..=14).map(number).sum::<Option<u32>>()?;
    Some(Process {
        id,
        parent: number(1)?,
        cpu: f64::from(ticks) / TICKS,
    })
}

fn kib_line(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
