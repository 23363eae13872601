//! Builds a world.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::World;
use super::ca::{Authorities, certify_host, sign_host};
use super::files::{make_dir, write};
use super::people::{ED25519, Holds, make_user};
use super::sign_in::SIGNED_IN;
use super::tunnelled::TUNNELLED;
use crate::support::agent::Agent;
use crate::support::children::Children;
use crate::support::clock::{MovingClock, PRELOAD};
use crate::support::crowd::Place;
use crate::support::keys::{self, Certificate, Issuer};
use crate::support::proxy::{self, ProxyProcess};
use crate::support::sshd::{self, HostKey, Sshd};
use crate::support::{namespace, postgres, programs};

/// How long a test may take unless [`Builder::time_limit`] says otherwise.
const LIMIT: Duration = Duration::from_secs(120);

/// A world that is being put together.
#[derive(Debug)]
pub(crate) struct Builder {
    nodes: Vec<(String, HostKey, String)>,
    node_settings: BTreeMap<String, String>,
    legacy: BTreeMap<String, String>,
    foreign_nodes: Vec<(String, u16)>,
    user_key: &'static [&'static str],
    certificate: Certificate,
    holds: Holds,
    /// The second factor of people who sign in, as the configuration has it.
    people: Option<&'static str>,
    signs_up: bool,
    forward_agent: bool,
    settings: String,
    auth_settings: String,
    proxy_settings: String,
    /// Where the proxy listens.
    port: u16,
    ca_keys: Option<MakeCaKeys>,
    time_limit: Duration,
    limit: Option<String>,
    log: Option<&'static str>,
    piped_log: bool,
    disk: Option<u32>,
    own_program: bool,
    moving_clock: bool,
    alone: bool,
    /// The hosts that join, and are reached through tunnels.
    tunnelled: Vec<String>,
}

/// Puts the CAs' keys into agents; returns the configuration's section `ca_keys`.
pub(crate) type MakeCaKeys = fn(&Children, &Path) -> (Agent, String);

