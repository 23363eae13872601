//! Stock ssh-agent, on a socket of its own.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::children::{Children, Running};
use super::{keys, programs};

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    running: Running,
}

impl Agent {
    /// Starts one that holds nothing.
    pub(crate) fn start(children: &Children, socket: &Path) -> Self {
        Self::start_with(children, socket, |command| command)
    }

    /// Starts one with more arguments or another environment.
    pub(crate) fn start_with(
        children: &Children,
        socket: &Path,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let mut command = Command::new(programs::path("ssh-agent"));
        Self::of(
            children,
            socket,
            change(command.args(["-D", "-a"]).arg(socket)),
        )
    }

    /// Starts another program that is an agent at this socket.
    pub(crate) fn of(children: &Children, socket: &Path, command: &mut Command) -> Self {
        let running = children.spawn(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        children
            .eventually(|| UnixStream::connect(socket).ok())
            .expect("the agent listens in time");
        Self {
            socket: socket.to_owned(),
            running,
        }
    }

    /// Adds a key, and the certificate beside it.
    pub(crate) fn add(&self, key: &Path) {
        self.ssh_add(&[], key);
    }

    /// Adds a key without its certificate.
    pub(crate) fn add_bare(&self, key: &Path) {
        // Under another name ssh-add finds no certificate.
        let alone = keys::with_suffix(key, ".alone");
        std::fs::copy(key, &alone).expect("a readable key");
        self.ssh_add(&[], &alone);
    }

    /// Adds the keys of a token, whose PIN is this one.
    pub(crate) fn add_token(&self, library: &Path, pin: &str) {
        let askpass = self.socket.with_extension("askpass");
        programs::put_script(&format!("#!/bin/sh\necho {pin}\n"), &askpass);
        keys::tool(
            Command::new(programs::path("ssh-add"))
                .arg("-s")
                .arg(library)
                .env("SSH_AUTH_SOCK", &self.socket)
                .env("SSH_ASKPASS", &askpass)
                .env("SSH_ASKPASS_REQUIRE", "force"),
        );
    }

    /// The fingerprint of the key with this comment.
    pub(crate) fn fingerprint(&self, comment: &str) -> String {
        let list = keys::tool(
            Command::new(programs::path("ssh-add"))
                .arg("-l")
                .env("SSH_AUTH_SOCK", &self.socket),
        );
        let mut lines = list.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let line = lines.find(|words| words.get(2) == Some(&comment));
        let line = line.unwrap_or_else(|| panic!("no {comment} in {list}"));
        line[1].to_owned()
    }

    /// SIGKILL; its socket stays, as after a crash.
    pub(crate) fn kill(mut self) {
        self.running.kill();
    }

    /// SIGSTOP: it listens, and says nothing any more.
    pub(crate) fn freeze(&self) {
        let pid = i32::try_from(self.running.child.id()).ok();
        let pid = pid
            .and_then(rustix::process::Pid::from_raw)
            .expect("it has an id");
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it runs");
    }

    /// Removes a key and leaves its certificate.
    pub(crate) fn forget_bare(&self, key: &Path) {
        let (alone, public) = (
            keys::with_suffix(key, ".bare"),
            keys::with_suffix(key, ".bare.pub"),
        );
        std::fs::copy(key, &alone).expect("a readable key");
        std::fs::copy(keys::with_suffix(key, ".pub"), public).expect("a readable key");
        self.ssh_add(&["-d"], &alone);
    }

    /// `ssh-add` with these arguments.
    pub(crate) fn ssh_add(&self, arguments: &[&str], key: &Path) {
        keys::tool(
            Command::new(programs::path("ssh-add"))
                .arg("-q")
                .args(arguments)
                .arg(key)
                .env("SSH_AUTH_SOCK", &self.socket),
        );
    }
}
