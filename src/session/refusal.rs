//! What was refused on a connection, as an audit event.

use super::Scene;
use crate::audit::{self, AuditEvent, NotPassed};
use crate::model::SessionId;
use crate::relay::{Refused, Side, What};

/// The event of something that the table does not let through, or that clients send by habit.
pub(super) fn refusal(
    scene: &Scene,
    refused: &Refused<'_>,
    session: Option<SessionId>,
) -> AuditEvent {
    let permit = &scene.permit;
    let not_passed = NotPassed {
        what: match refused.what {
            What::Channel => audit::Refused::Channel,
            What::ChannelRequest => audit::Refused::ChannelRequest,
            What::Data => audit::Refused::Data,
            What::GlobalRequest => audit::Refused::GlobalRequest,
        },
        from: match refused.from {
            Side::Client => "client",
            Side::Host => "host",
        },
        name: refused.name.to_owned(),
        detail: refused.detail.map(str::to_owned),
        user: permit.identity().name().to_owned(),
        login: Some(permit.login().to_string()),
        target: Some(permit.route().target.to_string()),
        client_addr: scene.client,
        connection: Some(scene.connection),
        session,
    };
    not_passed.event(refused.by_habit)
}
