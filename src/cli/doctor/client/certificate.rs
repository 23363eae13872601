//! The user's certificate: its file, and whether it is valid now and for this account.

use std::path::{Path, PathBuf};

use ssh_key::{Certificate, HashAlg};

use super::super::checks::{
    CERTIFICATE, CERTIFICATE_CHOICE, CERTIFICATE_TIME, IDENTITIES_ONLY, LOGIN,
};
use super::super::report::Finding;
use super::ssh::Effective;
use crate::cert::{KeyError, MIN_RSA_BITS, PresentedKey, weak_rsa_bits};
use crate::cli::ui::time;
use crate::sys::fs::read_limited;

/// Largest file of a certificate that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;
/// Sockets of agents that keep no certificates, and whose they are.
const BARE_AGENTS: [(&str, &str); 3] = [
    ("/keyring/", "GNOME Keyring"),
    ("/gcr/", "GNOME Keyring"),
    ("gpg-agent", "gpg-agent"),
];
const RENEW: &str = "get a new one; on the proxy: `rproxy auth sign --user=NAME --logins=LOGIN \
                     --public-key=FILE`; copy it to your machine; there: put it beside the key as \
                     KEY-cert.pub, and `ssh-add KEY`";

/// Keys and certificates, of the agent and of files.
#[derive(Debug)]
pub(super) struct Holdings<'h> {
    held: &'h [PresentedKey],
    /// Certificates in files that ssh reads.
    configured: Vec<(PathBuf, Certificate)>,
    /// Certificates in files that it does not.
    elsewhere: Vec<(PathBuf, Certificate)>,
    /// Files of either kind that hold no certificate that is known here.
    unreadable: Vec<(PathBuf, KeyError)>,
    identities_only: bool,
}

impl<'h> Holdings<'h> {
    /// Looks where ssh looks, and in `~/.ssh`.
    pub(super) fn find(held: &'h [PresentedKey], outer: Option<&Effective>) -> Self {
        let configured = outer.map(configured).unwrap_or_default();
        let mut unreadable = Vec::new();
        let mut read = |path: PathBuf| match read(&path)? {
            Ok(certificate) => Some((path, certificate)),
            Err(KeyError::Malformed(_)) => None,
            Err(error) => {
                unreadable.push((path, error));
                None
            }
        };
        let is_other = |path: &PathBuf| !configured.contains(path);
        Self {
            held,
            elsewhere: certificates_of_home()
                .into_iter()
                .filter(is_other)
                .filter_map(&mut read)
                .collect(),
            identities_only: outer.and_then(|o| o.value("identitiesonly")) == Some("yes"),
            configured: configured.into_iter().filter_map(&mut read).collect(),
            unreadable,
        }
    }

    /// `account` is the one on the host, `named` the user name of the connection to `proxy`.
    pub(super) fn examine(
        &self,
        (account, named): (Option<&str>, Option<&str>),
        proxy: (&str, u16),
        now: u64,
        socket: Option<&Path>,
        findings: &mut Vec<Finding>,
    ) {
        for (path, error) in &self.unreadable {
            findings.push(Finding::warning(
                &CERTIFICATE,
                path.display(),
                error,
                error.hint(),
            ));
        }
        let in_agent = self.held.iter().filter_map(PresentedKey::certificate);
        let in_agent: Vec<_> = in_agent.filter(|one| one.cert_type().is_user()).collect();
        let of_files = self.configured.iter().map(|(_, certificate)| certificate);
        let of_files: Vec<_> = of_files
            .filter(|one| self.has_key(one) && one.cert_type().is_user())
            .collect();
        if in_agent.is_empty() && of_files.is_empty() {
            findings.push(self.none(socket));
            return;
        }
        let all: Vec<_> = in_agent.iter().chain(&of_files).copied().collect();
        let good: Vec<_> = all
            .iter()
            .copied()
            .filter(|one| is_good(one, now))
            .collect();
        if let Some(certificate) = good.first().or_else(|| all.first()) {
            findings.push(sized(certificate));
        }
        findings.push(in_time(&all, &good, now));
        if let Some(account) = account {
            findings.extend(login(account, &good));
            findings.extend(choice(account, named, proxy, &good));
        }
        let is_offered =
            |one: &&Certificate| of_files.iter().any(|f| f.public_key() == one.public_key());
        if self.identities_only && !good.is_empty() && !good.iter().any(is_offered) {
            let detail = "IdentitiesOnly keeps ssh from offering the agent's certificate: no file \
                          that it reads has the same";
            let hint = "set IdentityFile to its key (with the certificate beside it), or remove \
                        IdentitiesOnly";
            findings.push(Finding::error(&IDENTITIES_ONLY, "", detail, hint));
        }
    }

