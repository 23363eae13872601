//! Errors in one line, for logs and for places that have no room for more.

use std::error::Error;

/// What an error says, and after colons what each of its sources says.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
