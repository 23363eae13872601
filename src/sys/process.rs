//! The resources that this process uses, as the kernel reports them (`None` if it does not), and the
//! protection of its memory.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Protects the memory of this process from other processes of its account: no core dump is written,
/// and only root can trace it or read its memory. A program that is started by `exec` has to call this
/// again.
///
/// # Errors
/// The operating system's.
pub fn close_memory() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

/// Keeps all memory of this process out of swap, what it has and what it will have. What was never
/// touched takes no room.
///
/// # Errors
/// Where the limit of locked memory can neither be lifted nor be passed over: half a lock would refuse
/// memory later, in the middle of something. Nothing is locked then.
pub fn lock_memory() -> io::Result<()> {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    if rustix::process::getrlimit(Resource::Memlock) != unlimited {
        setrlimit(Resource::Memlock, unlimited)?;
    }
    Ok(mlockall(
        MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT,
    )?)
}

/// How much memory this process may have, in bytes, as far as that is known: that of the machine, or of its
/// control group (`MemoryMax` of systemd, the limit of a container), or what its own limits of data and
/// of addresses allow, whichever is least.
#[must_use]
pub fn memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine
        .as_deref()
        .and_then(|text| kibibytes(text, "MemTotal:"));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = group(&groups)
        .map(Path::new)
        .into_iter()
        .flat_map(Path::ancestors);
    let grouped = groups.filter_map(|path| {
        let path = Path::new(CONTROL_GROUPS).join(path.strip_prefix("/").ok()?);
        let limit = std::fs::read_to_string(path.join("memory.max")).ok()?;
        // "max" is no limit.
        limit.trim().parse().ok()
    });
    let own = [Resource::Data, Resource::As].map(|limit| rustix::process::getrlimit(limit).current);
    machine
        .into_iter()
        .chain(grouped)
        .chain(own.into_iter().flatten())
        .min()
}

/// Where control groups of the second version are.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// The path of the control group of the second version (cgroups(7)).
fn group(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time.
    pub cpu: Option<Duration>,
    /// Memory in RAM, in bytes.
    pub resident: Option<u64>,
    /// Open file descriptors.
    pub open_files: Option<u64>,
    /// File descriptors that may be open.
    pub max_files: Option<u64>,
}

/// What this process uses now.
#[must_use]
pub fn usage() -> Usage {
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let open_files = std::fs::read_dir("/proc/self/fd").ok();
    Usage {
        cpu: Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok(),
        resident: status
            .as_deref()
            .and_then(|status| kibibytes(status, "VmRSS:")),
        // One of them is the directory itself.
        open_files: open_files.map(|files| (files.count() as u64).saturating_sub(1)),
        max_files: rustix::process::getrlimit(Resource::Nofile).current,
    }
}

/// A line of proc(5) that is in KiB, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_uses_something() {
        let before = usage();
        let held: Vec<_> = (0..50)
            .map(|_| std::fs::File::open("/dev/null").unwrap())
            .collect();
        let after = usage();
        assert!(after.cpu >= before.cpu && after.cpu > Some(Duration::ZERO));
        assert!(after.resident > Some(100_000), "{after:?}");
        // Other tests open files too.
        assert!(after.open_files >= Some(held.len() as u64), "{after:?}");
        assert!(after.max_files > after.open_files);
    }

    #[test]
    fn a_closed_process_is_never_dumped() {
        close_memory().unwrap();
        let dumpable = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(dumpable, DumpableBehavior::NotDumpable);
        let limit = rustix::process::getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        // What looks at itself goes on.
        std::fs::read_link("/proc/self/exe").unwrap();
        assert!(usage().open_files > Some(0));
    }

    #[test]
    fn the_memory_that_it_may_have_is_known() {
        // Nowhere are these tests run with less.
        assert!(memory() > Some(100 << 20), "{:?}", memory());
        let groups = "12:pids:/user\n0::/system.slice/rproxy.service\n";
        assert_eq!(group(groups), Some("/system.slice/rproxy.service"));
        assert_eq!(group("12:pids:/user\n"), None);
    }

    #[test]
    fn the_kernels_text_is_read() {
        assert_eq!(
            kibibytes("Name:\tx\nVmRSS:\t   12 kB\n", "VmRSS:"),
            Some(12_288)
        );
        for text in [
            "",
            "VmRSS:",
            "VmRSS:\t12",
            "VmRSS:\t-1 kB",
            "VmRSS:\t99999999999999999999 kB",
        ] {
            assert_eq!(kibibytes(text, "VmRSS:"), None, "{text}");
        }
    }
}
