//! What was refused on a connection, as an audit event.

use super::Scene;
use crate::audit::{self, AuditEvent};
use crate::model::SessionId;
use crate::relay::{Refused, Side, What};

/// The event of something that the table does not let through, or that clients send by habit.
pub(super) fn refusal(
    scene: &Scene,
    refused: &Refused<'_>,
    session: Option<SessionId>,
) -> AuditEvent {
    let permit = &scene.permit;
    let what = match refused.what {
        What::Channel => audit::Refused::Channel,
        What::ChannelRequest => audit::Refused::ChannelRequest,
        What::Data => audit::Refused::Data,
        What::GlobalRequest => audit::Refused::GlobalRequest,
    };
    let from = match refused.from {
        Side::Client => "client",
        Side::Host => "host",
    };
    let (name, detail) = (refused.name.to_owned(), refused.detail.map(str::to_owned));
    let user = permit.identity().name().to_owned();
    let login = Some(permit.login().to_string());
    let target = Some(permit.route().target.to_string());
    let (client_addr, connection) = (scene.client, Some(scene.connection));
    if refused.by_habit {
        AuditEvent::RequestIgnored {
            what,
            from,
            name,
            detail,
            user,
            login,
            target,
            client_addr,
            connection,
            session,
        }
    } else {
        AuditEvent::ChannelRefused {
            what,
            from,
            name,
            detail,
            reason: "not-permitted",
            user,
            login,
            target,
            client_addr,
            connection,
            session,
        }
    }
}
