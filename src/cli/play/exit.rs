//! How a recorded session ended, for the viewer.

use crate::model::text::Printable;
use crate::recording::ExitNote;

/// How much is shown of a signal's name, in bytes.
const MAX_NAME: usize = 32;

/// How a session ended, in a sentence; `None` where that is not known.
pub(in crate::cli) fn sentence(exit: &ExitNote) -> Option<String> {
    match exit {
        ExitNote::Status(status) => Some(format!(
            "rproxy: the session ended with exit status {status}"
        )),
        ExitNote::Signal(signal) => {
            let name = Printable(&signal.name.text()).within(MAX_NAME);
            Some(format!("rproxy: the session was ended by signal {name}"))
        }
        ExitNote::Unknown => None,
    }
}
