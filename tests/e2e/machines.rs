//! A network of its own, with names of its own: a host that the inventory has by a DNS name, and
//! the proxy beside it. The name of a machine changes nothing about which users may log in to it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::agent::Agent;
use crate::support::children::Children;
use crate::support::client::ClientCommand;
use crate::support::namespace::{Machine, Network, are_possible};
use crate::support::proxy::{self, ProxyProcess};
use crate::support::recordings::text;
use crate::support::sshd::Sshd;
use crate::support::world::login;
use crate::support::{ClientOutcome, keys, programs, skipped};

const CLIENT: &str = "10.99.0.2";
const PROXY: [&str; 2] = ["10.99.0.3", "fd99::3"];
const HOST: [&str; 2] = ["10.99.0.5", "fd99::5"];
/// The names in the host's certificate.
const HOST_NAMES: &str = "db1,db1.internal,10.99.0.5,fd99::5,db9";
/// The hosts file of the proxy's machine.
const NAMES: &str = "127.0.0.1 localhost\n10.99.0.5 db1.internal\nfd99::5 db1.internal\n\
                     10.99.0.3 proxy.internal also.internal\nfd99::3 also.internal\n";

/// Its fields are dropped in this order.
struct MachinesScene {
    agents: [(&'static str, Agent); 2],
    proxy: ProxyProcess,
    host: Sshd,
    machines: [Machine; 3],
    _network: Network,
    children: Children,
    dir: tempfile::TempDir,
}

impl MachinesScene {
    /// `alice` has the role that these lines describe, `bob` may log in to every host. `None` if
    /// network namespaces cannot be created here.
    fn new(role: &str, names: &str) -> Option<Self> {
        if !are_possible() {
            skipped::cannot("a network namespace takes root, and a kernel that allows it");
            return None;
        }
        let children = Children::new(std::time::Duration::from_secs(120));
        let dir = tempfile::Builder::new().prefix("rp-").tempdir_in("/tmp");
        let dir = dir.expect("a directory in /tmp");
        let root = dir.path();
        write(&root.join("hosts"), names);
        let network = Network::new(&children);
        let masked = |addresses: &[&str]| -> Vec<String> {
            let mask = |address: &&str| match address.contains(':') {
                true => format!("{address}/64"),
                false => format!("{address}/24"),
            };
            addresses.iter().map(mask).collect()
        };
        let client = network.machine(&children, &refs(&masked(&[CLIENT])));
        let proxy_machine = network.machine_with_names(&children, &refs(&masked(&PROXY)), root);
        let host_machine = network.machine(&children, &refs(&masked(&HOST)));

        let config = root.join("rproxy.yaml");
        write(&config, &configuration(root, role));
        let auth = |args: &[&str]| keys::tool(proxy::rproxy(&config).arg("auth").args(args));
        auth(&["init"]);
        write(&root.join("known_hosts"), &auth(&["export", "--type=host"]));
        let host_dir = root.join("db1");
        std::fs::create_dir(&host_dir).expect("a writable directory");
        let key = host_dir.join("host_key").display().to_string();
        auth(&[
            "sign",
            &format!("--host={HOST_NAMES}"),
            &format!("--out={key}"),
        ]);
        let authority = auth(&["export", "--type=user"]);
        let host = Sshd::start_on(&host_machine, &children, &host_dir, "db1", &authority);
        let mut serve = proxy_machine.command(Path::new(env!("CARGO_BIN_EXE_rproxy")));
        serve.arg("--config").arg(&config);
        let proxy = ProxyProcess::run(&children, &mut serve, &root.join("rproxy.log"));
        let agents = ["alice", "bob"].map(|name| {
            let key = root.join(name);
            keys::generate(&key);
            auth(&[
                "sign",
                &format!("--user={name}"),
                &format!("--logins={}", login()),
                &format!("--public-key={}.pub", key.display()),
                &format!("--out={}-cert.pub", key.display()),
            ]);
            let agent = Agent::start(&children, &root.join(format!("{name}-agent")));
            agent.add(&key);
            (name, agent)
        });
        let client_lines = format!(
            "IdentityFile none\nUser {}\nBatchMode yes\nStrictHostKeyChecking yes\n\
             ForwardAgent yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n\
             ConnectTimeout 20\n",
            login(),
            root.join("known_hosts").display(),
        );
        write(&root.join("outer"), &client_lines);
        Some(Self {
            agents,
            proxy,
            host,
            machines: [client, proxy_machine, host_machine],
            _network: network,
            children,
            dir,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A user's `ssh` on the client's machine, through the proxy to a host at a port.
    fn ssh(&self, who: &str, host: &str, port: u16) -> ClientOutcome {
        let outer = self.path("outer").display().to_string();
        let proxy_command = format!(
            "ProxyCommand={} -F {outer} -o HostKeyAlias=example.test -p 3023 %r@{} -s proxy:%h:%p",
            programs::path("ssh").display(),
            PROXY[0],
        );
        let (_, agent) = self
            .agents
            .iter()
            .find(|(name, _)| *name == who)
            .expect("alice or bob");
        let ssh = self.machines[0].command(&programs::path("ssh"));
        ClientCommand::of(&self.children, ssh, self.dir.path())
            .env("SSH_AUTH_SOCK", &agent.socket)
            .args(["-F", &outer, "-o", &proxy_command, "-p", &port.to_string()])
            .args([host, "echo in $SSH_CONNECTION"])
            .run()
    }

    /// `rproxy` on the proxy's machine.
    fn rproxy(&self, args: &[&str]) -> ClientOutcome {
        let rproxy = self.machines[1].command(Path::new(env!("CARGO_BIN_EXE_rproxy")));
        ClientCommand::of(&self.children, rproxy, self.dir.path())
            .arg("--config")
            .arg(self.path("rproxy.yaml"))
            .args(args)
            .run()
    }

    /// The output of `rproxy explain` about alice.
    fn explain(&self, host: &str) -> ClientOutcome {
        self.rproxy(&["explain", &format!("alice@{host}"), "--login", &login()])
    }

    /// The findings of `rproxy doctor` about the node: the check and its status.
    fn doctor(&self) -> Vec<(String, String)> {
        let said = self.rproxy(&["doctor", "--format=json", "--login", &login()]);
        let found: Vec<Value> = serde_json::from_str(&said.text()).expect("JSON");
        let of_node = |one: &&Value| text(one, "check").starts_with("node-");
        let pair = |one: &Value| {
            (
                text(one, "check").to_owned(),
                text(one, "status").to_owned(),
            )
        };
        found.iter().filter(of_node).map(pair).collect()
    }

    /// The reasons and rules of refusals in the audit log.
    fn refusals(&self) -> Vec<(String, String)> {
        let log = std::fs::read_to_string(self.path("data/audit.jsonl")).unwrap_or_default();
        let events = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let refusals = events.filter(|event| event["event"] == "refusal");
        let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        refusals
            .map(|event| (word(&event, "reason"), word(&event, "rule")))
            .collect()
    }
}

impl Drop for MachinesScene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("==== rproxy\n{}", self.proxy.log());
            eprintln!("==== sshd\n{}", self.host.log());
        }
    }
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn configuration(root: &Path, role: &str) -> String {
    format!(
        "cluster_name: example.test\ndata_dir: {}\n\
         proxy_service:\n  listen_addr: \"[::]:3023\"\n  public_addr: proxy.internal:3023\n\
         nodes:\n  - {{ name: db1, addr: \"db1.internal:22\", labels: {{ env: prod }} }}\n  \
         - {{ name: db9, addr: \"10.99.0.3:9\", labels: {{ env: test }} }}\n\
         roles:\n  - name: tested\n{role}  - name: all\n    allow: [{{ nodes: [\"*\"] }}]\n\
         users:\n  - {{ name: alice, roles: [tested] }}\n  - {{ name: bob, roles: [all] }}\n",
        root.join("data").display(),
    )
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a writable directory");
}

#[track_caller]
fn denied(outcome: &ClientOutcome, host: &str) {
    let says = format!("rproxy: proxy: access to {host} is denied");
    assert_eq!(outcome.code(), 255, "{}{}", outcome.text(), outcome.stderr);
    assert!(outcome.stderr.contains(&says), "{}", outcome.stderr);
}

/// A host that is denied by its label or by its name is denied by every name and address, at every
/// port, and is not dialled. `explain` says the same.
#[test]
fn a_host_that_is_denied_is_denied_however_it_is_called() {
    for deny in ["labels: { env: prod }", "nodes: [db1]"] {
        let role = format!("    allow: [{{ nodes: [\"*\"] }}]\n    deny: [{{ {deny} }}]\n");
        let Some(scene) = MachinesScene::new(&role, NAMES) else {
            return;
        };
        let asked = [
            ("db1", 22),
            ("db1.internal", 22),
            ("DB1.Internal", 22),
            (HOST[0], 22),
            (HOST[1], 22),
            ("::ffff:10.99.0.5", 22),
            ("db1.internal", 2222),
            (HOST[0], 2222),
            (HOST[1], 2222),
        ];
        for (host, port) in asked {
            let outcome = scene.ssh("alice", host, port);
            assert_eq!(outcome.code(), 255, "{host}: {}", outcome.text());
            assert!(
                outcome.stderr.contains("is denied"),
                "{host}: {}",
                outcome.stderr
            );
            let asked = match (port, host.contains(':')) {
                (22, _) => host.to_owned(),
                (port, true) => format!("[{host}]:{port}"),
                (port, false) => format!("{host}:{port}"),
            };
            let explained = scene.explain(&asked);
            assert_eq!(explained.code(), 77, "{asked}: {}", explained.text());
            let says = "denied by role tested, ";
            assert!(explained.text().contains(says), "{}", explained.text());
        }
        let refusals = scene.refusals();
        assert_eq!(refusals.len(), asked.len(), "{refusals:?}");
        for (reason, rule) in refusals {
            assert_eq!(reason, "policy");
            assert!(rule.starts_with("denied by role tested, "), "{rule}");
        }
        assert_eq!(scene.host.connections(), 0, "{}", scene.host.log());
        // A user who is allowed can log in by the same names.
        for host in ["db1", "db1.internal", HOST[0], HOST[1]] {
            scene.ssh("bob", host, 22).success();
        }
    }
}

/// Limits of client addresses and of certificates' lives apply to every name of a host.
#[test]
fn what_is_demanded_for_a_host_is_demanded_however_it_is_called() {
    let role = "    allow: [{ labels: { env: prod } }]\n    may_connect_from: [10.99.0.77]\n  \
                - name: rest\n    allow: [{ nodes: [\"*.internal\", \"10.*\", \"fd99:*\"] }]\n";
    let Some(scene) = MachinesScene::new(role, NAMES) else {
        return;
    };
    let config = scene.path("rproxy.yaml");
    let yaml = std::fs::read_to_string(&config).expect("it is there");
    let both = yaml.replace(
        "name: alice, roles: [tested]",
        "name: alice, roles: [tested, rest]",
    );
    write(&config, &both);
    scene.rproxy(&["reload"]).success();
    for host in ["db1", "db1.internal", HOST[0], HOST[1]] {
        let outcome = scene.ssh("alice", host, 22);
        assert_eq!(outcome.code(), 255, "{host}: {}", outcome.text());
        let says = format!("is not allowed from {CLIENT}");
        assert!(outcome.stderr.contains(&says), "{host}: {}", outcome.stderr);
        let args = ["--login", &login(), "--from", CLIENT];
        let subject = format!("alice@{host}");
        let explained = scene.rproxy(&[&["explain", &subject][..], &args].concat());
        assert_eq!(explained.code(), 77, "{host}: {}", explained.text());
    }
    assert_eq!(scene.host.connections(), 0);
}

/// A host counts as every node that its certificate names, once the certificate was checked: rproxy
/// dials the host, and does not log in.
#[test]
fn a_host_is_denied_if_its_certificate_names_a_node_that_is() {
    let role = "    allow: [{ nodes: [\"*\"] }]\n    deny: [{ nodes: [db9] }]\n";
    let Some(scene) = MachinesScene::new(role, NAMES) else {
        return;
    };
    for (tries, host) in ["db1", "db1.internal", HOST[0]].into_iter().enumerate() {
        denied(&scene.ssh("alice", host, 22), host);
        assert_eq!(scene.host.connections(), tries + 1);
    }
    for (reason, rule) in scene.refusals() {
        assert_eq!(reason, "policy");
        assert!(rule.starts_with("denied by role tested, "), "{rule}");
    }
    assert!(
        !scene.host.log().contains("Accepted"),
        "{}",
        scene.host.log()
    );
    scene.ssh("bob", "db1", 22).success();
}

/// The proxy does not connect to itself, by any name.
#[test]
fn the_proxy_is_no_target_by_any_of_its_names() {
    let Some(scene) = MachinesScene::new("    allow: [{ nodes: [\"*\"] }]\n", NAMES) else {
        return;
    };
    let names = ["proxy.internal", "also.internal", PROXY[0], PROXY[1]];
    for host in names {
        let outcome = scene.ssh("bob", host, 3023);
        assert_eq!(outcome.code(), 255, "{host}: {}", outcome.text());
        let says = format!("rproxy: proxy: {host} is this proxy");
        assert!(outcome.stderr.contains(&says), "{host}: {}", outcome.stderr);
    }
    let refusals = scene.refusals();
    assert_eq!(refusals.len(), names.len());
    assert!(refusals.iter().all(|(reason, _)| reason == "own-listener"));
}

/// Names resolve as on the machine: its hosts file is read again, addresses of both families are
/// used, and one that does not answer does not hide the other. `doctor` says the same.
#[test]
fn names_are_resolved_as_the_machine_does_it_while_the_proxy_runs() {
    let nothing = "127.0.0.1 localhost\n";
    let Some(scene) = MachinesScene::new("    allow: [{ nodes: [\"*\"] }]\n", nothing) else {
        return;
    };
    let is_found = |scene: &MachinesScene| {
        let found = scene.doctor();
        // No program listens at the port of db9.
        !found.contains(&("node-name".to_owned(), "error".to_owned()))
            && found.contains(&("node-ssh".to_owned(), "ok".to_owned()))
    };
    let hosts = scene.path("hosts");
    for (names, reached) in [
        (nothing.to_owned(), None),
        (format!("{} db1.internal\n", HOST[0]), Some(HOST[0])),
        (format!("{} db1.internal\n", HOST[1]), Some(HOST[1])),
        (nothing.to_owned(), None),
        (
            format!("fd99::77 db1.internal\n{} x DB1.internal\n", HOST[0]),
            Some(HOST[0]),
        ),
    ] {
        // The same file, because the machine reads this one.
        write(&hosts, &names);
        let outcome = scene.ssh("bob", "db1", 22);
        match reached {
            None => {
                assert_eq!(outcome.code(), 255, "{}", outcome.text());
                let says = "rproxy: proxy: unknown node db1: db1.internal has no address";
                assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
            }
            Some(address) => {
                let said = outcome.success().text();
                assert_eq!(said.split_whitespace().nth(3), Some(address), "{said}");
            }
        }
        assert_eq!(is_found(&scene), reached.is_some(), "{names}");
    }
}
