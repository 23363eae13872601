//! Completion in real shells: a user types, presses the Tab key, and reads.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::children::Children;
use crate::support::others::others;
use crate::support::programs;
use crate::support::terminal::Terminal;

/// The id of the recording.
const ID: &str = "01920000-0000-7000-8000-000000000001";
const CONFIGURATION: &str = "
nodes:
  - { name: db1, addr: 10.0.0.5, labels: { env: prod } }
  - { name: web1, addr: 10.0.0.6 }
  - { name: web2, addr: 10.0.0.7 }
";

/// A machine with a configuration and a recording.
struct ShellMachine {
    dir: tempfile::TempDir,
    children: Children,
}

impl ShellMachine {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let recordings = dir.path().join("data/recordings");
        std::fs::create_dir_all(&recordings).expect("writable");
        let kept = root().join("tests/data/recordings/v1-full.cast.zst");
        let copy = recordings.join(format!("{ID}.cast.zst"));
        std::fs::copy(kept, copy).expect("a recording");
        std::fs::write(dir.path().join("rproxy.yaml"), CONFIGURATION).expect("writable");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rproxy"), dir.path().join("rproxy"))
            .expect("writable");
        Self {
            dir,
            children: Children::new(Duration::from_secs(60)),
        }
    }

    /// A shell without its user's files, which finds rproxy, its configuration and its data.
    fn shell(&self, program: &Path, args: &[&str]) -> Command {
        let mut path = self.dir.path().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut shell = Command::new(program);
        shell
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.dir.path())
            .env("TERM", "dumb")
            .env("LC_ALL", "C")
            .env("RPROXY_CONFIG", self.dir.path().join("rproxy.yaml"))
            .env("RPROXY_DATA_DIR", self.dir.path().join("data"));
        shell
    }

    fn terminal(&self, program: &Path, args: &[&str]) -> Terminal {
        Terminal::start(&self.children, self.shell(program, args), 40, 200)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn completions(name: &str) -> PathBuf {
    root().join("completions").join(name)
}

/// The text before the Tab key, and the text that appears after it.
const TYPED: &[(&str, &str)] = &[
    ("rproxy play 0", "1920000-0000-7000-8000-000000000001 "),
    (
        "rproxy recordings export --format=raw 019",
        "20000-0000-7000-8000-000000000001 ",
    ),
    ("rproxy --config rproxy.yaml explain alice@d", "b1 "),
    ("rproxy explain --login root alice@example.com@d", "b1 "),
    ("rproxy auth sign --host db1,w", "eb"),
    ("rproxy auth sign --host=d", "b1 "),
    // what the program is not asked about
    ("rproxy recor", "dings "),
    ("rproxy recordings export --format asc", "iicast "),
    ("rproxy play rproxy.y", "aml "),
    ("rproxy play --speed=2 --skip", "-idle "),
];

fn completes(mut terminal: Terminal) {
    for (typed, completed) in TYPED {
        terminal.type_in(&format!("{typed}\t"));
        terminal.expect(typed);
        terminal.expect(completed);
        // The line is discarded.
        terminal.type_in("\u{15}");
    }
    terminal.type_in("exit\n");
    terminal.finish();
}

#[test]
fn bash_completes_names_and_ids() {
    let machine = ShellMachine::new();
    let mut terminal = machine.terminal(&programs::path("bash"), &["--norc", "--noprofile", "-i"]);
    let script = completions("rproxy.bash");
    terminal.type_in(&format!(
        "source {} && echo $((41 + 1))\n",
        script.display()
    ));
    terminal.expect("42\r\n");
    completes(terminal);
}

#[test]
fn zsh_completes_names_and_ids() {
    let Some(zsh) = others("zsh") else { return };
    let machine = ShellMachine::new();
    let mut terminal = machine.terminal(&zsh, &["-f", "-i"]);
    let dir = completions("");
    terminal.type_in(&format!(
        "unsetopt zle_bracketed_paste; fpath=({} $fpath); autoload -U compinit; \
         compinit -u -D && echo $((41 + 1))\n",
        dir.display()
    ));
    terminal.expect("42\r\n");
    // Several candidates are listed, with their descriptions.
    terminal.type_in("rproxy explain alice@\t");
    terminal.expect("alice@db1");
    terminal.expect("10.0.0.5:22 env=prod");
    terminal.type_in("\u{15}");
    completes(terminal);
}

#[test]
fn fish_completes_names_and_ids() {
    let Some(fish) = others("fish") else { return };
    let machine = ShellMachine::new();
    for (typed, shown) in [
        (
            "rproxy play ",
            format!("{ID}\talice, deploy@db1, 2025-10-09T08:53:20Z, shell\n"),
        ),
        (
            "rproxy recordings export --format=raw 0",
            format!("{ID}\talice,"),
        ),
        (
            "rproxy explain alice@d",
            "alice@db1\t10.0.0.5:22 env=prod\n".to_owned(),
        ),
        (
            "rproxy auth sign --host db1,w",
            "db1,web1\t10.0.0.6:22\n".to_owned(),
        ),
        ("rproxy auth sign --host=d", "db1\t".to_owned()),
        ("rproxy recor", "recordings\t".to_owned()),
        ("rproxy play rproxy.y", "rproxy.yaml\n".to_owned()),
    ] {
        let script = completions("rproxy.fish");
        let run = format!("source {}; complete -C {typed:?}", script.display());
        let output = machine
            .shell(&fish, &["--no-config", "-c", &run])
            .output()
            .expect("fish starts");
        let offered = String::from_utf8_lossy(&output.stdout);
        assert!(offered.contains(&shown), "{typed:?}: {output:?}");
    }
}

/// If the account may not read the configuration or the data, completion prints nothing, and no
/// error.
#[test]
fn what_goes_wrong_is_silent() {
    let machine = ShellMachine::new();
    let missing = machine.dir.path().join("missing");
    for (args, code) in [
        (
            [
                "--config=/nonexistent",
                "complete",
                "--word=",
                "--",
                "rproxy",
                "play",
            ],
            0,
        ),
        (
            [
                "--config=/dev/null",
                "complete",
                "--word=",
                "--",
                "rproxy",
                "serve",
            ],
            1,
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_rproxy"))
            .args(args)
            .env("RPROXY_DATA_DIR", &missing)
            .output()
            .expect("rproxy starts");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    assert!(!missing.exists(), "asking makes nothing");
}
