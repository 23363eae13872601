//! The programs that a user of the world runs.

use std::path::Path;

use super::World;
use super::people::User;
use crate::support::client::ClientCommand;
use crate::support::clock::PRELOAD;
use crate::support::terminal::Terminal;
use crate::support::{ClientOutcome, programs};

impl World {
    /// Any program in the user's environment.
    pub(crate) fn program(&self, name: &str) -> ClientCommand<'_> {
        self.program_at(&programs::path(name))
    }

    /// The program at this path, in the user's environment.
    pub(crate) fn program_at(&self, path: &Path) -> ClientCommand<'_> {
        self.in_environment(ClientCommand::new(&self.children, path, self.dir()))
    }

    /// A program with the user's agent, and the clock of the world.
    pub(crate) fn in_environment<'w>(&self, client: ClientCommand<'w>) -> ClientCommand<'w> {
        let client = match &self.clock {
            Some(clock) => client.env(PRELOAD, &clock.library),
            None => client,
        };
        match &self.user.agent {
            Some(agent) => client.env("SSH_AUTH_SOCK", &agent.socket),
            None => client,
        }
    }

    /// `ssh` through the proxy, without a destination yet.
    pub(crate) fn ssh(&self) -> ClientCommand<'_> {
        self.program("ssh").arg("-F").arg(self.dir().join("inner"))
    }

    /// The same as another user.
    pub(crate) fn ssh_as(&self, other: &User) -> ClientCommand<'_> {
        let ssh = self.ssh();
        ssh.env("SSH_AUTH_SOCK", other.socket())
    }

    /// A bare shell on `db1` in a terminal of 24 by 80, at its prompt.
    pub(crate) fn shell(&self) -> Terminal {
        let mut terminal = self
            .ssh()
            .args(["-tt", "db1", "bash --norc --noprofile"])
            .in_terminal(24, 80);
        terminal.type_in("PS1='rea''dy> '\r");
        terminal.expect("ready> ");
        terminal
    }

    /// `ssh` to the proxy itself.
    pub(crate) fn outer_ssh(&self) -> ClientCommand<'_> {
        self.program("ssh").arg("-F").arg(self.dir().join("outer"))
    }

    /// The same as another user.
    pub(crate) fn outer_ssh_as(&self, other: &User) -> ClientCommand<'_> {
        let ssh = self.outer_ssh();
        ssh.env("SSH_AUTH_SOCK", other.socket())
    }

    /// `ssh HOST COMMAND` through the proxy, to its end.
    pub(crate) fn run(&self, host: &str, command: &str) -> ClientOutcome {
        self.ssh().args([host, command]).run()
    }

    /// `ssh HOST COMMAND` with this subsystem in the ProxyCommand, to its end.
    pub(crate) fn ssh_by(&self, subsystem: &str, host: &str, command: &str) -> ClientOutcome {
        let proxy_command = format!(
            "ProxyCommand={} -F {} %r@127.0.0.1 -s {subsystem}",
            programs::path("ssh").display(),
            self.dir().join("outer").display(),
        );
        self.ssh().args(["-o", &proxy_command, host, command]).run()
    }

    /// `ssh` straight to the first host, past the proxy.
    pub(crate) fn direct_ssh(&self) -> ClientCommand<'_> {
        self.outer_ssh()
            .args(["-p", &self.node().port.to_string()])
            .args(["-o", "HostName=127.0.0.1", "-o", "HostKeyAlias=db1"])
    }

    /// `ssh` to the first host past the proxy, with the second as OpenSSH's jump host.
    pub(crate) fn jump_ssh(&self) -> ClientCommand<'_> {
        let jump = self.nodes.get(1).expect("a world with two hosts");
        let proxy_command = format!(
            "ProxyCommand={} -F {} -p {} -o HostKeyAlias={} -W %h:%p 127.0.0.1",
            programs::path("ssh").display(),
            self.dir().join("outer").display(),
            jump.port,
            jump.name,
        );
        self.direct_ssh().args(["-o", &proxy_command])
    }
}
