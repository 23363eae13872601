//! The way around the proxy, on a network of its own: a client, the proxy, a host, one switch, no
//! address translation. With `egress_addrs`, the host accepts the certificate through the proxy,
//! and refuses it from the user's own address. PROTOCOL.certkeys, `source-address`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::agent::Agent;
use crate::support::children::Children;
use crate::support::client::ClientCommand;
use crate::support::namespace::{Machine, Network, are_possible};
use crate::support::proxy::{self, ProxyProcess};
use crate::support::sshd::Sshd;
use crate::support::world::login;
use crate::support::{keys, programs, skipped};

/// The machine's first addresses, from which it would connect by default.
const PROXY: [&str; 2] = ["10.77.0.3", "fd77::3"];
/// The addresses in `egress_addrs`.
const EGRESS: [&str; 2] = ["10.77.0.5", "fd77::5"];
const HOST: [&str; 2] = ["10.77.0.4", "fd77::4"];

/// Its fields are dropped in this order.
struct BypassScene {
    agent: Agent,
    proxy: ProxyProcess,
    host: Sshd,
    client: Machine,
    _machines: [Machine; 2],
    _network: Network,
    children: Children,
    dir: tempfile::TempDir,
}

impl BypassScene {
    /// `None` if network namespaces cannot be created here.
    fn new() -> Option<Self> {
        if !are_possible() {
            skipped::cannot("a network namespace takes root, and a kernel that allows it");
            return None;
        }
        let children = Children::new(Duration::from_secs(120));
        let dir = tempfile::Builder::new().prefix("rp-").tempdir_in("/tmp");
        let dir = dir.expect("a directory in /tmp");
        let root = dir.path();
        let network = Network::new(&children);
        let machine = |addresses: &[&str]| {
            let with_mask = |address: &&str| match address.contains(':') {
                true => format!("{address}/64"),
                false => format!("{address}/24"),
            };
            let addresses: Vec<_> = addresses.iter().map(with_mask).collect();
            let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            network.machine(&children, &addresses)
        };
        let client = machine(&["10.77.0.2", "fd77::2"]);
        let proxy_machine = machine(&[PROXY, EGRESS].concat());
        let host_machine = machine(&HOST);

        let config = root.join("rproxy.yaml");
        write(&config, &configuration(root));
        let auth = |args: &[&str]| keys::tool(proxy::rproxy(&config).arg("auth").args(args));
        auth(&["init"]);
        write(&root.join("known_hosts"), &auth(&["export", "--type=host"]));
        let host_dir = root.join("db1");
        std::fs::create_dir(&host_dir).expect("a writable directory");
        let key = host_dir.join("host_key").display().to_string();
        auth(&["sign", "--host=db1,db6", &format!("--out={key}")]);
        let authority = auth(&["export", "--type=user"]);
        let host = Sshd::start_on(&host_machine, &children, &host_dir, "db1", &authority);
        let mut serve = proxy_machine.command(Path::new(env!("CARGO_BIN_EXE_rproxy")));
        serve.arg("--config").arg(&config);
        let proxy = ProxyProcess::run(&children, &mut serve, &root.join("rproxy.log"));

        let key = root.join("key");
        keys::generate(&key);
        auth(&[
            "sign",
            "--user=alice",
            &format!("--logins={}", login()),
            &format!("--public-key={}.pub", key.display()),
            &format!("--out={}-cert.pub", key.display()),
        ]);
        let agent = Agent::start(&children, &root.join("agent"));
        agent.add(&key);
        let scene = Self {
            agent,
            proxy,
            host,
            client,
            _machines: [proxy_machine, host_machine],
            _network: network,
            children,
            dir,
        };
        write(&scene.dir.path().join("outer"), &scene.client_lines());
        Some(scene)
    }

    fn client_lines(&self) -> String {
        format!(
            "IdentityFile none\nUser {}\nBatchMode yes\nStrictHostKeyChecking yes\n\
             ForwardAgent yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n\
             ConnectTimeout 20\n",
            login(),
            self.dir.path().join("known_hosts").display(),
        )
    }

