//! A whole Debian as a host, with OpenSSH and nothing of ours: one command makes it a node, and one removes
//! everything again.
//!
//! The host is a root that `tests/openssh.sh --host` has unpacked, in a mount namespace in which `/etc` and
//! what else is written is the test's own. It has neither systemd nor a running cron: the tests do what
//! these would do. `tests/join_script` has everything that goes wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::children::{Children, Running};
use crate::support::clock::PRELOAD;
use crate::support::ports::free_port;
use crate::support::recordings::text;
use crate::support::{World, keys, programs, skipped};

/// Makes the host's own directories, says so, and waits for the end of its input.
const KEEPER: &str = "\
mount --bind \"$0\" \"$1\"\n\
mount -o remount,bind,ro \"$1\"\n\
for directory in etc root run tmp home; do\n\
    mount -t tmpfs none \"$1/$directory\"\n\
    cp -a \"$0/$directory/.\" \"$1/$directory/\"\n\
done\n\
for directory in proc dev; do mount --rbind \"/$directory\" \"$1/$directory\"; done\n\
echo ready\n\
exec cat >/dev/null";

/// What is in `/etc`: every file with its mode, owner and content.
const TREE: &str = "\
cd /etc && find . -printf '%p %y %m %u %g %l\\n' | sort && find . -type f -exec sha256sum {} + | sort";

/// A host.
pub(super) struct DebianHost {
    keeper: Running,
    place: tempfile::TempDir,
    sshd: Option<Running>,
    port: u16,
    /// The library that moves the clock of its programs.
    clock: Option<PathBuf>,
}

impl DebianHost {
    /// `None` where there can be none.
    pub(super) fn new(children: &Children, suite: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("target/tools/hosts")
            .join(suite);
        if !crate::support::namespace::may_mount() {
            skipped::cannot("only root has hosts of its own");
            return None;
        }
        if !root.join("etc/ssh/sshd_config").is_file() {
            skipped::lacks(&format!("a host of Debian's {suite}"));
            return None;
        }
        let place = tempfile::Builder::new().prefix("rp-").tempdir_in("/tmp");
        let place = place.expect("a directory in /tmp");
        let mut keeper = Command::new(programs::path("unshare"));
        keeper
            .args(["--mount", "sh", "-ec", KEEPER])
            .arg(std::fs::canonicalize(&root).expect("it is there"))
            .arg(place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut keeper = children.spawn(&mut keeper);
        let mut said = [0; 6];
        let stdout = keeper.child.stdout.as_mut().expect("it is piped");
        std::io::Read::read_exact(stdout, &mut said).expect("the host is made");
        let host = Self {
            keeper,
            place,
            sshd: None,
            port: free_port(),
            clock: None,
        };
        // The rest is as Debian has it. Here, PAM cannot note who has logged in.
        let settings = format!(
            "Port {}\nListenAddress 127.0.0.1\nUsePAM no\nPermitRootLogin prohibit-password\n",
            host.port
        );
        host.write("/etc/ssh/sshd_config.d/test.conf", &settings);
        host.shell("mkdir -p /run/sshd /etc/cron.d");
        Some(host)
    }

    /// A program of the host.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(programs::path("nsenter"));
        let keeper = self.keeper.child.id();
        command
            .arg(format!("--mount=/proc/{keeper}/ns/mnt"))
            .arg("chroot")
            .arg(self.place.path())
            .arg(program)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/root");
        if let Some(library) = &self.clock {
            command.env(PRELOAD, library);
        }
        command
    }

    /// From now on its programs have the clock of the world.
    pub(super) fn has_clock_of(&mut self, world: &World) {
        let shared = world.dir().display().to_string();
        let place = format!("{}{shared}", self.place.path().display());
        let mut share = Command::new(programs::path("nsenter"));
        share
            .arg(format!("--mount=/proc/{}/ns/mnt", self.keeper.child.id()))
            .args(["sh", "-ec", "mkdir -p \"$1\"; mount --bind \"$0\" \"$1\""])
            .args([shared, place]);
        keys::tool(&mut share);
        self.clock = Some(world.clock_library().to_owned());
    }

    /// Runs a line of a shell there, which has to succeed.
    pub(super) fn shell(&self, line: &str) -> String {
        keys::tool(self.command("sh").args(["-c", line]))
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let outcome = self.run(&["sh", "-c", &format!("cat >{path}")], text);
        assert!(outcome.0, "{}", outcome.1);
    }

