//! One test's world: a proxy, hosts, a user with an agent, and a directory for it all.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::agent::Agent;
use super::children::Children;
use super::client::Client;
use super::crowd::Place;
use super::keys::{self, Certificate, Issuer};
use super::proxy::{self, Proxy};
use super::sshd::{self, HostKey, QUICK, Sshd};
use super::terminal::Terminal;
use super::{Outcome, namespace, programs};

/// The kind of key that everybody has who is not said to have another.
const ED25519: &[&str] = &["-t", "ed25519"];

/// No test may take longer that does not say so.
const LIMIT: Duration = Duration::from_secs(120);

/// What the user's agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The key and its certificate, as `ssh-add` adds them.
    Certificate,
    /// The key alone, as GNOME Keyring and gpg-agent: the certificate is a file.
    BareKey,
    /// Nothing: key and certificate are files.
    Nothing,
    /// There is no agent.
    NoAgent,
}

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
    forward_agent: bool,
    settings: String,
    auth_settings: String,
    proxy_settings: String,
    ca_keys: Option<MakeCaKeys>,
    time_limit: Duration,
    limit: Option<String>,
    piped_log: bool,
    disk: Option<u32>,
    own_program: bool,
    alone: bool,
}

/// Puts the CAs' keys into agents; gives what stands in the configuration under `ca_keys`.
pub(crate) type MakeCaKeys = fn(&Children, &Path) -> (Agent, String);

/// A running world. Its parts end in the order in which they stand here.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) user: User,
    pub(crate) ca_agent: RefCell<Option<Agent>>,
    proxy: RefCell<Proxy>,
    nodes: Vec<Sshd>,
    pub(crate) children: Children,
    dir: TempDir,
    _place: Place,
}

/// A person with a key, a certificate and perhaps an agent.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) key: PathBuf,
    holds: Holds,
    agent: Option<Agent>,
}

impl User {
    /// The socket of the agent.
    fn socket(&self) -> &Path {
        let agent = self.agent.as_ref();
        &agent.expect("this person has an agent").socket
    }

    /// What ssh is told about keys.
    fn client_lines(&self) -> String {
        match self.holds {
            Holds::Certificate => "IdentityFile none\n".to_owned(),
            Holds::BareKey => format!(
                "IdentityFile none\nCertificateFile {}\n",
                keys::with_suffix(&self.key, "-cert.pub").display()
            ),
            Holds::Nothing | Holds::NoAgent => format!("IdentityFile {}\n", self.key.display()),
        }
    }
}

impl Builder {
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

    /// What the configuration names for this host as `legacy_algorithms`.
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

    /// How long the test may take, where it takes longer than tests may.
    pub(crate) fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Nobody else's world runs meanwhile.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// A further line of the section `proxy_service`.
    pub(crate) fn proxy_setting(mut self, yaml: &str) -> Self {
        self.proxy_settings.push_str(&format!("  {yaml}\n"));
        self
    }

