//! `rproxy init`, as its user runs it: at a terminal, from a script, and where it fails.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::children::Children;
use crate::support::proxy::ProxyProcess;
use crate::support::terminal::Terminal;
use crate::support::{keys, namespace, proxy, skipped};

/// A machine without a proxy.
struct Machine {
    children: Children,
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self {
            children: Children::new(Duration::from_secs(120)),
            dir: tempfile::Builder::new()
                .prefix("rp-")
                .tempdir_in("/tmp")
                .expect("a directory in /tmp"),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn init(&self, arguments: &[&str]) -> Command {
        let mut init = proxy::rproxy(&self.at("etc/rproxy.yaml"));
        init.arg("init")
            .args(arguments)
            .env("HOME", self.dir.path());
        init
    }

    fn data_dir(&self) -> String {
        format!("--data-dir={}", self.at("data").display())
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(self.dir.path())
            .expect("a readable directory")
            .next()
            .is_none()
    }

    fn terminal(&self) -> Terminal {
        Terminal::start(&self.children, self.init(&[]), 40, 120)
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file below a directory has this owner.
fn owners(directory: &Path) -> Vec<(PathBuf, u32)> {
    let owner = |path: PathBuf| {
        let found = std::fs::symlink_metadata(&path).expect("it is there");
        (path, found.uid())
    };
    keys::files(directory).into_iter().map(owner).collect()
}

#[test]
fn answers_at_a_terminal_make_a_proxy_that_starts() {
    let machine = Machine::new();
    let mut terminal = machine.terminal();
    for (question, answer) in [
        ("Name of the cluster [", "exa mple"),
        ("which is not allowed", ""),
        ("Name of the cluster [", "example.com"),
        ("Public address of the proxy [", "127.0.0.1:3023"),
        ("Directory", &machine.at("data").display().to_string()),
        ("local, oidc or certificate [local]", ""),
        ("first administrator [", "carol"),
        ("Go on [yes]", ""),
    ] {
        terminal.expect(question);
        if question.contains('[') || question == "Directory" {
            terminal.type_in(&format!("{answer}\r"));
        }
    }
    terminal.expect("The first administrator is carol.");
    terminal.expect("ssh -p 3023 signup@127.0.0.1");
    let (code, shown) = terminal.finish();
    assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&shown));
    let config = machine.at("etc/rproxy.yaml");
    let checked = proxy::rproxy(&config).args(["serve", "--check"]).output();
    let checked = checked.expect("rproxy runs");
    assert!(checked.status.success(), "{}", told(&checked));
    assert_eq!(told(&checked), "configuration ok\n");
    let text = std::fs::read_to_string(&config).expect("it was written");
    let text = text.replace("0.0.0.0:3023", "127.0.0.1:0");
    std::fs::write(&config, text).expect("a writable file");
    let log = machine.at("log");
    let proxy = ProxyProcess::start(&machine.children, &config, &log, None);
    assert!(proxy.address.port() != 0);
}

#[test]
fn an_interrupt_at_any_question_leaves_nothing() {
    let machine = Machine::new();
    let questions = [
        "Name of the cluster [",
        "Public address of the proxy [",
        "Directory",
        "local, oidc or certificate [local]",
        "first administrator [",
        "Go on [yes]",
    ];
    for last in 0..questions.len() {
        let mut terminal = machine.terminal();
        for question in &questions[..last] {
            terminal.expect(question);
            let answer = match *question {
                "Directory" => machine.at("data").display().to_string(),
                _ => String::new(),
            };
            terminal.type_in(&format!("{answer}\r"));
        }
        terminal.expect(questions[last]);
        terminal.type_in("\u{3}");
        let (code, shown) = terminal.finish();
        // By the signal, which has no exit code, or with its own.
        assert!(
            matches!(code, None | Some(130)),
            "{code:?}: {}",
            String::from_utf8_lossy(&shown)
        );
        assert!(machine.is_empty(), "{}", questions[last]);
    }
    let mut terminal = machine.terminal();
    for question in questions {
        terminal.expect(question);
        let answer = match question {
            "Directory" => machine.at("data").display().to_string(),
            "Go on [yes]" => "no".to_owned(),
            _ => String::new(),
        };
        terminal.type_in(&format!("{answer}\r"));
    }
    terminal.expect("nothing was written");
    assert_eq!(terminal.finish().0, Some(130));
    assert!(machine.is_empty());
}

#[test]
fn a_script_says_yes_and_gets_one_object() {
    let machine = Machine::new();
    let without = machine.init(&[&machine.data_dir()]).output();
    let without = without.expect("rproxy runs");
    assert_eq!(without.status.code(), Some(2));
    assert!(
        told(&without).contains("rproxy init --yes"),
        "{}",
        told(&without)
    );
    assert!(machine.is_empty());
    let data_dir = machine.data_dir();
    let made = machine
        .init(&["--yes", "--format=json", &data_dir])
        .output();
    let made = made.expect("rproxy runs");
    assert!(made.status.success(), "{}", told(&made));
    let object: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    assert!(object["invitation"].is_string(), "{object}");
    let again = machine.init(&["--yes", &data_dir]).output();
    let again = again.expect("rproxy runs");
    assert_eq!(again.status.code(), Some(1));
    assert!(
        told(&again).contains("there is a configuration already"),
        "{}",
        told(&again)
    );
}

/// The disk is full when the CAs are there and the state is not.
#[test]
fn a_full_disk_leaves_nothing() {
    if !namespace::may_mount() {
        skipped::cannot("a disk of its own takes root, and a kernel that allows it");
        return;
    }
    let machine = Machine::new();
    std::fs::create_dir(machine.at("data")).expect("a writable directory");
    let script = "mount -t tmpfs -o size=64k,mode=0700 none \"$1\" && shift && \
                  ! \"$@\" && ls -A \"$DATA\" && ls -A \"$ETC\"; echo done";
    let init = machine.init(&["--yes", &machine.data_dir()]);
    std::fs::create_dir(machine.at("etc")).expect("a writable directory");
    let mut unshare = Command::new(crate::support::programs::path("unshare"));
    unshare
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(machine.at("data"))
        .arg(init.get_program())
        .args(init.get_args())
        .env("DATA", machine.at("data"))
        .env("ETC", machine.at("etc"));
    let output = unshare.output().expect("unshare runs");
    assert!(
        told(&output).contains("No space left on device") || told(&output).contains("disk is full"),
        "{}",
        told(&output)
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
}

/// As after the installation of a package: root may write the configuration, and the data directory is
/// the service's.
#[test]
fn root_sets_up_for_the_account_of_the_data_directory() {
    /// `nobody`, on every Linux.
    const ACCOUNT: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        skipped::cannot("it takes root to give files away");
        return;
    }
    let machine = Machine::new();
    let open = |path: &Path, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("our own");
    };
    open(machine.dir.path(), 0o755);
    let data = machine.at("data");
    std::fs::create_dir(&data).expect("a writable directory");
    open(&data, 0o500);
    std::os::unix::fs::chown(&data, Some(ACCOUNT), Some(ACCOUNT)).expect("root may");
    // What the account itself cannot do is not done by root in its place.
    let failed = machine.init(&["--yes", &machine.data_dir()]).output();
    let failed = failed.expect("rproxy runs");
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        told(&failed).contains("Permission denied"),
        "{}",
        told(&failed)
    );
    assert!(!machine.at("etc").exists());
    open(&data, 0o700);
    let made = machine.init(&["--yes", &machine.data_dir()]).output();
    let made = made.expect("rproxy runs");
    assert!(made.status.success(), "{}", told(&made));
    let shown = String::from_utf8_lossy(&made.stdout);
    assert!(shown.contains("systemctl enable --now rproxy"), "{shown}");
    assert!(shown.contains("sudo -u nobody rproxy"), "{shown}");
    let files = owners(&data);
    assert!(files.len() > 5, "{files:?}");
    for (path, owner) in files {
        assert_eq!(owner, ACCOUNT, "{}", path.display());
    }
    for (path, mode) in [("etc", 0o750), ("etc/rproxy.yaml", 0o640)] {
        let found = std::fs::metadata(machine.at(path)).expect("it was made");
        let found = (found.uid(), found.gid(), found.mode() & 0o7777);
        assert_eq!(found, (0, ACCOUNT, mode), "{path}");
    }
}
