//! `rproxy sessions kill`.

use super::find;
use crate::cli::{Context, Exit, Failure, ui};
use crate::control::{ControlReply, ControlRequest, What};
use crate::model::text::Printable;
use crate::session::Reason;
use crate::sys::account;

/// End a live session, or a connection with all its sessions
///
/// The user reads that an administrator ended it, and the reason; the audit log and the recording
/// have both. A session that is the only one of its connection ends with the connection; others of
/// that connection go on.
#[derive(Debug, clap::Args)]
pub(crate) struct SessionsKillArgs {
    /// Id of a session or of a connection, or its beginning
    id: String,
    /// Why, in one line that the user reads
    #[arg(long, value_name = "TEXT")]
    reason: Option<Reason>,
}

impl SessionsKillArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let live = find::all(context)?;
        let (found, what) = find::named(&live, &self.id)?;
        let ask = ControlRequest::Kill {
            what,
            reason: self.reason,
            sudo_user: account::sudo_user(),
        };
        let (id, kind) = match what {
            What::Session(id) => (id.to_string(), "session"),
            What::Connection(id) => (id.to_string(), "connection"),
        };
        match found.process.ask(&ask).map_err(find::failure)? {
            ControlReply::Done(_) => {
                let (user, host) = (Printable(&found.row.user), Printable(&found.row.host));
                ui::note(&format!("rproxy: ended {kind} {id} of {user} on {host}"));
                Ok(())
            }
            ControlReply::Pending => Err(Failure::new(
                Exit::Failed,
                format!("{kind} {id} was told to end, and has not yet"),
            )
            .hint("look again with `rproxy sessions ls`")),
            ControlReply::Refused(why) => Err(super::refused::refused(&id, why)),
        }
    }
}
