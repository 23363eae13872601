//! The programs that the tests run, and the package that brings each of them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::keys;

/// Debian's package for each program; Fedora's where it has another name.
const PACKAGES: &[(&str, &str)] = &[
    ("bash", "bash"),
    ("cc", "gcc"),
    ("cp", "coreutils"),
    ("curl", "curl"),
    ("dbclient", "dropbear-bin (Fedora: dropbear)"),
    ("dropbear", "dropbear-bin (Fedora: dropbear)"),
    ("dropbearkey", "dropbear-bin (Fedora: dropbear)"),
    ("pkcs11-tool", "opensc"),
    ("gpgconf", "gpgconf (Fedora: gnupg2)"),
    ("install", "coreutils"),
    ("ip", "iproute2 (Fedora: iproute)"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("plink", "putty-tools (Fedora: putty)"),
    ("prlimit", "util-linux"),
    ("psftp", "putty-tools (Fedora: putty)"),
    ("puttygen", "putty-tools (Fedora: putty)"),
    ("setpriv", "util-linux"),
    ("sftp", "openssh-client (Fedora: openssh-clients)"),
    ("softhsm2-util", "softhsm2 (Fedora: softhsm)"),
    ("ssh", "openssh-client (Fedora: openssh-clients)"),
    ("ssh-add", "openssh-client (Fedora: openssh-clients)"),
    ("ssh-agent", "openssh-client (Fedora: openssh-clients)"),
    ("ssh-keygen", "openssh-client (Fedora: openssh)"),
    ("sshd", "openssh-server"),
    ("tinysshd", "tinysshd"),
    ("tinysshd-makekey", "tinysshd"),
    ("rsync", "rsync"),
    ("unshare", "util-linux"),
    ("vim", "vim (Fedora: vim-enhanced)"),
    ("zstd", "zstd"),
];

/// Directories that are searched after `PATH`: ordinary users often lack the `sbin` directories.
const ALSO: &[&str] = &["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin", "/bin"];

/// Names a directory in which `tests/openssh.sh` has unpacked another release of OpenSSH than the
/// system's; the tests then run that one.
const OPENSSH: &str = "RPROXY_TEST_OPENSSH";
/// In which role: `client`, `server`, or both where it is not set.
const OPENSSH_ROLE: &str = "RPROXY_TEST_OPENSSH_ROLE";
/// The programs of hosts; all other programs of OpenSSH are the client's.
const OF_HOSTS: &[&str] = &["sshd", "sshd-session", "sshd-auth", "sftp-server"];

/// A program of the other release of OpenSSH, where the tests are to run it.
pub(crate) fn of_other_openssh(name: &str) -> Option<PathBuf> {
    let role = if OF_HOSTS.contains(&name) {
        "server"
    } else {
        "client"
    };
    let program = other_openssh(role)?.join(name);
    program.is_file().then_some(program)
}

fn other_openssh(role: &str) -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os(OPENSSH)?);
    let wanted = std::env::var(OPENSSH_ROLE).unwrap_or_else(|_| role.to_owned());
    assert!(
        ["client", "server", "both"].contains(&&*wanted),
        "{OPENSSH_ROLE} is client, server or both"
    );
    let bin = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(directory)
        .join("bin");
    assert!(
        bin.join("sshd").is_file(),
        "no OpenSSH in {}",
        bin.display()
    );
    (wanted == role || wanted == "both").then_some(bin)
}

/// `PATH` for programs that run others: the client's OpenSSH is found first.
pub(crate) fn search_path() -> OsString {
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let directories = other_openssh("client").into_iter();
    let directories = directories.chain(std::env::split_paths(&usual));
    std::env::join_paths(directories).expect("directories without a colon")
}

/// The path of a program; a missing one fails the test with the package that brings it.
pub(crate) fn path(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| {
        let package = PACKAGES
            .iter()
            .find(|(program, _)| *program == name)
            .map_or(name, |(_, package)| package);
        panic!("{name} is missing: install the package {package}, or run tests/run.sh")
    })
}

/// The program that runs before an upgrade: this one, or an earlier one by `RPROXY_TEST_EARLIER`.
pub(crate) fn first_rproxy() -> PathBuf {
    let earlier = std::env::var_os("RPROXY_TEST_EARLIER").map(PathBuf::from);
    earlier.unwrap_or_else(|| env!("CARGO_BIN_EXE_rproxy").into())
}

/// Puts a program in its place, with mode 0755.
///
/// Another process writes it: a child that another thread of ours starts meanwhile would inherit
/// the open file, and a program that is open for writing cannot be run.
pub(crate) fn put(program: &Path, place: &Path) {
    let mut install = Command::new(path("install"));
    keys::tool(install.args(["-m", "755"]).arg(program).arg(place));
}

/// The same for a script.
pub(crate) fn put_script(text: &str, place: &Path) {
    let source = keys::with_suffix(place, ".text");
    std::fs::write(&source, text).expect("a writable directory");
    put(&source, place);
    std::fs::remove_file(source).expect("our own file");
}

/// The stock asciinema 3, which no distribution ships yet.
pub(crate) fn asciinema() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/asciinema");
    std::env::var_os("RPROXY_TEST_ASCIINEMA")
        .map(PathBuf::from)
        .or_else(|| tools.is_file().then_some(tools))
        .unwrap_or_else(|| {
            panic!(
                "asciinema 3 is missing: run tests/run.sh, or \
                 `cargo install asciinema --locked --version 3.2.0 --root target/tools`, \
                 or name one in RPROXY_TEST_ASCIINEMA"
            )
        })
}

/// Where `tests/run.sh` installs the packages of `PyPI`.
fn virtual_environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python/bin")
}

/// The Python that has these modules, if there is one: named in `RPROXY_TEST_PYTHON`, that of
/// `tests/run.sh`, or the usual one.
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    let named = std::env::var_os("RPROXY_TEST_PYTHON").map(PathBuf::from);
    let python = named.or_else(|| other("python3"))?;
    let found = Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    found.then_some(python)
}

/// The path of a foreign program other than OpenSSH's, if it is installed.
pub(crate) fn other(name: &str) -> Option<PathBuf> {
    let ours = virtual_environment().join(name);
    ours.is_file().then_some(ours).or_else(|| find(name))
}

fn find(name: &str) -> Option<PathBuf> {
    if let Some(program) = of_other_openssh(name) {
        return Some(program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(ALSO.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}
