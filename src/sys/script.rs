//! Scripts that tests run.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Puts a script in its place, with mode 0755.
///
/// Another process writes it: a child that another thread of the tests starts meanwhile would inherit
/// the open file, and a program that is open for writing cannot be run.
pub(crate) fn put_script(text: &str, place: &Path) {
    let mut install = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(place)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = install.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    assert!(install.wait().unwrap().success());
}
