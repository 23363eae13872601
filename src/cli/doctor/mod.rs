//! `rproxy doctor`: checks everything that has to be right, on the proxy's machine or on a user's, and
//! says how to fix what is wrong.
//!
//! It changes nothing, creates nothing, and logs in to no host. Each rule is checked by calling the
//! room that the rule belongs to.

mod checks;
mod child;
mod client;
mod machine;
mod report;

use std::path::PathBuf;

use super::{Exit, Failure, ui};
use crate::cli::format::ReportFormat;
use crate::config::Source;
use crate::model::text;

use client::Client;
use report::DoctorReport;

/// Look for what is wrong, and say what to do about it
///
/// On the proxy's machine: the configuration, the data directory and its modes, the CA keys,
/// clock, disk, limits, names, the running proxy, and every node: its port, its host certificate, and
/// whether it takes certificates of the user CA. Run it as the user that the proxy runs as. With
/// --from-client, on a user's machine: ssh and its configuration, the agent and the certificate in it,
/// known hosts, and the proxy as far as a login there; no configuration of the proxy is needed for that.
/// Nothing is changed, and nobody logs in to a node. Exit code 0 if there is no error, 1 if there
/// is one.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Look at this machine as a client of that proxy [default port: 3023]
    #[arg(long, value_name = "PROXY[:PORT]")]
    from_client: Option<String>,
    /// With --from-client: a host behind the proxy, as it is called for ssh
    #[arg(long, value_name = "HOST", requires = "from_client")]
    host: Option<String>,
    /// Account that the nodes are asked about [default: root]; with --from-client, that is logged in
    /// to [default: ssh's]
    #[arg(long, value_name = "LOGIN")]
    login: Option<String>,
    /// With --from-client: what ssh reads in place of ~/.ssh/config, as its -F
    #[arg(long, value_name = "FILE", requires = "from_client")]
    ssh_config: Option<PathBuf>,
    /// With --from-client: the user signs in with a password or a browser, and has no certificate
    #[arg(long, requires = "from_client")]
    signs_in: bool,
    /// Leave out what is well
    #[arg(long, short)]
    quiet: bool,
    /// As text, or as an array of objects
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    format: ReportFormat,
}

impl DoctorArgs {
    /// Reads the configuration itself: a bad one is a finding.
    pub(crate) fn run(self, source: &Source) -> Result<(), Failure> {
        let findings = match &self.from_client {
            None => machine::examine(source, self.login.as_deref().unwrap_or("root"))?,
            Some(proxy) => self.client(proxy)?.examine()?,
        };
        let report = DoctorReport::new(findings);
        let (has_errors, summary) = (report.has_errors(), report.summary());
        let report = if self.quiet {
            report.without_ok()
        } else {
            report
        };
        match self.format {
            ReportFormat::Text => {
                ui::result(&report.to_string())?;
                ui::note(&summary);
            }
            ReportFormat::Json => {
                let text = serde_json::to_string_pretty(&report).map_err(|error| {
                    Failure::new(Exit::Internal, "cannot encode the findings").because(error)
                })?;
                ui::result(&(text::json(&text) + "\n"))?;
            }
        }
        if has_errors {
            Err(Failure::told(Exit::Failed))
        } else {
            Ok(())
        }
    }

    fn client(&self, proxy: &str) -> Result<Client, Failure> {
        let usage = |what: String| Failure::new(Exit::Usage, what);
        let (host, port) = super::config::host_and_port(proxy).ok_or_else(|| {
            usage(format!("--from-client={proxy} is no host with a port"))
                .hint("write it as proxy.example.com, proxy.example.com:3023 or [2001:db8::5]:3023")
        })?;
        for given in [&self.host, &self.login].into_iter().flatten() {
            if given.is_empty() || given.starts_with('-') || !text::is_printable(given) {
                return Err(usage(format!("{given:?} is no name")));
            }
        }
        Ok(Client {
            proxy: host,
            port,
            host: self.host.clone(),
            login: self.login.clone(),
            ssh_config: self.ssh_config.clone(),
            signs_in: self.signs_in,
        })
    }
}

/// The checks as a table of Markdown, for the documentation.
#[must_use]
pub fn table() -> String {
    report::markdown()
}
