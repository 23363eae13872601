//! Clock, disk and limits of the machine.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};

use super::super::checks::{CLOCK, Check, DISK_SPACE, FILE_SIZE_LIMIT, OPEN_FILES};
use super::super::child;
use super::super::report::Finding;
use crate::cli::ui::time;
use crate::config::Config;
use crate::model::format_duration;

/// What a file may be younger than the clock says, in seconds.
const TOLERANCE: u64 = 5;
/// How long the machine's own programs may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// systemd-timesyncd makes it once it has set the clock.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// With less than this, recordings end soon: 64 MiB.
const HARDLY_ANY: u64 = 64 << 20;
/// With less than this the doctor warns: 1 GiB.
const LITTLE: u64 = 1 << 30;
/// The same for files: each recording is one.
const HARDLY_ANY_FILES: u64 = 100;
const FEW_FILES: u64 = 10_000;
/// Files that one client has open: two sockets, a recording, and what they take while they begin.
const FILES_PER_CLIENT: u64 = 4;
/// And those that are open anyway.
const FILES_ANYWAY: u64 = 64;

pub(super) fn examine(config: &Config, now: u64, findings: &mut Vec<Finding>) {
    let asks_codes = config.auth.authentication.has_local()
        && config.auth.authentication.second_factor.has_codes();
    findings.push(clock(config.data_dir.path(), now, asks_codes));
    let recordings = config.data_dir.recordings();
    findings.extend(disk(&DISK_SPACE, &recordings));
    findings.push(file_size());
    findings.push(open_files(config.proxy.max_connections));
}

fn clock(data_dir: &Path, now: u64, asks_codes: bool) -> Finding {
    let hint = "set the clock, and have it kept: `timedatectl set-ntp true`, or chrony";
    if let Some((path, at)) = newest(data_dir)
        && at > now.saturating_add(TOLERANCE)
    {
        let before = format_duration(Duration::from_secs(at - now));
        let detail = format!(
            "it is {} here, {before} before {} was last written",
            time(now),
            path.display()
        );
        return Finding::error(&CLOCK, "", detail, hint);
    }
    match is_kept() {
        Some(true) => Finding::ok(&CLOCK, "", format!("{}, synchronised", time(now))),
        None => Finding::ok(&CLOCK, "", time(now)),
        Some(false) => {
            let why = match asks_codes {
                true => ": once it is off by more than half a minute, one-time codes are refused",
                false => "",
            };
            let detail = format!("{}, and no program keeps it{why}", time(now));
            Finding::warning(&CLOCK, "", detail, hint)
        }
    }
}

/// What was written last in the data directory, and when.
fn newest(data_dir: &Path) -> Option<(PathBuf, u64)> {
    let entries = std::fs::read_dir(data_dir).ok()?;
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let at = u64::try_from(entry.metadata().ok()?.mtime()).ok()?;
            Some((entry.path(), at))
        })
        .max_by_key(|(_, at)| *at)
}

/// Whether something sets the clock; `None` if it cannot be found out.
fn is_kept() -> Option<bool> {
    if Path::new(SYNCHRONIZED).exists() {
        return Some(true);
    }
    let mut timedatectl = Command::new("timedatectl");
    timedatectl.args(["show", "--property=NTPSynchronized", "--value"]);
    let said = child::run(&mut timedatectl, "", PATIENCE).ok()?;
    match said.stdout.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The disk that a path is on: that of the first directory above it that is there.
pub(super) fn disk(check: &'static Check, path: &Path) -> Option<Finding> {
    let there = path.ancestors().find(|path| path.is_dir())?;
    let subject = there.display();
    let hint = "make room, move recordings away, or give them a larger disk";
    let found = match statvfs(there) {
        Ok(found) => found,
        Err(errno) => {
            let detail = format!("cannot be asked: {}", std::io::Error::from(errno));
            return Some(Finding::warning(check, subject, detail, hint));
        }
    };
    let bytes = found.f_bavail.saturating_mul(found.f_frsize);
    // File systems without a fixed number of inodes say that they have none at all.
    let files = (found.f_files > 0).then_some(found.f_favail);
    let mut detail = format!("{} MiB free", bytes >> 20);
    if let Some(files) = files {
        detail.push_str(&format!(", and {files} inodes"));
    }
    let is_below = |space: u64, few: u64| bytes < space || files.is_some_and(|files| files < few);
    Some(if is_below(HARDLY_ANY, HARDLY_ANY_FILES) {
        Finding::error(check, subject, detail, hint)
    } else if is_below(LITTLE, FEW_FILES) {
        Finding::warning(check, subject, detail, hint)
    } else {
        Finding::ok(check, subject, detail)
    })
}

fn file_size() -> Finding {
    match getrlimit(Resource::Fsize).current {
        None => Finding::ok(&FILE_SIZE_LIMIT, "", "none"),
        Some(limit) => Finding::warning(
            &FILE_SIZE_LIMIT,
            "",
            format!("{} KiB: no recording gets longer", limit >> 10),
            "`ulimit -f unlimited`, or LimitFSIZE=infinity in the unit",
        ),
    }
}

/// The proxy raises its own limit as far as it may.
fn open_files(clients: u32) -> Finding {
    let wanted = u64::from(clients) * FILES_PER_CLIENT + FILES_ANYWAY;
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < wanted => Finding::warning(
            &OPEN_FILES,
            "",
            format!("at most {limit} here, {clients} clients want {wanted}"),
            format!("LimitNOFILE={wanted} in the unit, or a lower proxy_service.max_connections"),
        ),
        Some(limit) => Finding::ok(&OPEN_FILES, "", format!("at most {limit}")),
        None => Finding::ok(&OPEN_FILES, "", "no limit"),
    }
}
