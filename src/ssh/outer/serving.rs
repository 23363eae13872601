//! Which service a channel or a request of the outer connection is for. A new service is a file of
//! its own, such as `target`, and a line in one of the methods here.

use bytes::Bytes;

use super::front::{Front, MAX_CHANNELS, MAX_COURTESIES, terms};
use super::{programs, target};
use crate::audit::RefusedKind;
use crate::ssh::channel::ChannelStream;
use crate::ssh::endpoint::{
    Answer, OpenAnswered, OpenRequest, PendingSession, Services, SessionServices, serve,
};
use crate::ssh::refusal::{ONLY_TARGETS, TOO_MANY_CHANNELS};
use crate::wire::connection::{
    Breach, DIRECT_TCPIP, KEEP_ALIVE, NO_MORE_SESSIONS, OpenFailure, SESSION,
};

impl Services for Front {
    fn open(&mut self, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach> {
        match request.kind() {
            DIRECT_TCPIP => target::jump(self, request),
            SESSION => open_session(self, request),
            other => {
                self.audit_refused(RefusedKind::Channel, other)?;
                let reason = OpenFailure::AdministrativelyProhibited;
                Ok(request.refuse(reason, ONLY_TARGETS))
            }
        }
    }

    fn on_request(
        &mut self,
        session: &mut Option<PendingSession>,
        kind: &str,
        data: &Bytes,
    ) -> Result<Answer, Breach> {
        serve(self, session, kind, data).map(Answer::from)
    }

    fn on_global_request(&mut self, name: &str, _data: &Bytes) -> Result<Answer, Breach> {
        if !matches!(name, KEEP_ALIVE | NO_MORE_SESSIONS) {
            self.audit_refused(RefusedKind::GlobalRequest, name)?;
        }
        Ok(Answer::Failure)
    }

    fn on_opened(&mut self, number: u32, stream: ChannelStream) {
        self.agent_opened(number, stream);
    }

    fn on_not_opened(&mut self, number: u32, text: &Bytes) {
        self.agent_not_opened(number, text);
    }
}

impl SessionServices for Front {
    fn on_agent_request(&mut self, by_rfc: bool) {
        self.agent_is_by_rfc = by_rfc;
    }

    fn on_shell(&mut self, session: PendingSession) {
        programs::shell(self, session);
    }

    fn on_exec(&mut self, session: PendingSession, command: &Bytes) {
        programs::exec(self, session, command);
    }

    fn on_subsystem(&mut self, session: PendingSession, name: &Bytes) {
        target::subsystem(self, session, name);
    }

    fn on_unknown_request(&mut self, kind: &str) -> Result<(), Breach> {
        self.audit_refused(RefusedKind::ChannelRequest, kind)
    }
}

/// A session. On a connection that is about to end a few more are there, to say so.
fn open_session(front: &mut Front, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach> {
    let is_refused = front.leaving().is_some();
    let most = match is_refused {
        true => MAX_CHANNELS + MAX_COURTESIES,
        false => MAX_CHANNELS,
    };
    if request.channels_of_peer() >= most {
        front.audit_refused(RefusedKind::Channel, SESSION)?;
        return Ok(request.refuse(OpenFailure::ResourceShortage, TOO_MANY_CHANNELS));
    }
    Ok(request.accept_session(terms(is_refused)))
}
