//! One test's world: a proxy, hosts, a user with an agent, and a directory for it all.

mod audit;
mod build;
mod ca;
mod files;
mod nodes;
mod people;
mod serving;
mod sign_in;
mod sign_up;
mod ssh;
mod tunnelled;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::agent::Agent;
use super::children::Children;
use super::client::Live;
use super::clock::MovingClock;
use super::crowd::Place;
use super::proxy::ProxyProcess;
use super::sshd::Sshd;
use super::{keys, programs};

pub(crate) use build::Builder;
pub(crate) use nodes::{HostReport, JoiningHost};
pub(crate) use people::{Holds, User};
pub(crate) use sign_in::PersonAnswers;
pub(crate) use sign_up::SignUp;

/// A running world. Its fields are dropped in this order.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) user: User,
    /// What the user signs in with, if the user does.
    account: Option<PersonAnswers>,
    /// The clock of everything in the world, if the test moves it.
    clock: Option<MovingClock>,
    pub(crate) ca_agent: RefCell<Option<Agent>>,
    proxy: RefCell<ProxyProcess>,
    nodes: Vec<Sshd>,
    /// The tunnels of hosts that are reached through them.
    tunnels: Vec<Live>,
    pub(crate) children: Children,
    dir: TempDir,
    _place: Place,
}

impl World {
    /// The usual world: the host `db1` with a certificate, `alice` with hers in the agent.
    pub(crate) fn new() -> Self {
        Self::with().start()
    }

    /// A world that differs from the usual one.
    pub(crate) fn with() -> Builder {
        Builder::new()
    }

    /// The directory of the test.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The proxy's data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The first host.
    pub(crate) fn node(&self) -> &Sshd {
        self.nodes.first().expect("a world has a host")
    }

    /// All hosts.
    pub(crate) fn nodes(&self) -> &[Sshd] {
        &self.nodes
    }

    /// Moves the clock of the world, in seconds after the epoch; gives how far ahead it is then.
    pub(crate) fn set_clock(&self, time: u64) -> u64 {
        let clock = self.clock.as_ref();
        clock.expect("a world whose clock moves").set(time)
    }

    /// Waits until something is there; fails when it never comes.
    pub(crate) fn eventually<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        self.children
            .eventually(look)
            .unwrap_or_else(|| panic!("never happened: {what}"))
    }

    /// Waits until a count no longer changes, and returns it: see [`Children::at_rest`].
    pub(crate) fn at_rest(&self, what: &str, count: impl Fn() -> u64) -> u64 {
        let rest = self.children.at_rest(count);
        rest.unwrap_or_else(|| panic!("never happened: {what}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.children.expired() {
            return;
        }
        eprintln!("==== rproxy\n{}", self.proxy.borrow().log());
        for node in &self.nodes {
            eprintln!("==== sshd of {}\n{}", node.name, node.log());
        }
        let audit = std::fs::read_to_string(self.data().join("audit.jsonl"));
        eprintln!("==== audit\n{}", audit.unwrap_or_default());
        if !std::thread::panicking() {
            panic!("the test took longer than it may");
        }
    }
}

/// The account that the tests run under: it logs in to itself.
pub(crate) fn login() -> String {
    keys::tool(Command::new(programs::path("id")).arg("-un"))
        .trim()
        .to_owned()
}