    /// The proxy runs from a file of its own, which [`World::replace_program`] can replace.
    pub(crate) fn own_program(mut self) -> Self {
        self.own_program = true;
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

    /// The proxy's log is a pipe, which [`World::read_log`] stops and goes on to read.
    pub(crate) fn piped_log(mut self) -> Self {
        self.piped_log = true;
        self
    }

    /// The proxy's data directory is a disk of so many MiB, which nobody else sees
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
        let proxy = if self.own_program {
            let program = root.join("rproxy");
            programs::put(Path::new(env!("CARGO_BIN_EXE_rproxy")), &program);
            let mut serve = proxy::rproxy_at(&program, &config);
            Proxy::run(&children, &mut serve, &log)
        } else if let Some(mib) = self.disk {
            let data = root.join("data");
            let mut serve = namespace::with_disk_at(&data, mib, &proxy::rproxy(&config));
            Proxy::run(&children, &mut serve, &log)
        } else if self.piped_log {
            Proxy::with_pipe(&children, &config, &log)
        } else {
            Proxy::start(&children, &config, &log, self.limit.as_deref())
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
        let world = World {
            user,
            ca_agent: RefCell::new(ca_agent),
            proxy: RefCell::new(proxy),
            nodes,
            children,
            dir,
            _place: place,
        };
        world.write_client_files(&world.user, self.forward_agent);
        world
    }

    fn config(&self, root: &Path, nodes: &[Sshd]) -> String {
        let mut text = format!(
            "cluster_name: example.test\n\
             data_dir: {}\n\
             proxy_service:\n  listen_addr: 127.0.0.1:0\n  public_addr: 127.0.0.1:3023\n{}",
            root.join("data").display(),
            self.proxy_settings,
        );
        if !self.auth_settings.is_empty() {
            text.push_str(&format!("auth_service:\n{}", self.auth_settings));
        }
        if !nodes.is_empty() || !self.foreign_nodes.is_empty() {
            text.push_str("nodes:\n");
        }
        for (name, port) in &self.foreign_nodes {
            text.push_str(&format!(
                "  - {{ name: {name}, addr: \"127.0.0.1:{port}\", legacy_algorithms: [{}] }}\n",
                self.legacy.get(name).map_or("", String::as_str),
            ));
        }
        for (node, (_, _, labels)) in nodes.iter().zip(&self.nodes) {
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

/// The public halves of the cluster's CAs.
#[derive(Debug)]
struct Authorities {
    user: String,
    host: String,
}

impl Authorities {
    fn exported(config: &Path) -> Self {
        keys::tool(proxy::rproxy(config).args(["auth", "init"]));
        let export = |kind: &str| {
            keys::tool(proxy::rproxy(config).args(["auth", "export", &format!("--type={kind}")]))
        };
        Self {
            user: export("user"),
            host: export("host"),
        }
    }

    fn host_key(&self, root: &Path) -> PathBuf {
        keys::authority(&root.join("data"), &self.host)
    }

    fn user_key(&self, root: &Path) -> PathBuf {
        keys::authority(&root.join("data"), &self.user)
    }
}

fn sign_host(config: &Path, names: &str, key: &Path) {
    keys::tool(proxy::rproxy(config).args([
        "auth",
        "sign",
        &format!("--host={names}"),
        &format!("--out={}", key.display()),
    ]));
}

/// A host certificate for a key that is there already, written beside it.
fn certify_host(config: &Path, names: &str, key: &Path) {
    keys::tool(proxy::rproxy(config).args([
        "auth",
        "sign",
        &format!("--host={names}"),
        &format!("--public-key={}.pub", key.display()),
        &format!("--out={}-cert.pub", key.display()),
    ]));
}

fn make_user(
    children: &Children,
    root: &Path,
    name: &str,
    kind: &[&str],
    certificate: &Certificate,
    holds: Holds,
    authorities: &Authorities,
) -> User {
    let dir = root.join(name);
    make_dir(&dir);
    let key = dir.join("key");
    keys::generate_as(&key, kind);
    let principals = certificate.principals.clone().unwrap_or_else(login);
    match certificate.issuer {
        Issuer::Rproxy => {
            keys::tool(proxy::rproxy(&root.join("rproxy.yaml")).args([
                "auth",
                "sign",
                &format!("--user={name}"),
                &format!("--logins={principals}"),
                &format!("--public-key={}.pub", key.display()),
                &format!("--out={}-cert.pub", key.display()),
            ]));
        }
        Issuer::UserAuthority(more) => {
            let authority = authorities.user_key(root);
            keys::sign(&authority, name, &principals, more, &key);
        }
        Issuer::Stranger => {
            let authority = dir.join("stranger_ca");
            keys::generate(&authority);
            keys::sign(&authority, name, &principals, &[], &key);
        }
    }
    let agent = (holds != Holds::NoAgent).then(|| {
        let agent = Agent::start(children, &dir.join("agent"));
        match holds {
            Holds::Certificate => agent.add(&key),
            Holds::BareKey => agent.add_bare(&key),
            Holds::Nothing | Holds::NoAgent => {}
        }
        agent
    });
    User { key, holds, agent }
}

impl World {
    /// The usual world: the host `db1` with a certificate, `alice` with hers in the agent.
    pub(crate) fn new() -> Self {
        Self::with().start()
    }

    /// A world that differs from the usual one.
    pub(crate) fn with() -> Builder {
        Builder {
            nodes: Vec::new(),
            node_settings: BTreeMap::new(),
            legacy: BTreeMap::new(),
            foreign_nodes: Vec::new(),
            user_key: ED25519,
            certificate: Certificate::default(),
            holds: Holds::Certificate,
            forward_agent: true,
            settings: String::new(),
            auth_settings: String::new(),
            ca_keys: None,
            proxy_settings: String::new(),
            time_limit: LIMIT,
            limit: None,
            piped_log: false,
            disk: None,
            own_program: false,
            alone: false,
        }
    }

    /// A second person, who may log in to the same account.
    pub(crate) fn another_user(&self, name: &str) -> User {
        let authorities = Authorities::exported(&self.config());
        make_user(
            &self.children,
            self.dir.path(),
            name,
            ED25519,
            &Certificate::default(),
            Holds::Certificate,
            &authorities,
        )
    }

    /// Puts another key into the user's agent, with a certificate of the user CA for these
    /// logins, as `ssh-keygen` makes it with these arguments; `name` is its key id.
    pub(crate) fn add_certificate(&self, name: &str, principals: &str, more: &[&str]) {
        let authorities = Authorities::exported(&self.config());
        let key = self.dir().join(name);
        keys::generate(&key);
        keys::sign(
            &authorities.user_key(self.dir()),
            name,
            principals,
            more,
            &key,
        );
        self.agent().add(&key);
    }

    /// The user's agent.
    pub(crate) fn agent(&self) -> &Agent {
        self.user.agent.as_ref().expect("the user has an agent")
    }

    /// A new host key with a certificate for `name`, at `PATH` and `PATH-cert.pub`.
    pub(crate) fn host_key(&self, name: &str) -> PathBuf {
        let key = self.dir().join(format!("{name}_host_key"));
        sign_host(&self.config(), name, &key);
        key
    }

    /// How much memory the proxy has in use, in KiB (`VmRSS`).
    pub(crate) fn proxy_memory(&self) -> u64 {
        self.proxy.borrow().memory()
    }

    /// The process id of the one worker that the proxy has.
    pub(crate) fn worker_pid(&self) -> u32 {
        let workers = self.workers();
        assert_eq!(workers.len(), 1, "one worker, not {workers:?}");
        workers[0]
    }

    /// The process ids of the proxy's workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        self.proxy.borrow().workers()
    }

    /// The process id of the proxy's monitor.
    pub(crate) fn proxy_pid(&self) -> u32 {
        self.proxy.borrow().pid()
    }

    /// The directory of the test.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The proxy's data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The same as the proxy sees it, where it has a disk of its own.
    pub(crate) fn data_on_disk(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.proxy_pid()));
        let data = self.data();
        root.join(data.strip_prefix("/").expect("an absolute path"))
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("rproxy.yaml")
    }

    /// Edits the proxy's configuration and has it read again; the audit event that says what came
    /// of it.
    pub(crate) fn reconfigure(&self, edit: impl FnOnce(&str) -> String) -> Value {
        let so_far = || {
            let mut events = self.audit();
            events.retain(|event| {
                let name = event["event"].as_str().unwrap_or_default();
                name.starts_with("configuration.")
            });
            events
        };
        let before = so_far().len();
        self.edit_configuration(edit);
        self.signal_proxy(Signal::HUP);
        self.eventually("the configuration is read again", || {
            so_far().into_iter().nth(before)
        })
    }

    /// Puts another file in the place of the proxy's program, as a package manager does: a copy of the
    /// same program, or a script.
    pub(crate) fn replace_program(&self, script: Option<&str>) {
        let (place, new) = (self.dir().join("rproxy"), self.dir().join("rproxy.new"));
        match script {
            Some(script) => programs::put_script(script, &new),
            None => programs::put(Path::new(env!("CARGO_BIN_EXE_rproxy")), &new),
        }
        std::fs::rename(&new, &place).expect("a writable directory");
    }

    /// Edits the proxy's configuration; nobody is told.
    pub(crate) fn edit_configuration(&self, edit: impl FnOnce(&str) -> String) {
        let text = std::fs::read_to_string(self.config()).expect("it is there");
        write(&self.config(), &edit(&text));
    }

    /// Where the proxy listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.borrow().address
    }

