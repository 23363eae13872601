//! Stock `sshd` as a host of the fleet: it trusts the user CA, and presents the key or certificate
//! that a test chooses.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::children::{Children, Running};
use super::namespace::Machine;
use super::ports::free_port;
use super::{keys, programs};

/// The host key or certificate that the host presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostKey {
    /// A certificate for its name, from `rproxy auth sign --host`.
    Certified,
    /// The same for a key of the type that these arguments of `ssh-keygen` choose.
    CertifiedAs(&'static [&'static str]),
    /// A certificate for these names instead.
    Named(&'static str),
    /// A key without a certificate.
    Plain,
    /// A certificate of a CA that is not trusted.
    Stranger,
    /// A certificate of type user, signed by the host CA.
    UserType,
    /// A certificate that was valid until yesterday.
    Expired,
    /// A certificate for an RSA key of 1024 bits, which `rproxy` would not sign.
    Short,
    /// A certificate of a year that has less than ten days left.
    Ending,
}

/// A running sshd.
#[derive(Debug)]
pub(crate) struct Sshd {
    pub(crate) name: String,
    pub(crate) port: u16,
    log: PathBuf,
    config: PathBuf,
    running: RefCell<Running>,
}

/// Without the key exchange that OpenSSH 9 prefers: it takes a tenth of a second of `ssh`, twice for each
/// session. The tests of algorithms ask for it by name.
pub(crate) const QUICK: &str = "KexAlgorithms -sntrup761*\n";

/// Settings of `sshd` besides its keys and port.
const SETTINGS: &str = "\
AuthenticationMethods publickey
PermitRootLogin yes
StrictModes no
PrintMotd no
PrintLastLog no
PermitUserRC no
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
MaxStartups 100
MaxSessions 100
LogLevel VERBOSE
PidFile none
AuthorizedKeysFile none
";

impl Sshd {
    /// Starts one in `dir`, which holds `host_key` already, and waits until it listens.
    /// `settings` go before the usual ones: sshd takes the first value that it reads.
    pub(crate) fn start(
        children: &Children,
        dir: &Path,
        name: &str,
        user_authority: &str,
        settings: &str,
    ) -> Self {
        prepare(dir, user_authority);
        // Another process may bind the port before we do.
        for _ in 0..10 {
            let port = free_port();
            let settings = format!("{settings}ListenAddress 127.0.0.1\n");
            let sshd = Command::new(programs::path("sshd"));
            if let Some(sshd) = Self::listen(children, sshd, dir, name, port, &settings) {
                return sshd;
            }
        }
        panic!("no free port for sshd");
    }

    /// Starts one on all addresses of a machine, on port 22.
    pub(crate) fn start_on(
        machine: &Machine,
        children: &Children,
        dir: &Path,
        name: &str,
        user_authority: &str,
    ) -> Self {
        prepare(dir, user_authority);
        let sshd = machine.command(&programs::path("sshd"));
        Self::listen(children, sshd, dir, name, 22, "").expect("the machine's port 22 is free")
    }

    fn listen(
        children: &Children,
        sshd: Command,
        dir: &Path,
        name: &str,
        port: u16,
        settings: &str,
    ) -> Option<Self> {
        let config = dir.join("sshd_config");
        let key = dir.join("host_key");
        let certificate = keys::with_suffix(&key, "-cert.pub");
        // If two lines set `MaxStartups`, `sshd` uses the last one; if two set the same
        // `Subsystem`, it refuses the file.
        let mut usual = SETTINGS.to_owned();
        for (word, line) in [
            ("MaxStartups", "MaxStartups 100\n"),
            ("Subsystem", "Subsystem sftp internal-sftp\n"),
        ] {
            if settings.contains(word) {
                usual = usual.replace(line, "");
            }
        }
        let mut text = format!(
            "{settings}{usual}{QUICK}Port {port}\nUsePAM {}\n",
            use_pam()
        );
        // From 9.8 and 10.0 on, sshd runs programs of its own, at the places of its package.
        for (keyword, name) in [
            ("SshdSessionPath", "sshd-session"),
            ("SshdAuthPath", "sshd-auth"),
        ] {
            if let Some(program) = programs::of_other_openssh(name) {
                text.push_str(&format!("{keyword} {}\n", program.display()));
            }
        }
        // The startup files of the account may be slow and print something.
        text.push_str(&format!(
            "SetEnv HISTFILE=/dev/null HOME={}\n",
            dir.display()
        ));
        text.push_str(&format!("HostKey {}\n", key.display()));
        if certificate.exists() {
            text.push_str(&format!("HostCertificate {}\n", certificate.display()));
        }
        text.push_str(&format!(
            "TrustedUserCAKeys {}\n",
            dir.join("user_ca.pub").display()
        ));
        std::fs::write(&config, text).expect("a writable directory");
        keys::tool(
            Command::new(programs::path("sshd"))
                .args(["-t", "-f"])
                .arg(&config),
        );

        let log = dir.join("sshd.log");
        let mut running = run(children, sshd, &config, &log);
        let listening = children
            .eventually(|| {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let ready = text.contains("Server listening on ");
                (ready || running.ended().is_some()).then_some(ready)
            })
            .unwrap_or(false);
        listening.then(|| Self {
            name: name.to_owned(),
            port,
            log,
            config,
            running: RefCell::new(running),
        })
    }

