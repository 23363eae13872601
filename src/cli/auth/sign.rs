//! `rproxy auth sign`: host and user certificates, and their files.
//!
//! The order matters: flags, then the key that is signed, then whether the files can be written,
//! and only then the CA. Nothing is signed for a command that cannot finish.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgGroup;
use ssh_key::PublicKey;

use super::super::host_files;
use super::batch::Batch;
use super::client::AuthClient;
use super::credential::{
    Credential, certificate_beside, certificate_for, is_public, private_beside,
};
use super::failure::{NOT_SIGNED, ca_failure, not_signed};
use super::{Context, Exit, Failure, files, public_key, ui};
use crate::ca::{IssueRequest, NewHostKey};
use crate::cert::{HostRequest, UserRequest};
use crate::model::{DurationError, HostPrincipal, NameError, Principal, parse_duration_with_units};
use crate::sys::clock::Clock;

/// How long a host certificate is good for unless told otherwise: 365 days.
const HOST_TTL: Duration = Duration::from_secs(365 * 86_400);
/// The same for a user certificate: 12 hours.
const USER_TTL: Duration = Duration::from_secs(12 * 3_600);

/// Sign a host or user certificate
///
/// For a host without --public-key, an Ed25519 key is made at PATH, with PATH.pub and the certificate
/// PATH-cert.pub beside it. With --public-key, only the certificate is written: to PATH-cert.pub, to
/// PATH itself if that ends in .pub, or without --out beside the public key, as NAME-cert.pub for
/// NAME.pub. The names of the files and, for hosts, the lines to add to sshd_config go to standard
/// output.
///
/// With --batch, a host certificate is made for each line of a list, NAME[,NAME..] PUBKEY as
/// `ssh-keyscan -t ed25519` prints it: in the directory that --out names, as NAME-cert.pub, or on
/// standard output, after the name.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("subject").required(true).multiple(true).args(["host", "user", "batch"])))]
pub(crate) struct AuthSignArgs {
    /// Sign for a host: every name and address that clients use for it
    #[arg(
        long,
        value_name = "NAME,..",
        value_delimiter = ',',
        num_args = 0..=1,
        conflicts_with = "user"
    )]
    host: Option<Vec<String>>,
    /// Sign for a person, whose name becomes the key id
    #[arg(long, value_name = "NAME", requires_all = ["logins", "public_key"])]
    user: Option<String>,
    /// Sign for the hosts of a list; - reads it from standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "public_key"])]
    batch: Option<PathBuf>,
    /// Accounts on the hosts that the person may log in to
    #[arg(
        long,
        value_name = "LOGIN,..",
        value_delimiter = ',',
        requires = "user"
    )]
    logins: Vec<String>,
    /// Public key to sign; - reads it from standard input
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Name of the key; the certificate is PATH-cert.pub
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// How long the certificate is good for, as in 90m, 12h, 30d, 52w
    /// [default: 365d for hosts, 12h for users, or less if the policy says so]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Replace existing files
    #[arg(long)]
    overwrite: bool,
}

