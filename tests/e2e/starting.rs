//! If something prevents `serve` from starting, `serve --check` fails with the same message.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::children::Children;
use crate::support::ports::free_port;
use crate::support::{World, keys, programs, proxy};

const LIMIT: Duration = Duration::from_secs(100);
const FREE: &str = "  listen_addr: 127.0.0.1:0\n";

/// A data directory with a configuration.
struct StartScene {
    dir: tempfile::TempDir,
    children: Children,
}

impl StartScene {
    /// With CA keys, as after a first start.
    fn new() -> Self {
        let scene = Self::empty();
        scene.configure(FREE);
        keys::tool(proxy::rproxy(&scene.config()).args(["auth", "init"]));
        scene
    }

    fn empty() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            children: Children::new(LIMIT),
        }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("rproxy.yaml")
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn data(&self, name: &str) -> PathBuf {
        self.data_dir().join(name)
    }

    /// Writes the configuration: lines of `proxy_service`, and what follows it.
    fn configure(&self, lines: &str) {
        let data = self.data_dir();
        let text = format!("data_dir: {}\nproxy_service:\n{lines}", data.display());
        fs::write(self.config(), text).expect("a writable directory");
    }

    fn check(&self) -> (Option<i32>, String) {
        let output = proxy::rproxy(&self.config())
            .args(["serve", "--check"])
            .output();
        let output = output.expect("rproxy starts");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), told)
    }

    /// Runs `serve` until it exits by itself.
    fn serve(&self) -> (Option<i32>, String) {
        let log = self.dir.path().join("log");
        let errors = fs::File::create(&log).expect("a writable directory");
        let mut serve = proxy::rproxy(&self.config());
        serve
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        let mut running = self.children.spawn(&mut serve);
        let said = || fs::read_to_string(&log).unwrap_or_default();
        let status = self
            .children
            .eventually(|| {
                assert!(!said().contains("listening on "), "it serves: {}", said());
                running.ended()
            })
            .expect("it ends");
        (status.code(), said())
    }

    /// Both fail, for the same reason, with the same hint; the check creates no files.
    fn fails(&self, what: &str, says: &str) {
        let before = self.listed();
        let (code, checked) = self.check();
        assert_eq!(code, Some(78), "{what}: {checked}");
        assert!(checked.contains(says), "{what}: no {says:?} in {checked}");
        assert_eq!(self.listed(), before, "{what}: a check makes nothing");
        let (code, served) = self.serve();
        assert_eq!(code, Some(1), "{what}: {served}");
        assert_eq!(reasons(&checked), reasons(&served), "{what}");
    }

    /// All files, with their sizes, without those that a database removes when it is closed.
    fn listed(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut directories = vec![self.dir.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("it is there").flatten() {
                if entry.file_name().to_string_lossy().starts_with("state.db-") {
                    continue;
                }
                let (path, metadata) = (entry.path(), entry.metadata().expect("it is there"));
                if metadata.is_dir() {
                    directories.push(path.clone());
                }
                found.push((path, metadata.len()));
            }
        }
        found.sort();
        found
    }
}

