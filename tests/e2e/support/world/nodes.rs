//! Hosts that join by themselves, with nothing but stock `ssh` and `sshd`: the test does what the script on
//! a host does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::World;
use super::files::{make_dir, write};
use crate::support::client::{ClientCommand, Live};
use crate::support::clock::{MovingClock, PRELOAD};
use crate::support::keys;
use crate::support::recordings::text;
use crate::support::sshd::Sshd;
use crate::support::{ClientOutcome, programs};

/// A host with a host key and an `sshd` of its own, which trusts nobody until the host has joined.
#[derive(Debug)]
pub(crate) struct JoiningHost {
    /// The name that it wants.
    pub(crate) name: String,
    pub(crate) sshd: Sshd,
    dir: PathBuf,
}

/// What a host says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostReport {
    /// The names that it wants.
    pub(crate) names: Vec<String>,
    /// The labels, as `key=value`.
    pub(crate) labels: Vec<String>,
    /// Where its sshd listens.
    pub(crate) port: u16,
    /// How far its clock is ahead, in seconds.
    pub(crate) clock_ahead: i64,
    /// Further lines.
    pub(crate) more: Vec<String>,
}

impl HostReport {
    /// The lines that the program of the proxy reads.
    pub(crate) fn lines(&self, token: Option<&str>) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.as_ref().map_or(0, Duration::as_secs);
        let mut lines = vec!["rproxy-report 1".to_owned()];
        let token = token.iter().map(|token| format!("token {token}"));
        let names = self.names.iter().map(|name| format!("name {name}"));
        let labels = self.labels.iter().map(|label| format!("label {label}"));
        lines.extend(token.chain(names).chain(labels));
        lines.extend([
            "address 127.0.0.1".to_owned(),
            format!("port {}", self.port),
            "sshd OpenSSH_9.2p1 Debian-2".to_owned(),
            "uptime 12345".to_owned(),
            format!("clock {}", now.saturating_add_signed(self.clock_ahead)),
        ]);
        lines.extend(self.more.iter().cloned());
        lines.push("end\n".to_owned());
        lines.join("\n")
    }
}

