//! Machines on one network: network namespaces of Linux, joined by a switch.
//!
//! They have no names. Each lives as long as its keeper, a process that waits for the end of its
//! standard input, which is the test's own: however the test ends, its namespaces are gone, and two
//! tests at once know nothing of each other.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use super::children::{Children, Running};
use super::{keys, programs};

/// A machine: a namespace with loopback and, once it is plugged in, `eth0`.
#[derive(Debug)]
pub(crate) struct Machine {
    keeper: Running,
}

/// A switch with machines.
#[derive(Debug)]
pub(crate) struct Network {
    switch: Machine,
}

/// Whether machines can be made here. It takes root, and a kernel that allows it.
pub(crate) fn are_possible() -> bool {
    rustix::process::geteuid().is_root()
        && Command::new(programs::path("unshare"))
            .args(["--net", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

impl Machine {
    fn new(children: &Children) -> Self {
        let mut keeper = children.spawn(
            Command::new(programs::path("unshare"))
                .args(["--net", "sh", "-c", "echo ready && exec cat > /dev/null"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        );
        let mut said = [0; 6];
        let stdout = keeper.child.stdout.as_mut().expect("it is piped");
        stdout.read_exact(&mut said).expect("the namespace is made");
        let machine = Self { keeper };
        machine.ip(&["link", "set", "lo", "up"]);
        machine
    }

    /// A program on this machine. Files are those of all.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(programs::path("nsenter"));
        command
            .arg(format!("--net=/proc/{}/ns/net", self.keeper.child.id()))
            .arg(program);
        command
    }

    fn ip(&self, args: &[&str]) {
        keys::tool(self.command(&programs::path("ip")).args(args));
    }
}

impl Network {
    /// A switch that nothing is plugged into.
    pub(crate) fn new(children: &Children) -> Self {
        let switch = Machine::new(children);
        switch.ip(&["link", "add", "switch", "type", "bridge"]);
        switch.ip(&["link", "set", "switch", "up"]);
        Self { switch }
    }

    /// A machine with these addresses, as in `10.77.0.2/24`.
    pub(crate) fn machine(&self, children: &Children, addresses: &[&str]) -> Machine {
        let machine = Machine::new(children);
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
            // Without it, an address of IPv6 is no use for the first second.
            let at_once: &[&str] = if is_v6 { &["nodad"] } else { &[] };
            machine.ip(&[&["address", "add", address, "dev", "eth0"], at_once].concat());
        }
        machine
    }
}
