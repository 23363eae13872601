//! Answers the calls that the monitor passes on, each on a thread of its service.
//!
//! The monitor has checked that the caller may call the service, and how often. What a caller has in
//! progress is counted here, because only this process knows when a call is answered.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::changes::ChangesService;
use super::nodes::NodesProvider;
use super::peers::{PeersDecision, PeersService};
use super::people::{PeopleProvider, no_sign_in};
use super::published::PublishedService;
use super::signing::{Signed, SigningService};
use super::telemetry::TelemetryService;
use super::thread_pool::ThreadPool;
use crate::audit::{RefusedCall, RefusedCalls};
use crate::ipc::{
    BrowserPasswordRequest, BrowserRequest, BrowserSessionRequest, CallRefusal, CallerProcess,
    ChangesRequest, ForwardedCall, IncomingCall, NodesRequest, PeersRequest, PeopleRequest,
    PublishedRequest, Service, ServiceRequest, SigningRequest, Slot, Slots, TelemetryRequest,
};

/// Most processes that call. After upgrades, several workers do.
const MAX_CALLERS: usize = 200;

/// The services of this process.
#[derive(Clone, Debug)]
pub(super) struct Providers {
    pub(super) signing: Arc<SigningService>,
    /// `None` if people do not sign in here.
    pub(super) people: Option<Arc<PeopleProvider>>,
    pub(super) nodes: Arc<NodesProvider>,
    pub(super) peers: Arc<PeersService>,
    pub(super) changes: Arc<ChangesService>,
    pub(super) published: Arc<PublishedService>,
    pub(super) telemetry: Arc<TelemetryService>,
    /// Where refused calls are written down.
    pub(super) refused: RefusedCalls,
}

/// Answers calls.
#[derive(Debug)]
pub(super) struct Dispatcher {
    providers: Providers,
    pools: Vec<(Service, ThreadPool)>,
    callers: BTreeMap<CallerProcess, Arc<Caller>>,
}

/// A process that calls. Each of its calls has a clone until it is answered: an answer may write down something
/// about the process, so that it is forgotten only after the last one.
#[derive(Debug)]
struct Caller {
    process: CallerProcess,
    /// What it has in progress.
    slots: [(Service, Slots); Service::ALL.len()],
    has_exited: AtomicBool,
    providers: Providers,
}

impl Dispatcher {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system refuses one.
    pub(super) fn start(providers: Providers) -> io::Result<Self> {
        let pool = |service: Service| {
            let pool = ThreadPool::start(service.name(), threads(service))?;
            Ok((service, pool))
        };
        let pools = [
            Service::Signing,
            Service::People,
            Service::Browser,
            Service::BrowserSessions,
            Service::BrowserPasswords,
            Service::Nodes,
            Service::Peers,
            Service::Changes,
            Service::Published,
            Service::Telemetry,
        ];
        let pools = pools.map(pool);
        Ok(Self {
            providers,
            pools: pools.into_iter().collect::<io::Result<_>>()?,
            callers: BTreeMap::new(),
        })
    }

    /// Answers a call; `files` came along with it.
    pub(super) fn serve(&mut self, forwarded: ForwardedCall, files: Vec<OwnedFd>) {
        let ForwardedCall { from, call } = forwarded;
        let Some((mut incoming, request)) = IncomingCall::forwarded(call, files) else {
            return tracing::warn!("a call without a socket for its answer");
        };
        let service = request.service();
        let Some((_, pool)) = self.pools.iter().find(|(one, _)| *one == service) else {
            self.providers.note(&from, service, "not-allowed");
            return incoming.refuse(CallRefusal::Forbidden);
        };
        let caller = caller(&mut self.callers, &from, &self.providers);
        let slot = caller.and_then(|caller| Some((Arc::clone(caller), caller.slot(service)?)));
        let Some((caller, slot)) = slot else {
            self.providers.note(&from, service, "too-many-at-once");
            return incoming.refuse(CallRefusal::Busy);
        };
        incoming.hold(slot);
        let is_taken = pool.run(move || {
            // The caller has stopped waiting, perhaps before this process was started.
            if !incoming.is_late() && !caller.has_exited.load(Ordering::Acquire) {
                caller.providers.answer(&from, request, incoming);
            }
        });
        if !is_taken {
            tracing::warn!("too many calls of the service {} wait", service.name());
        }
    }

    /// Forgets a process that has exited, as soon as none of its calls is being answered.
    pub(super) fn forget(&mut self, process: &CallerProcess) {
        let Some(caller) = self.callers.remove(process) else {
            return;
        };
        caller.has_exited.store(true, Ordering::Release);
        // Whoever drops it last waits for the state, which this thread does only if too many calls wait.
        let pool = self.pools.iter().find(|(one, _)| *one == Service::Nodes);
        if !pool.is_some_and(|(_, pool)| pool.run(move || drop(caller))) {
            tracing::warn!("too many calls of the service nodes wait");
        }
    }

    /// Answers the calls that it has, for as long as this, and takes no more.
    pub(super) fn finish(self, limit: Duration) {
        for (_, pool) in self.pools {
            pool.finish(limit);
        }
    }
}

