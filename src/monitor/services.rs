//! Receives the calls of one process: checks that it may call the service, and how often, and either
//! works on the call, on a thread of its own, or passes it on to the process that provides the
//! service.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use super::auth_gate::{AuthGate, CallsFor};
use super::call_rate::CallRate;
use super::file_service::FileService;
use super::processes::ProcessKind;
use crate::audit::{RefusedCall, RefusedCalls};
use crate::ipc::{
    CallRefusal, CallerProcess, Client, ForwardingCall, IncomingCall, RemoteSigning, Service,
    ServiceCall, ServiceRequest, Slot, Slots,
};
use crate::sys::clock;

/// The services, for one process.
#[derive(Debug)]
pub(super) struct Services {
    kind: &'static ProcessKind,
    /// The version of the messages that the process speaks.
    version: u32,
    caller: CallerProcess,
    files: FileService,
    gate: AuthGate,
    refused: RefusedCalls,
    limits: [(Service, Limits); Service::ALL.len()],
}

/// The limits of one service for one process.
#[derive(Debug)]
struct Limits {
    slots: Slots,
    rate: CallRate,
}

impl Services {
    /// For the process of this kind with this id, which speaks this version.
    pub(super) fn new(
        kind: &'static ProcessKind,
        (pid, version): (i32, u32),
        files: FileService,
        gate: AuthGate,
        refused: RefusedCalls,
    ) -> Self {
        let now = clock::monotonic();
        let limits = |service| Limits {
            slots: Slots::of(service),
            rate: CallRate::of(service, now),
        };
        Self {
            kind,
            version,
            caller: kind.caller(pid),
            files,
            gate,
            refused,
            limits: Service::ALL.map(|service| (service, limits(service))),
        }
    }

    pub(super) fn files(&self) -> &FileService {
        &self.files
    }

    /// The signing service, as this process would call it.
    pub(super) fn signing(&self) -> RemoteSigning {
        let route = CallsFor {
            caller: self.caller.clone(),
            gate: self.gate.clone(),
        };
        RemoteSigning::new(Client::new(Arc::new(route)))
    }

    /// Writes down that a call was refused, or a message that is no call.
    pub(super) fn note(&self, service: Option<Service>, reason: &'static str) {
        let CallerProcess { kind, pid } = self.caller.clone();
        self.refused.note(RefusedCall {
            process: kind,
            pid,
            service: service.map(Service::name),
            reason,
        });
    }

    /// Permits the process to call a service now.
    ///
    /// # Errors
    /// Why the call is refused.
    pub(super) fn admit(&self, service: Service) -> Result<Slot, CallRefusal> {
        let refuse = |reason, refusal| {
            self.note(Some(service), reason);
            refusal
        };
        if !self.kind.may_call_in(self.version, service) {
            return Err(refuse("not-allowed", CallRefusal::Forbidden));
        }
        let mut limits = self.limits.iter();
        let (_, limits) = limits
            .find(|(one, _)| *one == service)
            .ok_or(CallRefusal::Forbidden)?;
        if !limits.rate.take(clock::monotonic()) {
            return Err(refuse("too-often", CallRefusal::Busy));
        }
        let slot = limits.slots.take();
        slot.ok_or_else(|| refuse("too-many-at-once", CallRefusal::Busy))
    }

    /// Takes a call. `length` is that of its message, and `files` came along with it.
    pub(super) fn serve(&self, call: ServiceCall, length: usize, files: Vec<OwnedFd>) {
        let service = call.request.service();
        let Some((mut incoming, request)) = IncomingCall::new(call, length, files) else {
            return self.note(Some(service), "malformed");
        };
        match self.admit(service) {
            // As long as the call is in this process. The process that it is passed on to counts too.
            Ok(slot) => incoming.hold(slot),
            Err(refusal) => return incoming.refuse(refusal),
        }
        match request {
            ServiceRequest::Files(request) => {
                let files = self.files.clone();
                if !files.has(Path::new(&request.path), request.purpose) {
                    self.note(Some(service), "not-allowed");
                }
                on_thread(service, move || {
                    // The caller has stopped waiting, perhaps while this program was replaced.
                    if !incoming.is_late() {
                        files.answer(&request, incoming);
                    }
                });
            }
            ServiceRequest::Signing(_)
            | ServiceRequest::People(_)
            | ServiceRequest::Browser(_)
            | ServiceRequest::BrowserSessions(_)
            | ServiceRequest::BrowserPasswords(_)
            | ServiceRequest::Nodes(_)
            | ServiceRequest::Peers(_)
            | ServiceRequest::Changes(_)
            | ServiceRequest::Published(_)
            | ServiceRequest::Telemetry(_) => {
                match ForwardingCall::new(incoming, request, self.caller.clone()) {
                    Ok(call) => self.gate.pass(call),
                    Err(error) => tracing::warn!(%error, "a call cannot be passed on"),
                }
            }
        }
    }
}

