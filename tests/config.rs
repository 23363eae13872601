//! The configuration file as its users meet it: what `serve --check` says about a file, word for
//! word, and what `serve --print-config` makes of it.
//!
//! Every `tests/config/valid/*.yaml` must be accepted, every `tests/config/invalid/*.yaml` refused;
//! the `.stderr` file beside it is what standard error must show.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rproxy::sys::fs::{PUBLIC_FILE, Replace, write_whole};

/// The name of every file while it is checked, so that messages do not depend on its place.
const NAME: &str = "rproxy.yaml";

fn files(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/config")
        .join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Runs `rproxy serve` in a directory that holds only this file, with the mode it should have.
fn serve(yaml: &[u8], mode: u32, args: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(NAME);
    write_whole(&file, yaml, mode, Replace::Refuse).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rproxy"))
        .arg("serve")
        .args(args)
        .current_dir(directory.path())
        .env_clear()
        .env("HOME", directory.path())
        .output()
        .unwrap();
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "checking a configuration must leave nothing behind"
    );
    output
}

/// A file with another name than was meant must not mean the defaults.
#[test]
fn without_a_file_nothing_is_served_unless_that_is_meant() {
    if Path::new("/etc/rproxy/rproxy.yaml").exists() {
        return;
    }
    for args in [&["--check"][..], &[]] {
        let output = serve(b"roles: []\n", 0o644, args);
        assert_eq!(output.status.code(), Some(78));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("there is no configuration file"), "{text}");
        assert!(text.contains("--defaults"), "{text}");
    }
    let output = serve(b"", 0o644, &["--check", "--defaults"]);
    assert_eq!(output.status.code(), Some(0));
}

fn check(yaml: &[u8]) -> Output {
    serve(yaml, 0o644, &["--check", "--config", NAME])
}

/// The file alone, whatever it names.
fn read(yaml: &[u8]) -> Output {
    serve(yaml, 0o644, &["--print-config", "--config", NAME])
}

fn print(yaml: &[u8]) -> String {
    let output = read(yaml);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Compares with the `.stderr` file; `RPROXY_TEST_BLESS=1` writes it instead.
fn assert_stderr(case: &Path, output: &Output) {
    let shown = text(&output.stderr);
    let file = case.with_extension("stderr");
    if std::env::var_os("RPROXY_TEST_BLESS").is_some() {
        write_whole(&file, output.stderr.as_slice(), PUBLIC_FILE, Replace::Allow).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(shown, expected, "{} says something else", case.display());
}

#[test]
fn good_files_are_accepted_with_their_warnings() {
    for case in files("valid") {
        let output = read(&fs::read(&case).unwrap());
        assert_stderr(&case, &output);
        assert_eq!(output.status.code(), Some(0), "{}", case.display());
    }
}

/// `--check` goes on to what the file names, which is not on this machine.
#[test]
fn a_check_looks_at_what_the_file_names() {
    let output = check(b"cluster_name: example.com\nproxy_service:\n  listen_addr: 127.0.0.1:0\n");
    assert_eq!(text(&output.stderr), "configuration ok\n");
    assert_eq!(output.status.code(), Some(0));
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/valid/web.yaml");
    let output = check(&fs::read(case).unwrap());
    assert!(text(&output.stderr).contains("web.pem"));
    assert_ne!(output.status.code(), Some(0));
}

#[test]
fn bad_files_are_refused_with_all_their_problems() {
    for case in files("invalid") {
        let output = check(&fs::read(&case).unwrap());
        assert_stderr(&case, &output);
        assert_eq!(output.status.code(), Some(78), "{}", case.display());
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_is_printed_loads_back_to_the_same() {
    for case in files("valid") {
        let printed = print(&fs::read(&case).unwrap());
        assert_eq!(print(printed.as_bytes()), printed, "{}", case.display());
    }
}

#[test]
fn the_example_is_good_and_shows_every_key() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/rproxy.example.yaml");
    let yaml = fs::read_to_string(example).unwrap();
    let output = read(yaml.as_bytes());
    assert_eq!(text(&output.stderr), "");
    assert_shown(&yaml, rproxy::config::keys::ROOT);
    // What it sets is the default wherever there is one.
    let printed = print(yaml.as_bytes());
    let defaults = print(b"cluster_name: example.com\ndata_dir: /var/lib/rproxy\n");
    let is_own = |line: &&str| {
        [
            "public_addr",
            "peer_addr",
            "banner_file",
            "egress_addrs",
            "url:",
            "password_file",
            "web_listen_addr",
            "metrics_listen_addr",
            "https_",
            "nodes",
            "- {",
        ]
        .iter()
        .all(|own| !line.contains(own))
    };
    // There are no roles by default.
    let (before, rest) = printed.split_once("roles:\n").unwrap();
    let (_, after) = rest.split_once("recording:\n").unwrap();
    let printed = format!("{before}recording:\n{after}");
    assert_eq!(
        printed.lines().filter(is_own).collect::<Vec<_>>(),
        defaults.lines().filter(is_own).collect::<Vec<_>>()
    );
}

fn assert_shown(yaml: &str, keys: &[rproxy::config::keys::Key]) {
    for key in keys {
        assert!(yaml.contains(&format!("{}:", key.name)), "{}", key.name);
        assert_shown(yaml, key.form.keys());
    }
}

#[test]
fn a_file_that_others_may_write_is_warned_about() {
    for mode in [0o664, 0o646] {
        let output = serve(b"", mode, &["--check", "--config", NAME]);
        assert_eq!(
            text(&output.stderr),
            format!(
                "{NAME}: warning: others may write this file (mode {mode:04o})\nconfiguration ok\n"
            )
        );
    }
}

#[test]
fn a_named_file_must_be_there() {
    let output = serve(b"", 0o644, &["--check", "--config", "other.yaml"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        text(&output.stderr),
        "rproxy: cannot read the configuration\n  \
         caused by: cannot read other.yaml\n  \
         caused by: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let output = check(b"cluster_name: \xff\n");
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).starts_with("rproxy: rproxy.yaml is not UTF-8\n"));
    let huge = vec![b'#'; (1 << 20) + 1];
    let output = check(&huge);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("larger than the 1048576 bytes"));
}

#[test]
fn the_flag_and_the_variable_stand_above_the_file() {
    let yaml = b"cluster_name: c\ndata_dir: /file\n";
    let flag = serve(
        yaml,
        0o644,
        &["--print-config", "--config", NAME, "--data-dir=/flag"],
    );
    assert!(text(&flag.stdout).contains("data_dir: \"/flag\"\n"));
    let directory = tempfile::tempdir().unwrap();
    write_whole(
        &directory.path().join(NAME),
        yaml,
        PUBLIC_FILE,
        Replace::Refuse,
    )
    .unwrap();
    let variables = Command::new(env!("CARGO_BIN_EXE_rproxy"))
        .args(["serve", "--print-config"])
        .env("RPROXY_CONFIG", directory.path().join(NAME))
        .env("RPROXY_DATA_DIR", "/variable")
        .output()
        .unwrap();
    let shown = text(&variables.stdout);
    assert!(
        shown.starts_with("cluster_name: \"c\"\ndata_dir: \"/variable\"\n"),
        "{shown}"
    );
}
