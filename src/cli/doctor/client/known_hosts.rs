//! The host CA in known hosts, as `ssh-keygen -F` finds it there.

use std::path::Path;
use std::process::Command;

use ssh_key::{HashAlg, PublicKey};

use super::super::checks::KNOWN_HOSTS;
use super::super::child;
use super::super::report::Finding;
use super::certificate::expanded;
use super::proxy_path::ProxyPath;
use super::ssh::{Effective, Names, PATIENCE};
use crate::cert::TrustedKeys;

/// The keys that ssh trusts to certify the proxy; `None` where ssh cannot be asked for all of them.
pub(super) type Trusted = Option<TrustedKeys>;

/// Looks for lines for the proxy, and for the host.
pub(super) fn examine(way: &ProxyPath, findings: &mut Vec<Finding>) -> Trusted {
    let trusted = look(&way.outer, findings);
    if let Some(inner) = &way.inner {
        let _same_keys = look(inner, findings);
    }
    trusted
}

fn look(effective: &Effective, findings: &mut Vec<Finding>) -> Trusted {
    let names = effective.names();
    let subject = &names.certified;
    let mut found = KnownHostEntries::default();
    let files = ["userknownhostsfile", "globalknownhostsfile"]
        .into_iter()
        .filter_map(|keyword| effective.value(keyword))
        .flat_map(str::split_whitespace)
        .filter(|file| *file != "none")
        .map(expanded);
    for file in files.filter(|file| file.exists()) {
        found.search(&file, "", &names);
    }
    if let Some(command) = effective.path("knownhostscommand") {
        // Its tokens stand for what only ssh knows.
        if command.contains('%') {
            let detail = "there is a KnownHostsCommand with tokens, which only ssh can ask";
            findings.push(Finding::ok(&KNOWN_HOSTS, subject, detail));
            return None;
        }
        let mut shell = Command::new("/bin/sh");
        if let Ok(said) = child::run(shell.args(["-c", &format!("exec {command}")]), "", PATIENCE) {
            found.search(Path::new("/dev/stdin"), &said.stdout, &names);
        }
    }
    findings.push(found.judge(subject, &names));
    (!found.authorities.is_empty()).then(|| found.authorities.into_iter().collect())
}

/// What there is about a name.
#[derive(Debug, Default)]
struct KnownHostEntries {
    authorities: Vec<PublicKey>,
    has_plain_key: bool,
}

impl KnownHostEntries {
    fn search(&mut self, file: &Path, content: &str, names: &Names) {
        for name in &names.looked_for {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-F", name, "-f"]).arg(file);
            let Ok(said) = child::run(&mut keygen, content, PATIENCE) else {
                continue;
            };
            for line in said.stdout.lines().filter(|line| !line.starts_with('#')) {
                self.take(line);
            }
        }
    }

    /// One line, in the form of sshd(8).
    fn take(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("@cert-authority") => {
                let key: Vec<_> = words.skip(1).take(2).collect();
                if let Ok(key) = PublicKey::from_openssh(&key.join(" "))
                    && !self
                        .authorities
                        .iter()
                        .any(|one| one.key_data() == key.key_data())
                {
                    self.authorities.push(key);
                }
            }
            Some(marker) if marker.starts_with('@') => {}
            _ => self.has_plain_key = true,
        }
    }

    fn judge(&self, subject: &str, names: &Names) -> Finding {
        if self.authorities.is_empty() {
            let detail = match self.has_plain_key {
                true => "a plain key is known, and no CA: host certificates count for nothing",
                false => "no CA is known that could certify it",
            };
            let pattern = names.looked_for.first().unwrap_or(&names.certified);
            let hint = format!(
                "on the proxy: `rproxy auth export --type=host` prints lines with patterns; on your \
                 machine: append them to ~/.ssh/known_hosts, with patterns that match {pattern}; or \
                 use the block that `rproxy config` prints there"
            );
            return Finding::error(&KNOWN_HOSTS, subject, detail, hint);
        }
        let keys = self.authorities.iter();
        let keys: Vec<_> = keys
            .map(|key| key.fingerprint(HashAlg::Sha256).to_string())
            .collect();
        Finding::ok(
            &KNOWN_HOSTS,
            subject,
            format!("certified by {}", keys.join(", ")),
        )
    }
}