    /// Ends the process that listens, as `systemctl stop ssh` does: connections go on.
    pub(crate) fn stop(&self) {
        self.running.borrow_mut().kill_alone();
    }

    /// Starts it again after [`Self::stop`]. It listens when this returns.
    pub(crate) fn start_again(&self, children: &Children) {
        self.start_again_with(children, |sshd| sshd);
    }

    /// The same with more arguments or another environment.
    pub(crate) fn start_again_with(
        &self,
        children: &Children,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) {
        let starts = || self.log().matches("Server listening on").count();
        let before = starts();
        let mut sshd = Command::new(programs::path("sshd"));
        change(&mut sshd);
        *self.running.borrow_mut() = run(children, sshd, &self.config, &self.log);
        children
            .eventually(|| (starts() > before).then_some(()))
            .expect("sshd listens again");
    }

    /// Has it read its configuration and its keys again, as `systemctl reload ssh` does. It listens
    /// anew when this returns; in between there is a moment in which it does not.
    pub(crate) fn reload(&self, children: &Children) {
        let starts = || self.log().matches("Server listening on").count();
        let before = starts();
        let pid = i32::try_from(self.running.borrow().child.id()).ok();
        let pid = pid
            .and_then(rustix::process::Pid::from_raw)
            .expect("a process has an id");
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("sshd runs");
        children
            .eventually(|| (starts() > before).then_some(()))
            .expect("sshd listens again");
    }

    /// Adds a line to its configuration, unless it has it. It counts once it is read again.
    pub(crate) fn set_line(&self, line: &str) {
        let text = std::fs::read_to_string(&self.config).expect("its own file");
        if text.lines().all(|known| known != line) {
            let text = format!("{text}{line}\n");
            std::fs::write(&self.config, text).expect("a writable directory");
        }
    }

    /// Everything that it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How many connections it has seen.
    pub(crate) fn connections(&self) -> usize {
        self.log().matches("Connection from ").count()
    }
}

/// Runs sshd, wherever, with this configuration; what it says is added to the log.
fn run(children: &Children, mut sshd: Command, config: &Path, log: &Path) -> Running {
    let errors = std::fs::File::options().create(true).append(true).open(log);
    let preloads = sshd.get_envs().any(|(name, _)| name == "LD_PRELOAD");
    if terminals_belong_to_users() && !preloads {
        let dir = config.parent().expect("it is in a directory");
        sshd.env("LD_PRELOAD", without_tty_group(dir));
    }
    children.spawn(
        sshd.args(["-D", "-e", "-f"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors.expect("a writable directory")),
    )
}

/// Gives the host key the certificate that the test asks for.
pub(crate) fn certify(
    dir: &Path,
    name: &str,
    shown: HostKey,
    host_authority: impl FnOnce() -> PathBuf,
) {
    let key = dir.join("host_key");
    match shown {
        HostKey::Certified | HostKey::CertifiedAs(_) | HostKey::Named(_) | HostKey::Plain => {}
        HostKey::Short => keys::sign(&host_authority(), name, name, &["-h"], &key),
        HostKey::UserType => keys::sign(&host_authority(), name, name, &[], &key),
        HostKey::Expired => {
            keys::sign(
                &host_authority(),
                name,
                name,
                &["-h", "-V", "-2d:-1d"],
                &key,
            );
        }
        HostKey::Ending => {
            keys::sign(
                &host_authority(),
                name,
                name,
                &["-h", "-V", "-355d:+252h"],
                &key,
            );
        }
        HostKey::Stranger => {
            let stranger = dir.join("stranger_ca");
            keys::generate(&stranger);
            keys::sign(&stranger, name, name, &["-h"], &key);
        }
    }
}

/// The files that every `sshd` needs before it starts.
fn prepare(dir: &Path, user_authority: &str) {
    let authority = dir.join("user_ca.pub");
    std::fs::write(authority, user_authority).expect("a writable directory");
    make_separation_directory();
}

/// The directory in which root's `sshd` confines its unprivileged part; Debian creates it when the
/// service starts.
fn make_separation_directory() {
    if rustix::process::geteuid().is_root() {
        std::fs::create_dir_all("/run/sshd").expect("root may make /run/sshd");
    }
}

/// Whether an ordinary user's `sshd` would fail to give terminals to the group tty, because new
/// terminals do not belong to it.
fn terminals_belong_to_users() -> bool {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let group_is_set = mounts
        .lines()
        .filter(|line| line.contains(" /dev/pts devpts "))
        .all(|line| line.contains("gid="));
    !rustix::process::geteuid().is_root() && !group_is_set
}

/// A library that hides the group tty.
fn without_tty_group(dir: &Path) -> PathBuf {
    let library = dir.join("no_tty_group.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/support/no_tty_group.c");
    keys::tool(
        Command::new(programs::path("cc"))
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl"),
    );
    library
}

/// Without PAM sshd turns away users whose password is locked, as root's is on many machines.
pub(crate) fn use_pam() -> &'static str {
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap_or_default();
    let root_is_locked = shadow.lines().any(|line| line.starts_with("root:!"));
    if rustix::process::geteuid().is_root() && root_is_locked {
        "yes"
    } else {
        "no"
    }
}