impl Builder {
    /// The usual world.
    pub(super) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            node_settings: BTreeMap::new(),
            legacy: BTreeMap::new(),
            foreign_nodes: Vec::new(),
            user_key: ED25519,
            certificate: Certificate::default(),
            holds: Holds::Certificate,
            people: None,
            signs_up: false,
            forward_agent: true,
            settings: String::new(),
            auth_settings: String::new(),
            ca_keys: None,
            proxy_settings: String::new(),
            port: 0,
            time_limit: LIMIT,
            limit: None,
            log: None,
            piped_log: false,
            disk: None,
            own_program: false,
            moving_clock: false,
            alone: false,
            tunnelled: Vec::new(),
        }
    }

    /// Another host, known to the proxy by its name.
    pub(crate) fn node(self, name: &str, shown: HostKey) -> Self {
        self.labelled_node(name, shown, "{}")
    }

    /// Another host, with labels as YAML.
    pub(crate) fn labelled_node(mut self, name: &str, shown: HostKey, labels: &str) -> Self {
        self.nodes.push((name.to_owned(), shown, labels.to_owned()));
        self
    }

    /// Another host, whose sshd has these lines first in its configuration.
    pub(crate) fn tuned_node(mut self, name: &str, shown: HostKey, settings: &str) -> Self {
        self.node_settings
            .insert(name.to_owned(), settings.to_owned());
        self.node(name, shown)
    }

    /// Sets `legacy_algorithms` of this host in the configuration.
    pub(crate) fn legacy_algorithms(mut self, name: &str, list: &str) -> Self {
        self.legacy.insert(name.to_owned(), list.to_owned());
        self
    }

    /// A host that the test itself runs on this port of loopback.
    pub(crate) fn foreign_node(mut self, name: &str, port: u16) -> Self {
        self.foreign_nodes.push((name.to_owned(), port));
        self
    }

    /// The kind of the user's key, as arguments of ssh-keygen.
    pub(crate) fn user_key(mut self, kind: &'static [&'static str]) -> Self {
        self.user_key = kind;
        self
    }

    /// How the user's certificate is made.
    pub(crate) fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = certificate;
        self
    }

    /// What the user's agent holds.
    pub(crate) fn holds(mut self, holds: Holds) -> Self {
        self.holds = holds;
        self
    }

    /// People sign in, with one-time codes. The user has a key, and no account yet.
    pub(crate) fn people(self) -> Self {
        self.people_with("otp")
    }

    /// The same with another second factor of the configuration.
    pub(crate) fn people_with(mut self, second_factor: &'static str) -> Self {
        self.people = Some(second_factor);
        self.holds = Holds::KeyAlone;
        self
    }

    /// The same without a second factor, and the user has signed in.
    pub(crate) fn signed_in(mut self) -> Self {
        self.signs_up = true;
        self.people_with("off")
    }

    /// The outer ssh does not forward the agent.
    pub(crate) fn without_forwarding(mut self) -> Self {
        self.forward_agent = false;
        self
    }

    /// Further top-level sections of the proxy's configuration.
    pub(crate) fn settings(mut self, yaml: &str) -> Self {
        self.settings.push_str(yaml);
        self.settings.push('\n');
        self
    }

    /// A further line of the section `auth_service`.
    pub(crate) fn auth_setting(mut self, yaml: &str) -> Self {
        self.auth_settings.push_str(&format!("  {yaml}\n"));
        self
    }

    /// The CAs' keys are in agents.
    pub(crate) fn ca_keys(mut self, make: MakeCaKeys) -> Self {
        self.ca_keys = Some(make);
        self
    }

    /// The test's time limit, if it needs more than the default.
    pub(crate) fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// No other world runs meanwhile.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// A further line of the section `proxy_service`.
    pub(crate) fn proxy_setting(mut self, yaml: &str) -> Self {
        self.proxy_settings.push_str(&format!("  {yaml}\n"));
        self
    }

    /// The proxy listens on this port, instead of a free one.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The proxy runs from a file of its own, which [`World::replace_program`] can replace.
    pub(crate) fn own_program(mut self) -> Self {
        self.own_program = true;
        self
    }

    /// The test moves the clock of the proxy, the hosts and the users' programs ([`World::set_clock`]).
    pub(crate) fn moving_clock(mut self) -> Self {
        self.moving_clock = true;
        self
    }

    /// The proxy can write no file larger than so many KiB, as on a full disk.
    pub(crate) fn file_size_limit(mut self, kib: u32) -> Self {
        self.limit = Some(format!("-f {kib}"));
        self
    }

    /// The proxy may have no more memory for data than so many KiB.
    pub(crate) fn data_limit(mut self, kib: u32) -> Self {
        self.limit = Some(format!("-d {kib}"));
        self
    }

    /// What the proxy logs, as a filter of `RPROXY_LOG`.
    pub(crate) fn log(mut self, filter: &'static str) -> Self {
        self.log = Some(filter);
        self
    }

    /// The proxy's log is a pipe, which [`World::read_log`] stops and goes on to read.
    pub(crate) fn piped_log(mut self) -> Self {
        self.piped_log = true;
        self
    }

    /// The proxy's data directory is a disk of so many MiB, which other processes do not see
    /// ([`World::data_on_disk`]). See [`namespace::may_mount`].
    pub(crate) fn disk(mut self, mib: u32) -> Self {
        self.disk = Some(mib);
        self
    }

    /// Starts everything.
    pub(crate) fn start(mut self) -> World {
        if self.nodes.is_empty() {
            self = self.node("db1", HostKey::Certified);
        }
        let is_usual = self.people.is_none()
            && self.holds == Holds::Certificate
            && matches!(self.certificate.issuer, Issuer::Rproxy)
            && self.certificate.principals.is_none();
        // Roles of a test's own name the user, and a name is in the configuration or in the state.
        if is_usual && std::env::var_os(SIGNED_IN).is_some() && !self.settings.contains("roles:") {
            self = self.signed_in();
        }
        if let Some(factor) = self.people {
            self = self
                .auth_setting(&format!(
                    "authentication: {{ type: [certificate, local], second_factor: {factor} }}"
                ))
                .settings("roles: [{ name: everywhere, allow: [{ nodes: ['*'] }] }]");
            let has_state = self.settings.contains("state:");
            if std::env::var_os(postgres::IN_POSTGRES).is_some()
                && !has_state
                && let Some(url) = postgres::database()
            {
                self = self.settings(&postgres::section(&url));
            }
        }
        let has_usual_log = self.log.is_none() && !self.piped_log && self.disk.is_none();
        if is_usual && std::env::var_os(TUNNELLED).is_some() && has_usual_log && !self.moving_clock
        {
            self.tunnelled = self.hosts_that_can_join();
        }
        let place = match self.alone {
            true => Place::alone(),
            false => Place::among_others(),
        };
        let children = Children::new(self.time_limit);
        // Sockets have short names: the path must stay below 108 bytes.
        let dir = tempfile::Builder::new()
            .prefix("rp-")
            .tempdir_in("/tmp")
            .expect("a directory in /tmp");
        let root = dir.path();
        let config = root.join("rproxy.yaml");
        let mut ca_agent = None;
        if let Some(make) = self.ca_keys {
            let (agent, keys) = make(&children, root);
            self = self.auth_setting(&format!("ca_keys: {keys}"));
            ca_agent = Some(agent);
        }
        write(&config, &self.config(root, &[]));

        let authorities = Authorities::exported(&config);
        write(&root.join("known_hosts"), &authorities.host);
        let nodes = self.start_nodes(&children, root, &config, &authorities);
        write(&config, &self.config(root, &nodes));
        let log = root.join("rproxy.log");
        let clock = self.moving_clock.then(|| MovingClock::new(root));
        let proxy = if let Some(clock) = &clock {
            for node in &nodes {
                node.stop();
                node.start_again_with(&children, |sshd| sshd.env(PRELOAD, &clock.library));
            }
            let mut serve = proxy::rproxy(&config);
            ProxyProcess::run(&children, serve.env(PRELOAD, &clock.library), &log)
        } else if self.own_program {
            let program = root.join("rproxy");
            programs::put(&programs::first_rproxy(), &program);
            let mut serve = proxy::rproxy_at(&program, &config);
            ProxyProcess::run(&children, &mut serve, &log)
        } else if let Some(mib) = self.disk {
            let data = root.join("data");
            let mut serve = namespace::with_disk_at(&data, mib, &proxy::rproxy(&config));
            ProxyProcess::run(&children, &mut serve, &log)
        } else if let Some(filter) = self.log {
            let mut serve = proxy::rproxy(&config);
            ProxyProcess::run(&children, serve.env("RPROXY_LOG", filter), &log)
        } else if self.piped_log {
            ProxyProcess::with_pipe(&children, &config, &log)
        } else {
            ProxyProcess::start(&children, &config, &log, self.limit.as_deref())
        };
        let user = make_user(
            &children,
            root,
            "alice",
            self.user_key,
            &self.certificate,
            self.holds,
            &authorities,
        );
        let mut world = World {
            user,
            account: None,
            clock,
            ca_agent: RefCell::new(ca_agent),
            proxy: RefCell::new(proxy),
            nodes,
            tunnels: Vec::new(),
            children,
            dir,
            _place: place,
        };
        world.write_client_files(&world.user, self.forward_agent);
        if self.signs_up {
            world.account = Some(world.sign_up_silently(&world.user, "alice"));
        }
        if !self.tunnelled.is_empty() {
            world.tunnels = world.reach_through_tunnels(&self.tunnelled);
        }
        world
    }

    /// The hosts that the configuration says nothing about which hosts cannot say.
    fn hosts_that_can_join(&self) -> Vec<String> {
        let usual = self.nodes.iter().filter(|(name, shown, labels)| {
            *shown == HostKey::Certified && labels == "{}" && !self.legacy.contains_key(name)
        });
        usual.map(|(name, _, _)| name.clone()).collect()
    }

    fn config(&self, root: &Path, nodes: &[Sshd]) -> String {
        let mut text = format!(
            "cluster_name: example.test\n\
             data_dir: {}\n\
             proxy_service:\n  listen_addr: 127.0.0.1:{}\n  public_addr: 127.0.0.1:3023\n{}",
            root.join("data").display(),
            self.port,
            self.proxy_settings,
        );
        if !self.auth_settings.is_empty() {
            text.push_str(&format!("auth_service:\n{}", self.auth_settings));
        }
        let is_listed = |node: &&Sshd| !self.tunnelled.contains(&node.name);
        if nodes.iter().any(|node| is_listed(&node)) || !self.foreign_nodes.is_empty() {
            text.push_str("nodes:\n");
        }
        for (name, port) in &self.foreign_nodes {
            text.push_str(&format!(
                "  - {{ name: {name}, addr: \"127.0.0.1:{port}\", legacy_algorithms: [{}] }}\n",
                self.legacy.get(name).map_or("", String::as_str),
            ));
        }
        for (node, (_, _, labels)) in nodes.iter().zip(&self.nodes) {
            if !is_listed(&node) {
                continue;
            }
            text.push_str(&format!(
                "  - {{ name: {}, addr: \"127.0.0.1:{}\", labels: {labels}, legacy_algorithms: [{}] }}\n",
                node.name,
                node.port,
                self.legacy.get(&node.name).map_or("", String::as_str),
            ));
        }
        text.push_str(&self.settings);
        text
    }

    fn start_nodes(
        &self,
        children: &Children,
        root: &Path,
        config: &Path,
        authorities: &Authorities,
    ) -> Vec<Sshd> {
        self.nodes
            .iter()
            .map(|(name, shown, _)| {
                let dir = root.join(name);
                make_dir(&dir);
                let key = dir.join("host_key");
                match shown {
                    HostKey::Certified => sign_host(config, name, &key),
                    HostKey::CertifiedAs(kind) => {
                        keys::generate_as(&key, kind);
                        certify_host(config, name, &key);
                    }
                    HostKey::Named(other) => sign_host(config, other, &key),
                    HostKey::Short => keys::generate_as(&key, &["-t", "rsa", "-b", "1024"]),
                    _ => keys::generate(&key),
                }
                sshd::certify(&dir, name, *shown, || authorities.host_key(root));
                let settings = self.node_settings.get(name).map_or("", String::as_str);
                Sshd::start(children, &dir, name, &authorities.user, settings)
            })
            .collect()
    }
}
