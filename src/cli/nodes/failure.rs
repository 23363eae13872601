//! Why a command about nodes or tokens failed, and what to do.

use uuid::Uuid;

use crate::cli::stored::state_failure;
use crate::cli::{Context, Exit, Failure};
use crate::enrolment::EnrolmentError;

/// The failure of a command. `doing` is what it was to do, as in "add the token".
pub(in crate::cli) fn failure(doing: &str, error: EnrolmentError) -> Failure {
    let message = format!("cannot {doing}");
    match error {
        EnrolmentError::NoSuchToken(id) => no_token(id),
        EnrolmentError::State(error) => state_failure(&message, error),
        EnrolmentError::Audit(error) => {
            Failure::new(Exit::Failed, "it is done, but the audit log lacks it").because(error)
        }
        error => {
            let hint = error.hint();
            let failure = Failure::new(Exit::Failed, message).because(error);
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
    }
}

/// The failure of a command about a host. `doing` is the verb.
pub(super) fn about(context: &Context, doing: &str, name: &str, error: EnrolmentError) -> Failure {
    match error {
        EnrolmentError::NoSuchNode(_) => no_such(context, name),
        error => failure(&format!("{doing} {name}"), error),
    }
}

/// There is no such host, or it is one of the configuration.
pub(super) fn no_such(context: &Context, name: &str) -> Failure {
    let config = &context.config;
    let mut listed = config.nodes.iter();
    match listed.any(|node| node.name.eq_ignore_ascii_case(name)) {
        true => Failure::new(
            Exit::Failed,
            format!("{name} is a node of the configuration, and has not joined"),
        )
        .hint(format!(
            "change the section nodes of {}; to keep users out, use deny in a role",
            config.file
        )),
        false => Failure::new(Exit::Failed, format!("there is no node {name:?}"))
            .hint("`rproxy nodes ls` lists them"),
    }
}

/// There is no such token.
pub(in crate::cli) fn no_token(id: Uuid) -> Failure {
    Failure::new(Exit::Failed, format!("there is no token {id}"))
        .hint("`rproxy tokens ls` lists them")
}
