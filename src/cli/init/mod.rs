//! `rproxy init`: the first configuration, the CAs, and the first administrator.
//!
//! Everything is asked before anything is written, and is written together or not at all. What is there
//! already is never touched.

mod answers;
mod asking;
mod configuration;
mod existing;
mod making;
mod provider;
mod questions;
mod report;
#[cfg(test)]
mod tests;
mod undo;

use super::format::ReportFormat;
use super::signals::Signals;
use super::{Context, Exit, Failure, ui};
use crate::config::Source;
use crate::model::{ClusterName, UserName};
use crate::sys::process;

use answers::{InitAnswers, InitRequest, SignInType};
use making::Done;

/// Set up a proxy: the configuration, the CAs and the first administrator
///
/// Asks at a terminal what no flag says, and proposes an answer to each question. Then it writes the
/// configuration, makes the user CA and the host CA, adds the first administrator, and prints the
/// commands that come next. The role of administrators may log in to every host under every account.
///
/// Nothing is written before the last question is answered, and if something cannot be written, nothing
/// is. A configuration that is there already, or a data directory with CAs, users or recordings, is
/// refused and stays as it is; only the configuration that a package has installed, and that was not
/// changed since, is replaced. If the data directory belongs to another account, such as that of a
/// package's service, root makes everything in it as that account.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Do not ask: use the flags, and what the questions propose for the rest
    #[arg(long)]
    yes: bool,
    /// Name of the cluster [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<ClusterName>,
    /// Where users reach the proxy; without a port, 3023 [default: the machine's name]
    #[arg(long, value_name = "HOST[:PORT]")]
    public_addr: Option<String>,
    /// How users prove who they are [default: local]
    #[arg(long, value_enum, value_name = "TYPE")]
    authentication: Option<SignInType>,
    /// Name of the first administrator [default: the account that runs this, or "admin" instead of root]
    #[arg(long, value_name = "NAME")]
    administrator: Option<UserName>,
    #[command(flatten)]
    provider: provider::ProviderFlags,
    /// As text, or as an object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    format: ReportFormat,
}

impl InitArgs {
    pub(crate) fn run(self, source: &Source) -> Result<(), Failure> {
        // Keys and an invitation are in memory for a moment. An ordinary user may have no right to it.
        let _unlocked = process::lock_memory();
        let format = self.format;
        let wanted = self.wanted(source)?;
        let (answers, done) = self.set_up(wanted)?;
        ui::result(&report::text(&answers, &done, format)?)
    }

    /// What the flags say.
    fn wanted(&self, source: &Source) -> Result<InitRequest, Failure> {
        let is_other = self.authentication != Some(SignInType::Oidc);
        if is_other && !self.provider.are_absent() {
            return Err(Failure::new(
                Exit::Usage,
                "the flags of a provider and of HTTPS are for --authentication=oidc",
            ));
        }
        Ok(InitRequest {
            file: answers::file(source)?,
            data_dir: source.data_dir.clone(),
            cluster: self.cluster_name.clone(),
            public: self
                .public_addr
                .as_deref()
                .map(answers::public_addr)
                .transpose()
                .map_err(|why| Failure::new(Exit::Usage, format!("--public-addr: {why}")))?,
            sign_in: self.authentication,
            administrator: self.administrator.clone(),
            provider: self.provider.clone(),
        })
    }

    /// Asks what is open, and does it all.
    fn set_up(&self, wanted: InitRequest) -> Result<(InitAnswers, Done), Failure> {
        existing::check_file(&wanted.file)?;
        let answers = if self.yes {
            wanted.completed()?
        } else if ui::can_ask() {
            questions::ask(wanted)?
        } else {
            return Err(
                Failure::new(Exit::Usage, "there is no terminal to ask questions at").hint(
                    "`rproxy init --yes` uses what the questions propose; `rproxy init --help` lists \
                     the flags for other answers",
                ),
            );
        };
        // From here on, they end nothing: all is done, or all is undone.
        let _taken = Signals::take()
            .map_err(|error| Failure::new(Exit::Failed, "cannot handle signals").because(error))?;
        let done = making::make(&answers)?;
        Ok((answers, done))
    }
}
