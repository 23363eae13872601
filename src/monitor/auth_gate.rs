//! Passes calls on to the auth process. While no auth process is ready, or the one that is ready takes
//! no more at the moment, calls wait here until their callers stop waiting.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ipc::{
    CallRefusal, CallRoute, CallerProcess, ForwardingCall, IncomingCall, MessageSocket, ServiceCall,
};

/// How many calls may wait, of all processes together. Further calls are refused.
const MAX_WAITING: usize = 256;

/// The way to the auth process that answers calls now. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthGate(Arc<Mutex<GateState>>);

#[derive(Debug, Default)]
struct GateState {
    /// The socket of the process that is ready.
    open: Option<Arc<MessageSocket>>,
    /// The oldest first.
    waiting: VecDeque<ForwardingCall>,
}

impl AuthGate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls are passed on to this process from now on, those that wait first.
    pub(super) fn open(&self, socket: &Arc<MessageSocket>) {
        let mut state = self.state();
        state.open = Some(Arc::clone(socket));
        state.flush();
    }

    /// This process answers no more calls. If it is the one that calls are passed on to, they wait.
    pub(super) fn close(&self, socket: &Arc<MessageSocket>) {
        let mut state = self.state();
        if state
            .open
            .as_ref()
            .is_some_and(|open| Arc::ptr_eq(open, socket))
        {
            state.open = None;
        }
    }

    /// Passes a call on, or has it wait.
    pub(super) fn pass(&self, call: ForwardingCall) {
        let mut state = self.state();
        state.waiting.push_back(call);
        state.flush();
        if state.waiting.len() > MAX_WAITING
            && let Some(last) = state.waiting.pop_back()
        {
            tracing::warn!("too many calls wait for the auth process");
            last.refuse(CallRefusal::Busy);
        }
    }

    /// The process has exited: its calls wait no longer. Answered later, they would leave something of a process
    /// that is forgotten.
    pub(super) fn forget(&self, process: &CallerProcess) {
        self.state().waiting.retain(|call| !call.is_of(process));
    }

    /// Passes on what waits, and forgets what has waited for too long. Has to be called now and then.
    pub(super) fn flush(&self) {
        self.state().flush();
    }
}

impl GateState {
    fn flush(&mut self) {
        self.waiting.retain(|call| !call.is_late());
        while let Some(socket) = self.open.clone() {
            let Some(call) = self.waiting.pop_front() else {
                return;
            };
            match call.send(&socket) {
                Ok(()) => {}
                // It has not read earlier calls yet.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.waiting.push_front(call);
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    call.refuse(CallRefusal::Forbidden);
                }
                // The process has exited, which the event loop is about to notice.
                Err(error) => {
                    tracing::debug!(%error, "the auth process takes no call");
                    self.open = None;
                    return self.waiting.push_front(call);
                }
            }
        }
    }
}

/// The calls that the monitor makes for a process of an earlier version, which asks in another way.
#[derive(Debug)]
pub(super) struct CallsFor {
    pub(super) caller: CallerProcess,
    pub(super) gate: AuthGate,
}

impl CallRoute for CallsFor {
    fn send(&self, call: ServiceCall, answers: MessageSocket) -> io::Result<()> {
        // The length is that of the other message, which was limited.
        let incoming = IncomingCall::forwarded(call, [answers.into()]);
        let (incoming, request) = incoming.ok_or(io::ErrorKind::InvalidInput)?;
        let call = ForwardingCall::new(incoming, request, self.caller.clone())?;
        self.gate.pass(call);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ipc::{SigningAnswer, SigningRequest};
    use crate::monitor::processes::WORKER;
    use crate::monitor::testing::{PATIENCE, ServicesHome};
    use crate::sys::clock::monotonic;

    /// Passes a call on; returns the socket on which the answer arrives.
    fn pass(gate: &AuthGate, left: Duration) -> MessageSocket {
        let (ours, theirs) = MessageSocket::pair().unwrap();
        ours.set_timeout(PATIENCE).unwrap();
        let call = ServiceCall {
            id: 7,
            deadline_ms: u64::try_from((monotonic() + left).as_millis()).unwrap(),
            request: SigningRequest::Check.into(),
        };
        let route = CallsFor {
            caller: WORKER.caller(1),
            gate: gate.clone(),
        };
        CallRoute::send(&route, call, theirs).unwrap();
        ours
    }

    fn is_answered(socket: &MessageSocket) -> bool {
        let answer = socket.receive().unwrap();
        answer.is_some_and(|answer| answer.bytes.ends_with(br#"{"answer":{"key":null}}}"#))
    }

    #[test]
    fn a_call_waits_for_the_next_auth_process() {
        let home = ServicesHome::new();
        let first = pass(&home.gate, PATIENCE);
        let auth = home.auth();
        let answer = |incoming: IncomingCall| {
            incoming.answer::<SigningRequest>(&SigningAnswer::Key(None), &[]);
        };
        answer(auth.takes().1);
        assert!(is_answered(&first));

        // The process exits: calls that it has get no answer, later ones wait.
        let lost = pass(&home.gate, PATIENCE);
        let near = Arc::clone(&auth.near);
        drop(auth);
        assert!(lost.receive().unwrap().is_none());
        let noticed = pass(&home.gate, PATIENCE);
        home.gate.close(&near);
        let waiting = pass(&home.gate, PATIENCE);
        let next = home.auth();
        // That the first one has exited changes nothing any more.
        home.gate.close(&near);
        for socket in [&noticed, &waiting, &pass(&home.gate, PATIENCE)] {
            answer(next.takes().1);
            assert!(is_answered(socket));
        }
    }

    #[test]
    fn a_call_waits_no_longer_than_its_caller() {
        let home = ServicesHome::new();
        let late = pass(&home.gate, Duration::ZERO);
        assert!(late.receive().unwrap().is_none());
        let waiting = pass(&home.gate, PATIENCE);
        home.gate.flush();
        drop(home.auth().takes());
        assert!(waiting.receive().unwrap().is_none());
    }

    #[test]
    fn too_many_calls_that_wait_are_refused() {
        let home = ServicesHome::new();
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| pass(&home.gate, PATIENCE))
            .collect();
        let refused = pass(&home.gate, PATIENCE).receive().unwrap().unwrap();
        assert_eq!(refused.bytes, br#"{"id":7,"outcome":{"refused":"busy"}}"#);
        // An auth process that reads nothing gets as much as its socket holds.
        let auth = home.auth();
        for _ in &waiting {
            drop(auth.takes());
            home.gate.flush();
        }
        assert!(auth.has_none());
    }
}
