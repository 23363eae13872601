//! What the client of a jump may do before the host is there.

use bytes::Bytes;

use crate::ssh::channel::{ChannelStream, Terms};
use crate::ssh::endpoint::{Answer, OpenAnswered, OpenRequest, PendingSession, Services};
use crate::ssh::refusal::FORWARDS_NEED_SESSION;
use crate::wire::connection::{
    AGENT_REQ, AGENT_REQ_OPENSSH, Breach, OpenFailure, SESSION, agent_channel,
};

/// Our number of the session, on both sides: the first that there is.
pub(super) const NUMBER: u32 = 0;
/// What is taken on the session: no data before the host takes any. The most data of one message is
/// the least that hosts are known to take.
const SESSION_TERMS: Terms = Terms {
    window: 0,
    max_window: 0,
    max_packet: MAX_PACKET,
};
/// The most data that the client may send in one message.
pub(super) const MAX_PACKET: u32 = 16 * 1024;

/// The client's session, which is kept for the relay.
#[derive(Debug)]
struct Session {
    stream: ChannelStream,
    /// The client has asked for a program. Before that its ssh shows nothing of what it is told.
    has_started: bool,
}

/// How far the client's agent is.
#[derive(Debug)]
enum Forwarding {
    /// The client has not asked for it to be forwarded.
    Unasked,
    /// It has, by the name of RFC 9987 or by OpenSSH's; a channel is to be opened.
    Asked { by_rfc: bool },
    /// The client is asked for a channel.
    Opening,
    /// The client opens none.
    Refused,
    /// The channel is open.
    Open(ChannelStream),
}

/// How far the setup has come.
#[derive(Debug, Default)]
enum Setup {
    /// The client has opened no session.
    #[default]
    AwaitingSession,
    /// It has, and its agent is to be forwarded.
    AwaitingAgent(Session, Forwarding),
    /// The host is dialled, and its login is signed by the agent.
    Dialling(Session),
    /// The host opens a session, and the relay takes both over.
    HandingOver(Session),
    /// The client reads why there is no session.
    Refusing,
}

/// What is to be done next for the agent.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing, until the client says something.
    Wait,
    /// A channel of this type is to be opened.
    OpenAgent(&'static str),
    /// There is none, and there will be none.
    NoAgent,
    /// The host is to be dialled, with this agent.
    Dial(ChannelStream),
}

/// The client, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct JumpClient {
    setup: Setup,
}

impl JumpClient {
    /// What is to be done next until the host can be dialled.
    pub(super) fn next_step(&mut self) -> Step {
        let (session, forwarding) = match std::mem::take(&mut self.setup) {
            Setup::AwaitingAgent(session, forwarding) => (session, forwarding),
            other => {
                self.setup = other;
                return Step::Wait;
            }
        };
        let (step, forwarding) = match forwarding {
            Forwarding::Open(agent) => {
                self.setup = Setup::Dialling(session);
                return Step::Dial(agent);
            }
            Forwarding::Asked { by_rfc } => {
                (Step::OpenAgent(agent_channel(by_rfc)), Forwarding::Opening)
            }
            Forwarding::Unasked if session.has_started => (Step::NoAgent, Forwarding::Unasked),
            Forwarding::Refused => (Step::NoAgent, Forwarding::Refused),
            waiting @ (Forwarding::Unasked | Forwarding::Opening) => (Step::Wait, waiting),
        };
        self.setup = Setup::AwaitingAgent(session, forwarding);
        step
    }

    /// The host has taken the login; `false` when it was not dialled for this client.
    pub(super) fn hand_over(&mut self) -> bool {
        match std::mem::take(&mut self.setup) {
            Setup::Dialling(session) => {
                self.setup = Setup::HandingOver(session);
                true
            }
            other => {
                self.setup = other;
                false
            }
        }
    }

    /// Gives up: the session, once the client would show what it is told.
    pub(super) fn refuse(&mut self) -> Option<ChannelStream> {
        match std::mem::replace(&mut self.setup, Setup::Refusing) {
            Setup::AwaitingAgent(session, _)
            | Setup::Dialling(session)
            | Setup::HandingOver(session)
                if session.has_started =>
            {
                Some(session.stream)
            }
            // What was asked of the agent is not needed any more.
            Setup::AwaitingAgent(session, Forwarding::Open(_)) => {
                self.setup = Setup::AwaitingAgent(session, Forwarding::Refused);
                None
            }
            other => {
                self.setup = other;
                None
            }
        }
    }

    /// The session's stream, if there is one.
    pub(super) fn session(&self) -> Option<&ChannelStream> {
        match &self.setup {
            Setup::AwaitingAgent(session, _)
            | Setup::Dialling(session)
            | Setup::HandingOver(session) => Some(&session.stream),
            Setup::AwaitingSession | Setup::Refusing => None,
        }
    }

    fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.setup {
            Setup::AwaitingAgent(session, _)
            | Setup::Dialling(session)
            | Setup::HandingOver(session) => Some(session),
            Setup::AwaitingSession | Setup::Refusing => None,
        }
    }
}

impl Services for JumpClient {
    fn open(&mut self, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach> {
        if !matches!(self.setup, Setup::AwaitingSession) || !request.data().is_empty() {
            return request.keep();
        }
        if request.kind() != SESSION {
            let reason = OpenFailure::AdministrativelyProhibited;
            return Ok(request.refuse(reason, FORWARDS_NEED_SESSION));
        }
        let (answered, stream) = request.accept_kept(SESSION_TERMS);
        let session = Session {
            stream,
            has_started: false,
        };
        self.setup = Setup::AwaitingAgent(session, Forwarding::Unasked);
        Ok(answered)
    }

    fn on_request(
        &mut self,
        _session: &mut Option<PendingSession>,
        kind: &str,
        _data: &Bytes,
    ) -> Result<Answer, Breach> {
        let Some(session) = self.session_mut() else {
            return Ok(Answer::Keep);
        };
        let asks_for_agent = matches!(kind, AGENT_REQ | AGENT_REQ_OPENSSH) && !session.has_started;
        session.has_started |= matches!(kind, "shell" | "exec" | "subsystem");
        if !asks_for_agent {
            return Ok(Answer::Keep);
        }
        // The agent was requested for the proxy's login; the host does not get it.
        if let Setup::AwaitingAgent(_, forwarding @ Forwarding::Unasked) = &mut self.setup {
            let by_rfc = kind == AGENT_REQ;
            *forwarding = Forwarding::Asked { by_rfc };
        }
        Ok(Answer::Success)
    }

    fn on_global_request(&mut self, _name: &str, _data: &Bytes) -> Result<Answer, Breach> {
        Ok(Answer::Keep)
    }

    fn on_opened(&mut self, _number: u32, stream: ChannelStream) {
        // Where the agent is not waited for any more, the stream is dropped, which closes its channel.
        if let Setup::AwaitingAgent(_, forwarding @ Forwarding::Opening) = &mut self.setup {
            *forwarding = Forwarding::Open(stream);
        }
    }

    fn on_not_opened(&mut self, _number: u32, _text: &Bytes) {
        if let Setup::AwaitingAgent(_, forwarding @ Forwarding::Opening) = &mut self.setup {
            *forwarding = Forwarding::Refused;
        }
    }
}