/// The error message of a failed command.
fn reasons(told: &str) -> Vec<&str> {
    let of_failure = |line: &&str| {
        ["rproxy: ", "  caused by: ", "  hint: "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    told.lines().filter(of_failure).collect()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// A file where a directory is wanted, or the other way round.
fn instead(path: &Path, is_directory: bool) {
    let _may_be_there = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
    match is_directory {
        true => fs::create_dir(path).expect("a writable directory"),
        false => fs::write(path, "").expect("a writable directory"),
    }
}

#[test]
fn the_data_directory() {
    let scene = StartScene::empty();
    scene.configure(FREE);
    instead(&scene.data_dir(), false);
    scene.fails("a file in its place", "cannot use the data directory");

    let scene = StartScene::empty();
    fs::write(scene.dir.path().join("file"), "").expect("a writable directory");
    let data = scene.dir.path().join("file/data");
    let text = format!("data_dir: {}\nproxy_service:\n{FREE}", data.display());
    fs::write(scene.config(), text).expect("a writable directory");
    scene.fails("a file above it", "cannot use the data directory");

    let scene = StartScene::new();
    mode(&scene.data_dir(), 0o777);
    scene.fails("open to others", "chmod 0700");

    let scene = StartScene::new();
    instead(&scene.data("serve.lock"), true);
    scene.fails("a lock that is none", "serve.lock");
}

#[test]
fn the_authorities() {
    type Damage = fn(&StartScene);
    let damages: [(&str, Damage, &str); 8] = [
        ("ca/ open", |s| mode(&s.data("ca"), 0o755), "chmod 0700"),
        (
            "a key open",
            |s| mode(&s.data("ca/host_ca"), 0o644),
            "chmod 0600",
        ),
        (
            "a key damaged",
            |s| fs::write(s.data("ca/host_ca"), "no key").expect("it is ours"),
            "from a backup",
        ),
        (
            "a key gone",
            |s| fs::remove_file(s.data("ca/host_ca")).expect("it is there"),
            "restore ",
        ),
        (
            "another public key",
            |s| {
                let other = fs::copy(s.data("ca/user_ca.pub"), s.data("ca/host_ca.pub"));
                other.expect("both are there");
            },
            "remove ",
        ),
        (
            "the state of a rotation damaged",
            |s| fs::write(s.data("ca/host_rotation.json"), "{").expect("it is ours"),
            "host_rotation.json",
        ),
        (
            "the ledger no file",
            |s| instead(&s.data("issued.jsonl"), true),
            "issued.jsonl",
        ),
        (
            "the revocations damaged",
            |s| fs::write(s.data("revoked.jsonl"), "no\nno\n").expect("it is ours"),
            "from a backup",
        ),
    ];
    for (what, damage, says) in damages {
        let scene = StartScene::new();
        damage(&scene);
        scene.fails(what, says);
    }

    let scene = StartScene::empty();
    let agent = scene.dir.path().join("no-agent");
    let fingerprint = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    scene.configure(&format!(
        "{FREE}auth_service:\n  ca_keys:\n    host: {{ agent: {}, key: \"{fingerprint}\" }}\n",
        agent.display()
    ));
    fs::create_dir(scene.data_dir()).expect("a writable directory");
    mode(&scene.data_dir(), 0o700);
    scene.fails("the agent of a key gone", "start the agent there");
}

#[test]
fn what_is_written() {
    let scene = StartScene::new();
    instead(&scene.data("audit.jsonl"), true);
    scene.fails("the audit log no file", "cannot open the audit log");
    let scene = StartScene::new();
    mode(&scene.data("audit.jsonl"), 0o644);
    scene.fails("the audit log open", "chmod 0600");
    let scene = StartScene::new();
    instead(&scene.data("recordings"), false);
    scene.fails("recordings/ a file", "the directory of recordings");
    let scene = StartScene::new();
    instead(&scene.data("recordings"), true);
    mode(&scene.data("recordings"), 0o755);
    scene.fails("recordings/ open", "chmod 0700");
    // If sessions go on without recordings, the proxy starts too.
    scene.configure(&format!("{FREE}recording: {{ mode: best_effort }}\n"));
    let (code, told) = scene.check();
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn ports() {
    let scene = StartScene::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it listens");
    let plain = "  web_plain_http: yes\n";
    for lines in [
        format!("  listen_addr: {address}\n"),
        format!("{FREE}{plain}  web_listen_addr: {address}\n"),
        format!("{FREE}  metrics_listen_addr: {address}\n"),
        "  listen_addr: 203.0.113.1:3023\n".to_owned(),
    ] {
        scene.configure(&lines);
        scene.fails(&lines, "cannot listen on ");
    }
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    scene.configure(&format!(
        "  listen_addr: {free}\n  metrics_listen_addr: {free}\n"
    ));
    scene.fails("one port twice", &format!("cannot listen on {free}"));
}

#[test]
fn files_that_are_named() {
    let scene = StartScene::new();
    let at = |name: &str| scene.dir.path().join(name).display().to_string();
    let https = |certificate: &str, key: &str| {
        format!(
            "{FREE}  web_listen_addr: 127.0.0.1:0\n  https_cert_file: {certificate}\n  \
             https_key_file: {key}\n"
        )
    };
    let mut openssl = Command::new(programs::path("openssl"));
    openssl.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1".split(' '));
    openssl.args(["-subj", "/CN=t", "-keyout", &at("key"), "-out", &at("pem")]);
    keys::tool(&mut openssl);
    fs::write(at("text"), "no PEM").expect("a writable directory");
    mode(Path::new(&at("key")), 0o600);
    scene.configure(&https(&at("pem"), &at("key")));
    let (code, told) = scene.check();
    assert_eq!(code, Some(0), "{told}");
    for (certificate, key) in [
        ("none", "key"),
        ("text", "key"),
        ("pem", "none"),
        ("pem", "text"),
    ] {
        scene.configure(&https(&at(certificate), &at(key)));
        scene.fails(&format!("{certificate}, {key}"), "cannot serve the web");
    }
    mode(Path::new(&at("key")), 0o644);
    scene.configure(&https(&at("pem"), &at("key")));
    scene.fails("a key for everybody", "cannot serve the web");

    scene.configure(&format!("{FREE}  banner_file: {}\n", at("none")));
    scene.fails("no banner", "cannot use banner_file");
}

#[test]
fn all_is_well_before_a_first_start_and_while_it_runs() {
    let scene = StartScene::empty();
    scene.configure(FREE);
    let (code, told) = scene.check();
    assert_eq!(code, Some(0), "{told}");
    assert!(!scene.data_dir().exists(), "a check makes nothing");

    let world = World::new();
    let output = world.rproxy().args(["serve", "--check"]).output();
    let output = output.expect("rproxy starts");
    assert!(output.status.success(), "{output:?}");
}