    /// The port of the proxy.
    pub(crate) fn port(&self) -> u16 {
        self.address().port()
    }

    /// The first host.
    pub(crate) fn node(&self) -> &Sshd {
        self.nodes.first().expect("a world has a host")
    }

    /// All hosts.
    pub(crate) fn nodes(&self) -> &[Sshd] {
        &self.nodes
    }

    /// Whether somebody reads the pipe that the proxy's log is.
    pub(crate) fn read_log(&self, is_read: bool) {
        self.proxy.borrow().read_log(is_read);
    }

    /// What the proxy has logged.
    pub(crate) fn proxy_log(&self) -> String {
        self.proxy.borrow().log()
    }

    /// Any signal for the proxy.
    pub(crate) fn signal_proxy(&self, signal: Signal) {
        let pid = i32::try_from(self.proxy_pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), signal).expect("it runs");
    }

    /// Waits for the proxy's end; its exit code.
    pub(crate) fn proxy_end(&self) -> Option<i32> {
        self.proxy.borrow_mut().wait()
    }

    /// SIGKILL for the proxy, at this instant.
    pub(crate) fn kill_proxy(&self) {
        self.proxy.borrow_mut().kill();
    }

    /// SIGKILL for the proxy's monitor alone.
    pub(crate) fn kill_monitor(&self) {
        self.proxy.borrow_mut().kill_monitor();
    }

    /// SIGTERM for the proxy, and its end.
    pub(crate) fn stop_proxy(&self) {
        self.signal_proxy(Signal::TERM);
        assert_eq!(self.proxy_end(), Some(0));
    }

    /// Another proxy in the place of one that has ended, on another port.
    pub(crate) fn restart_proxy(&self) {
        let log = self.dir().join("rproxy.log");
        let proxy = Proxy::start(&self.children, &self.config(), &log, None);
        self.proxy.replace(proxy);
    }

    /// `rproxy`, on this world's configuration.
    pub(crate) fn rproxy(&self) -> Command {
        proxy::rproxy(&self.config())
    }

    /// Any program in the user's environment.
    pub(crate) fn program(&self, name: &str) -> Client<'_> {
        self.program_at(&programs::path(name))
    }

    /// The program at this path, in the user's environment.
    pub(crate) fn program_at(&self, path: &Path) -> Client<'_> {
        let client = Client::new(&self.children, path, self.dir());
        match &self.user.agent {
            Some(agent) => client.env("SSH_AUTH_SOCK", &agent.socket),
            None => client,
        }
    }

    /// `ssh` through the proxy, without a destination yet.
    pub(crate) fn ssh(&self) -> Client<'_> {
        self.program("ssh").arg("-F").arg(self.dir().join("inner"))
    }

    /// The same as another person.
    pub(crate) fn ssh_as(&self, other: &User) -> Client<'_> {
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
    pub(crate) fn outer_ssh(&self) -> Client<'_> {
        self.program("ssh").arg("-F").arg(self.dir().join("outer"))
    }

    /// The same as another person.
    pub(crate) fn outer_ssh_as(&self, other: &User) -> Client<'_> {
        let ssh = self.outer_ssh();
        ssh.env("SSH_AUTH_SOCK", other.socket())
    }

    /// `ssh HOST COMMAND` through the proxy, to its end.
    pub(crate) fn run(&self, host: &str, command: &str) -> Outcome {
        self.ssh().args([host, command]).run()
    }

    /// `ssh HOST COMMAND` with this subsystem in the ProxyCommand, to its end.
    pub(crate) fn ssh_by(&self, subsystem: &str, host: &str, command: &str) -> Outcome {
        let proxy_command = format!(
            "ProxyCommand={} -F {} %r@127.0.0.1 -s {subsystem}",
            programs::path("ssh").display(),
            self.dir().join("outer").display(),
        );
        self.ssh().args(["-o", &proxy_command, host, command]).run()
    }

    /// `ssh` straight to the first host, past the proxy.
    pub(crate) fn direct_ssh(&self) -> Client<'_> {
        self.outer_ssh()
            .args(["-p", &self.node().port.to_string()])
            .args(["-o", "HostName=127.0.0.1", "-o", "HostKeyAlias=db1"])
    }

    /// `ssh` to the first host past the proxy, with the second as OpenSSH's jump host.
    pub(crate) fn jump_ssh(&self) -> Client<'_> {
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

    /// The user's certificate file goes away.
    pub(crate) fn forget_certificate(&self) {
        std::fs::remove_file(keys::with_suffix(&self.user.key, "-cert.pub"))
            .expect("the certificate is a file");
    }

    /// Waits until something is there; fails when it never comes.
    pub(crate) fn eventually<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        self.children
            .eventually(look)
            .unwrap_or_else(|| panic!("never happened: {what}"))
    }

    /// The inner connection authenticates as somebody else than the outer one.
    pub(crate) fn inner_user(&self, other: &User) {
        let lines = format!(
            "IdentityAgent {}\n{}",
            other.socket().display(),
            other.client_lines()
        );
        self.write_inner(&lines);
        let outer = format!(
            "IdentityAgent {}\n{}",
            self.user.socket().display(),
            self.user.client_lines()
        );
        self.write_outer(&outer, true);
    }

    fn write_client_files(&self, user: &User, forward_agent: bool) {
        self.write_outer(&user.client_lines(), forward_agent);
        self.write_inner(&user.client_lines());
    }

    fn write_outer(&self, identity: &str, forward_agent: bool) {
        let text = format!(
            "{identity}Port {}\nForwardAgent {}\n{}",
            self.port(),
            if forward_agent { "yes" } else { "no" },
            self.common_lines(),
        );
        write(&self.dir().join("outer"), &text);
    }

    fn write_inner(&self, identity: &str) {
        let text = format!(
            "{identity}ProxyCommand {} -F {} %r@127.0.0.1 -s proxy:%h:%p\n{}",
            programs::path("ssh").display(),
            self.dir().join("outer").display(),
            self.common_lines(),
        );
        write(&self.dir().join("inner"), &text);
    }

    fn common_lines(&self) -> String {
        format!(
            "User {}\n\
             BatchMode yes\n\
             StrictHostKeyChecking yes\n\
             UserKnownHostsFile {}\n\
             GlobalKnownHostsFile /dev/null\n\
             SendEnv LANG LC_*\n\
             {QUICK}\
             EscapeChar none\n",
            login(),
            self.dir().join("known_hosts").display(),
        )
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

fn make_dir(path: &Path) {
    std::fs::create_dir(path).expect("a writable directory");
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a writable directory");
}
