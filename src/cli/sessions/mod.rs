//! `rproxy sessions`: what is live on the running proxy, watched and ended.

pub(super) mod find;
mod kill;
mod ls;
mod watch;

use super::{Context, Exit, Failure};
use crate::control::ControlRefusal;

/// List, watch and end live sessions
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SessionsCommand {
    Ls(ls::SessionsLsArgs),
    Watch(watch::SessionsWatchArgs),
    Kill(kill::SessionsKillArgs),
}

impl SessionsCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Ls(args) => args.run(context),
            Self::Watch(args) => args.run(context),
            Self::Kill(args) => args.run(context),
        }
    }
}

/// The proxy has not done what it was asked for, about the thing with this id.
pub(super) fn refused(id: &str, why: ControlRefusal) -> Failure {
    let failed = |message: String| Failure::new(Exit::Failed, message);
    match why {
        ControlRefusal::NotPermitted => Failure::new(
            Exit::NotPermitted,
            "the proxy answers root and its own account, nobody else",
        ),
        ControlRefusal::NotLive => failed(format!("{id} has ended already")),
        ControlRefusal::NotRecorded => {
            failed(format!("session {id} is not recorded: there is nothing to watch"))
                .hint("recordings are switched off, or the disk is full: see auth_service.session_recording and recording.mode")
        }
        ControlRefusal::NotAudited => failed(
            "the proxy cannot write its audit log, and nobody watches without being put down for it"
                .to_owned(),
        )
        .hint("the log of `rproxy serve` says why"),
        ControlRefusal::NotUnderstood => {
            failed("the running proxy does not understand the question".to_owned())
                .hint("it is of another version: restart it")
        }
        ControlRefusal::Busy => failed("the proxy has too many to answer".to_owned()),
    }
}