    /// ssh on the client's machine, with the certificate in the agent.
    fn ssh(&self) -> ClientCommand<'_> {
        ClientCommand::of(
            &self.children,
            self.client.command(&programs::path("ssh")),
            self.dir.path(),
        )
        .env("SSH_AUTH_SOCK", &self.agent.socket)
        .arg("-F")
        .arg(self.dir.path().join("outer"))
    }

    /// Straight to the host, at this address.
    fn around(&self, address: &str) -> ClientCommand<'_> {
        self.ssh().args(["-o", "HostKeyAlias=db1", address])
    }

    /// Through the proxy, which is at this address.
    fn through(&self, proxy: &str, node: &str) -> ClientCommand<'_> {
        let proxy_command = format!(
            "ProxyCommand={} -F {} -o HostKeyAlias=example.test -p 3023 %r@{proxy} -s proxy:%h:%p",
            programs::path("ssh").display(),
            self.dir.path().join("outer").display(),
        );
        self.ssh().args(["-o", &proxy_command, node])
    }
}

impl Drop for BypassScene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("==== rproxy\n{}", self.proxy.log());
            eprintln!("==== sshd\n{}", self.host.log());
        }
    }
}

fn configuration(root: &Path) -> String {
    format!(
        "cluster_name: example.test\n\
         data_dir: {}\n\
         proxy_service:\n  listen_addr: \"[::]:3023\"\n  egress_addrs: [{}/32, \"{}/128\"]\n\
         nodes:\n  - {{ name: db1, addr: \"{}:22\" }}\n  - {{ name: db6, addr: \"[{}]:22\" }}\n",
        root.join("data").display(),
        EGRESS[0],
        EGRESS[1],
        HOST[0],
        HOST[1],
    )
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a writable directory");
}

/// The same certificate, key and agent: refused on a direct connection, accepted through the proxy,
/// which connects from the address in `egress_addrs`, although it is not the machine's first one.
#[test]
fn a_certificate_opens_the_host_through_the_proxy_only() {
    let Some(scene) = BypassScene::new() else {
        return;
    };
    for (address, node, family) in [(HOST[0], "db1", 0), (HOST[1], "db6", 1)] {
        let around = scene.around(address).arg("echo around").run();
        assert_eq!(around.code(), 255, "{}{}", around.text(), around.stderr);
        assert!(
            around.stderr.contains("Permission denied"),
            "{}",
            around.stderr
        );

        let told = "echo through $SSH_CONNECTION";
        let through = scene.through(PROXY[family], node).arg(told).run().success();
        let text = through.text();
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(words[..2], ["through", EGRESS[family]], "{text}");
        assert_eq!(words[3], address, "{text}");
    }
    let log = scene.host.log();
    let refused = "not from a permitted source address";
    assert_eq!(log.matches(refused).count(), 2, "{log}");
}

/// The proxy distinguishes a certificate that is bound to the proxy's address from one that is
/// bound to another address: as `sshd` does, it refuses the latter, unless the client has that
/// address.
#[test]
fn a_certificate_bound_elsewhere_is_refused_by_the_proxy() {
    let Some(scene) = BypassScene::new() else {
        return;
    };
    let root = scene.dir.path();
    let config = root.join("rproxy.yaml");
    let exported = keys::tool(proxy::rproxy(&config).args(["auth", "export", "--type=user"]));
    let authority = keys::authority(&root.join("data"), &exported);
    let key = root.join("key");
    for (networks, is_refused) in [
        ("10.77.0.99/32", true),
        ("10.77.0.2/32,10.77.0.5/32", false),
        ("10.77.0.5/32", false),
        ("10.77.0.0/24", false),
        ("10.77.1.0/24,10.77.0.5/32", true),
    ] {
        let option = format!("source-address={networks}");
        keys::sign(&authority, "alice", &login(), &["-O", &option], &key);
        keys::tool(
            Command::new(programs::path("ssh-add"))
                .args(["-q", "-D"])
                .env("SSH_AUTH_SOCK", &scene.agent.socket),
        );
        scene.agent.add(&key);
        let outcome = scene.through(PROXY[0], "db1").arg("true").run();
        assert_eq!(
            outcome.code(),
            if is_refused { 255 } else { 0 },
            "{networks}: {}",
            outcome.stderr
        );
        if is_refused {
            let says = format!("may be used from {networks} only, not from 10.77.0.2");
            assert!(outcome.stderr.contains(&says), "{}", outcome.stderr);
        }
    }
}
