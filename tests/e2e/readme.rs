//! The README is true: its commands run in their order, and its configuration is accepted. That its
//! tests exist is `documents::every_named_test_exists`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::documents::{self, Block, root};
use crate::support::agent::Agent;
use crate::support::children::Children;
use crate::support::one_time::CodeGenerator;
use crate::support::proxy::{ProxyProcess, rproxy};
use crate::support::sshd::Sshd;
use crate::support::terminal::Terminal;
use crate::support::world::login;
use crate::support::{keys, programs};

/// Commands that this test does not run: `tests/run.sh` runs the demo, developers run `tests/run.sh`
/// and cargo, and `tests/join_script` runs the script of hosts below a directory of its own.
const RUN_ELSEWHERE: &[&str] = &[
    "contrib/demo.sh",
    "tests/run.sh",
    "cargo build --release",
    "sh join.sh",
];

#[test]
fn the_first_screen_has_both_commands() {
    let first: Vec<_> = readme().lines().take(40).map(str::to_owned).collect();
    for command in ["$ contrib/demo.sh", "$ tests/run.sh"] {
        assert!(first.iter().any(|line| line == command), "{command}");
    }
    let run = std::fs::read_to_string(root().join("tests/run.sh")).expect("it is there");
    assert!(run.contains("contrib/demo.sh --once"));
}

#[test]
fn every_configuration_is_accepted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut count = 0;
    for block in blocks().iter().filter(|block| block.kind == "yaml") {
        let file = dir.path().join("rproxy.yaml");
        std::fs::write(&file, &block.text).expect("a writable directory");
        keys::tool(rproxy(&file).args(["serve", "--print-config"]));
        count += 1;
    }
    assert_eq!(count, 2);
}

/// Every command of the README, on one machine: only addresses, the port and names that a reader
/// would fill in are replaced.
#[test]
fn the_quick_start_works() {
    let place = Place::new();
    let mut proxy = None;
    let mut host = None;
    let mut shown = String::new();
    for block in blocks() {
        match block.kind.as_str() {
            "yaml" if host.is_none() => {
                place.write_host_key();
                place.configure(&block.text);
            }
            "sshd_config" => {
                for word in block.text.split_whitespace() {
                    if let Some(name) = word.strip_prefix("/etc/ssh/") {
                        assert!(place.made_as(name).is_file(), "{name} was not made");
                    }
                }
                host = Some(place.start_host(&block.text));
            }
            "console" => {
                for command in commands(&block) {
                    if RUN_ELSEWHERE.contains(&command) {
                        continue;
                    }
                    if command.ends_with(" serve") {
                        // started once the address of the host is known
                        continue;
                    }
                    if let (Some(host), None) = (&host, &proxy) {
                        proxy = Some(place.start_proxy(host));
                    }
                    let port = proxy
                        .as_ref()
                        .map(|proxy: &ProxyProcess| proxy.address.port());
                    shown = place.run(command, port);
                }
            }
            _ => {}
        }
    }
    assert!(shown.contains("logged in"), "the last replay: {shown}");
    assert!(proxy.is_some());
}

/// A directory with the files that the README's commands name.
struct Place {
    /// Alice's, with her key in it.
    agent: Agent,
    children: Children,
    dir: tempfile::TempDir,
}

