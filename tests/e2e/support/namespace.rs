//! Machines on one network: network namespaces of Linux, joined by a switch.
//!
//! They have no names, unless a test gives one of them a hosts file. Each exists as long as its
//! keeper, a process that waits for the end of its standard input, which the test holds: however
//! the test ends, its namespaces are removed. Two tests at the same time do not affect each other.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use super::children::{Children, Running};
use super::{keys, programs};

/// A machine: a namespace with loopback and, once it is plugged in, `eth0`.
#[derive(Debug)]
pub(crate) struct Machine {
    keeper: Running,
    has_own_names: bool,
}

/// A switch with machines.
#[derive(Debug)]
pub(crate) struct Network {
    switch: Machine,
}

/// Whether machines can be created here. That needs root, and a kernel that allows it.
pub(crate) fn are_possible() -> bool {
    rustix::process::geteuid().is_root()
        && Command::new(programs::path("unshare"))
            .args(["--net", "--mount", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// Puts the hosts file in `$0` in the place of the machine's, and no name server beside it.
const OWN_NAMES: &str = "\
mount --bind \"$0/hosts\" /etc/hosts && \
if [ -e /etc/resolv.conf ]; then mount --bind \"$0/resolv.conf\" /etc/resolv.conf; fi && \
echo ready && exec cat > /dev/null";

/// Whether a process can have file systems of its own here. That needs root, and a kernel that
/// allows it.
pub(crate) fn may_mount() -> bool {
    rustix::process::geteuid().is_root()
        && Command::new(programs::path("unshare"))
            .args(["--mount", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// The same command with a new disk of this many MiB at a directory, with the directory's contents
/// on it. Other processes do not see the disk, and it is removed with the last process that does.
pub(crate) fn with_disk_at(directory: &Path, mib: u32, command: &Command) -> Command {
    let mut shell = Command::new(programs::path("unshare"));
    shell.args(["--mount", "sh", "-e", "-c"]);
    shell.arg(format!(
        "cp -a \"$1\" \"$1.copy\"\n\
         mount -t tmpfs -o size={mib}m,mode=0700 none \"$1\"\n\
         cp -a \"$1.copy/.\" \"$1\"\n\
         shift\n\
         exec \"$@\""
    ));
    shell.arg("sh").arg(directory);
    shell.arg(command.get_program()).args(command.get_args());
    shell.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}

/// The arguments of `unshare` for a process that mounts; an ordinary user needs a kernel that lets it be
/// root in a namespace. `None` where that is not allowed.
fn unshare_mounts() -> Option<&'static [&'static str]> {
    let ways: &[&[&str]] = &[
        &["--mount"],
        &["--user", "--map-current-user", "--keep-caps", "--mount"],
    ];
    let may = |way: &&&[&str]| {
        Command::new(programs::path("unshare"))
            .args(**way)
            .args(["mount", "--bind", "/etc/passwd", "/etc/passwd"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    ways.iter().find(may).copied()
}

/// A program whose account has its home in this directory, as `/etc/passwd` says: `ssh` looks for the
/// files of a user there, whatever `HOME` says. `None` where no process may mount.
pub(crate) fn at_home(home: &Path, program: &Path) -> Option<Command> {
    let way = unshare_mounts()?;
    let uid = rustix::process::geteuid().as_raw();
    let entry = keys::tool(Command::new("getent").arg("passwd").arg(uid.to_string()));
    let mut fields: Vec<&str> = entry.trim().split(':').collect();
    let place = home.display().to_string();
    *fields.get_mut(5).expect("passwd(5): the sixth field") = &place;
    let accounts = keys::with_suffix(home, ".passwd");
    let others = std::fs::read_to_string("/etc/passwd").expect("a readable file");
    let text = format!("{}\n{others}", fields.join(":"));
    std::fs::write(&accounts, text).expect("a writable directory");
    let mut command = Command::new(programs::path("unshare"));
    command
        .args(way)
        .args(["sh", "-ec", "mount --bind \"$0\" /etc/passwd; exec \"$@\""])
        .arg(accounts)
        .arg(program);
    Some(command)
}

impl Machine {
    fn new(children: &Children, names: Option<&Path>) -> Self {
        let mut unshare = Command::new(programs::path("unshare"));
        unshare.arg("--net");
        match names {
            Some(directory) => {
                std::fs::write(directory.join("resolv.conf"), "").expect("a writable directory");
                unshare
                    .args(["--mount", "sh", "-c", OWN_NAMES])
                    .arg(directory);
            }
            None => {
                unshare.args(["sh", "-c", "echo ready && exec cat > /dev/null"]);
            }
        }
        let mut keeper = children.spawn(unshare.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut said = [0; 6];
        let stdout = keeper.child.stdout.as_mut().expect("it is piped");
        stdout.read_exact(&mut said).expect("the namespace is made");
        let machine = Self {
            keeper,
            has_own_names: names.is_some(),
        };
        machine.ip(&["link", "set", "lo", "up"]);
        machine
    }

    /// A program on this machine. Files are those of all, but for those that say what names mean.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(programs::path("nsenter"));
        let keeper = self.keeper.child.id();
        command.arg(format!("--net=/proc/{keeper}/ns/net"));
        if self.has_own_names {
            command.arg(format!("--mount=/proc/{keeper}/ns/mnt"));
        }
        command.arg(program);
        command
    }

    fn ip(&self, args: &[&str]) {
        keys::tool(self.command(&programs::path("ip")).args(args));
    }
}

impl Network {
    /// A switch that nothing is plugged into.
    pub(crate) fn new(children: &Children) -> Self {
        let switch = Machine::new(children, None);
        switch.ip(&["link", "add", "switch", "type", "bridge"]);
        switch.ip(&["link", "set", "switch", "up"]);
        Self { switch }
    }

    /// A machine with these addresses, as in `10.77.0.2/24`.
    pub(crate) fn machine(&self, children: &Children, addresses: &[&str]) -> Machine {
        self.machine_with(children, addresses, None)
    }

    /// The same with names of its own: only those in the file `hosts` of a directory, which may
    /// change.
    pub(crate) fn machine_with_names(
        &self,
        children: &Children,
        addresses: &[&str],
        names: &Path,
    ) -> Machine {
        self.machine_with(children, addresses, Some(names))
    }

    fn machine_with(
        &self,
        children: &Children,
        addresses: &[&str],
        names: Option<&Path>,
    ) -> Machine {
        let machine = Machine::new(children, names);
        let pid = machine.keeper.child.id().to_string();
        let port = format!("port{pid}");
        self.switch.ip(&[
            "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &pid,
        ]);
        self.switch
            .ip(&["link", "set", &port, "master", "switch", "up"]);
        machine.ip(&["link", "set", "eth0", "up"]);
        for address in addresses {
            let is_v6 = address.contains(':');
            // Without it, an IPv6 address cannot be used in its first second.
            let at_once: &[&str] = if is_v6 { &["nodad"] } else { &[] };
            machine.ip(&[&["address", "add", address, "dev", "eth0"], at_once].concat());
        }
        machine
    }
}
