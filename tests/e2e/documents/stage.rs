//! Where the commands of documents are run: a proxy, the hosts `db1` and `web1`, and Alice, on loopback,
//! with files below one directory in place of `/etc`, `/usr`, `/var` and homes.
//!
//! All programs are real, except systemd: `systemctl reload ssh` sends the signal that systemd
//! would send, and `journalctl` prints the log of sshd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::root;
use crate::nodes::debian::DebianHost;
use crate::support::agent::Agent;
use crate::support::children::{Children, Running};
use crate::support::ports::free_port;
use crate::support::proxy::{self, ProxyProcess};
use crate::support::sshd::Sshd;
use crate::support::terminal::Terminal;
use crate::support::world::login;
use crate::support::{keys, programs};

/// Where a command is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StageMachine {
    Proxy,
    Alice,
    Db1,
    /// A host that joins.
    Db2,
}

impl StageMachine {
    /// By the word before the `$`; without a word, it is the machine of the proxy.
    pub(super) fn of(prompt: &str) -> Option<Self> {
        match prompt {
            "" | "proxy" => Some(Self::Proxy),
            "alice" => Some(Self::Alice),
            "db1" => Some(Self::Db1),
            "db2" => Some(Self::Db2),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Alice => "alice",
            Self::Db1 => "db1",
            Self::Db2 => "db2",
        }
    }
}

/// Answers to questions of commands: the beginning of the command, then question and answer.
const ANSWERS: &[(&str, &[(&str, &str)])] = &[
    (
        "rproxy init",
        &[
            ("Name of the cluster", "example.com\r"),
            ("Public address of the proxy", "proxy.example.com:3023\r"),
            ("Directory", "/var/lib/rproxy\r"),
            ("local, oidc or certificate", "\r"),
            ("first administrator", "carol\r"),
            ("Go on", "\r"),
        ],
    ),
    (
        "ssh-keygen -t",
        &[("Enter passphrase", "\r"), ("same passphrase", "\r")],
    ),
    ("ssh deploy@db1", &[("", "echo lo''gged in; exit\r")]),
    ("rproxy auth revoke", &[("[y/N]", "y\r")]),
    (
        "softhsm2-util --init-token",
        &[
            ("enter SO PIN", "1234\r"),
            ("reenter SO PIN", "1234\r"),
            ("enter user PIN", "1234\r"),
            ("reenter user PIN", "1234\r"),
        ],
    ),
    ("pkcs11-tool", &[("enter User PIN", "1234\r")]),
    (
        "SSH_AUTH_SOCK=/run/rproxy/agent ssh-add -s",
        &[("Enter passphrase", "1234\r")],
    ),
];

