//! `rproxy auth export`: the CAs' public keys, as lines for OpenSSH's files.

use clap::ValueEnum;
use ssh_key::certificate::CertType;

use super::client::AuthClient;
use super::{Context, Exit, Failure, ui};
use crate::ca::CaKind;
use crate::openssh::{Export, ExportError, ExportFormat};

/// Print a CA's public keys as lines for OpenSSH's files
///
/// The user CA's key goes into the file that sshd's TrustedUserCAKeys names, on every host.
/// The host CA's key goes into the known_hosts of every client.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthExportArgs {
    /// Which CA
    #[arg(long = "type", value_name = "TYPE")]
    kind: ExportType,
    /// For which file [default: openssh for user, known-hosts for host]
    #[arg(long)]
    format: Option<CaExportFormat>,
    /// Hosts that a known-hosts line is for: patterns as in known_hosts [default: *]
    #[arg(long, value_name = "PATTERN,..")]
    hosts: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ExportType {
    /// The CA that sshd and the proxy trust for users
    User,
    /// The CA that clients and the proxy trust for hosts
    Host,
}

impl From<ExportType> for CaKind {
    fn from(kind: ExportType) -> Self {
        match kind {
            ExportType::User => Self::User,
            ExportType::Host => Self::Host,
        }
    }
}

impl From<ExportType> for CertType {
    fn from(kind: ExportType) -> Self {
        match kind {
            ExportType::User => Self::User,
            ExportType::Host => Self::Host,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CaExportFormat {
    /// Plain keys, as TrustedUserCAKeys reads them
    Openssh,
    /// With `cert-authority` before each, for authorized_keys
    AuthorizedKeys,
    /// With `@cert-authority PATTERNS` before each, for known_hosts
    KnownHosts,
}

impl From<CaExportFormat> for ExportFormat {
    fn from(format: CaExportFormat) -> Self {
        match format {
            CaExportFormat::Openssh => Self::Openssh,
            CaExportFormat::AuthorizedKeys => Self::AuthorizedKeys,
            CaExportFormat::KnownHosts => Self::KnownHosts,
        }
    }
}

impl AuthExportArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.text(context)?)
    }

    /// What is printed.
    pub(super) fn text(&self, context: &Context) -> Result<String, Failure> {
        let format = self.format.map(ExportFormat::from);
        let export = Export::new(self.kind.into(), format, self.hosts.as_deref());
        let export = export.map_err(refused)?;
        let authorities = AuthClient::new(context).authorities()?;
        let keys = authorities.of(CaKind::from(self.kind)).public_keys();
        export.lines(keys).map_err(|error| {
            Failure::new(Exit::Internal, "cannot write the CA's key").because(error)
        })
    }
}

fn refused(error: ExportError) -> Failure {
    match error {
        ExportError::Patterns(why) => {
            Failure::new(Exit::Failed, "cannot use the patterns of --hosts")
                .because(why)
                .hint("write them as in known_hosts, for example --hosts='*.example.com,db1'")
        }
        mismatch => Failure::new(Exit::Usage, mismatch.to_string()),
    }
}
