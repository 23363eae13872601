//! `docker-compose.yml`: its description of the containers is true, and their scripts, run on
//! machines of their own, lead to recorded sessions. The tests do not use Docker.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value, json};

use crate::documents::{self, root};
use crate::support::children::{Children, Running};
use crate::support::namespace::{Machine, Network, are_possible};
use crate::support::sshd::use_pam;
use crate::support::world::login;
use crate::support::{keys, programs, skipped};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compose() -> Value {
    parse(&read(&root().join("docker-compose.yml")))
}

/// The services of `docker-compose.yml`, by their names.
fn services() -> BTreeMap<String, Value> {
    let services = compose()["services"].as_object().cloned();
    services.expect("there are services").into_iter().collect()
}

/// YAML as JSON, scalars as texts.
fn parse(yaml: &str) -> Value {
    let mut open: Vec<(Value, Option<String>)> = Vec::new();
    let mut parser = Parser::new_from_str(yaml);
    while let Some(event) = parser.next_event() {
        let done = match event.expect("it is YAML").0 {
            Event::Scalar(text, ..) => json!(text),
            Event::SequenceStart(..) => {
                open.push((json!([]), None));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((Value::Object(Map::new()), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().expect("it was opened").0,
            _ => continue,
        };
        match open.last_mut() {
            None => return done,
            Some((Value::Array(items), _)) => items.push(done),
            Some((Value::Object(entries), key)) => match key.take() {
                None => *key = done.as_str().map(str::to_owned),
                Some(key) => assert!(entries.insert(key, done).is_none(), "a key twice"),
            },
            Some(_) => unreachable!("only collections are opened"),
        }
    }
    panic!("no document")
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().cloned().unwrap_or_default();
    let text = |item: &Value| item.as_str().expect("a text").to_owned();
    items.iter().map(text).collect()
}

/// The Dockerfile of an image, and the directory of its build.
fn dockerfile(service: &Value) -> (String, PathBuf) {
    let build = &service["build"];
    let context = root().join(build["context"].as_str().expect("a context"));
    let text = read(&context.join(build["dockerfile"].as_str().expect("a file")));
    (text.replace("\\\n", " "), context)
}

/// The script that a container runs.
fn script(service: &Value) -> String {
    let (text, _) = dockerfile(service);
    let run = text.lines().find_map(|line| line.strip_prefix("CMD "));
    let command: Vec<String> = serde_json::from_str(run.expect("a CMD")).expect("a list");
    command.concat()
}

#[test]
fn images_are_built_from_what_is_there_and_hold_no_keys() {
    for (name, service) in services() {
        let (text, context) = dockerfile(&service);
        for line in text.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["FROM", image, ..] => {
                    let (_, tag) = image.split_once(':').expect("a tag");
                    assert!(tag.contains('.'), "{name}: {image} is not pinned");
                }
                ["COPY", first, ..] if first.starts_with("--from=") => {}
                ["COPY", ref from @ .., _] => {
                    for from in from {
                        assert!(context.join(from).exists(), "{name}: no {from}");
                        assert!(!from.contains("key"), "{name}: {from}");
                    }
                }
                ["RUN", ..] => {
                    assert!(!line.contains("ssh-keygen"), "{name}: {line}");
                    // Debian's package makes host keys.
                    let brings = line.contains("openssh-server") || line.contains("add --no-cache");
                    let removes = line.contains("/etc/ssh/ssh_host_*");
                    assert!(!brings || removes, "{name}: {line}");
                }
                _ => {}
            }
        }
        let healthy = texts(&service["healthcheck"]["test"]);
        assert_eq!(healthy, ["CMD", &script(&service), "healthy"], "{name}");
    }
    let (proxy, _) = dockerfile(&services()["proxy"]);
    let manifest = read(&root().join("Cargo.toml"));
    let rust = manifest.split("rust-version = \"").nth(1).expect("an MSRV");
    let rust = rust.split('"').next().expect("a version");
    assert!(proxy.contains(&format!("rust:{rust}.")), "of Rust {rust}");
}

#[test]
fn services_fit_together() {
    let services = services();
    let names: BTreeSet<_> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["client", "db1", "proxy", "web1"].into());

    let mut mounted = BTreeSet::new();
    for (name, service) in &services {
        assert_eq!(service["hostname"], json!(name));
        let needed = service["depends_on"].as_object().cloned();
        for (needed, how) in needed.unwrap_or_default() {
            assert!(names.contains(needed.as_str()), "{name} waits for {needed}");
            assert_eq!(how["condition"], "service_healthy");
        }
        for volume in texts(&service["volumes"]) {
            let (volume, path) = volume.split_once(':').expect("VOLUME:PATH");
            if volume.starts_with("./") {
                assert!(root().join(volume).is_file(), "{name}: no {volume}");
                assert!(path.ends_with(":ro"), "{name}: {path} can be written");
                continue;
            }
            mounted.insert(volume.to_owned());
            // A new volume has the mode and owner of the image's directory: the same accounts may
            // write to it.
            let (text, _) = dockerfile(service);
            let made = text.lines().any(|line| {
                line.starts_with("RUN") && line.contains("install -d") && line.contains(path)
            });
            assert!(made, "{name}: {path} has no owner");
        }
        let hosts = service["environment"]["HOSTS"].as_str();
        for host in hosts.into_iter().flat_map(str::split_whitespace) {
            assert!(names.contains(host), "{name}: {host}");
        }
    }
    let declared = compose()["volumes"].as_object().cloned();
    let declared: BTreeSet<_> = declared
        .expect("volumes")
        .into_iter()
        .map(|(k, _)| k)
        .collect();
    assert_eq!(mounted, declared);

    let file = root().join("tests/docker/rproxy.yaml");
    let config = parse(&read(&file));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let check = ["serve", "--check", "--data-dir"];
    keys::tool(
        crate::support::proxy::rproxy(&file)
            .args(check)
            .arg(dir.path().join("data")),
    );
    for node in config["nodes"].as_array().expect("nodes") {
        let name = node["name"].as_str().expect("a name");
        assert_eq!(node["addr"], json!(format!("{name}:22")));
        assert!(names.contains(name), "{name}");
    }
    let proxy = &services["proxy"];
    let public = config["proxy_service"]["public_addr"].as_str();
    let (host, port) = public
        .and_then(|addr| addr.split_once(':'))
        .expect("HOST:PORT");
    assert_eq!(texts(&proxy["networks"]["default"]["aliases"]), [host]);
    let published = format!("127.0.0.1:${{RPROXY_PORT:-{port}}}:{port}");
    assert_eq!(texts(&proxy["ports"]), [published]);
}

