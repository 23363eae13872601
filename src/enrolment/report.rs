//! What a host says of itself, made fit to be stored and shown: bounded, printable, and of the right form.
//! What does not have it is left out.

use std::net::IpAddr;

use crate::access::may_dial;
use crate::ipc::NodeReport;
use crate::model::text::Printable;
use crate::state::Heartbeat;

/// The port of sshd, where a report names none.
const DEFAULT_PORT: u16 = 22;
/// Most addresses that are kept.
const MAX_ADDRESSES: usize = 32;
/// Most fingerprints of CAs that are kept: two of each are in use at most.
const MAX_AUTHORITIES: usize = 8;
/// Longest fingerprint, in bytes.
const MAX_FINGERPRINT: usize = 80;
/// How much of what sshd calls itself is kept, in bytes.
const MAX_SSHD: usize = 128;
/// How much of a problem is kept, in bytes.
const MAX_PROBLEM: usize = 1_024;
/// How far a clock may be off before the node is told, in seconds.
const CLOCK_TOLERANCE: u64 = 60;

/// What is stored of a report that has come at `now`, in seconds since the epoch, from this address.
pub(super) fn heartbeat(report: &NodeReport, client: IpAddr, now: u64) -> Heartbeat {
    let addresses = addresses(report).map(|address| address.to_string());
    Heartbeat {
        at: now,
        client: client.to_canonical().to_string(),
        sshd: Printable(&report.sshd).within(MAX_SSHD),
        // The state has signed numbers.
        uptime: report.uptime.min(i64::MAX.unsigned_abs()),
        clock_ahead: clock_ahead(report, now),
        addresses: addresses.take(MAX_ADDRESSES).collect(),
        keeps_tunnel: report.tunnel,
        user_cas: fingerprints(&report.user_cas),
        host_cas: fingerprints(&report.host_cas),
        certificate: report.certificate,
        revocations: report.revocations,
        problem: report
            .problem
            .as_deref()
            .filter(|problem| !problem.is_empty())
            .map(|problem| Printable(problem).within(MAX_PROBLEM)),
    }
}

/// Where a node is dialled: at the first address that it has reported and that may be dialled, else where the
/// report has come from.
pub(super) fn address(report: &NodeReport, client: IpAddr) -> String {
    let mut reported = addresses(report).take(MAX_ADDRESSES);
    let found = reported.find(|address| may_dial(*address).is_ok());
    found.unwrap_or_else(|| client.to_canonical()).to_string()
}

/// The port of its sshd.
pub(super) fn port(report: &NodeReport) -> u16 {
    match report.port {
        0 => DEFAULT_PORT,
        port => port,
    }
}

fn addresses(report: &NodeReport) -> impl Iterator<Item = IpAddr> {
    let parsed = report.addresses.iter().map(|text| text.parse::<IpAddr>());
    parsed.filter_map(Result::ok).map(|one| one.to_canonical())
}

/// Fingerprints as `ssh-keygen -l` prints them.
fn fingerprints(texts: &[String]) -> Vec<String> {
    let is_one = |text: &&String| {
        text.len() <= MAX_FINGERPRINT
            && text.strip_prefix("SHA256:").is_some_and(|rest| {
                let mut bytes = rest.bytes();
                bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
            })
    };
    let found = texts.iter().filter(is_one);
    found.take(MAX_AUTHORITIES).cloned().collect()
}

/// How many seconds the host's clock is ahead of the proxy's; negative if it is behind.
fn clock_ahead(report: &NodeReport, now: u64) -> i64 {
    let clock = i128::from(report.clock) - i128::from(now);
    let bounded = clock.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(bounded).unwrap_or_default()
}

/// What a host with a wrong clock is told.
pub(super) fn clock_warning(report: &NodeReport, now: u64) -> Option<String> {
    let off = clock_ahead(report, now);
    let direction = if off > 0 { "ahead of" } else { "behind" };
    (off.unsigned_abs() > CLOCK_TOLERANCE).then(|| {
        let seconds = off.unsigned_abs();
        format!(
            "the clock of this host is {seconds} s {direction} the proxy's: certificates expire too \
             early or too late here; set the clock, for example with chrony or systemd-timesyncd"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn client() -> IpAddr {
        "::ffff:203.0.113.7".parse().unwrap()
    }

    #[test]
    fn what_is_stored_is_bounded_and_printable() {
        let report = NodeReport {
            addresses: vec!["10.0.0.5".to_owned(); 1_000],
            sshd: "OpenSSH\u{1b}[2J".repeat(1_000),
            uptime: u64::MAX,
            clock: u64::MAX,
            user_cas: vec!["SHA256:abc".to_owned(); 1_000],
            host_cas: vec![
                "SHA256:a b".to_owned(),
                format!("SHA256:{}", "a".repeat(4_096)),
                "MD5:abc".to_owned(),
                "SHA256:\u{202e}".to_owned(),
                "SHA256:a+/9".to_owned(),
            ],
            problem: Some("\0\n\u{202e}".repeat(4_096)),
            ..NodeReport::default()
        };
        let stored = heartbeat(&report, client(), NOW);
        assert_eq!(stored.client, "203.0.113.7");
        assert_eq!(stored.addresses.len(), MAX_ADDRESSES);
        assert_eq!(stored.user_cas.len(), MAX_AUTHORITIES);
        assert_eq!(stored.host_cas, ["SHA256:a+/9"]);
        assert_eq!(stored.clock_ahead, i64::MAX);
        for text in [&stored.sshd, stored.problem.as_ref().unwrap()] {
            assert!(crate::model::text::is_printable(text), "{text:?}");
            assert!(text.len() <= MAX_PROBLEM, "{}", text.len());
        }
        let empty = heartbeat(&NodeReport::default(), client(), NOW);
        assert_eq!(empty.problem, None);
        assert_eq!(empty.clock_ahead, -1_800_000_000);
    }

    #[test]
    fn a_node_is_dialled_where_it_may_be() {
        let report = |addresses: &[&str]| NodeReport {
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            ..NodeReport::default()
        };
        for (addresses, dialled) in [
            (&["10.0.0.5", "10.0.0.6"][..], "10.0.0.5"),
            (
                &["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "fd00::5"],
                "fd00::5",
            ),
            (&["::ffff:127.0.0.1", "::ffff:10.0.0.7"], "10.0.0.7"),
            (&["db1", "10.0.0.5:22", "fe80::1%eth0", ""], "203.0.113.7"),
            (&[], "203.0.113.7"),
        ] {
            assert_eq!(address(&report(addresses), client()), dialled);
        }
        assert_eq!(port(&report(&[])), 22);
        let other = NodeReport {
            port: 2222,
            ..NodeReport::default()
        };
        assert_eq!(port(&other), 2222);
    }

    #[test]
    fn a_clock_that_is_a_minute_off_is_told() {
        let warning = |clock| {
            let report = NodeReport {
                clock,
                ..NodeReport::default()
            };
            clock_warning(&report, NOW)
        };
        for clock in [NOW, NOW + 60, NOW - 60] {
            assert_eq!(warning(clock), None);
        }
        assert!(warning(NOW + 61).unwrap().contains("61 s ahead of"));
        assert!(warning(NOW - 61).unwrap().contains("61 s behind"));
        assert!(warning(0).is_some() && warning(u64::MAX).is_some());
    }
}