/// What the reader answers to the questions of `rproxy init`; `DATA` is the data directory.
const ANSWERS: [(&str, &str); 6] = [
    ("Name of the cluster", "example.com"),
    ("Public address of the proxy", "127.0.0.1:3023"),
    ("Directory", "DATA"),
    ("local, oidc or certificate", ""),
    ("first administrator", "carol"),
    ("Go on", ""),
];
/// Alice's password.
const PASSWORD: &str = "a long and dull password";

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rp-")
            .tempdir_in("/tmp")
            .expect("a directory in /tmp");
        let children = Children::new(std::time::Duration::from_secs(120));
        let place = Self {
            agent: Agent::start(&children, &dir.path().join("agent")),
            children,
            dir,
        };
        place.write_user_keys();
        place.write_ssh_config("");
        std::fs::create_dir(place.dir().join("bin")).expect("a writable directory");
        let config = place.dir().join("ssh_config");
        let ssh = programs::path("ssh");
        place.program("ssh", &format!("{} -F {}", ssh.display(), config.display()));
        place.program("rproxy", env!("CARGO_BIN_EXE_rproxy"));
        place.program("asciinema", &programs::asciinema().display().to_string());
        place
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn config(&self) -> PathBuf {
        self.dir().join("rproxy.yaml")
    }

    /// Puts a program into the reader's `PATH`.
    fn program(&self, name: &str, command: &str) {
        let path = self.dir().join("bin").join(name);
        programs::put_script(&format!("#!/bin/sh\nexec {command} \"$@\"\n"), &path);
    }

    /// `ssh` as the reader has it, but with a configuration of its own instead of `~/.ssh`, at the top
    /// of which is this block.
    fn write_ssh_config(&self, block: &str) {
        let text = format!(
            "{block}\nHost *\n    IdentityFile none\n    StrictHostKeyChecking yes\n    \
             UserKnownHostsFile /dev/null\n    GlobalKnownHostsFile /dev/null\n"
        );
        std::fs::write(self.dir().join("ssh_config"), text).expect("a writable directory");
    }

    /// Puts the README's sections into the file that `rproxy init` has written, which has them at its
    /// end: mostly as comments.
    fn configure(&self, yaml: &str) {
        let made = std::fs::read_to_string(self.config()).expect("`rproxy init` has written it");
        let (before, _) = made.split_once("# The hosts.").expect("the sections");
        let yaml = yaml.replace("deploy", &login());
        let text = format!("{before}{yaml}").replace("0.0.0.0:3023", "127.0.0.1:0");
        std::fs::write(self.config(), text).expect("a writable directory");
    }

    /// The host's key, and its public half, which is copied to the proxy.
    fn write_host_key(&self) {
        let dir = self.dir().join("host");
        std::fs::create_dir(&dir).expect("a writable directory");
        keys::generate(&dir.join("host_key"));
        std::fs::copy(dir.join("host_key.pub"), self.dir().join("db1.pub")).expect("it was made");
    }

    /// The file that the README copies to this name in `/etc/ssh` of the host.
    fn made_as(&self, name: &str) -> PathBuf {
        self.dir().join(match name {
            "ssh_host_ed25519_key-cert.pub" => "db1-cert.pub",
            other => other,
        })
    }

    /// The host, with the README's lines in front of its own configuration and the files that the
    /// commands have made.
    fn start_host(&self, lines: &str) -> Sshd {
        let dir = self.dir().join("host");
        assert!(
            !lines.contains("HostKey "),
            "the host keeps its keys: {lines}"
        );
        std::fs::copy(
            self.made_as("ssh_host_ed25519_key-cert.pub"),
            dir.join("host_key-cert.pub"),
        )
        .expect("it was made");
        let authority =
            std::fs::read_to_string(self.made_as("rproxy_user_ca.pub")).expect("it was exported");
        Sshd::start(&self.children, &dir, "db1", &authority, "")
    }

    /// The users' keys. Alice's is in her agent; Bob sends the public half of his.
    fn write_user_keys(&self) {
        for user in ["alice", "bob"] {
            keys::generate(&self.dir().join(user));
        }
        self.agent.add(&self.dir().join("alice"));
    }

    fn start_proxy(&self, host: &Sshd) -> ProxyProcess {
        let config = std::fs::read_to_string(self.config()).expect("it was written");
        let config = config.replace("10.0.0.5:22", &format!("127.0.0.1:{}", host.port));
        std::fs::write(self.config(), config).expect("a writable directory");
        let log = self.dir().join("rproxy.log");
        ProxyProcess::start(&self.children, &self.config(), &log, None)
    }

    /// Runs one command as its reader would; it must succeed. Returns its output.
    fn run(&self, command: &str, port: Option<u16>) -> String {
        let mut command = command
            .replace("proxy.example.com", "127.0.0.1")
            .replace("deploy", &login());
        if let Some(port) = port {
            command = command
                .replace("-p 3023", &format!("-p {port}"))
                .replace(":3023", &format!(":{port}"));
        }
        if let Some((_, file)) = self.recording() {
            command = command.replace("FILE", &file.display().to_string());
        }
        if command.contains("SERIAL") {
            let issued = std::fs::read_to_string(self.dir().join("data/issued.jsonl"));
            command = command.replace("SERIAL", &serial_of(&issued.expect("a ledger"), "bob"));
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.dir().join("bin");
        let mut bash = Command::new(programs::path("bash"));
        bash.args(["-o", "pipefail", "-c", &command])
            .current_dir(self.dir())
            .env_clear()
            .env("HOME", self.dir())
            // where the README has /etc/rproxy/rproxy.yaml
            .env("RPROXY_CONFIG", self.config())
            .env("TERM", "xterm-256color")
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("SSH_AUTH_SOCK", &self.agent.socket);
        // At a terminal, as the reader runs it.
        let mut terminal = Terminal::start(&self.children, bash, 60, 120);
        if command == "rproxy init" {
            self.answer(&mut terminal);
        } else if command.contains(" signup@") {
            self.sign_up(&mut terminal);
        } else if command.starts_with("ssh ") {
            terminal.type_in("echo lo''gged in; exit\r");
        }
        if command.contains(" auth revoke ") && !command.contains(" --yes") {
            terminal.expect("[y/N]");
            terminal.type_in("y\r");
        }
        let (code, shown) = terminal.finish();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert_eq!(code, Some(0), "{command}: {shown}");
        // Alice gets what these print.
        if command.starts_with("rproxy users add ") {
            let invitation = shown.lines().rfind(|line| !line.trim().is_empty());
            let invitation = invitation.expect("an invitation").trim();
            std::fs::write(self.dir().join("invitation"), invitation).expect("a writable place");
        } else if command == "rproxy config" {
            let port = port.expect("the proxy runs");
            let block = shown.replace("\r\n", "\n");
            self.write_ssh_config(&block.replace("-p 3023", &format!("-p {port}")));
        }
        shown
    }

    fn answer(&self, terminal: &mut Terminal) {
        let data = self.dir().join("data").display().to_string();
        for (question, answer) in ANSWERS {
            terminal.expect(question);
            terminal.type_in(&format!("{}\r", answer.replace("DATA", &data)));
        }
    }

    fn sign_up(&self, terminal: &mut Terminal) {
        let invitation = std::fs::read_to_string(self.dir().join("invitation"));
        terminal.expect("rproxy example.com: invitation: ");
        terminal.type_in(&format!("{}\r", invitation.expect("it was sent")));
        for question in ["new password: ", "the same again: "] {
            terminal.answer_hidden(question, &format!("{PASSWORD}\r"));
        }
        terminal.expect("otpauth://");
        let authenticator = CodeGenerator::scan(&terminal.expect("\r\n"));
        terminal.expect("code for alice: ");
        terminal.type_in(&format!("{}\r", authenticator.code()));
        terminal.expect("press Enter when you have stored them: ");
        terminal.type_in("\r");
        terminal.expect("you are alice");
    }

    /// The recording, as soon as there is one.
    fn recording(&self) -> Option<(String, PathBuf)> {
        let file = keys::files(&self.dir().join("data"))
            .into_iter()
            .find(|path| path.to_string_lossy().ends_with(".cast.zst"))?;
        let name = file.file_name()?.to_str()?;
        let id = name.strip_suffix(".cast.zst")?.to_owned();
        Some((id, file))
    }
}

/// The serial of a user's newest certificate.
pub(crate) fn serial_of(ledger: &str, key_id: &str) -> String {
    let records = ledger
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let newest = records.rev().find(|record| record["key_id"] == key_id);
    let serial = &newest.expect("a certificate")["serial"];
    serial
        .as_str()
        .map_or_else(|| serial.to_string(), str::to_owned)
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("it is there")
}

fn blocks() -> Vec<Block> {
    documents::blocks(&readme())
}

fn commands(block: &Block) -> impl Iterator<Item = &str> {
    block
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
}