impl JoiningHost {
    /// Its host key, which is also its key as a client of the proxy.
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.join("host_key")
    }

    /// The keys by which it knows the proxy, once it has joined.
    fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    /// It knows the proxy by these keys of the host CA, a line for each.
    fn know(&self, keys: &str) {
        let lines = keys.lines().map(|key| format!("@cert-authority * {key}\n"));
        write(&self.known_hosts(), &lines.collect::<String>());
    }

    /// It does not know the proxy any more: it asks whoever answers for the successors of the host CA's
    /// keys, and goes from a key that it trusts to those of today. Each certificate is verified by
    /// `ssh-keygen`.
    pub(crate) fn follow_successors(&self, world: &World) {
        let ssh = world.host_ssh_knowing("join", &self.key(), None);
        let ssh = ssh
            .arg("successors")
            .stdin("rproxy-report 1\nend\n".to_owned());
        let answer = ssh.run().success().text();
        let lines = answer.strip_suffix("end\n").expect("a whole answer");
        let trusted = std::fs::read_to_string(self.dir.join("host_ca.pub"));
        let mut trusted = trusted.expect("it has joined");
        for line in lines.lines() {
            let (certificate, key) = (self.dir.join("link"), self.dir.join("link.key"));
            let words: Vec<_> = line.split(' ').collect();
            let [kind, blob, key_kind, key_blob] = words[..] else {
                panic!("{line}");
            };
            write(&certificate, &format!("{kind} {blob}\n"));
            write(&key, &format!("{key_kind} {key_blob}\n"));
            let shown = keygen(&["-L", "-f"], &certificate);
            assert!(
                shown.contains("\n                host-ca-successor@"),
                "{shown}"
            );
            let signer = field(&shown, "Signing CA: ").expect("a certificate is signed");
            let is_trusted = fingerprints(&self.dir, &trusted)
                .iter()
                .any(|known| signer.contains(known.as_str()));
            let subject = fingerprints(&self.dir, &format!("{key_kind} {key_blob}\n"));
            let public = field(&shown, "Public key: ").expect("a certificate has a key");
            assert!(public.contains(&subject[0]), "{shown}");
            if is_trusted {
                trusted += &format!("{key_kind} {key_blob}\n");
            }
        }
        self.know(&trusted);
    }

    /// What it says of itself.
    pub(crate) fn report(&self) -> HostReport {
        HostReport {
            names: vec![self.name.clone()],
            labels: Vec::new(),
            port: self.sshd.port,
            clock_ahead: 0,
            more: self.installed(),
        }
    }

    /// The lines about what is installed.
    fn installed(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (word, file) in [("user-ca", "user_ca.pub"), ("host-ca", "host_ca.pub")] {
            let path = self.dir.join(file);
            if std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
                let listed = keygen(&["-l", "-f"], &path);
                let fingerprints = listed.lines().filter_map(|line| line.split(' ').nth(1));
                lines.extend(fingerprints.map(|found| format!("{word} {found}")));
            }
        }
        lines.extend(self.serial().map(|serial| format!("certificate {serial}")));
        lines
    }

    /// The serial number of its host certificate.
    pub(crate) fn serial(&self) -> Option<String> {
        let serial = field(&self.certificate()?, "Serial: ");
        Some(serial.expect("a certificate has a number"))
    }

    /// Its host certificate, as `ssh-keygen -L` shows it.
    pub(crate) fn certificate(&self) -> Option<String> {
        let path = keys::with_suffix(&self.key(), "-cert.pub");
        path.exists().then(|| keygen(&["-L", "-f"], &path))
    }

    /// Installs what the proxy has answered; its `sshd` reads it if it is new.
    pub(crate) fn install(&self, world: &World, answer: &str) {
        assert!(answer.starts_with("rproxy-node 1\n"), "{answer}");
        assert!(answer.ends_with("\nend\n"), "{answer}");
        let all = |word: &str| {
            let lines = answer.lines().filter_map(|line| line.strip_prefix(word));
            let lines: Vec<_> = lines.map(|line| format!("{line}\n")).collect();
            lines.concat()
        };
        self.assert_named(&all("user-ca "), "user_ca.pub", "user-ca-proof ", answer);
        if self.known_hosts().exists() {
            self.assert_named(&all("host-ca "), "host_ca.pub", "successor ", answer);
        }
        let mut is_new = false;
        let certificate = keys::with_suffix(&self.key(), "-cert.pub");
        for (word, path) in [
            ("user-ca ", self.dir.join("user_ca.pub")),
            ("host-ca ", self.dir.join("host_ca.pub")),
            ("certificate ", certificate.clone()),
        ] {
            let new = all(word);
            let old = std::fs::read_to_string(&path).unwrap_or_default();
            if !new.is_empty() && new != old {
                // In one step, as the script does it: sshd reads it at each login.
                let beside = path.with_extension("new");
                write(&beside, &new);
                std::fs::rename(beside, path).expect("a writable directory");
                is_new = true;
            }
        }
        self.know(&all("host-ca "));
        if is_new {
            let line = format!("HostCertificate {}", certificate.display());
            self.sshd.set_line(&line);
            self.sshd.reload(&world.children);
        }
    }

    /// Each of these keys is in the file already, or a key of the host CA that the host knows names it, as the
    /// script on a host looks at it. A host that joins knows the keys that are in its script.
    fn assert_named(&self, keys: &str, file: &str, word: &str, answer: &str) {
        let known = std::fs::read_to_string(self.known_hosts()).unwrap_or_default();
        let known = known
            .lines()
            .filter_map(|line| line.strip_prefix("@cert-authority * "));
        let mut trusted: String = known.map(|key| format!("{key}\n")).collect();
        if trusted.is_empty() {
            let in_script = answer
                .lines()
                .filter_map(|line| line.strip_prefix("host-ca "));
            trusted = in_script.map(|key| format!("{key}\n")).collect();
        }
        let installed = std::fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        let is_installed = |key: &&str| installed.lines().any(|line| line == *key);
        for key in keys
            .lines()
            .filter(|key| !is_installed(key) && !trusted.contains(*key))
        {
            let mut lines = answer.lines().filter_map(|line| line.strip_prefix(word));
            let behind = format!(" {key}");
            let named = lines.find_map(|line| line.strip_suffix(behind.as_str()));
            let named = named.unwrap_or_else(|| panic!("nobody names {key}: {answer}"));
            let link = self.dir.join("link");
            write(&link, &format!("{named}\n"));
            let shown = keygen(&["-L", "-f"], &link);
            let signer = field(&shown, "Signing CA: ").expect("a certificate is signed");
            let mut trusted = fingerprints(&self.dir, &trusted).into_iter();
            assert!(trusted.any(|one| signer.contains(&one)), "{shown}");
            let public = field(&shown, "Public key: ").expect("a certificate has a key");
            let subject = fingerprints(&self.dir, &format!("{key}\n"));
            assert!(public.contains(&subject[0]), "{shown}");
            assert!(shown.contains("-ca-successor@rproxy") || shown.contains("user-ca@rproxy"));
        }
    }
}

