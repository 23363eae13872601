//! The proxy's side: an `sshd` whose forced command notes what it was asked and answers from files.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use crate::script::put_script;

/// The cluster's name.
pub(crate) const CLUSTER: &str = "demo";
/// The name and the port by which hosts know the proxy. It is reached without the network.
pub(crate) const NAME: &str = "proxy.example.com";
pub(crate) const PORT: u16 = 3023;

/// Runs at the proxy for each program that a host asks for.
const FORCED: &str = r#"#!/bin/sh
here=${0%/*}
program=$SSH_ORIGINAL_COMMAND
number=$(ls "$here/asked" | wc -l)
cat >"$here/asked/$(printf '%04d' "$number").$program"
if [ -e "$here/$program.refusal" ]; then
    cat "$here/$program.refusal" >&2
    exit 1
fi
if [ -e "$here/$program.hangs" ]; then
    rm "$here/$program.hangs"
    while echo 'warning x'; do sleep 1; done
fi
exec cat "$here/$program.answer"
"#;

/// A proxy, with its CAs.
pub(crate) struct ProxyDouble {
    dir: tempfile::TempDir,
}

/// One request that reached the proxy.
pub(crate) struct AskedProgram {
    pub(crate) program: String,
    pub(crate) text: String,
}

impl AskedProgram {
    /// The values of one name.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let begins = format!("{name} ");
        let values = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix(&begins));
        values.collect()
    }
}

impl ProxyDouble {
    pub(crate) fn new() -> Self {
        let proxy = Self {
            dir: tempfile::Builder::new()
                .prefix("rp-")
                .tempdir_in("/tmp")
                .unwrap(),
        };
        for key in ["host_ca", "user_ca", "key"] {
            usual_key(key, &proxy.path(key));
        }
        fs::create_dir(proxy.path("asked")).unwrap();
        proxy.present("host_ca");
        put_script(FORCED, &proxy.path("forced"));
        let pam = if is_locked() { "yes" } else { "no" };
        // Another HOME: the startup files of the account may be slow and print something.
        let text = format!(
            "HostKey {0}/key\nHostCertificate {0}/key-cert.pub\nAuthorizedKeysFile {0}/hosts\n\
             AuthenticationMethods publickey\nPermitRootLogin yes\nStrictModes no\nUsePAM {pam}\n\
             KexAlgorithms curve25519-sha256\nPidFile none\nPrintMotd no\nForceCommand {0}/forced\n\
             SetEnv HOME={0}\n",
            proxy.dir.path().display()
        );
        fs::write(proxy.path("sshd_config"), text).unwrap();
        // Where sshd runs without its package's unit.
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        proxy.revoke(1);
        proxy.answer("successors", "end\n");
        proxy
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Shows a certificate of this key from now on.
    pub(crate) fn present(&self, authority: &str) {
        self.sign(authority, &self.path("key"), &["-n", NAME]);
    }

    /// Knows a host from now on.
    pub(crate) fn know(&self, host_key: &Path) {
        fs::copy(with(host_key, ".pub"), self.path("hosts")).unwrap();
    }

    /// A host certificate, beside the key.
    pub(crate) fn sign(&self, authority: &str, key: &Path, arguments: &[&str]) {
        let arguments = [&["-I", "host"], arguments].concat();
        sign(&self.path(authority), key, &arguments);
    }

    /// The certificate of a host's key, as a line without a comment.
    pub(crate) fn certify(&self, authority: &str, host_key: &Path, serial: u32) -> String {
        let copy = self.path("certified");
        fs::copy(with(host_key, ".pub"), with(&copy, ".pub")).unwrap();
        self.sign(authority, &copy, &["-n", "db1", "-z", &serial.to_string()]);
        line(&with(&copy, "-cert.pub"))
    }

    /// A public key of a CA, as a line without a comment.
    pub(crate) fn public(&self, authority: &str) -> String {
        line(&with(&self.path(authority), ".pub"))
    }

    /// Makes the revocation list of this number.
    pub(crate) fn revoke(&self, number: u32) {
        let list = made(&format!("list {number}"), || {
            fs::write(self.path("nothing"), "").unwrap();
            run(Command::new("ssh-keygen")
                .args(["-q", "-k", "-z", &number.to_string(), "-f"])
                .args([self.path("list"), self.path("nothing")]));
            fs::read(self.path("list")).unwrap()
        });
        fs::write(self.path("revocations.answer"), list).unwrap();
    }

    /// Answers a program from now on.
    pub(crate) fn answer(&self, program: &str, text: &str) {
        let refusal = self.path(&format!("{program}.refusal"));
        if refusal.exists() {
            fs::remove_file(refusal).unwrap();
        }
        fs::write(self.path(&format!("{program}.answer")), text).unwrap();
    }

    /// Answers a program once, by lines without an end.
    pub(crate) fn hang(&self, program: &str) {
        fs::write(self.path(&format!("{program}.hangs")), "").unwrap();
    }

    /// Refuses a program from now on.
    pub(crate) fn refuse(&self, program: &str, text: &str) {
        fs::write(self.path(&format!("{program}.refusal")), text).unwrap();
    }

    /// Lets no host in from now on, and says why before it does not, as of a locked node.
    pub(crate) fn turn_away(&self, why: &str) {
        fs::write(self.path("hosts"), "").unwrap();
        fs::write(self.path("banner"), why).unwrap();
        let config = self.path("sshd_config");
        let banner = format!("Banner {}\n", self.path("banner").display());
        let text = fs::read_to_string(&config).unwrap() + &banner;
        fs::write(config, text).unwrap();
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<AskedProgram> {
        let entries = fs::read_dir(self.path("asked")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let asked = paths.iter().map(|path| AskedProgram {
            program: path.extension().unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(path).unwrap(),
        });
        asked.collect()
    }

    pub(crate) fn programs(&self) -> Vec<String> {
        self.asked()
            .into_iter()
            .map(|asked| asked.program)
            .collect()
    }

    pub(crate) fn last(&self, program: &str) -> AskedProgram {
        let asked = self.asked().into_iter();
        asked.rev().find(|asked| asked.program == program).unwrap()
    }
}

/// The answer that a node gets.
pub(crate) struct Answer {
    dir: PathBuf,
    /// The key that names those of the user CA, and further ones of the host CA. Nobody does if it is empty.
    pub(crate) signer: &'static str,
    pub(crate) certificate: Option<String>,
    pub(crate) user_cas: Vec<String>,
    pub(crate) host_cas: Vec<String>,
    pub(crate) revocations: u32,
    pub(crate) tunnel: &'static str,
    pub(crate) warnings: Vec<&'static str>,
}

impl Answer {
    pub(crate) fn new(proxy: &ProxyDouble) -> Self {
        Self {
            dir: proxy.path(""),
            signer: "host_ca",
            certificate: None,
            user_cas: vec![proxy.public("user_ca")],
            host_cas: vec![proxy.public("host_ca")],
            revocations: 1,
            tunnel: "no",
            warnings: Vec::new(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "rproxy-node 1\nid 0198a7c4-0000-7000-8000-000000000001\nname db1\ntunnel {}\n",
            self.tunnel
        );
        let mut add = |name: &str, value: &str| text.push_str(&format!("{name} {value}\n"));
        if let Some(line) = &self.certificate {
            add("certificate", line);
        }
        for line in &self.user_cas {
            add("user-ca", line);
        }
        for line in &self.host_cas {
            add("host-ca", line);
        }
        for line in &self.user_cas {
            self.name("user-ca", line, &mut |named| add("user-ca-proof", named));
        }
        for line in &self.host_cas {
            self.name("host-ca-successor", line, &mut |named| {
                add("successor", named);
            });
        }
        add("revocations", &self.revocations.to_string());
        for line in &self.warnings {
            add("warning", line);
        }
        text + "end\n"
    }

    /// The certificate by which the signer names a key, with that key behind it.
    fn name(&self, kind: &str, key: &str, add: &mut dyn FnMut(&str)) {
        let named = self.dir.join("named");
        fs::write(with(&named, ".pub"), format!("{key}\n")).unwrap();
        // A key that is none has no certificate.
        let is_key = made(&format!("is a key {key}"), || {
            let mut tool = Command::new("ssh-keygen");
            let output = tool.arg("-lf").arg(with(&named, ".pub")).output().unwrap();
            vec![u8::from(output.status.success())]
        });
        if self.signer.is_empty() || is_key == [0] {
            return;
        }
        let principal = format!("{kind}@{CLUSTER}");
        let option = format!("critical:{kind}@rproxy");
        sign(
            &self.dir.join(self.signer),
            &named,
            &["-I", kind, "-n", &principal, "-O", &option],
        );
        add(&format!("{} {key}", line(&with(&named, "-cert.pub"))));
    }
}

pub(crate) fn generate(path: &Path) {
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(path));
}

/// Puts a key in its place that all cases have in common: keys, and what is signed with them, are made once.
pub(crate) fn usual_key(name: &str, path: &Path) {
    let both = made(&format!("key {name}"), || {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        generate(&key);
        let [private, public] =
            [key.clone(), with(&key, ".pub")].map(|half| fs::read(half).unwrap());
        [private, public].join(&0)
    });
    let (private, public) = std::str::from_utf8(&both)
        .unwrap()
        .split_once('\0')
        .unwrap();
    fs::write(path, private).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(with(path, ".pub"), public).unwrap();
}

/// Makes a host certificate beside a key.
fn sign(authority: &Path, key: &Path, arguments: &[&str]) {
    let name = format!(
        "certificate {arguments:?} {} {}",
        fs::read_to_string(authority).unwrap(),
        fs::read_to_string(with(key, ".pub")).unwrap()
    );
    let certificate = made(&name, || {
        run(Command::new("ssh-keygen")
            .args(["-q", "-h", "-s"])
            .arg(authority)
            .args(arguments)
            .arg(with(key, ".pub")));
        fs::read(with(key, "-cert.pub")).unwrap()
    });
    fs::write(with(key, "-cert.pub"), certificate).unwrap();
}

/// What was made under this name the first time.
fn made(name: &str, make: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    static MADE: LazyLock<Mutex<HashMap<String, Vec<u8>>>> = LazyLock::new(Mutex::default);
    let known = MADE.lock().unwrap().get(name).cloned();
    known.unwrap_or_else(|| {
        let new = make();
        let mut all = MADE.lock().unwrap();
        // Another case may have been faster.
        all.entry(name.to_owned()).or_insert(new).clone()
    })
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Type and key of a public key or a certificate.
fn line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether sshd refuses the account of the tests unless PAM decides.
fn is_locked() -> bool {
    let shadow = fs::read_to_string("/etc/shadow").unwrap_or_default();
    rustix::process::geteuid().is_root() && shadow.lines().any(|line| line.starts_with("root:!"))
}
