//! The way back from a later version: this version reads the data directory and ignores fields that
//! it does not know; it names settings that it does not know.

use std::io::Write as _;
use std::path::Path;

use crate::support::{keys, proxy};

/// Adds an unknown field to the last line of a file.
fn add_a_field(file: &Path) {
    let text = std::fs::read_to_string(file).expect("it is there");
    let mut lines: Vec<_> = text.lines().collect();
    let last = lines.pop().and_then(|last| last.strip_suffix('}'));
    let last = last.expect("an object");
    let before: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut file = std::fs::File::create(file).expect("writable");
    writeln!(file, "{before}{last},\"of_tomorrow\":[1]}}").expect("writable");
}

#[test]
fn an_older_version_passes_over_what_it_does_not_know() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path();
    let config = root.join("rproxy.yaml");
    let text = format!("data_dir: {}\n", root.join("data").display());
    std::fs::write(&config, &text).expect("writable");
    let auth = |args: &[&str]| keys::tool(proxy::rproxy(&config).arg("auth").args(args));
    let key = root.join("key");
    keys::generate(&key);
    let key = format!("--public-key={}.pub", key.display());
    auth(&["init"]);
    auth(&["sign", "--user=alice", "--logins=deploy", &key]);
    auth(&["revoke", "--yes", "--unknown", "--key-id=mallory"]);
    for file in ["issued.jsonl", "revoked.jsonl"] {
        add_a_field(&root.join("data").join(file));
    }
    assert!(auth(&["ls"]).contains("alice"));
    let list = root.join("krl");
    auth(&["krl", &format!("--out={}", list.display())]);
    assert!(list.is_file());

    std::fs::write(&config, format!("{text}of_tomorrow: yes\n")).expect("writable");
    let output = proxy::rproxy(&config).args(["serve", "--check"]).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("of_tomorrow") && told.contains(":2:"),
        "{told}"
    );
}