    /// Whether the agent has the key of a certificate.
    fn has_key(&self, certificate: &Certificate) -> bool {
        self.held
            .iter()
            .any(|key| key.key_data() == certificate.public_key())
    }

    /// Why there is no certificate to log in with.
    fn none(&self, socket: Option<&Path>) -> Finding {
        let check = &CERTIFICATE;
        let bare = socket.and_then(bare_agent);
        if let Some((path, _)) = self.elsewhere_with_key() {
            let who = bare.unwrap_or("the agent");
            let detail = format!(
                "{who} has the key of {} and not the certificate, and ssh does not read that file",
                path.display()
            );
            let hint = format!(
                "set CertificateFile {} in ssh_config, for the hosts, the proxy and the \
                 ProxyCommand (on the proxy, `rproxy config --certificate=FILE` writes such a block): agents such as GNOME \
                 Keyring and gpg-agent keep no certificates; ssh-agent does, with `ssh-add KEY`",
                path.display()
            );
            return Finding::error(check, "", detail, hint);
        }
        let mut files = self.configured.iter();
        if let Some((path, _)) = files.find(|(_, one)| one.cert_type().is_user()) {
            let name = path.display().to_string();
            let key = name.strip_suffix("-cert.pub").unwrap_or(&name);
            let detail = format!("the certificate of {name} is for a key that the agent lacks");
            let hint = format!(
                "add its key to the agent: `ssh-add {key}`; or get a certificate for the agent's key"
            );
            return Finding::error(check, "", detail, hint);
        }
        if self.held.iter().any(|key| key.certificate().is_some()) {
            let detail = "the agent has host certificates only, which log nobody in";
            return Finding::error(check, "", detail, RENEW);
        }
        let detail = match bare {
            Some(who) => format!("{who} keeps no certificates, and ssh reads none from a file"),
            None => "the agent has keys only, and ssh reads no certificate from a file".to_owned(),
        };
        let hint = format!(
            "{RENEW}; for an agent that keeps no certificates, such as GNOME Keyring or gpg-agent, \
             set CertificateFile in ssh_config"
        );
        Finding::error(check, "", detail, hint)
    }

    fn elsewhere_with_key(&self) -> Option<&(PathBuf, Certificate)> {
        let mut files = self.elsewhere.iter();
        files.find(|(_, one)| one.cert_type().is_user() && self.has_key(one))
    }
}

fn is_good(certificate: &Certificate, now: u64) -> bool {
    (certificate.valid_after()..certificate.valid_before()).contains(&now)
}

/// Which certificate it is, unless its key is too short for the proxy.
fn sized(certificate: &Certificate) -> Finding {
    let described = described(certificate);
    match weak_rsa_bits(certificate.public_key()) {
        None => Finding::ok(&CERTIFICATE, "", described),
        Some(bits) => {
            let detail = format!(
                "{described}: its RSA key has {bits} bits, the proxy requires {MIN_RSA_BITS}"
            );
            let hint = format!("make a new key (`ssh-keygen -t ed25519`); {RENEW}");
            Finding::error(&CERTIFICATE, "", detail, hint)
        }
    }
}

fn described(certificate: &Certificate) -> String {
    format!(
        "of {}, serial {}, signed by {}",
        certificate.key_id(),
        certificate.serial(),
        certificate.signature_key().fingerprint(HashAlg::Sha256)
    )
}

