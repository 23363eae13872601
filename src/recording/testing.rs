//! The header of a recording, for tests of this room and of those that read or write recordings.

use chrono::DateTime;

use super::{Header, Pty};
use crate::model::SessionKind;

/// Alice's session on `db1`; what is not a shell runs a command.
pub(crate) fn header(kind: SessionKind, pty: bool) -> Header {
    Header {
        session: "01920000-0000-7000-8000-000000000001".parse().unwrap(),
        connection: "01920000-0000-7000-8000-000000000002".parse().unwrap(),
        cluster: "example.com".to_owned(),
        user: "alice".to_owned(),
        login: "deploy".to_owned(),
        target: "db1:22".to_owned(),
        node: Some("db1".to_owned()),
        address: Some("10.0.0.5:22".to_owned()),
        egress_addr: None,
        kind,
        command: (kind != SessionKind::Shell).then(|| "cat /etc/motd".into()),
        client: Some("192.0.2.7:50000".to_owned()),
        serial: Some(u64::MAX),
        fingerprint: Some("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".to_owned()),
        start: DateTime::from_timestamp(1_760_000_000, 250_000_000).unwrap(),
        pty: pty.then(|| Pty {
            term: "xterm-256color".into(),
            cols: 120,
            rows: 40,
        }),
    }
}