/// Handles a call on its own thread. Opening a file may block forever, and the process's other messages
/// must not wait for it.
pub(super) fn on_thread(service: Service, work: impl FnOnce() + Send + 'static) {
    let started: io::Result<_> = std::thread::Builder::new()
        .name(service.name().to_owned())
        .spawn(work);
    if let Err(error) = started {
        tracing::warn!(%error, "no thread for the service {}", service.name());
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::ipc::{
        AllowedFiles, ChangesRequest, FilePurpose, FileRequest, MessageSocket, SigningAnswer,
        SigningRequest,
    };
    use crate::monitor::processes::WORKER;
    use crate::monitor::testing::{HangingFiles, PATIENCE, PID, ServicesHome};
    use crate::sys::clock::monotonic;
    use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

    /// A process of this kind that may call nothing.
    static ALONE: ProcessKind = ProcessKind {
        name: "alone",
        calls: &[],
        ..WORKER
    };

    /// Sends a call; returns the socket on which the answer arrives.
    fn call_until(
        services: &Services,
        request: impl Into<ServiceRequest>,
        until: Duration,
    ) -> MessageSocket {
        let (ours, theirs) = MessageSocket::pair().unwrap();
        ours.set_timeout(PATIENCE).unwrap();
        let theirs = theirs.as_fd().try_clone_to_owned().unwrap();
        let call = ServiceCall {
            id: 7,
            deadline_ms: u64::try_from(until.as_millis()).unwrap(),
            request: request.into(),
        };
        services.serve(call, 100, vec![theirs]);
        ours
    }

    fn call(services: &Services, request: impl Into<ServiceRequest>) -> MessageSocket {
        call_until(services, request, monotonic() + Duration::from_secs(60))
    }

    /// The answer, and how many files come along.
    fn answer(socket: &MessageSocket) -> (String, usize) {
        let answer = socket.receive().unwrap().unwrap();
        (String::from_utf8(answer.bytes).unwrap(), answer.files.len())
    }

    fn read(path: &Path) -> FileRequest {
        FileRequest {
            path: path.as_os_str().to_owned(),
            purpose: FilePurpose::Read,
        }
    }

    fn refused(why: &str) -> (String, usize) {
        let text = format!(r#"{{"id":7,"outcome":{{"refused":"{why}"}}}}"#);
        (text, 0)
    }

    #[test]
    fn a_file_is_opened_here_or_it_is_said_why_not() {
        let home = ServicesHome::new();
        let (there, missing) = (home.at("there"), home.at("missing"));
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let files = AllowedFiles::new()
            .with(&there, FilePurpose::Read)
            .with(&missing, FilePurpose::Read);
        let services = home.services(files);
        let append = FileRequest {
            purpose: FilePurpose::Append,
            ..read(&there)
        };
        for (request, outcome, count) in [
            (read(&there), r#""opened""#, 1),
            (read(&missing), r#"{"failed":2}"#, 0),
            (read(&home.at("other")), r#"{"failed":13}"#, 0),
            (append, r#"{"failed":13}"#, 0),
        ] {
            let expected = format!(r#"{{"id":7,"outcome":{{"answer":{outcome}}}}}"#);
            assert_eq!(answer(&call(&services, request)), (expected, count));
        }
    }

    /// The auth process is told who calls, by the monitor and not by the caller.
    #[test]
    fn other_calls_are_passed_on_with_the_name_of_the_caller() {
        let home = ServicesHome::new();
        let services = home.services(AllowedFiles::new());
        let auth = home.auth();
        let signing = call(&services, SigningRequest::Check);
        let changes = call(&services, ChangesRequest::default());
        let (from, incoming, request) = auth.takes();
        let expected = CallerProcess {
            kind: "worker".to_owned(),
            pid: PID,
        };
        assert_eq!((from, request), (expected, SigningRequest::Check.into()));
        let (_, dropped, request) = auth.takes();
        assert_eq!(request, ChangesRequest::default().into());
        incoming.answer::<SigningRequest>(&SigningAnswer::Key(None), &[]);
        let expected = r#"{"id":7,"outcome":{"answer":{"key":null}}}"#.to_owned();
        assert_eq!(answer(&signing), (expected, 0));
        // The monitor keeps nothing of a call that it has passed on.
        drop(dropped);
        assert!(changes.receive().unwrap().is_none());
    }

    /// A caller that has its answer may call again at once, while the thread that has answered still
    /// runs.
    #[test]
    fn as_many_callers_as_there_are_slots_are_never_refused() {
        let home = ServicesHome::new();
        let there = home.at("there");
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let services = home.services(AllowedFiles::new().with(&there, FilePurpose::Read));
        std::thread::scope(|scope| {
            for _ in 0..Service::Files.at_once() {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let (opened, count) = answer(&call(&services, read(&there)));
                        assert_eq!(count, 1, "{opened}");
                    }
                });
            }
        });
    }

    #[test]
    fn what_the_table_does_not_name_is_refused() {
        let home = ServicesHome::new();
        let there = home.at("there");
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let files = AllowedFiles::new().with(&there, FilePurpose::Read);
        let services = home.services_of(&ALONE, files);
        let auth = home.auth();
        for socket in [
            call(&services, SigningRequest::Check),
            call(&services, ChangesRequest::default()),
            call(&services, read(&there)),
        ] {
            assert_eq!(answer(&socket), refused("forbidden"));
        }
        assert!(auth.has_none());
    }

    /// While no auth process is ready, the calls of one process take their slots, and no others.
    #[test]
    fn calls_that_wait_are_as_few_as_those_in_progress() {
        let home = ServicesHome::new();
        let services = home.services(AllowedFiles::new());
        let other = home.services(AllowedFiles::new());
        let at_once = Service::Signing.at_once();
        let waiting: Vec<_> = (0..at_once)
            .map(|_| call(&services, SigningRequest::Check))
            .collect();
        let one_more = call(&services, SigningRequest::Check);
        assert_eq!(answer(&one_more), refused("busy"));
        let of_other = call(&other, SigningRequest::Check);
        let auth = home.auth();
        for socket in waiting.iter().chain([&of_other]) {
            let (_, incoming, _) = auth.takes();
            incoming.answer::<SigningRequest>(&SigningAnswer::Key(None), &[]);
            assert!(answer(socket).0.contains("answer"));
        }
        drop(call(&services, SigningRequest::Check));
        auth.takes();
    }

    #[test]
    fn too_many_calls_in_a_second_are_refused() {
        let home = ServicesHome::new();
        let services = home.services(AllowedFiles::new());
        let auth = home.auth();
        let refusal = (0..100_000).find_map(|_| {
            let socket = call(&services, ChangesRequest::default());
            let is_passed_on = !auth.has_none();
            (!is_passed_on).then(|| answer(&socket))
        });
        assert_eq!(refusal, Some(refused("busy")));
        // Another service has a rate of its own.
        let signing = call(&services, SigningRequest::Check);
        auth.takes();
        assert!(signing.receive().unwrap().is_none());
    }

    #[test]
    fn a_call_without_a_socket_or_a_deadline_is_not_worked_on() {
        let home = ServicesHome::new();
        let services = home.services(AllowedFiles::new());
        let auth = home.auth();
        for request in [
            ServiceRequest::from(SigningRequest::Check),
            read(Path::new("/")).into(),
        ] {
            let late = call_until(&services, request.clone(), Duration::ZERO);
            assert!(late.receive().unwrap().is_none());
            let call = ServiceCall {
                id: 1,
                deadline_ms: u64::MAX,
                request,
            };
            services.serve(call, 100, Vec::new());
        }
        assert!(auth.has_none());
    }

    #[test]
    fn a_file_that_does_not_open_holds_up_no_other() {
        let home = ServicesHome::new();
        let hanging = HangingFiles::new(&home, |services, path| call(services, read(path)));
        assert_eq!(
            hanging.one_more.as_ref().unwrap().bytes,
            br#"{"id":7,"outcome":{"refused":"busy"}}"#
        );
        // Another service has slots of its own.
        let auth = home.auth();
        let checked = call(&hanging.services, SigningRequest::Check);
        drop(auth.takes());
        assert!(checked.receive().unwrap().is_none());
        hanging.let_open();
    }
}
