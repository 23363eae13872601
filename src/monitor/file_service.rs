//! The service that opens files for confined processes: the files that a running proxy reads again,
//! and the audit log.
//!
//! The files are listed here, from the monitor's own configuration. The path that a process sends
//! is compared with this list byte by byte, and not used for anything else.

use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::processes::{AUTH, ProcessKind, WEB, WORKER};
use crate::config::{Config, DEFAULT_FILE, Source};
use crate::ipc::{AllowedFiles, FileAnswer, FilePurpose, FileRequest, IncomingCall};
use crate::sys::names;

/// Files that are opened for a process.
struct FileRow {
    /// What they are, for the documentation.
    what: &'static str,
    /// Why the process needs them while it runs.
    why: &'static str,
    purposes: &'static [FilePurpose],
    /// The kinds of processes that they are opened for.
    processes: &'static [&'static ProcessKind],
    paths: fn(&Config, &Source) -> Vec<PathBuf>,
}

/// All of these files. The list is that of the start: a reload that names other files needs a
/// restart.
const FILES: &[FileRow] = &[
    FileRow {
        what: "the audit log",
        why: "`logrotate` replaces it; warnings of once a day are looked for in it",
        purposes: &[FilePurpose::Append, FilePurpose::Read],
        processes: &[&WORKER, &AUTH],
        paths: |config, _| vec![config.data_dir.audit_log()],
    },
    FileRow {
        what: "`revoked.jsonl`",
        why: "workers of earlier versions, from before an upgrade, follow it",
        purposes: &[FilePurpose::Read],
        processes: &[&WORKER],
        paths: |config, _| vec![config.data_dir.revocations()],
    },
    FileRow {
        what: "the configuration",
        why: "a reload reads it. If there is none, the default place is looked at",
        purposes: &[FilePurpose::Read],
        processes: &[&WORKER, &WEB, &AUTH],
        paths: |_, source| {
            let file = source.file.as_deref();
            vec![file.unwrap_or_else(|| Path::new(DEFAULT_FILE)).to_owned()]
        },
    },
    FileRow {
        what: "`banner_file`",
        why: "a reload reads it",
        purposes: &[FilePurpose::Read],
        processes: &[&WORKER],
        paths: |config, _| config.proxy.banner_file.clone().into_iter().collect(),
    },
    FileRow {
        what: "`https_cert_file`, `https_key_file`, or without them `web/https.pem` in the data directory",
        why: "a renewed certificate replaces them",
        purposes: &[FilePurpose::Read],
        processes: &[&WEB],
        paths: |config, _| {
            let tls = config.https_files();
            tls.map_or_else(Vec::new, |tls| vec![tls.cert_file, tls.key_file])
        },
    },
    FileRow {
        what: "`/etc/nsswitch.conf`, `/etc/hosts`, `/etc/resolv.conf`",
        why: "how names are resolved changes while the proxy runs",
        purposes: &[FilePurpose::Read],
        processes: &[&WORKER],
        paths: |_, _| names::ALL.map(PathBuf::from).to_vec(),
    },
];

/// The files that are opened for a process of this kind.
#[must_use]
pub(super) fn allowed_files(kind: &ProcessKind, config: &Config, source: &Source) -> AllowedFiles {
    let mut allowed = AllowedFiles::new();
    let rows = FILES.iter().filter(|row| {
        let mut processes = row.processes.iter();
        processes.any(|one| one.name == kind.name)
    });
    for row in rows {
        for path in (row.paths)(config, source) {
            for purpose in row.purposes {
                allowed = allowed.with(&path, *purpose);
            }
        }
    }
    allowed
}

/// The table of these files, as the documentation has it.
#[must_use]
pub fn files_markdown() -> String {
    let mut table = "| file | opened for | to | why |\n|---|---|---|---|\n".to_owned();
    for row in FILES {
        let purposes: Vec<_> = row
            .purposes
            .iter()
            .map(|purpose| match purpose {
                FilePurpose::Append => "append",
                FilePurpose::Read => "read",
            })
            .collect();
        let purposes = purposes.join(", ");
        let processes: Vec<_> = row
            .processes
            .iter()
            .map(|kind| format!("`{}`", kind.name))
            .collect();
        let processes = processes.join(", ");
        let (what, why) = (row.what, row.why);
        let _infallible = writeln!(table, "| {what} | {processes} | {purposes} | {why} |");
    }
    table
}

/// Opens the files of one list. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct FileService {
    allowed: Arc<AllowedFiles>,
}

impl FileService {
    /// A service for this list.
    pub(super) fn new(allowed: Arc<AllowedFiles>) -> Self {
        Self { allowed }
    }

    /// Whether a file is opened for the calling process for this purpose.
    pub(super) fn has(&self, path: &Path, purpose: FilePurpose) -> bool {
        self.allowed.has(path, purpose)
    }

    /// Opens a file for the calling process.
    ///
    /// # Errors
    /// As [`AllowedFiles::open`].
    pub(super) fn open(&self, path: &Path, purpose: FilePurpose) -> std::io::Result<std::fs::File> {
        self.allowed.open(path, purpose)
    }

    /// Answers a call with the open file, or with the number of the operating system's error.
    pub(super) fn answer(&self, request: &FileRequest, incoming: IncomingCall) {
        match self.open(Path::new(&request.path), request.purpose) {
            Ok(file) => incoming.answer::<FileRequest>(&FileAnswer::Opened, &[file.as_fd()]),
            Err(error) => incoming.answer::<FileRequest>(&FileAnswer::failed(&error), &[]),
        }
    }
}
