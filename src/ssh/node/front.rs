//! What the connection of a host serves: four programs, and one forwarded port. Everything else is refused
//! and audited.

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::task::TaskTracker;

use super::host::HostCaller;
use super::programs::{self, NodeProgram, ProgramPlace};
use super::services::NodeServices;
use super::tunnel::{ForwardedPort, Tunnel, TunnelEnd};
use crate::audit::{AuditEvent, NodeEvent, NotPassed, RefusedKind};
use crate::model::TunnelRule;
use crate::relay::{Habit, Habits, What};
use crate::ssh::channel::{ChannelStream, EARLY_WINDOW, MAX_PACKET, Terms};
use crate::ssh::endpoint::{Answer, OpenAnswered, OpenRequest, PendingSession, Services};
use crate::ssh::refusal::{ONLY_NODE_PROGRAMS, TOO_MANY_CHANNELS};
use crate::ssh::services::OuterServices;
use crate::wire::connection::{Breach, Fields, KEEP_ALIVE, NO_MORE_SESSIONS, OpenFailure, SESSION};

/// Sessions that a host may have open at a time.
const MAX_SESSIONS: usize = 4;
/// Programs that a host may run on one connection; it needs three at most. Each is a question to the process
/// that decides about nodes, as are the proof before them and the end after them, and this process may ask 500 in
/// a second ([`crate::ipc::Service::per_second`]). The clients of one address begin 50 connections in a second:
/// with 8 questions each, they leave a fifth to others.
const MAX_PROGRAMS: u32 = 6;
/// What is refused and audited before the connection ends.
const MAX_REFUSED: u32 = 100;
/// Bytes of a report that a host may send before they are read.
const REPORT_WINDOW: u32 = 32 * 1024;
/// Longest command that is looked at, in bytes.
const MAX_COMMAND: usize = 64;

/// What the services of the connection of a host use.
#[derive(Debug)]
pub(super) struct NodeFront {
    pub(super) services: Arc<OuterServices>,
    pub(super) nodes: Arc<NodeServices>,
    pub(super) caller: HostCaller,
    pub(super) tunnel: Option<Tunnel>,
    /// How many programs were run so far.
    programs: u32,
    /// How much was refused so far.
    refused: u32,
    /// What was refused and does not matter.
    habits: Habits,
    pub(super) tasks: TaskTracker,
}

