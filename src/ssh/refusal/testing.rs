//! A refusal for tests of other rooms.

use std::net::SocketAddr;

use super::message::{Origin, Refusal, Worth};
use super::reason::RefusalReason;
use crate::audit::Party;
use crate::model::ConnectionId;

/// One of the client's, with this name and as much worth.
pub(crate) fn refusal(name: &'static str, worth: Worth) -> Refusal {
    let mut refusal = Refusal::new(Party::Client, RefusalReason::Internal, name).worth(worth);
    refusal.reason = name;
    refusal
}

/// That of alice on her way to `db1`.
pub(crate) fn origin() -> Origin {
    Origin {
        client: SocketAddr::from(([192, 0, 2, 1], 22)),
        connection: ConnectionId::new(),
        user: Some("alice".to_owned()),
        login: None,
        target: Some("db1".to_owned()),
    }
}
