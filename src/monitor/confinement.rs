//! What the processes may still do once they are confined.
//!
//! A worker, which talks to the network, may create recordings, use its control socket, and connect to
//! hosts and to DNS. It has no access to `ca/`, or to a directory that contains `ca/`: access to the
//! data directory would be access to the CAs' keys. The auth process has `ca/` and the files of the
//! state one by one: access to the data directory would be access to the recordings. So other files,
//! beside these or anywhere else (the configuration, the TLS key), are not accessible; the monitor
//! opens them (`file_service`) at every reload and log rotation, in their state at that time.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::model::chain;
use crate::sys::fs::private_dir;
use crate::sys::names;
use crate::sys::sandbox::{Bind, Keep, Plan};

/// A place in the file system that stays accessible.
struct KeptRow {
    keep: Keep,
    path: fn(&Config) -> PathBuf,
    /// The place and what it is kept for, for the documentation.
    what: &'static str,
    why: &'static str,
}

/// The places that stay accessible to a worker.
const KEPT_BY_WORKER: &[KeptRow] = &[
    KeptRow {
        // An attacker in the process can neither read nor remove existing recordings.
        keep: Keep::Make,
        path: |config| config.data_dir.recordings(),
        what: "`recordings/` in the data directory",
        why: "to create files and write to them. It cannot read, list, truncate, rename or remove them",
    },
    KeptRow {
        // The socket is created before, with its mode, and removed at the end.
        keep: Keep::Own,
        path: |config| config.data_dir.control(),
        what: "`control/` in the data directory",
        why: "its control socket",
    },
    KeptRow {
        keep: Keep::Read,
        path: |_| Path::new("/proc/self").to_owned(),
        what: "`/proc/self`",
        why: "its own use of memory and files, for metrics",
    },
];

/// The places that stay accessible to the auth process.
const KEPT_BY_AUTH: &[KeptRow] = &[
    KeptRow {
        keep: Keep::Own,
        path: |config| config.data_dir.ca(),
        what: "`ca/` in the data directory",
        why: "the CAs' keys, and how far their rotations are",
    },
    KeptRow {
        // It is made before, where it is needed.
        keep: Keep::Own,
        path: |config| config.data_dir.web(),
        what: "`web/` in the data directory",
        why: "the certificate of HTTPS that the proxy makes for itself, and its key, unless \
              `https_cert_file` names another",
    },
    KeptRow {
        keep: Keep::Write,
        path: |config| config.data_dir.ledger(),
        what: "`issued.jsonl` in the data directory",
        why: "the ledger of certificates",
    },
    KeptRow {
        keep: Keep::Write,
        path: |config| config.data_dir.state_db(),
        what: "`state.db` in the data directory",
        why: "the state, unless `state.url` names a database of PostgreSQL",
    },
    KeptRow {
        // Both are there as long as a connection is open.
        keep: Keep::Write,
        path: |config| beside_state(config, "-wal"),
        what: "`state.db-wal` in the data directory",
        why: "its log",
    },
    KeptRow {
        keep: Keep::Write,
        path: |config| beside_state(config, "-shm"),
        what: "`state.db-shm` in the data directory",
        why: "the index of its log",
    },
    KeptRow {
        keep: Keep::List,
        path: |config| config.data_dir.path().to_owned(),
        what: "the data directory",
        why: "to list it, and to sync it to the disk. It cannot open, create or remove any other file \
              there, recordings among them",
    },
];

/// What a web process keeps, for the documentation: see [`plan_of_web`] and the table of system calls.
const KEPT_BY_WEB: &[(&str, &str)] = &[(
    "open file descriptors",
    "its listener, connections of clients, the socket to the monitor",
)];

/// What the auth process keeps beside places: see [`plan_of_auth`].
const ALSO_KEPT_BY_AUTH: &[(&str, &str)] = &[
    (
        "Unix sockets",
        "only if `auth_service.ca_keys` names agents, or `state.url` a database of PostgreSQL: \
         connections to them",
    ),
    (
        "TCP, UDP",
        "only if `state.url` names a database of PostgreSQL, or people sign in at an identity provider: \
         connections to them, and DNS",
    ),
    (
        "`/etc/nsswitch.conf`, `/etc/hosts`, `/etc/resolv.conf`",
        "only if TCP is kept: to find addresses by names",
    ),
    (
        "open file descriptors",
        "the audit log, the socket to the monitor",
    ),
];

