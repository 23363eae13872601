//! Answers the calls that the monitor passes on, each on a thread of its service.
//!
//! The monitor has checked that the caller may call the service, and how often. What a caller has in
//! progress is counted here, because only this process knows when a call is answered.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::changes::ChangesService;
use super::nodes::NodesProvider;
use super::peers::{PeersDecision, PeersService};
use super::people::PeopleProvider;
use super::signing::{Signed, SigningService};
use super::telemetry::TelemetryService;
use super::thread_pool::ThreadPool;
use crate::audit::{RefusedCall, RefusedCalls};
use crate::ipc::{
    BrowserRequest, CallRefusal, CallerProcess, ChangesRequest, ForwardedCall, IncomingCall,
    NodesRequest, PeersRequest, PeopleRequest, Service, ServiceRequest, SigningRequest, Slots,
    TelemetryRequest,
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
    pub(super) telemetry: Arc<TelemetryService>,
    /// Where refused calls are written down.
    pub(super) refused: RefusedCalls,
}

/// Answers calls.
#[derive(Debug)]
pub(super) struct Dispatcher {
    providers: Providers,
    pools: Vec<(Service, ThreadPool)>,
    /// What each caller has in progress.
    callers: BTreeMap<CallerProcess, Vec<(Service, Slots)>>,
}

impl Dispatcher {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system refuses one.
    pub(super) fn start(providers: Providers) -> io::Result<Self> {
        let pool = |service: Service| {
            let pool = ThreadPool::start(service.name(), service.at_once())?;
            Ok((service, pool))
        };
        let pools = [
            Service::Signing,
            Service::People,
            Service::Browser,
            Service::Nodes,
            Service::Peers,
            Service::Changes,
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
        let slots = slots(&mut self.callers, &from, service);
        match slots.and_then(|slots| slots.take()) {
            Some(slot) => incoming.hold(slot),
            None => {
                self.providers.note(&from, service, "too-many-at-once");
                return incoming.refuse(CallRefusal::Busy);
            }
        }
        let providers = self.providers.clone();
        let is_taken = pool.run(move || {
            // The caller has stopped waiting, perhaps before this process was started.
            if !incoming.is_late() {
                providers.answer(&from, request, incoming);
            }
        });
        if !is_taken {
            tracing::warn!("too many calls of the service {} wait", service.name());
        }
    }

    /// Forgets a process that has exited.
    pub(super) fn forget(&mut self, caller: &CallerProcess) {
        self.callers.remove(caller);
        if let Some(people) = &self.providers.people {
            people.forget(caller);
        }
        if let Some(proxy) = self.providers.nodes.forget(caller) {
            // It waits for the state, which this thread does not.
            let nodes = Arc::clone(&self.providers.nodes);
            let pool = self.pools.iter().find(|(one, _)| *one == Service::Nodes);
            if !pool.is_some_and(|(_, pool)| pool.run(move || nodes.end_tunnels(proxy))) {
                tracing::warn!("too many calls of the service nodes wait");
            }
        }
        self.providers.peers.forget(caller);
    }

    /// Answers the calls that it has, for as long as this, and takes no more.
    pub(super) fn finish(self, limit: Duration) {
        for (_, pool) in self.pools {
            pool.finish(limit);
        }
    }
}

/// The slots of a caller; `None` if there are too many callers.
fn slots<'c>(
    callers: &'c mut BTreeMap<CallerProcess, Vec<(Service, Slots)>>,
    caller: &CallerProcess,
    service: Service,
) -> Option<&'c Slots> {
    if callers.len() >= MAX_CALLERS && !callers.contains_key(caller) {
        return None;
    }
    let slots = callers.entry(caller.clone()).or_insert_with(|| {
        let each = Service::ALL.map(|service| (service, Slots::of(service)));
        each.into()
    });
    let found = slots.iter().find(|(one, _)| *one == service);
    found.map(|(_, slots)| slots)
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
