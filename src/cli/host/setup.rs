//! `rproxy host setup`: a snippet for `sshd_config.d` and the files that it names.
//!
//! No file that sshd reads is changed: the snippet takes effect once it is included.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::super::auth::client::AuthClient;
use super::super::auth::credential::{Credential, private_beside, with_suffix};
use super::super::auth::failure::ca_failure;
use super::super::auth::files::{self, Output};
use super::super::auth::public_key;
use super::sshd::{HostConfig, Sshd};
use super::{Context, Exit, Failure, host_files, ui};
use crate::ca::{Authorities, CaKind, IssueRequest, NewHostKey};
use crate::cert::HostRequest;
use crate::cert::krl::{MAX_KRL, RevocationList};
use crate::model::{HostPrincipal, parse_duration_with_units};
use crate::openssh::{self, Export, RenderError};
use crate::sys::fs::{self, PUBLIC_FILE};

/// How long the host's certificate is good for unless told otherwise: 365 days.
const TTL: Duration = Duration::from_secs(365 * 86_400);
/// The key that is certified where none is named and this one is there.
const USUAL_KEY: &str = "/etc/ssh/ssh_host_ed25519_key.pub";

/// Write what sshd needs to take the user CA's certificates and to show one of its own
///
/// The directory gets rproxy.conf, a snippet for `sshd_config.d`, and the files that it names. sshd
/// checks it together with the host's own configuration, and how to take it into use goes to
/// standard output. Run it on the proxy, and copy the directory to the same place on
/// the host; or on the host itself, with --data-dir. For another host than this machine, give its
/// configuration with --sshd-config, or its key with --public-key: this machine's own is not looked
/// at then.
#[derive(Debug, clap::Args)]
pub(crate) struct HostSetupArgs {
    /// Directory for the snippet and its files; it is made if it is missing
    #[arg(long, value_name = "DIR")]
    out_dir: PathBuf,
    /// Every name and address that clients use for the host [default: this machine's name]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    host: Vec<String>,
    /// Host key to certify [default: this machine's Ed25519 key, else a new one in DIR]
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Revoked keys and certificates, as `auth krl` writes them
    #[arg(long, value_name = "FILE")]
    krl: Option<PathBuf>,
    /// The host's own configuration [default: on the host itself, `/etc/ssh/sshd_config`]
    #[arg(long, value_name = "FILE")]
    sshd_config: Option<PathBuf>,
    /// The sshd that checks [default: the one that is found]
    #[arg(long, value_name = "FILE")]
    sshd: Option<PathBuf>,
    /// How long the host's certificate is good for, as in 90d, 52w [default: 365d]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Replace existing files
    #[arg(long)]
    overwrite: bool,
}