fn in_time(all: &[&Certificate], good: &[&Certificate], now: u64) -> Finding {
    let check = &CERTIFICATE_TIME;
    if let Some(longest) = good.iter().max_by_key(|one| one.valid_before()) {
        let detail = format!("good until {}", time(longest.valid_before()));
        return match all.len() - good.len() {
            0 => Finding::ok(check, "", detail),
            others => Finding::warning(
                check,
                "",
                format!("{detail}; {others} more that are not good now"),
                "ssh offers them all: take the old ones out of the agent with `ssh-add -d`",
            ),
        };
    }
    let ahead = all
        .iter()
        .map(|one| one.valid_after())
        .find(|after| *after > now);
    if let Some(after) = ahead {
        let detail = format!("begins {}, and it is {} here", time(after), time(now));
        let hint = "set the clock: a certificate begins a minute before it is made";
        return Finding::error(check, "", detail, hint);
    }
    let last = all.iter().map(|one| one.valid_before()).max().unwrap_or(0);
    Finding::error(check, "", format!("expired at {}", time(last)), RENEW)
}

/// Whether one of the good ones is for the account.
fn login(account: &str, good: &[&Certificate]) -> Option<Finding> {
    let principals: Vec<&str> = good
        .iter()
        .flat_map(|one| one.valid_principals())
        .map(String::as_str)
        .collect();
    if good.is_empty() {
        return None;
    }
    Some(if principals.contains(&account) {
        Finding::ok(&LOGIN, account, "is among the principals")
    } else {
        let detail = format!("the certificate is for {}", principals.join(", "));
        let hint = format!(
            "log in as one of these (User in ssh_config, `ssh LOGIN@HOST`), or get a certificate; on \
             the proxy: rproxy auth sign --user=NAME --logins={account}"
        );
        Finding::error(&LOGIN, account, detail, hint)
    })
}

/// Which of several people's certificates the proxy takes: the first that has the login that is named
/// to it, else the first.
fn choice(
    account: &str,
    named: Option<&str>,
    (proxy, port): (&str, u16),
    good: &[&Certificate],
) -> Option<Finding> {
    let check = &CERTIFICATE_CHOICE;
    let has = |one: &&&Certificate, login: &str| one.valid_principals().iter().any(|p| p == login);
    let first = good.first()?;
    if good.iter().all(|one| one.key_id() == first.key_id()) {
        return None;
    }
    let named = named.unwrap_or_default();
    let taken = good.iter().find(|one| has(one, named)).unwrap_or(first);
    let better = good.iter().find(|one| has(one, account));
    let detail = format!(
        "there are certificates of several key ids, and the proxy takes that of {}",
        taken.key_id()
    );
    Some(match better {
        Some(better) if !has(&taken, account) => Finding::error(
            check,
            "",
            format!(
                "{detail}, which is not for {account}; that of {} is",
                better.key_id()
            ),
            format!(
                "name the login to the proxy too: `ssh -J {account}@{}:{port}`, or `%r@{proxy}` in \
                 ProxyCommand; or have ssh offer the right one alone: IdentitiesOnly yes, \
                 CertificateFile, IdentityFile",
                match proxy.contains(':') {
                    true => format!("[{proxy}]"),
                    false => proxy.to_owned(),
                }
            ),
        ),
        _ => Finding::ok(check, "", detail),
    })
}

/// The files in which ssh looks for certificates.
fn configured(outer: &Effective) -> Vec<PathBuf> {
    let named = outer.values("certificatefile").map(expanded);
    let beside = outer.values("identityfile").map(|path| {
        let mut path = expanded(path).into_os_string();
        path.push("-cert.pub");
        PathBuf::from(path)
    });
    named.chain(beside).collect()
}

/// Certificates in the usual place.
fn certificates_of_home() -> Vec<PathBuf> {
    let directory = std::env::home_dir().map(|home| home.join(".ssh"));
    let entries = directory.and_then(|directory| std::fs::read_dir(directory).ok());
    let paths = entries.into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<_> = paths
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with("-cert.pub"))
        .collect();
    paths.sort();
    paths
}

/// The certificate in a file, or why it is not read.
fn read(path: &Path) -> Option<Result<Certificate, KeyError>> {
    let text = read_limited(path, MAX_FILE).ok()?;
    let line = String::from_utf8_lossy(&text);
    PresentedKey::from_line(line.trim())
        .map(|key| key.certificate().cloned())
        .transpose()
}

/// A path as ssh has it, with the home directory put in.
pub(super) fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// Which agent it is, if it is one of those.
fn bare_agent(socket: &Path) -> Option<&'static str> {
    let socket = socket.to_string_lossy();
    let mut known = BARE_AGENTS.iter();
    known
        .find(|(part, _)| socket.contains(part))
        .map(|(_, who)| *who)
}
