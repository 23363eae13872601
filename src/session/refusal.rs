//! What was refused on a connection, as an audit event.

use super::context::SessionContext;
use crate::audit::{self, AuditEvent, NotPassed};
use crate::model::SessionId;
use crate::relay::{RefusedMessage, Side, What};

/// The event of a message that the table refuses, or that clients send by habit.
pub(super) fn refusal(
    scene: &SessionContext,
    refused: &RefusedMessage<'_>,
    session: Option<SessionId>,
) -> AuditEvent {
    let permit = &scene.permit;
    let not_passed = NotPassed {
        what: match refused.what {
            What::Channel => audit::RefusedKind::Channel,
            What::ChannelRequest => audit::RefusedKind::ChannelRequest,
            What::Data => audit::RefusedKind::Data,
            What::GlobalRequest => audit::RefusedKind::GlobalRequest,
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
