//! `rproxy auth status`: the state of the rotations, and which CA keys every host uses.

pub(super) mod fleet;
pub(super) mod joined;
pub(super) mod report;

use ssh_key::HashAlg;

use super::client::AuthClient;
use super::{Context, Exit, Failure, ui};
use crate::ca::{Authorities, Authority, CaKind, Outstanding};
use crate::cli::format::ReportFormat;
use crate::model::Principal;
use crate::model::text;
use crate::sys::clock::Clock;

use fleet::Fleet;
use joined::JoinedStatus;
use report::{AuthorityStatus, KeyStatus, Report};

/// Show the CA keys, their rotation, and what every host trusts and shows
///
/// Every host of the inventory is connected to, but for those that are reached through a tunnel or are
/// locked: it proves which host certificate it has, and is asked about a certificate of each user CA for
/// an account. Nobody logs in: the certificates have no
/// private key. If a CA's key is in an agent that is out of reach, the hosts are not asked
/// about it. A host takes none where the account does not exist, or is closed to certificates.
/// During a rotation, hosts that have joined are listed with what they have not reported to have yet.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthStatusArgs {
    /// As a table, or as an object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    format: ReportFormat,
    /// Account that the hosts are asked about
    #[arg(long, value_name = "LOGIN", default_value = "root")]
    login: String,
    /// Connect to no host
    #[arg(long)]
    no_connect: bool,
}

impl AuthStatusArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.text(context)?)
    }

    /// What is printed.
    pub(super) fn text(&self, context: &Context) -> Result<String, Failure> {
        let login: Principal = self.login.parse().map_err(|error| {
            Failure::new(Exit::Usage, "--login is no account's name").because(error)
        })?;
        let authorities = AuthClient::new(context).authorities()?;
        let mut report = rotations(context, &authorities)?;
        if !self.no_connect {
            report.nodes = Fleet::new(context, &authorities, login)?.ask()?;
        }
        match self.format {
            ReportFormat::Text => Ok(report.to_string()),
            ReportFormat::Json => serde_json::to_string_pretty(&report)
                .map(|text| text::json(&text) + "\n")
                .map_err(|error| {
                    Failure::new(Exit::Internal, "cannot encode the status").because(error)
                }),
        }
    }
}

/// How the rotations stand; no host is asked.
///
/// # Errors
/// When the ledger or the state cannot be read.
pub(super) fn rotations(context: &Context, authorities: &Authorities) -> Result<Report, Failure> {
    let client = AuthClient::new(context);
    let joined = client.node_keys()?;
    let now = Clock::System.unix_seconds();
    let mut statuses = Vec::new();
    for kind in [CaKind::User, CaKind::Host] {
        let authority = authorities.of(kind);
        let joined = JoinedStatus::of(authority, &joined, now);
        statuses.push(authority_status(
            authority,
            client.outstanding(authority)?,
            joined,
        ));
    }
    Ok(Report {
        authorities: statuses,
        nodes: Vec::new(),
    })
}

fn authority_status(
    authority: &Authority,
    outstanding: Vec<Outstanding>,
    joined: Option<JoinedStatus>,
) -> AuthorityStatus {
    let signing = authority.public_key().key_data();
    let names: &[_] = match authority.public_keys().len() {
        1 => &["only"],
        _ => &["old", "new"],
    };
    let keys = authority.public_keys().iter().zip(names);
    let keys = keys.map(|(key, name)| KeyStatus {
        name,
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        signs: key.key_data() == signing,
        agent: authority.agent_of(key).map(ToString::to_string),
    });
    let kept = authority.kept_keys().iter();
    let kept = kept.map(|key| key.fingerprint(HashAlg::Sha256).to_string());
    AuthorityStatus::new(
        authority.kind(),
        authority.rotation(),
        keys.collect(),
        kept.collect(),
        outstanding,
        joined,
    )
}