impl NodeFront {
    pub(super) fn new(
        services: Arc<OuterServices>,
        nodes: Arc<NodeServices>,
        caller: HostCaller,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            services,
            nodes,
            caller,
            tunnel: None,
            programs: 0,
            refused: 0,
            habits: Habits::default(),
            tasks,
        }
    }

    /// Audits what is not served here.
    ///
    /// # Errors
    /// It was too much.
    fn audit_refused(
        &mut self,
        what: RefusedKind,
        name: &str,
        detail: Option<String>,
    ) -> Result<(), Breach> {
        let habit = match what {
            RefusedKind::Channel | RefusedKind::Data => Habit::No,
            RefusedKind::ChannelRequest => self.habits.look(What::ChannelRequest, name, None),
            RefusedKind::GlobalRequest => self.habits.look(What::GlobalRequest, name, None),
        };
        match habit {
            Habit::Again => return Ok(()),
            Habit::First => {}
            Habit::No => {
                self.refused += 1;
                if self.refused > MAX_REFUSED {
                    return Err(Breach::TooMuchRefused);
                }
            }
        }
        let not_passed = NotPassed {
            what,
            from: "client",
            name: name.to_owned(),
            detail,
            user: self.caller.host.name(),
            login: None,
            target: None,
            client_addr: self.caller.address,
            connection: Some(self.caller.connection),
            session: None,
        };
        let event = not_passed.event(habit == Habit::First);
        self.services.audit.emit_or_log(&event);
        Ok(())
    }

    /// A node asks the proxy to forward a port.
    fn forward(&mut self, name: &str, data: &Bytes) -> Result<Answer, Breach> {
        let port = ForwardedPort::read(data)?;
        let node = self.caller.host.node.as_ref();
        let refused = match node {
            None => "the host has not joined",
            Some(node) if node.tunnel == TunnelRule::No => "the node may open no tunnel",
            Some(_) if self.tunnel.is_some() => "the connection has a tunnel already",
            Some(_) if self.nodes.closing.is_cancelled() => "the proxy stops",
            Some(_) if !port.is_usable() => "not a port",
            Some(node) => {
                let id = node.id;
                let client = self.caller.host.client.clone();
                let (tunnel, report) = Tunnel::open(id, port, &self.nodes.tunnels, client);
                self.tunnel = Some(tunnel);
                self.tasks.spawn(report);
                let opened = NodeEvent::TunnelOpened {
                    node: id,
                    name: node.name.clone(),
                    client_addr: self.caller.address,
                    connection: self.caller.connection,
                };
                self.services.audit.emit_or_log(&AuditEvent::Node(opened));
                return Ok(Answer::Success);
            }
        };
        self.audit_refused(RefusedKind::GlobalRequest, name, Some(refused.to_owned()))?;
        Ok(Answer::Failure)
    }

    /// The tunnel has ended, if there was one: whoever dials is told.
    pub(super) fn end_tunnel(&mut self, why: TunnelEnd) {
        let (Some(tunnel), Some(node)) = (self.tunnel.take(), &self.caller.host.node) else {
            return;
        };
        let (duration, streams) = tunnel.use_so_far();
        let ended = NodeEvent::TunnelEnded {
            node: node.id,
            name: node.name.clone(),
            reason: why.name(),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            streams,
            client_addr: self.caller.address,
            connection: self.caller.connection,
        };
        self.services.audit.emit_or_log(&AuditEvent::Node(ended));
    }

    /// A node asks the proxy to forward a port no longer.
    fn cancel(&mut self, name: &str, data: &Bytes) -> Result<Answer, Breach> {
        let port = ForwardedPort::read(data)?;
        if self
            .tunnel
            .as_ref()
            .is_some_and(|tunnel| tunnel.is_of(&port))
        {
            self.end_tunnel(TunnelEnd::Cancelled);
            return Ok(Answer::Success);
        }
        self.audit_refused(RefusedKind::GlobalRequest, name, None)?;
        Ok(Answer::Failure)
    }

    /// A command: the program that it names.
    fn exec(
        &mut self,
        session: &mut Option<PendingSession>,
        kind: &str,
        data: &Bytes,
    ) -> Result<Answer, Breach> {
        let command = Fields::of_request(data).string()?;
        if self.programs >= MAX_PROGRAMS {
            let why = "too many programs on one connection".to_owned();
            self.audit_refused(RefusedKind::ChannelRequest, kind, Some(why))?;
            return Ok(Answer::Failure);
        }
        let Some(session) = session.take() else {
            return Ok(Answer::Failure);
        };
        self.programs += 1;
        let program = command.get(..MAX_COMMAND.min(command.len()));
        let Some(program) = program.and_then(NodeProgram::of_command) else {
            self.audit_refused(RefusedKind::ChannelRequest, kind, None)?;
            programs::unknown(session);
            return Ok(Answer::Success);
        };
        let place = ProgramPlace::new(&self.caller, Arc::clone(&self.nodes));
        self.tasks.spawn(programs::run(place, session, program));
        Ok(Answer::Success)
    }
}

impl Services for NodeFront {
    fn open(&mut self, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach> {
        let kind = request.kind();
        if kind != SESSION {
            self.audit_refused(RefusedKind::Channel, kind, None)?;
            let reason = OpenFailure::AdministrativelyProhibited;
            return Ok(request.refuse(reason, ONLY_NODE_PROGRAMS));
        }
        if request.channels_of_peer() >= MAX_SESSIONS {
            self.audit_refused(RefusedKind::Channel, SESSION, None)?;
            return Ok(request.refuse(OpenFailure::ResourceShortage, TOO_MANY_CHANNELS));
        }
        Ok(request.accept_session(Terms {
            window: EARLY_WINDOW,
            max_window: REPORT_WINDOW,
            max_packet: MAX_PACKET,
        }))
    }

    fn on_request(
        &mut self,
        session: &mut Option<PendingSession>,
        kind: &str,
        data: &Bytes,
    ) -> Result<Answer, Breach> {
        match kind {
            "exec" => self.exec(session, kind, data),
            // ssh sends its own environment along.
            "env" | "window-change" | KEEP_ALIVE | "eow@openssh.com" => Ok(Answer::Failure),
            other => {
                self.audit_refused(RefusedKind::ChannelRequest, other, None)?;
                Ok(Answer::Failure)
            }
        }
    }

    fn on_global_request(&mut self, name: &str, data: &Bytes) -> Result<Answer, Breach> {
        match name {
            "tcpip-forward" => self.forward(name, data),
            "cancel-tcpip-forward" => self.cancel(name, data),
            KEEP_ALIVE | NO_MORE_SESSIONS => Ok(Answer::Failure),
            other => {
                self.audit_refused(RefusedKind::GlobalRequest, other, None)?;
                Ok(Answer::Failure)
            }
        }
    }

    fn on_opened(&mut self, number: u32, stream: ChannelStream) {
        // Without the tunnel nobody waits for the stream: dropping it closes the channel.
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.opened(number, stream);
        }
    }

    fn on_not_opened(&mut self, number: u32, text: &Bytes) {
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.not_opened(number, text);
        }
    }
}
