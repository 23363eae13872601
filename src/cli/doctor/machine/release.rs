//! Which sshd a host announces, and the known vulnerabilities of that release.
//!
//! The announcement has two numbers. It does not contain portable releases (`p1`, `p2`), and
//! distributions fix vulnerabilities without a new number: hosts that announce their package (Debian,
//! Ubuntu, FreeBSD) are believed to be up to date, for others there is a warning that says so.

use super::super::checks::NODE_VERSION;
use super::super::report::Finding;

use crate::model::text::Printable;

/// Longest announcement that is shown, in characters; RFC 4253 allows 255 bytes.
const MAX_SHOWN: usize = 60;

/// A major and a minor number.
type Release = (u32, u32);

/// What is known against the sshd of some releases.
struct Hole {
    /// The first release that has it.
    since: Release,
    /// The first release that has it no more.
    mended: Release,
    name: &'static str,
    what: &'static str,
}

/// Holes of sshd alone, the worst first. Those of clients and agents are other checks' affair.
const HOLES: &[Hole] = &[
    Hole {
        since: (0, 0),
        mended: (10, 6),
        name: "CVE-2026-123158",
        what: "on musl without PAM, strangers log in with a password of 256 bytes",
    },
    Hole {
        since: (8, 5),
        mended: (9, 8),
        name: "CVE-2024-6387",
        what: "strangers may run programs as root",
    },
    Hole {
        since: (0, 0),
        mended: (10, 6),
        name: "CVE-2026-106585",
        what: "compressed packets are not checked for their length",
    },
    Hole {
        since: (0, 0),
        mended: (10, 3),
        name: "CVE-2026-35414",
        what: "a comma in a certificate's principal counts as two principals in authorized_keys",
    },
    Hole {
        since: (9, 5),
        mended: (9, 9),
        name: "CVE-2025-26466",
        what: "strangers take memory and processor time before they log in",
    },
    Hole {
        since: (0, 0),
        mended: (9, 6),
        name: "CVE-2023-48795",
        what: "packets can be removed at the beginning of a connection by whoever is on the way",
    },
    Hole {
        since: (0, 0),
        mended: (7, 8),
        name: "CVE-2018-15473",
        what: "strangers learn which accounts there are",
    },
];

/// What there is to say about what a host announces, such as `OpenSSH_9.2p1 Debian-2+deb12u10`.
pub(super) fn judge(name: &str, software: &str) -> Finding {
    let check = &NODE_VERSION;
    let shown = Printable(software).within(MAX_SHOWN);
    let Some(release) = release(software) else {
        return Finding::ok(
            check,
            name,
            format!("announces \"{shown}\", no release of OpenSSH"),
        );
    };
    let holes: Vec<_> = HOLES
        .iter()
        .filter(|hole| hole.since <= release && release < hole.mended)
        .collect();
    let Some(worst) = holes.first() else {
        return Finding::ok(check, name, shown);
    };
    if software.contains(' ') {
        return Finding::ok(
            check,
            name,
            format!("{shown}, which its distribution mends"),
        );
    }
    let others = match holes.len() {
        1 => String::new(),
        count => format!("; {} more, as {}", count - 1, names(&holes)),
    };
    let detail = format!(
        "{shown} has known holes: {} ({}){others}",
        worst.name, worst.what
    );
    let hint = format!(
        "on {name}: update openssh-server; Red Hat, Alpine and others mend holes under the same number: \
         there, see that its updates are installed"
    );
    Finding::warning(check, name, detail, hint)
}

fn names(holes: &[&Hole]) -> String {
    let others = holes.iter().skip(1).map(|hole| hole.name);
    others.collect::<Vec<_>>().join(", ")
}

/// The release of OpenSSH in an announcement.
fn release(software: &str) -> Option<Release> {
    let rest = software.strip_prefix("OpenSSH_")?;
    let rest = rest.strip_prefix("for_Windows_").unwrap_or(rest);
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Status;
    use super::*;

    #[test]
    fn a_release_with_known_holes_is_warned_about() {
        for (software, holes) in [
            (
                "OpenSSH_9.3",
                &["CVE-2024-6387", "CVE-2023-48795", "CVE-2026-123158"][..],
            ),
            ("OpenSSH_9.8", &["CVE-2025-26466", "CVE-2026-35414"]),
            ("OpenSSH_10.5", &["CVE-2026-123158", "CVE-2026-106585"]),
            ("OpenSSH_for_Windows_7.7", &["CVE-2018-15473"]),
        ] {
            let finding = judge("db1", software);
            assert_eq!(finding.status, Status::Warning, "{software}");
            let said = format!("{finding:?}");
            for hole in holes {
                assert!(said.contains(hole), "{software}: {said}");
            }
        }
        let said = format!("{:?}", judge("db1", "OpenSSH_9.8"));
        assert!(!said.contains("CVE-2024-6387"), "{said}");
    }

    #[test]
    fn what_is_mended_or_cannot_be_told_is_no_warning() {
        for software in [
            "OpenSSH_10.6",
            "OpenSSH_11.0",
            "OpenSSH_9.2p1 Debian-2+deb12u10",
            "OpenSSH_9.6p1 Ubuntu-3ubuntu13.5",
            "dropbear_2022.83",
            "OpenSSH_",
            "OpenSSH_x.y",
            "",
        ] {
            assert_eq!(judge("db1", software).status, Status::Ok, "{software}");
        }
        let said = format!("{:?}", judge("db1", "evil\u{1b}[2J\u{202e}"));
        assert!(said.contains(r"evil\\u{1b}[2J\\u{202e}"), "{said}");
    }
}