impl World {
    /// A new token, from the command of administrators, with these further arguments.
    pub(crate) fn node_token(&self, more: &[&str]) -> String {
        let mut add = self.in_clock(self.rproxy());
        add.args(["tokens", "add", "--type=node", "--format=json"]);
        let added = keys::tool(add.args(more));
        let added: Value = serde_json::from_str(&added).expect("JSON");
        text(&added, "token").to_owned()
    }

    /// A host that has not joined yet.
    pub(crate) fn new_host(&self, name: &str) -> JoiningHost {
        let dir = self.dir().join(name);
        make_dir(&dir);
        keys::generate(&dir.join("host_key"));
        let sshd = Sshd::start(&self.children, &dir, name, "", "");
        let host = JoiningHost {
            name: name.to_owned(),
            sshd,
            dir,
        };
        if self.clock.is_some() {
            host.sshd.stop();
            self.start_sshd_again(&host);
        }
        host
    }

    /// Starts the `sshd` of a host again, with the clock of the world.
    pub(crate) fn start_sshd_again(&self, host: &JoiningHost) {
        host.sshd
            .start_again_with(&self.children, |sshd| match &self.clock {
                Some(clock) => sshd.env(PRELOAD, &clock.library),
                None => sshd,
            });
    }

    /// `ssh` of a host to the proxy, as whoever has the host key.
    pub(crate) fn host_ssh(&self, key: &Path) -> ClientCommand<'_> {
        self.host_ssh_as("join", key)
    }

    /// The same under another user name.
    pub(crate) fn host_ssh_as(&self, user: &str, key: &Path) -> ClientCommand<'_> {
        self.host_ssh_knowing(user, key, Some(&self.dir().join("known_hosts")))
    }

    /// The same of a host that knows the proxy by this file, or takes whoever answers.
    fn host_ssh_knowing(
        &self,
        user: &str,
        key: &Path,
        known_hosts: Option<&Path>,
    ) -> ClientCommand<'_> {
        let ssh = ClientCommand::new(&self.children, &programs::path("ssh"), self.dir());
        let ssh = match &self.clock {
            Some(clock) => ssh.env(PRELOAD, &clock.library),
            None => ssh,
        };
        let (known_hosts, strict) = match known_hosts {
            Some(file) => (file, "yes"),
            None => (Path::new("/dev/null"), "no"),
        };
        ssh.args(["-F", "none", "-T", "-o", "BatchMode=yes"])
            .args(["-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes"])
            .arg("-o")
            .arg(format!("StrictHostKeyChecking={strict}"))
            .args(["-o", "GlobalKnownHostsFile=/dev/null"])
            .args(["-o", "KexAlgorithms=-sntrup761*"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
            .arg("-i")
            .arg(key)
            .args(["-p", &self.port().to_string()])
            .arg(format!("{user}@127.0.0.1"))
    }

    /// The host wants to join, and says this of itself.
    pub(crate) fn join_as(
        &self,
        host: &JoiningHost,
        token: &str,
        report: &HostReport,
    ) -> ClientOutcome {
        let join = self.host_ssh(&host.key()).arg("join");
        join.stdin(report.lines(Some(token))).run()
    }

    /// A host that has joined with a token of its own, and has installed what the proxy has answered.
    pub(crate) fn joined_host(&self, name: &str, token: &[&str]) -> JoiningHost {
        let host = self.new_host(name);
        let token = self.node_token(token);
        let joined = self.join_as(&host, &token, &host.report()).success();
        host.install(self, &joined.text());
        host
    }

    /// The host sends a heartbeat with this report.
    pub(crate) fn heartbeat_as(&self, host: &JoiningHost, report: &HostReport) -> ClientOutcome {
        self.heartbeat_begins(host, report).finish()
    }

    /// The heartbeat is under way when this returns.
    pub(crate) fn heartbeat_begins(&self, host: &JoiningHost, report: &HostReport) -> Live {
        let own = host.known_hosts();
        let heartbeat = match own.exists() {
            true => self.host_ssh_knowing("join", &host.key(), Some(&own)),
            false => self.host_ssh(&host.key()),
        };
        let mut heartbeat = heartbeat.arg("heartbeat").start();
        heartbeat.feed(report.lines(None).into_bytes());
        heartbeat
    }

    /// The host sends a heartbeat, and installs what is new.
    pub(crate) fn heartbeat(&self, host: &JoiningHost) {
        self.heartbeats(std::slice::from_ref(host));
    }

    /// These hosts send heartbeats at the same time, and install what is new.
    pub(crate) fn heartbeats(&self, hosts: &[JoiningHost]) {
        let begins = |host: &JoiningHost| {
            let report = HostReport {
                clock_ahead: self.clock.as_ref().map_or(0, MovingClock::ahead),
                ..host.report()
            };
            self.heartbeat_begins(host, &report)
        };
        let begun: Vec<_> = hosts.iter().map(begins).collect();
        for (host, heartbeat) in hosts.iter().zip(begun) {
            let answer = heartbeat.finish().success();
            host.install(self, &answer.text());
        }
    }

    /// The tunnel that a host keeps open, until it is dropped.
    pub(crate) fn tunnel(&self, host: &JoiningHost) -> Live {
        self.tunnel_at(host, 22)
    }

    /// The same, with another port for the end at the proxy.
    pub(crate) fn tunnel_at(&self, host: &JoiningHost, port: u16) -> Live {
        let tunnel = self.host_ssh(&host.key()).args(["-N", "-R"]);
        let tunnel = tunnel.arg(format!("{port}:127.0.0.1:{}", host.sshd.port));
        let tunnel = tunnel.args(["-o", "ExitOnForwardFailure=yes"]);
        tunnel.start()
    }

    /// What `nodes ls` says of a node, if it lists it.
    pub(crate) fn listed_node(&self, name: &str) -> Option<Value> {
        let mut ls = self.in_clock(self.rproxy());
        let listed = keys::tool(ls.args(["nodes", "ls", "--format=json"]));
        let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
        listed.into_iter().find(|node| node["name"] == name)
    }

    /// Runs a command of administrators about nodes, which must succeed.
    pub(crate) fn about_nodes(&self, args: &[&str]) -> String {
        keys::tool(self.in_clock(self.rproxy()).arg("nodes").args(args))
    }

    /// The library that gives a program the clock of the world, which has one that moves.
    pub(crate) fn clock_library(&self) -> &Path {
        &self.clock.as_ref().expect("it moves").library
    }

    /// A command, with the clock of the world.
    pub(crate) fn in_clock(&self, mut command: Command) -> Command {
        if let Some(clock) = &self.clock {
            command.env(PRELOAD, &clock.library);
        }
        command
    }
}

/// The fingerprints of keys, a line for each, with the help of a file in this directory.
fn fingerprints(dir: &Path, keys: &str) -> Vec<String> {
    let file = dir.join("keys");
    write(&file, keys);
    let listed = keygen(&["-l", "-f"], &file);
    let found = listed.lines().filter_map(|line| line.split(' ').nth(1));
    found.map(str::to_owned).collect()
}

fn keygen(args: &[&str], path: &Path) -> String {
    keys::tool(
        Command::new(programs::path("ssh-keygen"))
            .args(args)
            .arg(path),
    )
}

/// What follows a word in what `ssh-keygen -L` shows.
fn field(shown: &str, word: &str) -> Option<String> {
    let mut lines = shown.lines().map(str::trim);
    let found = lines.find_map(|line| line.strip_prefix(word))?;
    Some(found.to_owned())
}
