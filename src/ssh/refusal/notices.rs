//! What a user reads on the terminal while a connection goes on. `CR LF` because the terminal may be in
//! raw mode, and a line break first because its cursor may be anywhere.

use std::time::Duration;

use crate::model::format_duration;

/// SSH inside a forward was closed.
pub(crate) const NESTED_SSH: &str = "\r\nrproxy: proxy: SSH inside a forward is not permitted here, it could not be recorded\r\n  hint: go to the other host through the proxy instead\r\n";

/// The policy has changed, and so many forwards have ended with it.
pub(crate) fn forwards_ended(count: usize) -> String {
    format!("\r\nrproxy: proxy: forwarding is no longer permitted as it was, {count} ended\r\n")
}

/// The certificate expires in this time, and the connection ends with it. In minutes.
pub(crate) fn certificate_expires(left: Duration) -> String {
    format!(
        "\r\nrproxy: client: your certificate expires in {}, this connection ends with it\r\n  hint: get a new certificate and connect again\r\n",
        minutes(left)
    )
}

/// The sign-in expires in this time, and the connection ends with it. In minutes.
pub(crate) fn sign_in_expires(left: Duration) -> String {
    format!(
        "\r\nrproxy: client: your sign-in expires in {}, this connection ends with it\r\n  hint: finish what you do, then connect again and sign in\r\n",
        minutes(left)
    )
}

fn minutes(left: Duration) -> String {
    format_duration(Duration::from_secs(left.as_secs().max(60) / 60 * 60))
}

/// The proxy stops in this time, rounded up to seconds.
pub(crate) fn proxy_stops(left: Duration) -> String {
    let left = Duration::from_secs(left.as_secs().saturating_add(1));
    format!(
        "\r\nrproxy: proxy: the proxy stops, this session ends in {} at the latest\r\n  hint: finish what you do, and connect again in a moment\r\n",
        format_duration(left)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_counts_in_minutes() {
        for (left, text) in [
            (3, "in 1m,"),
            (60, "in 1m,"),
            (179, "in 2m,"),
            (300, "in 5m,"),
        ] {
            let told = certificate_expires(Duration::from_secs(left));
            assert!(told.contains(text), "{left}: {told}");
        }
        assert_eq!(
            sign_in_expires(Duration::from_secs(299)),
            "\r\nrproxy: client: your sign-in expires in 4m, this connection ends with it\r\n  hint: finish what you do, then connect again and sign in\r\n"
        );
        assert_eq!(
            certificate_expires(Duration::from_secs(300)),
            "\r\nrproxy: client: your certificate expires in 5m, this connection ends with it\r\n  hint: get a new certificate and connect again\r\n"
        );
    }

    #[test]
    fn the_stop_of_the_proxy_is_told_in_whole_seconds() {
        assert_eq!(
            proxy_stops(Duration::from_millis(29_300)),
            "\r\nrproxy: proxy: the proxy stops, this session ends in 30s at the latest\r\n  hint: finish what you do, and connect again in a moment\r\n"
        );
    }

    #[test]
    fn forwards_that_end_are_counted() {
        assert_eq!(
            forwards_ended(2),
            "\r\nrproxy: proxy: forwarding is no longer permitted as it was, 2 ended\r\n"
        );
    }
}