impl HostSetupArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let told = self.set_up(context, ui::confirm)?;
        ui::result(&told)
    }

    /// Does it all and gives what is printed.
    pub(super) fn set_up(
        &self,
        context: &Context,
        ask: impl FnOnce(&str) -> Result<bool, Failure>,
    ) -> Result<String, Failure> {
        let ttl = self.ttl()?;
        let names = self.names()?;
        let krl = self.krl()?;
        let sshd = Sshd::find(self.sshd.as_deref(), self.host_config(&names))?;
        let directory = self.directory()?;
        let place = self.place(&directory, &names)?;
        let credential = self.credential(&directory, &names)?;
        let layout = Layout {
            user_ca: directory.join("rproxy_user_ca.pub"),
            krl: krl.is_some().then(|| directory.join("rproxy_revoked_keys")),
            snippet: directory.join("rproxy.conf"),
        };
        let mut paths = credential.paths();
        paths.extend(layout.paths());
        let replace = files::check(&paths, self.overwrite, ask)?;

        let host_keys = sshd.as_ref().map(|sshd| sshd.host_keys(&directory));
        let host_keys = host_keys.unwrap_or_default();
        let trial = layout.snippet(&credential, &host_keys, |path| path.to_owned())?;
        let snippet = layout.snippet(&credential, &host_keys, |path| place.of(path))?;
        let signing = AuthClient::new(context).signing()?;
        let issued = signing.issue(IssueRequest::Host(HostRequest {
            names: names.clone(),
            public_key: credential.public_key().clone(),
            ttl,
            extensions: None,
        }))?;
        let mut outputs = credential.outputs(&issued.certificate)?;
        outputs.push(public(&layout.user_ca, user_ca(signing.authorities())?));
        if let (Some(path), Some(content)) = (&layout.krl, krl) {
            fs::write_whole(path, &content, PUBLIC_FILE, replace).map_err(|error| {
                Failure::new(Exit::Failed, "cannot write the revoked keys").because(error)
            })?;
        }
        files::write(&outputs, replace)?;
        match &sshd {
            Some(sshd) => {
                sshd.check(&trial, &directory)?;
                if !sshd.knows_the_host() {
                    ui::note(
                        "checked without the host's own configuration, which --sshd-config names: \
                         run `sshd -t` on the host before it reloads",
                    );
                }
            }
            None => ui::note("there is no sshd here: run `sshd -t` on the host before it reloads"),
        }
        // The snippet comes last: it never names a file that is not there or that sshd refuses.
        files::write(&[public(&layout.snippet, snippet)], replace)?;
        Ok(report(&paths, &place, &place.of(&layout.snippet)))
    }

    fn ttl(&self) -> Result<Duration, Failure> {
        self.ttl.as_deref().map_or(Ok(TTL), |text| {
            parse_duration_with_units(text).map_err(|error| {
                Failure::new(Exit::Usage, "cannot use the value of --ttl").because(error)
            })
        })
    }

    fn names(&self) -> Result<Vec<HostPrincipal>, Failure> {
        let uname = rustix::system::uname();
        let machine = uname.nodename().to_string_lossy().into_owned();
        let given = if self.host.is_empty() {
            std::slice::from_ref(&machine)
        } else {
            &self.host
        };
        let names = given.iter().map(|name| name.parse::<HostPrincipal>());
        names.collect::<Result<_, _>>().map_err(|error| {
            Failure::new(Exit::Failed, "cannot sign for the host")
                .because(error)
                .hint("name it in full, for example --host=db1,db1.example.com,10.0.0.5")
        })
    }

    /// The host's configuration. This machine's own is that of no other host: it names this machine's
    /// keys.
    fn host_config(&self, names: &[HostPrincipal]) -> HostConfig<'_> {
        match (&self.sshd_config, host_files::is_this_machine(names)) {
            (Some(named), true) => HostConfig::Here(Some(named)),
            (None, true) => HostConfig::Here(None),
            (named, false) => HostConfig::Elsewhere(named.as_deref()),
        }
    }

    /// Where the directory will be on the host.
    fn place(
        &self,
        directory: &Path,
        names: &[HostPrincipal],
    ) -> Result<SetupDirectories, Failure> {
        let other = names
            .first()
            .filter(|_| !host_files::is_this_machine(names));
        let there = match other {
            None => directory.to_owned(),
            Some(_) => host_files::on_host(&self.out_dir).map_err(|error| {
                Failure::new(Exit::Failed, "cannot use the directory of --out-dir").because(error)
            })?,
        };
        Ok(SetupDirectories {
            host: other.map(ToString::to_string),
            here: directory.to_owned(),
            there,
        })
    }

    /// The content of the KRL: a file there that sshd cannot read would lock out all users.
    fn krl(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(path) = &self.krl else {
            return Ok(None);
        };
        let cannot = || Failure::new(Exit::Failed, "cannot use the revoked keys");
        let bytes = fs::read_limited(path, MAX_KRL as u64).map_err(|e| cannot().because(e))?;
        RevocationList::decode(&bytes).map_err(|error| {
            cannot()
                .because(error)
                .hint("give a list that `rproxy auth krl` or `ssh-keygen -k` has written")
        })?;
        Ok(Some(bytes))
    }

    /// The directory, made where it is missing. Everything in it but a key made here is public.
    fn directory(&self) -> Result<PathBuf, Failure> {
        let cannot = || Failure::new(Exit::Failed, "cannot use the directory of --out-dir");
        let directory =
            std::path::absolute(&self.out_dir).map_err(|error| cannot().because(error))?;
        if !directory.is_dir() {
            std::fs::create_dir_all(&directory).map_err(|error| {
                cannot().because(fs::FsError::io("create directory", &directory)(error))
            })?;
        }
        Ok(directory)
    }

    fn credential(&self, directory: &Path, names: &[HostPrincipal]) -> Result<Credential, Failure> {
        let usual = Path::new(USUAL_KEY);
        let is_this_machine = self.host.is_empty() && usual.is_file();
        let given = self
            .public_key
            .as_deref()
            .or_else(|| is_this_machine.then_some(usual));
        let Some(path) = given else {
            let comment = names.first().map_or("", HostPrincipal::as_str);
            return Ok(Credential::Made {
                key: NewHostKey::generate(comment)
                    .map_err(|error| ca_failure("cannot make a host key", error))?,
                path: directory.join("ssh_host_rproxy_key"),
            });
        };
        let name = path.file_stem().unwrap_or_default();
        Ok(Credential::Given {
            key: public_key::read(path)?,
            // Another host's private key is not here, and is in force there already.
            private: private_beside(path).filter(|private| private.is_file()),
            certificate: with_suffix(&directory.join(name), "-cert.pub"),
        })
    }
}

