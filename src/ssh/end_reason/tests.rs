//! The whole table, row by row, word for word.

use std::collections::BTreeSet;
use std::io;

use super::*;
use crate::ipc::SignInEnd;
use crate::store::StoreError;
use crate::wire;

/// A row as the table must have it.
struct Expected {
    reason: EndReason,
    /// As the program's log has it.
    logged: &'static str,
    name: &'static str,
    /// The code and text of the disconnect.
    client: Option<(DisconnectReason, String)>,
    host: Option<(DisconnectReason, &'static str)>,
    last_words: Option<String>,
    is_breach: bool,
    has_event: bool,
}

const ENDED: &str = "rproxy: the connection ended";

fn of_client(error: LegError) -> EndReason {
    EndReason::of_leg(Side::Client, error)
}

fn of_host(error: LegError) -> EndReason {
    EndReason::of_leg(Side::Host, error)
}

fn goodbye() -> LegError {
    LegError::Disconnected {
        reason: 11,
        text: "bye".to_owned(),
    }
}

fn breach() -> LegError {
    LegError::Protocol(wire::Error::Violation(wire::Violation::Mac))
}

const BREACH: &str = "the peer broke the protocol: message authentication code incorrect";

fn lost(session: SessionId) -> EndReason {
    RecordingLost {
        session,
        source: StoreError::NearlyFull,
    }
    .into()
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// What is expected of a client or host that has gone by itself.
fn gone(reason: EndReason, logged: &'static str, name: &'static str) -> Expected {
    Expected {
        reason,
        logged,
        name,
        client: None,
        host: None,
        last_words: None,
        is_breach: false,
        has_event: false,
    }
}

fn client_rows() -> Vec<Expected> {
    let told = |row| Expected {
        host: Some((ByApplication, ENDED)),
        ..row
    };
    vec![
        told(gone(
            of_client(LegError::Closed),
            "client: the connection was closed",
            "client-left",
        )),
        told(gone(
            of_client(LegError::Io(io::Error::other("reset"))),
            "client: the connection broke",
            "client-left",
        )),
        told(gone(
            of_client(goodbye()),
            "client: the peer disconnected: bye",
            "client-left",
        )),
        told(gone(
            EndReason::OuterLeft,
            "the client has gone",
            "client-left",
        )),
        told(gone(
            EndReason::OuterLost(minutes(2)),
            "the client has not answered for 2m",
            "client-lost",
        )),
        told(gone(
            EndReason::OuterBroken,
            "the client broke the protocol on the outer connection",
            "protocol-error",
        )),
        Expected {
            client: Some((DisconnectReason::MacError, format!("rproxy: {BREACH}"))),
            host: Some((ConnectionLost, ENDED)),
            is_breach: true,
            ..gone(
                of_client(breach()),
                "client: the peer broke the protocol: message authentication code incorrect",
                "protocol-error",
            )
        },
    ]
}

fn host_rows() -> Vec<Expected> {
    let told = |row, text: &str| Expected {
        client: Some((ConnectionLost, text.to_owned())),
        ..row
    };
    vec![
        told(
            gone(
                of_host(LegError::Closed),
                "host: the connection was closed",
                "host-left",
            ),
            "rproxy: host: the connection was closed",
        ),
        told(
            gone(
                of_host(LegError::Io(io::Error::other("reset"))),
                "host: the connection broke",
                "host-left",
            ),
            "rproxy: host: the connection broke",
        ),
        told(
            gone(
                of_host(goodbye()),
                "host: the peer disconnected: bye",
                "host-left",
            ),
            "rproxy: host: the peer disconnected: bye",
        ),
        told(
            gone(
                EndReason::HostDisconnected(None),
                "host: the peer disconnected",
                "host-left",
            ),
            "rproxy: host: the peer disconnected",
        ),
        Expected {
            client: Some((ConnectionLost, format!("rproxy: host: {BREACH}"))),
            host: Some((
                DisconnectReason::MacError,
                "rproxy: the peer broke the protocol: message authentication code incorrect",
            )),
            is_breach: true,
            ..gone(
                of_host(breach()),
                "host: the peer broke the protocol: message authentication code incorrect",
                "protocol-error",
            )
        },
        Expected {
            client: Some((ProtocolError, "rproxy: the relay's words".to_owned())),
            host: Some((ProtocolError, ENDED)),
            is_breach: true,
            ..gone(
                EndReason::RelayBroken("the relay's words".to_owned()),
                "the relay's words",
                "protocol-error",
            )
        },
    ]
}

/// A reason of the proxy itself: both sides are told, and the user reads it on the terminal.
fn own(
    reason: EndReason,
    logged: &'static str,
    name: &'static str,
    (text, last_words): (String, String),
) -> Expected {
    Expected {
        client: Some((ByApplication, text)),
        host: Some((ByApplication, ENDED)),
        last_words: Some(last_words),
        ..gone(reason, logged, name)
    }
}

fn proxy_rows(id: ConnectionId, session: SessionId) -> Vec<Expected> {
    let timed_out = |reason, logged, name, text: &str| Expected {
        has_event: true,
        ..own(
            reason,
            logged,
            name,
            (
                format!("{text}\r\n  id: {id}\r\n"),
                format!("{text}\r\n  id: {id}\r\n\r\n"),
            ),
        )
    };
    let killed = || Box::new(refusal::killed("an administrator ended it".to_owned()));
    let by_admin = |reason, id: &dyn std::fmt::Display| {
        let text = "rproxy: proxy: an administrator ended it";
        own(
            reason,
            "an administrator ended it",
            "killed",
            (
                format!("{text} (id {id})"),
                format!("\r\n{text}\r\n  id: {id}\r\n"),
            ),
        )
    };
    vec![
        timed_out(
            EndReason::ClientIdle(minutes(10)),
            "nothing came from the client for 10m",
            "client-idle-timeout",
            "rproxy: client: idle for 10m, which is the limit here",
        ),
        timed_out(
            EndReason::HostLost(minutes(2)),
            "the host has not answered for 2m",
            "host-lost",
            "rproxy: proxy: the host has not answered for 2m",
        ),
        timed_out(
            EndReason::CertificateExpired,
            "the certificate has expired",
            "certificate-expired",
            "rproxy: client: your certificate has expired, and connections end with it here\r\n  hint: get a new certificate and connect again; on the proxy: rproxy auth sign --user",
        ),
        own(
            EndReason::Withdrawn(Box::new(refusal::revoked_user(None))),
            "certificate revoked",
            "certificate-revoked",
            (
                format!("rproxy: client: certificate revoked (id {id})"),
                format!(
                    "\r\nrproxy: client: certificate revoked\r\n  hint: ask the people who run this proxy about a new one\r\n  id: {id}\r\n"
                ),
            ),
        ),
        own(
            EndReason::Withdrawn(Box::new(refusal::sign_in_ended(SignInEnd::Locked))),
            "your sign-in has ended: your account here is locked",
            "sign-in-ended",
            (
                format!(
                    "rproxy: client: your sign-in has ended: your account here is locked (id {id})"
                ),
                format!(
                    "\r\nrproxy: client: your sign-in has ended: your account here is locked\r\n  hint: ask the people who run this proxy\r\n  id: {id}\r\n"
                ),
            ),
        ),
        by_admin(EndReason::Killed(killed(), None), &id),
        by_admin(EndReason::Killed(killed(), Some(session)), &session),
        own(
            EndReason::Shutdown,
            "the proxy is shutting down",
            "shutdown",
            (
                "rproxy: proxy: shutting down, connect again in a moment".to_owned(),
                "rproxy: proxy: shutting down, connect again in a moment\r\n".to_owned(),
            ),
        ),
    ]
}

/// The number of a variant, and how many there are: a new one does not compile without a line here.
fn variant(reason: &EndReason) -> usize {
    match reason {
        EndReason::ClientLeft(_) => 0,
        EndReason::ClientBroke(_) => 1,
        EndReason::HostLeft(_) => 2,
        EndReason::HostDisconnected(_) => 3,
        EndReason::HostBroke(_) => 4,
        EndReason::RelayBroken(_) => 5,
        EndReason::RecordingFailed { .. } => 6,
        EndReason::ClientIdle(_) => 7,
        EndReason::HostLost(_) => 8,
        EndReason::CertificateExpired => 9,
        EndReason::Withdrawn(_) => 10,
        EndReason::Killed(..) => 11,
        EndReason::OuterLeft => 12,
        EndReason::OuterLost(_) => 13,
        EndReason::OuterBroken => 14,
        EndReason::Shutdown => 15,
    }
}

const VARIANTS: usize = 16;

#[test]
fn every_row_says_what_it_always_said() {
    let (id, session) = (ConnectionId::new(), SessionId::new());
    let mut rows = client_rows();
    rows.extend(host_rows());
    rows.extend(proxy_rows(id, session));
    // The session's id is part of the text.
    let text = format!(
        "rproxy: proxy: the recording cannot be written: {}\r\n  hint: sessions must be recorded here; tell the proxy's administrator\r\n  id: {session}\r\n",
        "the disk is nearly full, and what is left is for the sessions that run"
    );
    let words = format!("{text}\r\n");
    let logged = format!("the recording of session {session} cannot be written");
    rows.push(own(
        lost(session),
        logged.leak(),
        "recording-failed",
        (text, words),
    ));
    let seen: BTreeSet<_> = rows.iter().map(|row| variant(&row.reason)).collect();
    assert_eq!(seen, (0..VARIANTS).collect());
    for row in rows {
        let what = row.reason.to_string();
        let found = row.reason.row(id);
        assert_eq!(what, row.logged);
        assert_eq!(found.name, row.name, "{what}");
        let told = |goodbye: &Goodbye| (goodbye.code, goodbye.text.clone());
        assert_eq!(found.client.as_ref().map(told), row.client, "{what}");
        let host = row.host.map(|(code, text)| (code, text.to_owned()));
        assert_eq!(found.host.as_ref().map(told), host, "{what}");
        assert_eq!(found.last_words, row.last_words, "{what}");
        assert_eq!(found.is_breach, row.is_breach, "{what}");
        let event = found.refusal.map(|refusal| refusal.reason);
        assert_eq!(event, row.has_event.then_some(row.name), "{what}");
    }
}

/// What came before the end of a leg counts; what came with a breach of the layer above does not.
#[test]
fn the_end_of_a_leg_is_told_from_a_breach_of_the_relay() {
    for leg in [
        of_client(LegError::Closed),
        of_client(breach()),
        of_host(LegError::Closed),
        of_host(goodbye()),
        of_host(breach()),
    ] {
        assert!(leg.is_of_leg(), "{leg}");
    }
    for other in [
        EndReason::RelayBroken(String::new()),
        lost(SessionId::new()),
        EndReason::OuterLeft,
        EndReason::Shutdown,
        EndReason::ClientIdle(minutes(1)),
    ] {
        assert!(!other.is_of_leg(), "{other}");
    }
}
