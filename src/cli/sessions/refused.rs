//! The running proxy's refusals of requests, in words.

use crate::cli::{Exit, Failure};
use crate::control::ControlRefusal;

/// The proxy has not done what it was asked for, about the thing with this id.
pub(in crate::cli) fn refused(id: &str, why: ControlRefusal) -> Failure {
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
