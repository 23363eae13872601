//! `rproxy doctor`: it reports no problem if there is none; it finds each fault that a test makes,
//! and names its fix.

mod client;
mod machine;
mod nodes;

use std::path::Path;

use serde_json::Value;

use crate::support::World;
use crate::support::client::ClientCommand;

/// Checks of the machine that the test runs on, not of the world that the test has made.
const OF_THIS_MACHINE: &[&str] = &[
    "clock",
    "disk-space",
    "state-space",
    "file-size-limit",
    "open-files",
];

/// What the doctor found.
struct Findings {
    code: i32,
    list: Vec<Value>,
    all: String,
}

impl Findings {
    /// Runs it with these additional arguments.
    fn of(doctor: ClientCommand<'_>) -> Self {
        let outcome = doctor.args(["--format", "json"]).run();
        let text = outcome.text();
        let list = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}\n{}", outcome.stderr));
        Self {
            code: outcome.code(),
            list,
            all: text,
        }
    }

    /// One of the findings has this status, check and subject, and its hint has these words.
    #[track_caller]
    fn has(&self, status: &str, check: &str, subject: &str, hint: &[&str]) {
        let is_it = |one: &&Value| {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            text("status") == status
                && text("check") == check
                && text("subject").contains(subject)
                && hint.iter().all(|word| text("hint").contains(word))
        };
        assert!(
            self.list.iter().any(|one| is_it(&one)),
            "no {status} of {check} {subject} with a hint of {hint:?} in {}",
            self.all
        );
    }

    /// An error; the exit code is 1 too.
    #[track_caller]
    fn error(&self, check: &str, subject: &str, hint: &[&str]) {
        assert_eq!(self.code, 1, "{}", self.all);
        self.has("error", check, subject, hint);
    }

    #[track_caller]
    fn warning(&self, check: &str, subject: &str, hint: &[&str]) {
        self.has("warning", check, subject, hint);
    }

    #[track_caller]
    fn ok(&self, check: &str, subject: &str) {
        self.has("ok", check, subject, &[]);
    }

    /// No problem, except of the machine that the test runs on.
    #[track_caller]
    fn is_well(&self) {
        let troubles: Vec<_> = self
            .list
            .iter()
            .filter(|one| one["status"] != "ok")
            .filter(|one| !OF_THIS_MACHINE.contains(&one["check"].as_str().unwrap_or_default()))
            .collect();
        assert!(troubles.is_empty(), "{troubles:#?}");
        let has_errors = self.list.iter().any(|one| one["status"] == "error");
        assert_eq!(self.code, i32::from(has_errors), "{}", self.all);
    }
}

/// The doctor with a configuration of its own: the world's, with the port of its proxy, changed by
/// `edit`.
fn doctor<'w>(world: &'w World, edit: impl FnOnce(String) -> String) -> ClientCommand<'w> {
    let config = world.dir().join("doctor.yaml");
    std::fs::write(&config, edit(configuration(world))).expect("a writable directory");
    with_config(world, &config)
        // An ordinary user's `sshd` accepts logins of that user only.
        .args(["--login", &crate::support::world::login()])
}

/// The configuration of a world's proxy, with the port that it has bound.
fn configuration(world: &World) -> String {
    let text = std::fs::read_to_string(world.dir().join("rproxy.yaml")).expect("it is there");
    let address = world.address().to_string();
    text.replace("127.0.0.1:0", &address)
        .replace("127.0.0.1:3023", &address)
}

fn with_config<'w>(world: &'w World, config: &Path) -> ClientCommand<'w> {
    world
        .program_at(Path::new(env!("CARGO_BIN_EXE_rproxy")))
        .arg("--config")
        .arg(config)
        .arg("doctor")
}

#[test]
fn a_world_that_is_well_is_said_to_be_well_on_both_sides() {
    let world = World::new();
    let files = || {
        let mut files = crate::support::keys::files(&world.data());
        // Which part of the state's log is read is in the index beside it, also for those that only read.
        files.retain(|path| !path.ends_with("state.db-shm"));
        let read = |path: std::path::PathBuf| (path.clone(), std::fs::read(path).ok());
        let mut files: Vec<_> = files.into_iter().map(read).collect();
        files.sort();
        files
    };
    let before = files();
    let machine = Findings::of(doctor(&world, |text| text));
    machine.is_well();
    for (check, subject) in [
        ("config", "doctor.yaml"),
        ("data-dir", "/ca"),
        ("authority", "user"),
        ("authority", "host"),
        ("rotation", "user"),
        ("listener", "127.0.0.1"),
        ("public-addr", "127.0.0.1"),
        ("node-ssh", "db1"),
        ("node-host-key", "db1"),
        ("node-user-ca", "db1"),
    ] {
        machine.ok(check, subject);
    }
    assert_eq!(files(), before, "it changes nothing");

    let client = Findings::of(client::doctor(&world));
    client.is_well();
    for (check, subject) in [
        ("ssh-version", ""),
        ("agent", "agent"),
        ("certificate", ""),
        ("login", ""),
        ("proxy-command", "db1"),
        ("forward-agent", ""),
        ("known-hosts", "127.0.0.1"),
        ("known-hosts", "db1"),
        ("shown-key", "127.0.0.1"),
        ("client-clock", ""),
        ("proxy-login", "127.0.0.1"),
    ] {
        client.ok(check, subject);
    }
    assert_eq!(world.node().connections(), 1, "nobody logs in to a host");
}

#[test]
fn people_read_lines_with_hints() {
    let world = World::new();
    let outcome = doctor(&world, |text| text + "nodes_: []\n").run();
    assert_eq!(outcome.code(), 1);
    let text = outcome.text();
    let (first, hint) = text.split_once("\n  hint: ").expect("a hint");
    assert!(
        first.starts_with("configuration\nerror    config: "),
        "{text}"
    );
    assert!(
        first.contains("nodes_") && hint.contains("--check"),
        "{text}"
    );
    assert!(
        outcome.stderr.contains("1 error, 0 warnings, 0 ok"),
        "{}",
        outcome.stderr
    );
}