/// A second build does not compile again if only other files changed, and health checks write no
/// log lines.
#[test]
fn a_change_beside_the_sources_builds_nothing_and_health_is_silent() {
    let services = services();
    let (text, _) = dockerfile(&services["proxy"]);
    let copied: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("COPY ") && !line.contains("--from="))
        .flat_map(|line| line.split_whitespace().skip(1))
        .collect();
    assert!(!copied.contains(&"."), "everything is copied");
    // What cargo needs is there: targets that the manifest names, and what the sources include.
    for needed in [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "src",
        "benches",
        "web",
    ] {
        assert!(copied.contains(&needed), "{needed} is not copied");
    }
    let ignored = read(&root().join(".dockerignore"));
    let seen: BTreeSet<_> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    assert!(ignored.lines().any(|line| line == "*"), "{ignored}");
    for path in &seen {
        assert!(copied.contains(path), "{path} is seen by no build");
    }
    for builds in text
        .lines()
        .filter(|line| line.starts_with("RUN") && line.contains(" cargo "))
    {
        assert!(builds.contains("--mount=type=cache"), "{builds}");
    }
    assert!(
        !text.contains("rproxy.yaml /etc"),
        "the configuration is in the image"
    );

    for (name, service) in &services {
        let health = &service["healthcheck"];
        let interval = health["interval"]
            .as_str()
            .and_then(|text| text.strip_suffix('s'));
        let interval: u32 = interval
            .and_then(|text| text.parse().ok())
            .expect("seconds");
        assert!(interval >= 10, "{name}: {interval}");
        let script = read(&root().join("tests/docker").join(script(service)));
        for loud in ["ssh-keyscan", "nc ", "curl "] {
            assert!(!script.contains(loud), "{name}: {loud} is logged");
        }
    }
    let proxy = &services["proxy"];
    assert_eq!(proxy["read_only"], "true");
    assert_eq!(texts(&proxy["cap_drop"]), ["ALL"]);
    assert_eq!(texts(&proxy["security_opt"]), ["no-new-privileges:true"]);
}

/// The containers, as machines on one network. The fields are dropped in this order.
struct ComposedFleet {
    running: Vec<Running>,
    machines: BTreeMap<&'static str, Machine>,
    _network: Network,
    children: Children,
    dir: tempfile::TempDir,
}

const ADDRESSES: [(&str, &str); 4] = [
    ("proxy", "10.77.0.3"),
    ("db1", "10.77.0.4"),
    ("web1", "10.77.0.5"),
    ("client", "10.77.0.6"),
];