/// How many threads work on the calls of a service. Passwords of browsers are hashed by half of the
/// processors at most, so that those of ssh have the other half, whatever the web process asks.
fn threads(service: Service) -> usize {
    match service {
        Service::BrowserPasswords => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            (processors / 2).clamp(1, service.at_once())
        }
        Service::Files
        | Service::Signing
        | Service::People
        | Service::Nodes
        | Service::Peers
        | Service::Browser
        | Service::BrowserSessions
        | Service::Changes
        | Service::Published
        | Service::Telemetry => service.at_once(),
    }
}

/// The caller with this process; `None` if there are too many callers.
fn caller<'c>(
    callers: &'c mut BTreeMap<CallerProcess, Arc<Caller>>,
    process: &CallerProcess,
    providers: &Providers,
) -> Option<&'c Arc<Caller>> {
    if callers.len() >= MAX_CALLERS && !callers.contains_key(process) {
        return None;
    }
    let caller = callers.entry(process.clone()).or_insert_with(|| {
        Arc::new(Caller {
            process: process.clone(),
            slots: Service::ALL.map(|service| (service, Slots::of(service))),
            has_exited: AtomicBool::new(false),
            providers: providers.clone(),
        })
    });
    Some(caller)
}

impl Caller {
    /// The right to have one more call of this service in progress.
    fn slot(&self, service: Service) -> Option<Slot> {
        let found = self.slots.iter().find(|(one, _)| *one == service);
        found.and_then(|(_, slots)| slots.take())
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if *self.has_exited.get_mut() {
            self.providers.forget(&self.process);
        }
    }
}

impl Providers {
    /// Writes down that a call was refused.
    fn note(&self, from: &CallerProcess, service: Service, reason: &'static str) {
        let CallerProcess { kind, pid } = from.clone();
        self.refused.note(RefusedCall {
            process: kind,
            pid,
            service: Some(service.name()),
            reason,
        });
    }

    /// Forgets a process that has exited. It waits for the state.
    fn forget(&self, process: &CallerProcess) {
        if let Some(people) = &self.people {
            people.forget(process);
        }
        self.peers.forget(process);
        self.nodes.forget(process);
    }

    fn answer(&self, from: &CallerProcess, request: ServiceRequest, incoming: IncomingCall) {
        let service = request.service();
        match request {
            ServiceRequest::People(request) => match &self.people {
                Some(people) => {
                    let answer = people.answer(from, &request);
                    incoming.answer::<PeopleRequest>(&answer, &[]);
                }
                None => {
                    self.note(from, service, "not-allowed");
                    incoming.refuse(CallRefusal::Forbidden);
                }
            },
            ServiceRequest::Signing(request) => {
                let Signed {
                    answer,
                    is_permitted,
                } = self.signing.answer(request);
                if !is_permitted {
                    self.note(from, service, "not-signed");
                }
                incoming.answer::<SigningRequest>(&answer, &[]);
            }
            ServiceRequest::Peers(request) => {
                self.nodes.tick();
                let id = self.nodes.proxy_of(from);
                match self.peers.answer((from, id), request) {
                    PeersDecision::Answered(answer) => {
                        incoming.answer::<PeersRequest>(&answer, &[]);
                    }
                    PeersDecision::Refused(reason, refusal) => {
                        self.note(from, service, reason);
                        incoming.refuse(refusal);
                    }
                }
            }
            ServiceRequest::Changes(request) => match self.changes.since(request) {
                Ok(answer) => incoming.answer::<ChangesRequest>(&answer, &[]),
                Err(error) => tracing::warn!(%error, "no answer of the service changes"),
            },
            ServiceRequest::Published(request) => match self.published.answer(&request) {
                Ok(answer) => incoming.answer::<PublishedRequest>(&answer, &[]),
                Err(error) => tracing::warn!(%error, "no answer of the service published"),
            },
            ServiceRequest::Telemetry(_) => {
                incoming.answer::<TelemetryRequest>(&self.telemetry.answer(), &[]);
            }
            ServiceRequest::Browser(request) => {
                let people = self.people.as_ref();
                match people.and_then(|people| people.answer_browser(&request)) {
                    Some(answer) => incoming.answer::<BrowserRequest>(&answer, &[]),
                    None => {
                        self.note(from, service, "not-allowed");
                        incoming.refuse(CallRefusal::Forbidden);
                    }
                }
            }
            ServiceRequest::BrowserSessions(request) => {
                let people = self.people.as_ref();
                let answer = people.map(|people| people.answer_session(&request));
                let answer = answer.unwrap_or_else(no_sign_in);
                incoming.answer::<BrowserSessionRequest>(&answer, &[]);
            }
            ServiceRequest::BrowserPasswords(request) => {
                let people = self.people.as_ref();
                let answer = people.map(|people| people.answer_password(&request));
                let answer = answer.unwrap_or_else(no_sign_in);
                incoming.answer::<BrowserPasswordRequest>(&answer, &[]);
            }
            ServiceRequest::Nodes(request) => {
                let answer = self.nodes.answer(from, &request);
                incoming.answer::<NodesRequest>(&answer, &[]);
            }
            ServiceRequest::Files(_) => {
                self.note(from, service, "not-allowed");
                incoming.refuse(CallRefusal::Forbidden);
            }
        }
    }
}

#[cfg(test)]
mod tests;
