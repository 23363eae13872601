//! Security keys without hardware: devices in software, for OpenSSH's programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::agent::Agent;
use super::children::Children;
use super::others::compiled;
use super::{keys, programs, skipped};

/// A device of the tests' own, for Ed25519 only.
pub(crate) fn own_device(dir: &Path) -> Option<PathBuf> {
    let device = dir.join("sk.so");
    let flags = ["-shared", "-fPIC"];
    compiled("sk_middleware.c", &flags, "crypto", &device).then_some(device)
}

/// The device of OpenSSH's own tests, for both types of key.
pub(crate) fn device_of_openssh() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/sk-dummy/sk-dummy.so");
    // `ssh-agent` compares the path without symbolic links.
    if let Ok(device) = installed.canonicalize() {
        return Some(device);
    }
    let what = "sk-dummy of OpenSSH's tests";
    match programs::other("apt-get") {
        Some(_) => skipped::lacks(what),
        None => skipped::cannot(&format!("{what} comes from packages of Debian")),
    }
    None
}

/// The helper for security keys of a release of OpenSSH other than the system's.
fn device_helper() -> Option<(&'static str, PathBuf)> {
    let helper = programs::of_other_openssh("ssh-sk-helper");
    helper.map(|path| ("SSH_SK_HELPER", path))
}

/// Creates a new key of this type in a device, with these arguments of `ssh-keygen`.
pub(crate) fn generate(key: &Path, device: &Path, kind: &str, more: &[&str]) {
    keys::tool(
        Command::new(programs::path("ssh-keygen"))
            .args(["-q", "-t", kind, "-N", "", "-C", "", "-w"])
            .arg(device)
            .args(more)
            .arg("-f")
            .arg(key)
            .envs(device_helper())
            .stdin(Stdio::null()),
    );
}

/// Starts an agent that has the key, and its certificate if there is one beside it.
pub(crate) fn agent(children: &Children, socket: &Path, device: &Path, key: &Path) -> Agent {
    let agent = Agent::start_with(children, socket, |agent| {
        agent.arg("-P").arg(device).envs(device_helper())
    });
    keys::tool(
        Command::new(programs::path("ssh-add"))
            .arg("-q")
            .arg("-S")
            .arg(device)
            .arg(key)
            .env("SSH_AUTH_SOCK", &agent.socket)
            .stdin(Stdio::null()),
    );
    agent
}