/// What a worker keeps beside places, for the documentation: see [`plan_of_worker`] and the table of
/// system calls.
const ALSO_KEPT_BY_WORKER: &[(&str, &str)] = &[
    (
        "TCP",
        "connections to any address and port; a local port only if the kernel picks it",
    ),
    ("UDP", "DNS"),
    (
        "open file descriptors",
        "the listeners, the audit log, connections, the control socket, the socket to the monitor",
    ),
];

/// Creates the directories of the plan: directories that are created later are not accessible. If
/// one cannot be created, the code that needs it fails later, as without a sandbox.
pub fn prepare(config: &Config) {
    let data = &config.data_dir;
    for directory in [data.recordings(), data.control()] {
        if let Err(error) = private_dir(&directory) {
            let error = chain(&error);
            let name = directory.file_name().unwrap_or_default().display();
            tracing::error!(%error, "{name}/ is of no use, also later: that takes a restart");
        }
    }
}

/// The sandbox of a worker. It is applied once everything was bound, opened and read for the first
/// time, and before there is a second thread.
#[must_use]
pub(super) fn plan_of_worker(config: &Config) -> Plan {
    places(KEPT_BY_WORKER, config)
        .connect_tcp()
        // For a configured egress address; listeners are bound already.
        .bind_tcp(Bind::Ephemeral)
}

/// The sandbox of the auth process. It is applied once everything was opened and read for the first
/// time, and before there is a second thread.
#[must_use]
pub(super) fn plan_of_auth(config: &Config) -> Plan {
    let plan = places(KEPT_BY_AUTH, config);
    let keys = &config.auth.ca_keys;
    let has_agents = !keys.user.is_empty() || !keys.host.is_empty();
    let has_database = config.state.database.is_some();
    let plan = match has_database || config.auth.authentication.has_oidc() {
        true => {
            let resolving = names::ALL.iter();
            let plan = resolving.fold(plan, |plan, path| plan.keep_if_there(Keep::Read, path));
            plan.connect_tcp()
        }
        false => plan,
    };
    match has_agents || has_database {
        true => plan.unix_sockets(),
        false => plan,
    }
}

/// The sandbox of a web process. It is applied once everything was read for the first time, and before
/// there is a second thread. Nothing is kept: it answers clients who connect, from what other processes
/// tell it.
#[must_use]
pub(super) fn plan_of_web(_config: &Config) -> Plan {
    Plan::new()
}

/// A file that SQLite has beside the state.
fn beside_state(config: &Config, ending: &str) -> PathBuf {
    let mut path = config.data_dir.state_db().into_os_string();
    path.push(ending);
    path.into()
}

fn places(rows: &[KeptRow], config: &Config) -> Plan {
    rows.iter().fold(Plan::new(), |plan, row| {
        plan.keep_if_there(row.keep, (row.path)(config))
    })
}

/// The table of what a worker keeps, as the documentation has it.
#[must_use]
pub fn kept_by_worker_markdown() -> String {
    kept_markdown(KEPT_BY_WORKER, ALSO_KEPT_BY_WORKER)
}

/// The table of what the auth process keeps, as the documentation has it.
#[must_use]
pub fn kept_by_auth_markdown() -> String {
    kept_markdown(KEPT_BY_AUTH, ALSO_KEPT_BY_AUTH)
}

/// The table of what a web process keeps, as the documentation has it.
#[must_use]
pub fn kept_by_web_markdown() -> String {
    kept_markdown(&[], KEPT_BY_WEB)
}

