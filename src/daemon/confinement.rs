//! What the process that talks to the network keeps of its rights, from its configuration.
//!
//! It keeps new recordings, its control socket, connections to hosts and DNS. It never keeps anything
//! below `ca/`, and no directory that `ca/` is below: what is kept of the data directory would be kept of
//! the CAs' keys. So the files that lie beside `ca/`, or anywhere (the configuration, the key of
//! HTTPS), are not kept but lent ([`crate::monitor::shelf`]): opened by the monitor at every reload and
//! rotation of logs, as they are then, and handed over open.
//!
//! Nothing here applies what it lists.

use crate::config::Config;
use crate::model::chain;
use crate::sys::fs::private_dir;
use crate::sys::sandbox::{Bind, Keep, Plan};

/// Makes the directories that [`plan`] keeps: those that are made later are out of reach. Where one cannot
/// be made, whoever needs it fails by itself later on, as without a sandbox.
pub(super) fn prepare(config: &Config) {
    let data = &config.data_dir;
    for directory in [data.recordings(), data.control()] {
        if let Err(error) = private_dir(&directory) {
            let error = chain(&error);
            let name = directory.file_name().unwrap_or_default().display();
            tracing::error!(%error, "{name}/ is of no use, also later: that takes a restart");
        }
    }
}

/// What is kept, once everything is bound, opened and read for the first time, and before there is a
/// second thread.
#[must_use]
pub(super) fn plan(config: &Config) -> Plan {
    Plan::new()
        // Who takes this process over can neither read the recordings that are there nor remove them.
        .keep_if_there(Keep::Make, config.data_dir.recordings())
        // The socket is made before, with its mode, and removed at the end.
        .keep_if_there(Keep::Own, config.data_dir.control())
        // What this process takes from the machine, for its metrics.
        .keep_if_there(Keep::Read, "/proc/self")
        .connect_tcp()
        // An egress address of choice; listeners are bound already.
        .bind_tcp(Bind::Ephemeral)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{self, Write as _};
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::audit::{AuditEvent, AuditLog};
    use crate::ca::{RevocationLog, Revoked};
    use crate::config::Source;
    use crate::monitor::shelf;
    use crate::sys::clock::Clock;
    use crate::sys::fs::{
        PRIVATE_FILE, Replace, create_new, read_limited, takes_files, write_whole,
    };
    use crate::sys::lent::{self, Lender, Purpose, Shelf};
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
        let plan = plan(&config);
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
        let lent: Vec<_> = shelf(&config, &source)
            .files()
            .map(|(path, purpose)| (path.to_owned(), purpose))
            .collect();
        assert_eq!(
            lent,
            [
                (at("data/audit.jsonl"), Purpose::Append),
                (at("data/audit.jsonl"), Purpose::Read),
                (at("data/revoked.jsonl"), Purpose::Read),
                (at("rproxy.yaml"), Purpose::Read),
                (at("tls.pem"), Purpose::Read),
                (at("tls.key"), Purpose::Read),
                (PathBuf::from("/etc/nsswitch.conf"), Purpose::Read),
                (PathBuf::from("/etc/hosts"), Purpose::Read),
                (PathBuf::from("/etc/resolv.conf"), Purpose::Read),
            ]
        );
    }

    /// A thread from before, which keeps every file: it stands for the process outside.
    #[derive(Clone, Debug)]
    struct Outside {
        shelf: Shelf,
        work: mpsc::Sender<Work>,
    }

    type Work = Box<dyn FnOnce() + Send>;

    impl Outside {
        fn start(shelf: Shelf) -> Self {
            let (work, wanted) = mpsc::channel::<Work>();
            thread::spawn(move || wanted.into_iter().for_each(|work| work()));
            Self { shelf, work }
        }

        fn does<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
            let (answer, answered) = mpsc::channel();
            let work: Work = Box::new(move || answer.send(what()).unwrap());
            self.work.send(work).unwrap();
            answered.recv_timeout(PATIENCE).unwrap()
        }
    }

    impl Lender for Outside {
        fn lend(&self, path: &Path, purpose: Purpose) -> io::Result<File> {
            let (shelf, path) = (self.shelf.clone(), path.to_owned());
            self.does(move || shelf.open(&path, purpose))
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
        let (_crate, module) = module_path!().split_once("::").unwrap();
        let test = "what_the_proxy_does_works_and_the_authorities_are_out_of_reach";
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
        let audit = AuditLog::open(&data_dir, config.cluster_name.clone(), Clock::System).unwrap();
        let outside = Outside::start(shelf(&config, &source));
        lent::borrow(outside.shelf.clone(), Box::new(outside.clone())).unwrap();
        let held = plan(&config).confine().unwrap();
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
        let revoked = RevocationLog::new(&data_dir, Clock::System);
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
        // The configuration and the files of HTTPS are read as they are now.
        let (file, pem) = (source.file.clone().unwrap(), tls[0].clone());
        outside.does(move || {
            let text = std::fs::read_to_string(&file).unwrap() + "cluster_name: later\n";
            replace(&file, text.as_bytes());
            replace(&pem, b"new");
        });
        let again = source.load().unwrap().config;
        assert_eq!(again.cluster_name.as_str(), "later");
        assert_eq!(read_limited(&tls[0], 10).unwrap(), b"new");
        // Its own use of the machine is seen.
        std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() > 3);

        // The rest is not there for it: not by any way, nor by asking outside.
        for secret in &secrets {
            File::open(secret).unwrap_err();
            File::options().append(true).open(secret).unwrap_err();
            std::fs::rename(secret, data.join("control/stolen")).unwrap_err();
            std::fs::hard_link(secret, data.join("recordings/stolen")).unwrap_err();
            outside.lend(secret, Purpose::Read).unwrap_err();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            std::fs::set_permissions(secret, mode).unwrap_err();
        }
        create_new(&data.join("ca/new"), PRIVATE_FILE).unwrap_err();
        create_new(&data.join("new"), PRIVATE_FILE).unwrap_err();
        std::fs::read_dir(data.join("ca")).unwrap_err();
        Command::new("true").spawn().unwrap_err();
    }
}