    /// Runs a program with an input; whether it succeeds, and what it says.
    pub(super) fn run(&self, words: &[&str], input: &str) -> (bool, String) {
        let (program, arguments) = words.split_first().expect("a program");
        let mut command = self.command(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        let said = format!("{}{said}", String::from_utf8_lossy(&output.stdout));
        println!("{words:?}: {said}");
        (output.status.success(), said)
    }

    fn etc(&self) -> String {
        self.shell(TREE)
    }

    pub(super) fn start_sshd(&mut self, children: &Children) {
        let log = std::fs::File::create(self.log()).expect("a writable directory");
        let mut sshd = self.command("/usr/sbin/sshd");
        sshd.args(["-D", "-e"]).stdin(Stdio::null()).stderr(log);
        self.sshd = Some(children.spawn(&mut sshd));
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", self.port)).ok();
        children.eventually(is_up).expect("sshd listens");
    }

    /// The process that listens ends.
    pub(super) fn stop_sshd(&mut self) {
        self.sshd.as_mut().expect("it was started").kill_alone();
    }

    fn log(&self) -> PathBuf {
        keys::with_suffix(self.place.path(), ".log")
    }

    /// sshd is the process that the test has started, and answers.
    fn has_its_sshd(&mut self, children: &Children) {
        let sshd = self.sshd.as_mut().expect("it was started");
        assert!(sshd.ended().is_none(), "sshd has ended");
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", self.port)).ok();
        children.eventually(is_up).expect("sshd listens");
    }
}

impl Drop for DebianHost {
    fn drop(&mut self) {
        if let Ok(log) = std::fs::read_to_string(self.log()) {
            println!("==== sshd\n{log}");
            std::fs::remove_file(self.log()).expect("it is ours");
        }
    }
}

fn rproxy(world: &World, arguments: &[&str]) -> String {
    keys::tool(world.rproxy().args(arguments))
}

fn token(world: &World, more: &[&str]) -> String {
    let arguments = [&["tokens", "add", "--type=node", "--format=json"], more].concat();
    let added: Value = serde_json::from_str(&rproxy(world, &arguments)).expect("JSON");
    text(&added, "token").to_owned()
}

fn listed(world: &World, name: &str) -> Option<Value> {
    let all: Value =
        serde_json::from_str(&rproxy(world, &["nodes", "ls", "--format=json"])).expect("JSON");
    let all = all.as_array().expect("a list").clone();
    all.into_iter().find(|node| text(node, "name") == name)
}

fn a_fresh_debian_joins_and_leaves(suite: &str) {
    let world = World::new();
    let Some(mut host) = DebianHost::new(&world.children, suite) else {
        return;
    };
    let fresh = host.etc();
    host.start_sshd(&world.children);
    let address = format!("127.0.0.1:{}", world.port());
    host.write(
        "/root/join.sh",
        &rproxy(&world, &["nodes", "script", "--proxy", &address]),
    );
    let token = token(&world, &["--names=db9", "--labels=env=prod"]);

    let join = [
        "sh",
        "/root/join.sh",
        "--yes",
        "--address=127.0.0.1",
        "--label=rack=r7",
    ];
    let (is_done, said) = host.run(&join, &format!("{token}\n"));
    assert!(is_done, "{said}");
    let version = world.run("db9", "cat /etc/debian_version").success().text();
    assert_eq!(version, host.shell("cat /etc/debian_version"));
    let node = world.eventually("the node is online", || {
        listed(&world, "db9").filter(|node| node["state"] == "online")
    });
    assert_eq!(node["labels"], serde_json::json!(["env=prod", "rack=r7"]));
    assert_eq!(node["problem"], Value::Null, "{node}");

    let joined = host.etc();
    assert_ne!(joined, fresh);
    let (is_done, said) = host.run(&["sh", "/root/join.sh"], "");
    assert!(is_done && said.contains("nothing to change"), "{said}");
    let line = host.shell("sed -n 's/.*root //p' /etc/cron.d/rproxy");
    host.shell(&line.replace(" --later", ""));
    assert_eq!(host.etc(), joined, "the second run, and what cron runs");
    world.run("db9", "true").success();

    let (is_done, said) = host.run(&["sh", "/etc/ssh/rproxy/node.sh", "--leave", "--yes"], "");
    assert!(is_done, "{said}");
    assert_eq!(host.etc(), fresh);
    host.has_its_sshd(&world.children);
    assert_ne!(world.run("db9", "true").code(), 0);
    rproxy(&world, &["nodes", "rm", "db9"]);
    assert!(listed(&world, "db9").is_none());
}

#[test]
fn a_fresh_debian_joins_by_one_command() {
    a_fresh_debian_joins_and_leaves("bookworm");
}

#[test]
fn a_host_with_the_newest_openssh_joins_by_one_command() {
    a_fresh_debian_joins_and_leaves("sid");
}

/// A token that demands a tunnel: the script keeps it, and the proxy reaches the host by nothing else.
#[test]
fn a_host_behind_its_tunnel_is_reached() {
    let world = World::new();
    let Some(mut host) = DebianHost::new(&world.children, "bookworm") else {
        return;
    };
    let fresh = host.etc();
    host.start_sshd(&world.children);
    let address = format!("127.0.0.1:{}", world.port());
    host.write(
        "/root/join.sh",
        &rproxy(&world, &["nodes", "script", "--proxy", &address]),
    );
    let token = token(&world, &["--names=db9", "--tunnel=required"]);
    let (is_done, said) = host.run(&["sh", "/root/join.sh", "--yes"], &format!("{token}\n"));
    assert!(is_done, "{said}");
    assert!(
        host.shell("cat /etc/cron.d/rproxy")
            .contains("node.sh tunnel")
    );
    let mut tunnel = host.command("sh");
    tunnel
        .args(["/etc/ssh/rproxy/node.sh", "tunnel"])
        .stdin(Stdio::null());
    let mut tunnel = world.children.spawn(&mut tunnel);
    let from = world.run("db9", "echo $SSH_CONNECTION").success().text();
    assert!(from.starts_with("127.0.0.1 "), "{from}");
    let (is_done, said) = host.run(&["sh", "/etc/ssh/rproxy/node.sh", "--leave", "--yes"], "");
    assert!(is_done, "{said}");
    tunnel.wait();
    assert_eq!(host.etc(), fresh);
}