/// The directory here, and on the host.
#[derive(Debug)]
struct SetupDirectories {
    /// The host's name, if it is another machine.
    host: Option<String>,
    here: PathBuf,
    there: PathBuf,
}

impl SetupDirectories {
    /// A file's path on the host.
    fn of(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.here) {
            Ok(name) => self.there.join(name),
            Err(_elsewhere) => path.to_owned(),
        }
    }
}

/// Where everything but the host's key goes.
#[derive(Debug)]
struct Layout {
    user_ca: PathBuf,
    krl: Option<PathBuf>,
    snippet: PathBuf,
}

impl Layout {
    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.user_ca.clone()];
        paths.extend(self.krl.clone());
        paths.push(self.snippet.clone());
        paths
    }

    /// The snippet. A single `HostKey` line turns sshd's own choice of keys off, so that every key
    /// that is in force now is named too: clients may have pinned them.
    fn snippet(
        &self,
        credential: &Credential,
        in_force: &[PathBuf],
        place: impl Fn(&Path) -> PathBuf,
    ) -> Result<String, Failure> {
        let mut lines = vec!["# Written by `rproxy host setup`".to_owned()];
        lines.push(line(openssh::trusted_user_ca_keys(&place(&self.user_ca)))?);
        let (key, certificate) = credential.sshd_paths();
        if let Some(key) = key.filter(|key| !in_force.contains(key)) {
            for key in in_force.iter().chain([&key]) {
                lines.push(line(openssh::host_key(&place(key)))?);
            }
        }
        lines.push(line(openssh::host_certificate(&place(&certificate)))?);
        if let Some(krl) = &self.krl {
            lines.push(line(openssh::revoked_keys(&place(krl)))?);
        }
        Ok(lines.join("\n") + "\n")
    }
}

fn line(rendered: Result<String, RenderError>) -> Result<String, Failure> {
    rendered.map_err(|error| {
        Failure::new(Exit::Failed, "cannot write the lines for sshd_config")
            .because(error)
            .hint("choose a path without quotes, backslashes and control characters")
    })
}

/// The keys that sshd is to trust: during a rotation, both.
fn user_ca(authorities: &Authorities) -> Result<String, Failure> {
    let keys = authorities.of(CaKind::User).public_keys();
    Export::plain()
        .lines(keys)
        .map_err(|error| Failure::new(Exit::Internal, "cannot write the CA's key").because(error))
}

fn public(path: &Path, content: String) -> Output {
    Output {
        path: path.to_owned(),
        mode: PUBLIC_FILE,
        content: Zeroizing::new(content),
    }
}

/// `snippet` is its path on the host.
fn report(paths: &[PathBuf], place: &SetupDirectories, snippet: &Path) -> String {
    let mut text = String::from("The host's files have been written:\n");
    for path in paths {
        let _infallible = writeln!(text, "  {}", path.display());
    }
    let _infallible = match &place.host {
        Some(host) => writeln!(
            text,
            "Copy the directory {} to {} on {host}, and remove it here if there is a private key in it.\n\
             On {host}:",
            place.here.display(),
            place.there.display()
        ),
        None => writeln!(text, "On this machine:"),
    };
    let is_included = snippet.parent() == Some(Path::new("/etc/ssh/sshd_config.d"));
    if !is_included {
        let _infallible = writeln!(
            text,
            "Put this line at the top of /etc/ssh/sshd_config:\n  Include {}",
            snippet.display()
        );
    }
    text += "Then take it into use; sessions that are open go on:\n  \
             sshd -t && systemctl reload ssh    # the service is called sshd on Red Hat and SUSE\n";
    text
}