impl AuthSignArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.sign(context, ui::confirm)?)
    }

    /// Does it all and gives what is printed. `ask` puts a question to the user.
    pub(super) fn sign(
        &self,
        context: &Context,
        ask: impl FnOnce(&str) -> Result<bool, Failure>,
    ) -> Result<String, Failure> {
        let ttl = self.ttl(context)?;
        if let Some(list) = &self.batch {
            return self.sign_batch(context, list, ttl, ask);
        }
        let credential = self.credential()?;
        let request = self.request(context, credential.public_key(), ttl)?;
        let client = AuthClient::new(context);
        let now = Clock::System.unix_seconds();
        request.check(&client.limits(), now).map_err(not_signed)?;
        let revocations = client.revocations()?;
        request.refuse_revoked(&revocations).map_err(not_signed)?;
        warn_of_no_role(context, &request);
        let paths = credential.paths();
        let (sshd_lines, hint) = match &request {
            IssueRequest::Host(request) => {
                let is_here = host_files::is_this_machine(&request.names);
                let (lines, directory) = credential.sshd_lines(is_here)?;
                let host = request.names.first().map_or("", HostPrincipal::as_str);
                let hint = match is_here {
                    true => "add these lines to /etc/ssh/sshd_config on this machine".to_owned(),
                    false => format!(
                        "copy {} to {} on {host}; on {host}: add these lines to /etc/ssh/sshd_config",
                        shown(&paths),
                        directory.display()
                    ),
                };
                let hint = format!("{hint}, then `sshd -t && systemctl reload ssh`");
                (lines, hint)
            }
            IssueRequest::User(request) => (
                Vec::new(),
                format!(
                    "copy {} to the machine of {}, beside the private key; there: ssh-add KEY",
                    shown(&paths),
                    request.identity
                ),
            ),
        };
        let replace = files::check(&paths, self.overwrite, ask)?;
        let issued = client.signing()?.issue(request)?;
        files::write(&credential.outputs(&issued.certificate)?, replace)?;
        ui::note(&format!("hint: {hint}"));
        Ok(report(&paths, &sshd_lines))
    }

    fn sign_batch(
        &self,
        context: &Context,
        list: &Path,
        ttl: Duration,
        ask: impl FnOnce(&str) -> Result<bool, Failure>,
    ) -> Result<String, Failure> {
        if !self.names().is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                "--batch has the names in its list, --host needs none",
            ));
        }
        let batch = Batch::read(list, ttl)?;
        let directory = self.out.as_deref();
        let paths = directory.map(|directory| batch.paths(directory));
        let replace = files::check(&paths.unwrap_or_default(), self.overwrite, ask)?;
        let result = batch.sign(context, directory, ttl, replace)?;
        ui::note(
            "hint: copy each certificate to its host; on each host: name it with HostCertificate in \
             /etc/ssh/sshd_config, then `sshd -t && systemctl reload ssh`",
        );
        Ok(result)
    }

    /// The names that were given with --host.
    fn names(&self) -> &[String] {
        self.host.as_deref().unwrap_or_default()
    }

    /// As long as was asked for. How long a person's certificate may be at most, roles may say.
    fn ttl(&self, context: &Context) -> Result<Duration, Failure> {
        let asked = self.ttl.as_deref().map(asked_ttl).transpose()?;
        let Some(user) = &self.user else {
            return Ok(asked.unwrap_or(HOST_TTL));
        };
        let limits = AuthClient::new(context).limits();
        match (asked, &self.ttl) {
            (Some(ttl), Some(given)) => match limits.check(user, ttl) {
                Ok(()) => Ok(ttl),
                Err(refused) => Err(Failure::new(Exit::Failed, NOT_SIGNED)
                    .because(refused.reason(given))
                    .hint(refused.hint())),
            },
            _ => Ok(USER_TTL.min(limits.of(user))),
        }
    }

    /// The key to sign, given or made, and where its files go.
    fn credential(&self) -> Result<Credential, Failure> {
        let usage = |message: &str| Failure::new(Exit::Usage, message);
        if self.out.as_deref() == Some(Path::new("-")) {
            return Err(usage("--out names a file, - is none"));
        }
        match (&self.public_key, &self.out) {
            (None, None) => Err(usage("--out or --public-key is missing")),
            (None, Some(path)) if is_public(path) => Err(usage(&format!(
                "--out={} would name a private key like a public one",
                path.display()
            ))
            .hint("leave out .pub: it is added for the public key and the certificate")),
            (None, Some(path)) => {
                let comment = self.names().first().map_or("", |name| name.trim());
                Ok(Credential::Made {
                    key: NewHostKey::generate(comment)
                        .map_err(|error| ca_failure("cannot make a host key", error))?,
                    path: path.clone(),
                })
            }
            (Some(key), None) if key == Path::new("-") => Err(usage("--public-key=- needs --out")),
            (Some(key), Some(out)) if key == out => Err(usage("--out is the public key itself")
                .hint(
                    "leave it out: the certificate goes beside the public key, as NAME-cert.pub",
                )),
            (Some(key), out) => Ok(Credential::Given {
                key: public_key::read(key)?,
                private: private_beside(key),
                certificate: match out {
                    Some(out) => certificate_for(out),
                    None => certificate_beside(key),
                },
            }),
        }
    }

    fn request(
        &self,
        context: &Context,
        key: &PublicKey,
        ttl: Duration,
    ) -> Result<IssueRequest, Failure> {
        let refused = |error: NameError| {
            Failure::new(Exit::Failed, NOT_SIGNED)
                .because(error)
                .hint("name each account or host in full: a certificate knows no patterns")
        };
        let name = |text: &String| text.parse::<Principal>().map_err(refused);
        let host = |text: &String| text.parse::<HostPrincipal>().map_err(refused);
        match &self.user {
            Some(user) => Ok(IssueRequest::User(UserRequest {
                identity: name(user)?,
                logins: self.logins.iter().map(name).collect::<Result<_, _>>()?,
                public_key: key.clone(),
                ttl,
                source_addresses: context.config.proxy.egress_addrs.clone(),
                sign_in: None,
            })),
            None => Ok(IssueRequest::Host(HostRequest {
                names: self.names().iter().map(host).collect::<Result<_, _>>()?,
                public_key: key.clone(),
                ttl,
                extensions: None,
            })),
        }
    }
}

/// Reads the value of --ttl.
fn asked_ttl(text: &str) -> Result<Duration, Failure> {
    parse_duration_with_units(text).map_err(|error| {
        let exit = match error {
            DurationError::Syntax(_) => Exit::Usage,
            DurationError::Overflow(_) => Exit::Failed,
        };
        Failure::new(exit, "cannot use the value of --ttl").because(error)
    })
}

/// Warns about a certificate that the proxy would refuse everywhere; hosts may accept it.
fn warn_of_no_role(context: &Context, request: &IssueRequest) {
    let IssueRequest::User(UserRequest { identity, .. }) = request else {
        return;
    };
    let policy = context.config.policy();
    if policy.has_roles() && policy.roles_of(identity.as_str(), &[]).is_empty() {
        let file = &context.config.file;
        ui::note(&format!(
            "rproxy: warning: {identity} has no role in {file}, so the proxy lets them go nowhere"
        ));
    }
}

fn shown(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}

fn report(paths: &[PathBuf], sshd_lines: &[String]) -> String {
    let mut text = format!("The credentials have been written to {}\n", shown(paths));
    for line in sshd_lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}