impl ComposedFleet {
    /// `None` if network namespaces cannot be created here.
    fn new() -> Option<Self> {
        if !are_possible() {
            skipped::cannot("a network namespace takes root, and a kernel that allows it");
            return None;
        }
        let children = Children::new(Duration::from_secs(120));
        let dir = tempfile::Builder::new().prefix("rp-").tempdir_in("/tmp");
        let dir = dir.expect("a directory in /tmp");
        let network = Network::new(&children);
        let machine = |address| network.machine(&children, &[&format!("{address}/24")]);
        let machines = ADDRESSES.map(|(name, address)| (name, machine(address)));
        for path in ["exchange", "db1", "web1", "client", "proxy"] {
            std::fs::create_dir_all(dir.path().join(path)).expect("a writable directory");
        }
        let mut config = read(&root().join("tests/docker/rproxy.yaml"))
            .replace("proxy.example.com", ADDRESSES[0].1);
        for (name, address) in ADDRESSES {
            config = config.replace(&format!("\"{name}:22\""), &format!("\"{address}:22\""));
            // The files that the distribution installs.
            let mut sshd = format!("UsePAM {}\nStrictModes no\nPidFile none\n", use_pam());
            if name == "db1" {
                let etc = dir.path().join(name);
                sshd = format!("Include {}/sshd_config.d/*.conf\n{sshd}", etc.display());
            }
            std::fs::write(dir.path().join(name).join("sshd_config"), sshd).expect("writable");
        }
        std::fs::write(dir.path().join("rproxy.yaml"), config).expect("writable");
        Some(Self {
            running: Vec::new(),
            machines: machines.into(),
            _network: network,
            children,
            dir,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A program in a container: its environment is that of the file, with paths of ours.
    fn program(&self, name: &str, program: &Path) -> Command {
        let mut command = self.machines[name].command(program);
        let path = std::env::var("PATH").unwrap_or_default();
        let ours = Path::new(env!("CARGO_BIN_EXE_rproxy")).parent();
        let ours = ours.expect("it is in a directory").display();
        command
            .env_clear()
            .env("PATH", format!("{ours}:{path}:/usr/sbin:/sbin"));
        let environment = services()[name]["environment"].as_object().cloned();
        for (key, value) in environment.expect("every container has some") {
            command.env(key, value.as_str().expect("a text"));
        }
        command
            .env("HOME", self.path(name))
            .env("EXCHANGE", self.path("exchange"))
            .env("POLL", "0.1")
            .env("LOGINS", login())
            .env("LOGIN", login())
            .env("SSH_ETC", self.path(name))
            .env("SSH_AUTH_SOCK", self.path(name).join("agent"))
            .env("RPROXY_CONFIG", self.path("rproxy.yaml"))
            .env("RPROXY_DATA_DIR", self.path("data"))
            .stdin(Stdio::null());
        command
    }

    /// The script of a container. The script of web1 runs in Alpine's shell, if this machine has
    /// it.
    fn script(&self, name: &str) -> Command {
        let script = root().join("tests/docker").join(script(&services()[name]));
        match programs::other("busybox").filter(|_| name == "web1") {
            Some(busybox) => {
                let mut command = self.program(name, &busybox);
                command.arg("sh").arg(script);
                command
            }
            None => self.program(name, &script),
        }
    }

    fn is_healthy(&self, name: &str) -> bool {
        let mut command = self.script(name);
        command.arg("healthy").stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Starts a container, and waits until it is healthy.
    fn start(&mut self, name: &str) {
        assert!(!self.is_healthy(name), "{name} before its start");
        let log = std::fs::File::create(self.path(name).join("log")).expect("writable");
        let copy = log.try_clone().expect("an open file");
        let mut running = self
            .children
            .spawn(self.script(name).stdout(log).stderr(copy));
        self.children
            .eventually(|| {
                assert!(running.ended().is_none(), "{name} ended");
                self.is_healthy(name).then_some(())
            })
            .unwrap_or_else(|| panic!("{name} is not healthy in time"));
        self.running.push(running);
    }

    fn rproxy(&self, args: &[&str]) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_rproxy"));
        keys::tool(self.program("proxy", program).args(args))
    }

    fn recordings(&self) -> Vec<Value> {
        let list = self.rproxy(&["recordings", "ls", "--format=json"]);
        serde_json::from_str(&list).expect("an array")
    }
}

impl Drop for ComposedFleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (name, _) in ADDRESSES {
                let log = std::fs::read_to_string(self.path(name).join("log"));
                eprintln!("==== {name}\n{}", log.unwrap_or_default());
            }
        }
    }
}

