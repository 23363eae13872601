//! `status`: who the client is here, with which key, and until when.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::context::ProgramContext;
use crate::access::SignIn;
use crate::model::format_duration;
use crate::model::text::Printable;

/// The text of `status` as the proof of the client's identity has it.
pub(super) fn of_identity(context: &ProgramContext) -> String {
    let identity = &context.caller.identity;
    let how = match identity.sign_in() {
        Some(_) => "signed in",
        None => "by a certificate",
    };
    let logins = identity.logins().map(|logins| {
        let logins = logins.into_iter();
        let logins: Vec<_> = logins.map(|login| Printable(login).to_string()).collect();
        logins.join(", ")
    });
    let logins = logins.unwrap_or_else(|| "all that the roles allow".to_owned());
    let serial = identity.serial();
    let serial = serial.map_or_else(String::new, |serial| format!("  serial   {serial}\n"));
    let name = Printable(identity.name());
    format!(
        "{name}, {how}\n  logins   {logins}\n{serial}  key      {}\n  expires  {}\n  address  {}\n",
        identity.fingerprint(),
        expiry(identity.valid_before(), context.now()),
        context.from(),
    )
}

/// What `login` prints: the sign-in, and until when it lasts.
pub(super) fn of_sign_in(context: &ProgramContext, sign_in: &SignIn) -> String {
    format!(
        "signed in as {} until {}\n",
        Printable(sign_in.name()),
        expiry(sign_in.until(), context.now()),
    )
}

/// A moment in seconds since the epoch, and how long it is until then.
fn expiry(until: u64, now: u64) -> String {
    let moment = i64::try_from(until)
        .ok()
        .and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
    match moment {
        Some(moment) => format!(
            "{}, in {}",
            moment.to_rfc3339_opts(SecondsFormat::Secs, true),
            format_duration(Duration::from_secs(until.saturating_sub(now)))
        ),
        None => "never".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_with_the_time_until_then() {
        assert_eq!(expiry(3600, 0), "1970-01-01T01:00:00Z, in 1h");
        assert_eq!(expiry(u64::MAX, 0), "never");
    }
}