fn kept_markdown(places: &[KeptRow], also: &[(&str, &str)]) -> String {
    let mut table = "| what | for what |\n|---|---|\n".to_owned();
    let places = places.iter().map(|row| (row.what, row.why));
    for (what, why) in places.chain(also.iter().copied()) {
        let _infallible = writeln!(table, "| {what} | {why} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{self, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::audit::{AuditEvent, AuditLog};
    use crate::ca::{RevocationLog, RevocationStore as _, Revoked};
    use crate::config::{AuthenticationType, Source};
    use crate::ipc::{AllowedFiles, FilePurpose};
    use crate::monitor::file_service::allowed_files;
    use crate::monitor::processes::{AUTH, WEB, WORKER};
    use crate::sys::clock::Clock;
    use crate::sys::files::{Files, read_limited};
    use crate::sys::fs::{PRIVATE_FILE, Replace, create_new, takes_files, write_whole};
    use crate::sys::sandbox::{Landlock, Layers};

    const PATIENCE: Duration = Duration::from_secs(20);
    /// Set in the process that is confined.
    const MARK: &str = "RPROXY_TEST_CONFINED";

    fn configured(directory: &Path) -> (Config, Source) {
        let file = directory.join("rproxy.yaml");
        let text = format!(
            "data_dir: {0}/data\nproxy_service:\n  web_listen_addr: :3080\n  \
             https_cert_file: {0}/tls.pem\n  https_key_file: {0}/tls.key\n",
            directory.display()
        );
        write_whole(&file, text.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
        let source = Source {
            file: Some(file),
            data_dir: None,
        };
        (source.load().unwrap().config, source)
    }

    #[test]
    fn nothing_that_is_kept_has_the_authorities_below_it() {
        let directory = tempfile::tempdir().unwrap();
        let (config, source) = configured(directory.path());
        let plan = plan_of_worker(&config);
        let at = |name: &str| directory.path().join(name);
        let kept: Vec<_> = plan
            .places()
            .iter()
            .map(|place| (place.path.clone(), place.keep))
            .collect();
        assert_eq!(
            kept,
            [
                (at("data/recordings"), Keep::Make),
                (at("data/control"), Keep::Own),
                (PathBuf::from("/proc/self"), Keep::Read),
            ]
        );
        let authorities = at("data/ca");
        assert!(!kept.iter().any(|(path, _)| authorities.starts_with(path)));
        let opened: Vec<_> = allowed_files(&WORKER, &config, &source)
            .files()
            .map(|(path, purpose)| (path.to_owned(), purpose))
            .collect();
        assert_eq!(
            opened,
            [
                (at("data/audit.jsonl"), FilePurpose::Append),
                (at("data/audit.jsonl"), FilePurpose::Read),
                (at("data/revoked.jsonl"), FilePurpose::Read),
                (at("rproxy.yaml"), FilePurpose::Read),
                (PathBuf::from("/etc/nsswitch.conf"), FilePurpose::Read),
                (PathBuf::from("/etc/hosts"), FilePurpose::Read),
                (PathBuf::from("/etc/resolv.conf"), FilePurpose::Read),
            ]
        );
    }

    #[test]
    fn nothing_that_the_auth_process_keeps_has_the_recordings_below_it() {
        let directory = tempfile::tempdir().unwrap();
        let (config, source) = configured(directory.path());
        let recordings = config.data_dir.recordings();
        for place in plan_of_auth(&config).places() {
            let is_above = recordings.starts_with(&place.path);
            assert_eq!(is_above, place.keep == Keep::List, "{place:?}");
        }
        let opened = allowed_files(&AUTH, &config, &source);
        let data = config.data_dir.path();
        for (path, _) in opened.files() {
            let is_configuration = Some(path) == source.file.as_deref();
            let is_inside = path.starts_with(data);
            assert!(is_inside || is_configuration, "{}", path.display());
            assert!(!path.starts_with(&recordings));
        }
    }

    /// What a web process can have is the certificate of HTTPS and the configuration, and no more.
    #[test]
    fn a_web_process_keeps_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (config, source) = configured(directory.path());
        let at = |name: &str| directory.path().join(name);
        assert!(plan_of_web(&config).places().is_empty());
        let opened: Vec<_> = allowed_files(&WEB, &config, &source)
            .files()
            .map(|(path, purpose)| (path.to_owned(), purpose))
            .collect();
        assert_eq!(
            opened,
            [
                (at("rproxy.yaml"), FilePurpose::Read),
                (at("tls.pem"), FilePurpose::Read),
                (at("tls.key"), FilePurpose::Read),
            ]
        );
    }

    #[test]
    fn all_processes_read_the_configuration_again() {
        let directory = tempfile::tempdir().unwrap();
        let (config, source) = configured(directory.path());
        let file = source.file.as_deref().unwrap();
        for kind in [&WORKER, &WEB, &AUTH] {
            let opened = allowed_files(kind, &config, &source);
            assert!(opened.has(file, FilePurpose::Read), "{}", kind.name);
        }
    }

    /// A thread that was created before the sandbox and has access to every file: it stands for the
    /// monitor.
    #[derive(Clone, Debug)]
    struct Outside {
        allowed: AllowedFiles,
        work: mpsc::Sender<Work>,
    }

    type Work = Box<dyn FnOnce() + Send>;

    impl Outside {
        fn start(allowed: AllowedFiles) -> Self {
            let (work, wanted) = mpsc::channel::<Work>();
            thread::spawn(move || wanted.into_iter().for_each(|work| work()));
            Self { allowed, work }
        }

        fn does<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
            let (answer, answered) = mpsc::channel();
            let work: Work = Box::new(move || answer.send(what()).unwrap());
            self.work.send(work).unwrap();
            answered.recv_timeout(PATIENCE).unwrap()
        }
    }

    impl Outside {
        fn open(&self, path: &Path, purpose: FilePurpose) -> io::Result<File> {
            let (allowed, path) = (self.allowed.clone(), path.to_owned());
            self.does(move || allowed.open(&path, purpose))
        }
    }

    impl Files for Outside {
        fn open_read(&self, path: &Path) -> io::Result<File> {
            self.open(path, FilePurpose::Read)
        }

        fn open_append(&self, path: &Path) -> io::Result<File> {
            self.open(path, FilePurpose::Append)
        }
    }

    /// Puts a file in the place of another. Not as `write_whole` does: the mode of a file is nothing
    /// that any thread of this process may change.
    fn replace(path: &Path, content: &[u8]) {
        let staged = path.with_extension("staged");
        create_new(&staged, PRIVATE_FILE)
            .unwrap()
            .write_all(content)
            .unwrap();
        std::fs::rename(staged, path).unwrap();
    }

    fn stopped(reason: &'static str) -> AuditEvent {
        AuditEvent::ServerStopped { reason }
    }

    #[test]
    fn what_the_proxy_does_works_and_the_authorities_are_out_of_reach() {
        if std::env::var_os(MARK).is_some() {
            return confined();
        }
        in_a_process("what_the_proxy_does_works_and_the_authorities_are_out_of_reach");
    }

    /// Names are found and connections made where people sign in at an identity provider, and nowhere else.
    #[test]
    fn the_auth_process_reaches_a_provider_if_there_is_one() {
        if std::env::var_os(MARK).is_none() {
            return in_a_process("the_auth_process_reaches_a_provider_if_there_is_one");
        }
        let Landlock::Abi(_) = Layers::offered().landlock else {
            return crate::sys::skipped::cannot("there is no Landlock");
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (with, without) = {
            let directory = tempfile::tempdir().unwrap();
            let (without, _) = configured(directory.path());
            let mut with = without.clone();
            with.auth.authentication.types = vec![AuthenticationType::Oidc];
            (plan_of_auth(&with), plan_of_auth(&without))
        };
        let reach = move || TcpStream::connect(("localhost", port)).map(drop);
        // Each on a thread of its own: what a thread has given up is not given up by others.
        let reached = thread::spawn(move || {
            let _held = with.confine().unwrap();
            let reached = reach();
            File::open("/etc/passwd").unwrap_err();
            reached
        });
        reached.join().unwrap().unwrap();
        let refused = thread::spawn(move || {
            let _held = without.confine().unwrap();
            reach()
        });
        refused.join().unwrap().unwrap_err();
    }

    /// Runs a test in a process of its own.
    fn in_a_process(test: &str) {
        let (_crate, module) = module_path!().split_once("::").unwrap();
        // What it makes, it may not remove any more.
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args([&format!("{module}::{test}"), "--exact", "--nocapture"])
            .env(MARK, "")
            .env("TMPDIR", directory.path())
            .output()
            .unwrap();
        let (out, err) = (&output.stdout, &output.stderr);
        let printed = [String::from_utf8_lossy(out), String::from_utf8_lossy(err)].concat();
        assert!(output.status.success(), "{printed}");
    }

    /// In a process of its own, which stays confined.
    fn confined() {
        let Landlock::Abi(_) = Layers::offered().landlock else {
            return crate::sys::skipped::cannot("there is no Landlock");
        };
        let directory = tempfile::tempdir().unwrap();
        let (config, source) = configured(directory.path());
        let data_dir = config.data_dir.clone();
        let data = data_dir.path();
        let tls = [
            directory.path().join("tls.pem"),
            directory.path().join("tls.key"),
        ];
        let secrets = ["ca/user_ca", "ca/host_ca", "issued.jsonl"].map(|name| data.join(name));
        let old_recording = data.join("recordings/old.cast.zst");
        private_dir(&data.join("ca")).unwrap();
        prepare(&config);
        for file in tls.iter().chain(&secrets).chain([&old_recording]) {
            write_whole(file, b"old", PRIVATE_FILE, Replace::Refuse).unwrap();
        }
        let outside = Outside::start(allowed_files(&WORKER, &config, &source));
        let files: Arc<dyn Files> = Arc::new(outside.clone());
        let cluster = config.cluster_name.clone();
        let audit =
            AuditLog::open_with(Arc::clone(&files), &data_dir, cluster, Clock::System).unwrap();
        let held = plan_of_worker(&config).confine().unwrap();
        assert_eq!(held.absent().count(), 0);

        // Recordings are made, and those that are there stay unread.
        create_new(&data.join("recordings/new.cast.zst"), PRIVATE_FILE).unwrap();
        takes_files(&data.join("recordings")).unwrap();
        takes_files(data).unwrap_err();
        File::open(&old_recording).unwrap_err();
        std::fs::remove_file(&old_recording).unwrap_err();
        // The audit log is kept by a rename, and goes on in a new file.
        audit.emit(&stopped("one")).unwrap();
        let (log, kept) = (audit.path().to_owned(), data.join("audit.jsonl.1"));
        outside.does({
            let log = log.clone();
            move || std::fs::rename(log, kept).unwrap()
        });
        audit.reopen().unwrap();
        audit.emit(&stopped("two")).unwrap();
        let written = outside.does(move || std::fs::read_to_string(log).unwrap());
        assert!(
            written.contains("two") && !written.contains("one"),
            "{written}"
        );
        // A list of revocations is followed from before it is there, and when it is replaced.
        let revoked = RevocationLog::new(&data_dir, Clock::System).opened_by(Arc::clone(&files));
        assert_eq!(revoked.follow().unwrap().records().len(), 0);
        let elsewhere = RevocationLog::new(
            &crate::model::DataDir::new(directory.path().join("elsewhere")),
            Clock::System,
        );
        for count in 1..=2 {
            let (made, place) = (elsewhere.clone(), revoked.path().to_owned());
            outside.does(move || {
                let key_id = format!("user{count}");
                let what = vec![Revoked::of_key_id(key_id)];
                made.revoke(what, "root", None).unwrap();
                replace(&place, &std::fs::read(made.path()).unwrap());
            });
            assert_eq!(revoked.follow().unwrap().records().len(), count);
        }
        // The configuration is read as it is now; the files of HTTPS are for another process.
        let file = source.file.clone().unwrap();
        outside.does(move || {
            let text = std::fs::read_to_string(&file).unwrap() + "cluster_name: later\n";
            replace(&file, text.as_bytes());
        });
        let again = source.load_with(&*files).unwrap().config;
        assert_eq!(again.cluster_name.as_str(), "later");
        for file in &tls {
            read_limited(&*files, file, 10).unwrap_err();
            File::open(file).unwrap_err();
        }
        // Its own use of the machine is seen.
        std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() > 3);

        // The rest is not there for it: not by any way, nor by asking outside.
        for secret in &secrets {
            File::open(secret).unwrap_err();
            File::options().append(true).open(secret).unwrap_err();
            std::fs::rename(secret, data.join("control/stolen")).unwrap_err();
            std::fs::hard_link(secret, data.join("recordings/stolen")).unwrap_err();
            outside.open_read(secret).unwrap_err();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            std::fs::set_permissions(secret, mode).unwrap_err();
        }
        create_new(&data.join("ca/new"), PRIVATE_FILE).unwrap_err();
        create_new(&data.join("new"), PRIVATE_FILE).unwrap_err();
        std::fs::read_dir(data.join("ca")).unwrap_err();
        Command::new("true").spawn().unwrap_err();
    }
}