/// The result of `docker compose up`, in the order of `depends_on`.
#[test]
fn scripts_end_in_recorded_sessions() {
    let Some(mut fleet) = ComposedFleet::new() else {
        return;
    };
    for name in ["proxy", "db1", "web1", "client"] {
        fleet.start(name);
    }
    let recordings = fleet.recordings();
    let mut hosts: Vec<_> = recordings.iter().map(|one| one["host"].clone()).collect();
    hosts.sort_by_key(Value::to_string);
    assert_eq!(hosts, ["db1", "web1"], "{recordings:?}");
    for recording in &recordings {
        assert_eq!(recording["user"], "alice");
        let id = recording["id"].as_str().expect("an id");
        let played = fleet.rproxy(&["recordings", "export", id, "--format=text"]);
        assert!(played.contains("recorded on Linux"), "{played}");
        // Stock asciinema has something to show.
        let events = fleet.rproxy(&["recordings", "export", id, "--format=asciicast"]);
        assert!(events.contains("recorded on Linux"), "{events}");
    }
    // A check of health leaves no line behind.
    let logs = || ADDRESSES.map(|(name, _)| read(&fleet.path(name).join("log")));
    let before = logs();
    for (name, _) in ADDRESSES {
        assert!(fleet.is_healthy(name), "{name}");
    }
    assert_eq!(logs(), before);

    // The README's commands with ProxyCommand and ProxyJump, as `docker compose exec client` would
    // run them.
    let proxy = ADDRESSES[0].1;
    let login = login();
    let config = fleet.path("client/.ssh/config").display().to_string();
    let jump = format!("{login}@{proxy}:3023");
    let through = format!(
        "ProxyCommand=ssh -F {config} -o ForwardAgent=yes -p 3023 %r@{proxy} -s proxy:%h:%p"
    );
    for way in [["-J", &jump], ["-o", &through]] {
        let mut ssh = fleet.program("client", &programs::path("ssh"));
        let to = format!("{login}@db1");
        let told = keys::tool(
            ssh.args(["-F", &config, "-A"])
                .args(way)
                .args([&to, "echo in"]),
        );
        assert_eq!(told, "in\n");
    }
    assert_eq!(fleet.recordings().len(), 4);

    // The README's commands on the machine of the proxy, apart from those that set it up: its users have
    // certificates. Bob's key is as good as any.
    let key = fleet.path("proxy/alice.pub");
    std::fs::copy(key, fleet.path("proxy/bob.pub")).expect("she has asked for a certificate");
    let is_about_sign_in = |line: &str| {
        ["rproxy init", "rproxy users "]
            .iter()
            .any(|command| line.starts_with(command))
    };
    let id = recordings[0]["id"].as_str().expect("an id").to_owned();
    let link = fleet.path("proxy/rproxy.yaml");
    std::os::unix::fs::symlink(fleet.path("rproxy.yaml"), link).expect("writable");
    let mut count = 0;
    for block in documents::blocks(&read(&root().join("README.md"))) {
        let commands = block
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("$ "));
        let ours = commands.filter(|line| {
            line.starts_with("rproxy ") && !line.ends_with(" serve") && !is_about_sign_in(line)
        });
        for command in ours {
            let mut shell = fleet.program("proxy", &programs::path("sh"));
            let ledger = read(&fleet.path("data/issued.jsonl"));
            let serial = crate::readme::serial_of(&ledger, "alice");
            let command = command.replace(" ID", &format!(" {id}"));
            let command = command.replace("SERIAL", &serial);
            keys::tool(
                shell
                    .args(["-c", &command])
                    .current_dir(fleet.path("proxy")),
            );
            count += 1;
        }
    }
    assert!(count > 8, "the commands have been found");

    // A container that is created again asks for a certificate again: docker compose up
    // --force-recreate db1.
    let before = read(&fleet.path("exchange/db1-cert.pub"));
    for file in ["ssh_host_rproxy_key", "ssh_host_rproxy_key.pub"] {
        std::fs::remove_file(fleet.path("db1").join(file)).expect("it was made");
    }
    drop(fleet.running.remove(1));
    fleet.start("db1");
    assert_ne!(read(&fleet.path("exchange/db1-cert.pub")), before);
    // No private key was exchanged.
    for file in keys::files(&fleet.path("exchange")) {
        assert!(!read(&file).contains("PRIVATE"), "{}", file.display());
    }
}