/// Where distributions put the library of `SoftHSM2`; the documents name Debian's.
const SOFTHSM: &[&str] = &[
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// Its fields are dropped in this order.
pub(super) struct Stage {
    proxy: Option<ProxyProcess>,
    /// What runs in the background.
    running: Vec<Running>,
    agent: Agent,
    hosts: [Sshd; 2],
    /// A whole host, from the first command that is typed there on; `None` where there can be none.
    db2: Option<Option<DebianHost>>,
    /// The last token that was made.
    token: String,
    /// Where the proxy will listen.
    port: u16,
    children: Children,
    dir: tempfile::TempDir,
}

const HOSTS: [&str; 2] = ["db1", "web1"];

impl Stage {
    /// Hosts that are not set up for the proxy yet, and a source tree that was built.
    pub(super) fn empty() -> Self {
        let children = Children::new(Duration::from_secs(300));
        let dir = tempfile::Builder::new()
            .prefix("rp-")
            .tempdir_in("/tmp")
            .expect("a directory in /tmp");
        let at = |path: &str| dir.path().join(path);
        for path in [
            "proxy/target/release",
            "alice/.ssh",
            "db1",
            "web1",
            "bin",
            "etc/rproxy",
            "etc/ssh",
            "run/rproxy",
            "usr/local/bin",
            "root",
            "tokens",
        ] {
            std::fs::create_dir_all(at(path)).expect("a writable directory");
        }
        let hosts = HOSTS.map(|name| {
            let place = at(name);
            keys::generate(&place.join("host_key"));
            let settings = format!(
                "PidFile {0}/pid\nSubsystem sftp internal-sftp -d {0}\n",
                place.display()
            );
            Sshd::start(&children, &place, name, "", &settings)
        });
        let stage = Self {
            proxy: None,
            running: Vec::new(),
            agent: Agent::start(&children, &at("alice/agent")),
            hosts,
            db2: None,
            token: String::new(),
            port: free_port(),
            children,
            dir,
        };
        stage.lay_out();
        stage
    }

    /// The same, with a configuration.
    pub(super) fn configured() -> Self {
        let stage = Self::empty();
        stage.configure(
            "cluster_name: example.com\n\
             proxy_service:\n  listen_addr: 0.0.0.0:3023\n  public_addr: proxy.example.com:3023\n\
             nodes:\n  - { name: db1, addr: \"10.0.0.5:22\", labels: { env: prod } }\n",
        );
        stage
    }

    /// The same, with the proxy running, and with the public keys of Alice and of `db1`.
    pub(super) fn serving() -> Self {
        let mut stage = Self::configured();
        stage.run(StageMachine::Proxy, "rproxy serve", &[]);
        let key = stage.at("alice/.ssh/id_ed25519");
        keys::generate(&key);
        stage.copy("alice/.ssh/id_ed25519.pub", "proxy/alice.pub");
        stage.copy("db1/host_key.pub", "proxy/db1.pub");
        stage
    }

    /// A running cluster with a recorded session.
    pub(super) fn enrolled() -> Self {
        let mut stage = Self::serving();
        for (machine, command) in [
            (
                StageMachine::Proxy,
                "rproxy host setup --host=db1 --public-key=db1.pub --out-dir=/etc/ssh/rproxy-db1",
            ),
            (
                StageMachine::Proxy,
                "rproxy auth sign --user=alice --logins=deploy --public-key=alice.pub",
            ),
            (StageMachine::Proxy, "rproxy config > rproxy.ssh_config"),
            (StageMachine::Alice, "ssh-add ~/.ssh/id_ed25519"),
            (StageMachine::Alice, "ssh deploy@db1 true"),
        ] {
            stage.run(machine, command, &[]);
            stage.afterwards(command);
        }
        stage
    }

    /// A running cluster whose only host has joined, and reports; `None` where there can be no such host.
    pub(super) fn joined() -> Option<Self> {
        let mut stage = Self::empty();
        stage.configure(
            "cluster_name: example.com\n\
             proxy_service:\n  listen_addr: 0.0.0.0:3023\n  public_addr: proxy.example.com:3023\n",
        );
        for (machine, command) in [
            (StageMachine::Proxy, "rproxy serve"),
            (
                StageMachine::Proxy,
                "rproxy tokens add --type=node --names=db2",
            ),
            (StageMachine::Proxy, "rproxy nodes script > join.sh"),
            (StageMachine::Db2, "sh join.sh"),
        ] {
            stage.run(machine, command, &[]);
        }
        // In place of cron, and more often.
        let mut reports = stage.db2()?.command("sh");
        reports
            .args([
                "-c",
                "while sleep 2; do sh /etc/ssh/rproxy/node.sh heartbeat; done",
            ])
            .stdin(Stdio::null());
        stage.running.push(stage.children.spawn(&mut reports));
        Some(stage)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn copy(&self, from: &str, to: &str) {
        std::fs::copy(self.at(from), self.at(to)).expect("it is there, and there is room");
    }

    /// Creates the files that a machine has before the first command.
    fn lay_out(&self) {
        let link = |from: &Path, to: &str| {
            std::os::unix::fs::symlink(from, self.at(to)).expect("a writable directory");
        };
        let rproxy = Path::new(env!("CARGO_BIN_EXE_rproxy"));
        link(rproxy, "proxy/target/release/rproxy");
        link(rproxy, "usr/local/bin/rproxy");
        for tree in ["completions", "contrib", "man"] {
            link(&root().join(tree), &format!("proxy/{tree}"));
        }
        // Programs as they are, with a configuration of the stage in place of ~/.ssh.
        let config = self.at("alice/ssh_config");
        for name in ["ssh", "scp", "sftp"] {
            let path = programs::path(name);
            self.program(name, &format!("{} -F {}", path.display(), config.display()));
        }
        let sshd = programs::path("sshd");
        let settings = self.at("db1/sshd_config");
        self.program(
            "sshd",
            &format!("{} -f {}", sshd.display(), settings.display()),
        );
        let asciinema = programs::asciinema();
        self.program("asciinema", &asciinema.display().to_string());
        let script =
            "case \"$*\" in 'reload ssh') kill -HUP \"$(cat db1/pid)\" ;; *) exit 1 ;; esac; :";
        let script = script.replace("db1/pid", &self.at("db1/pid").display().to_string());
        self.program(
            "systemctl",
            &format!("sh -c '{}' sh", script.replace('\'', "'\\''")),
        );
        // The journal of `db1` has what its sshd has logged.
        let log = self.at("db1/sshd.log");
        let entry = "{MESSAGE: ., _PID: \"1\", _UID: \"0\", __REALTIME_TIMESTAMP: (now * 1000000 | floor | tostring)}";
        let script = format!("jq -Rc '{entry}' {}; :", log.display());
        self.program(
            "journalctl",
            &format!("sh -c '{}' sh", script.replace('\'', "'\\''")),
        );
        let text = format!(
            "Include {}\nBatchMode yes\nIdentityFile none\nStrictHostKeyChecking yes\n\
             UserKnownHostsFile /dev/null\nGlobalKnownHostsFile /dev/null\n",
            self.at("alice/.ssh/config").display()
        );
        write(&config, &text);
        write(&self.at("alice/notes.txt"), "a note\n");
        write(
            &self.at("softhsm2.conf"),
            &format!("directories.tokendir = {}\n", self.at("tokens").display()),
        );
        keys::generate(&self.at("ca"));
    }

    /// Puts a program into the `PATH` of all machines.
    fn program(&self, name: &str, command: &str) {
        let path = self.at("bin").join(name);
        programs::put_script(&format!("#!/bin/sh\nexec {command} \"$@\"\n"), &path);
    }

    /// A text of a document with the places of the stage.
    fn here(&self, text: &str) -> String {
        let library = SOFTHSM
            .iter()
            .find_map(|path| std::fs::canonicalize(path).ok())
            .unwrap_or_default();
        let dir = self.dir.path().display();
        let port = self.port;
        let mut text = text.replace(SOFTHSM[0], "LIBRARY");
        for (there, here) in [
            ("/etc/", format!("{dir}/etc/")),
            ("/run/", format!("{dir}/run/")),
            ("/root/", format!("{dir}/root/")),
            ("/usr/", format!("{dir}/usr/")),
            ("/var/lib/rproxy", format!("{dir}/data")),
            ("/path/to/ca", format!("{dir}/ca")),
            ("LIBRARY", library.display().to_string()),
            ("0.0.0.0:3023", format!("127.0.0.1:{port}")),
            ("proxy.example.com:3023", format!("127.0.0.1:{port}")),
            (
                "proxy.example.com port 3023",
                format!("127.0.0.1 port {port}"),
            ),
            ("10.0.0.5:22", format!("127.0.0.1:{}", self.hosts[0].port)),
            ("10.0.0.6:22", format!("127.0.0.1:{}", self.hosts[1].port)),
            ("deploy", login()),
        ] {
            text = text.replace(there, &here);
        }
        if let Some((id, file)) = self.recording() {
            text = text
                .replace(" ID", &format!(" {id}"))
                .replace("FILE", &file.display().to_string());
        }
        text
    }

    /// A whole configuration is written to its file; only the first one of a document. Sections
    /// that it lacks are added, unless they name a key that only the text has.
    pub(super) fn configure(&self, yaml: &str) {
        if yaml.contains("SHA256:") {
            return;
        }
        let path = self.at("etc/rproxy/rproxy.yaml");
        let yaml = self.here(yaml);
        let Ok(so_far) = std::fs::read_to_string(&path) else {
            let data = self.at("data");
            let where_data_is = match yaml.contains("data_dir:") {
                true => String::new(),
                false => format!("data_dir: {}\n", data.display()),
            };
            write(&path, &format!("{where_data_is}{yaml}"));
            return;
        };
        let sections = yaml
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
        let mut sections = sections.filter_map(|line| line.split_once(':'));
        let is_new = |name: &str| !so_far.contains(&format!("\n{name}:"));
        if sections.all(|(name, _)| is_new(name)) {
            write(&path, &format!("{so_far}{yaml}"));
        }
    }

    /// Runs a command as its reader would, at a terminal. It must succeed, or show what the text shows, except
    /// for places of files.
    pub(super) fn run(&mut self, machine: StageMachine, command: &str, expected: &[String]) {
        if command == "rproxy serve" {
            let mut serve = proxy::rproxy(&self.at("etc/rproxy/rproxy.yaml"));
            let log = self.at("rproxy.log");
            let proxy = ProxyProcess::run(&self.children, &mut serve, &log);
            self.program("pgrep", &format!("echo {}; :", proxy.pid()));
            self.proxy = Some(proxy);
            return;
        }
        if machine == StageMachine::Db2 {
            self.run_on_db2(command, expected);
            return;
        }
        let mut bash = Command::new(programs::path("bash"));
        let paths = ["bin", "usr/local/bin"].map(|path| self.at(path).display().to_string());
        bash.env_clear()
            .env("HOME", self.at(machine.name()))
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env(
                "PATH",
                format!(
                    "{}:{}:/usr/sbin:/sbin",
                    paths.join(":"),
                    std::env::var("PATH").unwrap_or_default()
                ),
            )
            .env("RPROXY_CONFIG", self.at("etc/rproxy/rproxy.yaml"))
            .env("SOFTHSM2_CONF", self.at("softhsm2.conf"))
            .current_dir(self.at(machine.name()));
        if machine == StageMachine::Alice {
            bash.env("SSH_AUTH_SOCK", &self.agent.socket);
        }
        let line = self.here(command);
        if let Some(arguments) = line.strip_prefix("ssh-agent ") {
            // It is a child of the test, and ends with it.
            bash.args(["-c", &format!("exec ssh-agent -D {arguments}")])
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            self.running.push(self.children.spawn(&mut bash));
            let socket = self.at("run/rproxy/agent");
            let listens = || std::os::unix::net::UnixStream::connect(&socket).ok();
            self.children
                .eventually(listens)
                .expect("the agent listens");
            return;
        }
        bash.args(["-o", "pipefail", "-c", &line]);
        let mut terminal = Terminal::start(&self.children, bash, 30, 120);
        let is_asked = |(beginning, _): &&(&str, _)| {
            // A session with a command asks no question.
            command == *beginning || !beginning.ends_with("@db1") && command.starts_with(beginning)
        };
        for (question, answer) in ANSWERS
            .iter()
            .find(is_asked)
            .map_or(&[][..], |(_, all)| all)
        {
            if question.contains("PIN") || question.contains("passphrase") {
                terminal.answer_hidden(question, answer);
                continue;
            }
            if !question.is_empty() {
                terminal.expect(question);
            }
            terminal.type_in(&self.here(answer));
        }
        let (code, shown) = terminal.finish();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        let succeeded = code == Some(0) || !expected.is_empty();
        assert!(succeeded, "{command}: {code:?}\n{shown}\n{}", self.logs());
        if let Some(token) = shown
            .split_whitespace()
            .find(|word| word.starts_with("rpt_"))
        {
            token.clone_into(&mut self.token);
        }
        self.shows(command, &shown, expected);
    }

    /// Whether a command shows what the text shows.
    fn shows(&self, command: &str, shown: &str, expected: &[String]) {
        for line in expected.iter().filter(|line| !line.contains('/')) {
            assert!(
                shown.contains(&self.here(line)),
                "{line}: {command}: {shown}"
            );
        }
    }

    /// The host that joins, with the script that was copied to it.
    fn db2(&mut self) -> Option<&DebianHost> {
        let made = self.db2.take().unwrap_or_else(|| {
            let mut host = DebianHost::new(&self.children, "bookworm")?;
            host.start_sshd(&self.children);
            let script = std::fs::read_to_string(self.at("proxy/join.sh"));
            host.write("/root/join.sh", &script.expect("it was made before"));
            Some(host)
        });
        self.db2.insert(made).as_ref()
    }

    /// Runs a command as root of that host, who says yes, and has the token.
    fn run_on_db2(&mut self, command: &str, expected: &[String]) {
        let token = format!("{}\r", self.token);
        let Some(host) = self.db2() else { return };
        let mut shell = host.command("sh");
        shell.args(["-c", &format!("cd && {command}")]);
        let mut terminal = Terminal::start(&self.children, shell, 30, 120);
        for (question, answer) in [("[y/N] ", "y\r"), ("Token: ", &token)] {
            if question.starts_with('[') {
                terminal.expect(question);
                terminal.type_in(answer);
            } else if command.ends_with("join.sh") {
                terminal.answer_hidden(question, answer);
            }
        }
        let (code, shown) = terminal.finish();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert_eq!(code, Some(0), "{command}: {shown}\n{}", self.logs());
        self.shows(command, &shown, expected);
    }

    fn logs(&self) -> String {
        let proxy = self
            .proxy
            .as_ref()
            .map(ProxyProcess::log)
            .unwrap_or_default();
        format!("==== rproxy\n{proxy}\n==== db1\n{}", self.hosts[0].log())
    }

    /// Does what the text asks for after a command: copies files, adds lines to configurations.
    pub(super) fn afterwards(&self, command: &str) {
        if command.starts_with("rproxy host setup --host=") {
            for host in HOSTS {
                let directory = format!("/etc/ssh/rproxy-{host}");
                if command.contains(&directory) {
                    self.settings(
                        host,
                        &self.here(&format!("Include {directory}/rproxy.conf\n")),
                    );
                }
            }
            if command.contains("--public-key") {
                self.hosts[0].reload(&self.children);
            }
        } else if command.starts_with("rproxy auth sign --host=db1") {
            self.copy("proxy/db1-cert.pub", "etc/ssh/db1-cert.pub");
            self.copy("proxy/user_cas.pub", "etc/ssh/user_cas.pub");
            self.settings(
                "db1",
                &self.here("HostCertificate /etc/ssh/db1-cert.pub\nTrustedUserCAKeys /etc/ssh/user_cas.pub\n"),
            );
            self.hosts[0].reload(&self.children);
        } else if command.starts_with("journalctl -o json") {
            self.copy("db1/sshd.json", "proxy/sshd.json");
        } else if command.starts_with("sshd -t && systemctl reload") {
            // The same is done on the other host.
            self.hosts[1].reload(&self.children);
        } else if command.starts_with("ssh-keygen -t") {
            self.copy("alice/.ssh/id_ed25519.pub", "proxy/alice.pub");
        } else if command.starts_with("rproxy auth sign --user=alice") {
            self.copy("proxy/alice-cert.pub", "alice/.ssh/id_ed25519-cert.pub");
        } else if command.starts_with("rproxy config >") {
            self.copy("proxy/rproxy.ssh_config", "alice/.ssh/config");
        }
    }

    /// Puts lines at the top of a host's configuration.
    fn settings(&self, host: &str, lines: &str) {
        let path = self.at(host).join("sshd_config");
        let so_far = std::fs::read_to_string(&path).expect("sshd runs with it");
        write(&path, &format!("{lines}{so_far}"));
    }

    /// The id of a recording, as soon as there is one.
    fn recording(&self) -> Option<(String, PathBuf)> {
        let file = keys::files(&self.at("data"))
            .into_iter()
            .find(|path| path.to_string_lossy().ends_with(".cast.zst"))?;
        let name = file.file_name()?.to_str()?;
        let id = name.strip_suffix(".cast.zst")?.to_owned();
        Some((id, file))
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a writable directory");
}
