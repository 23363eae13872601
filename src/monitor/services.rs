//! Answers the calls of one process: checks that it may call the service, and that it has a slot
//! left, and works on the call on a thread of its own.

use std::io;
use std::os::fd::OwnedFd;

use super::file_service::FileService;
use super::processes::ProcessKind;
use super::signing_service::SigningService;
use crate::ipc::{
    CallRefusal, IncomingCall, Service, ServiceCall, ServiceRequest, Signing as _, SigningRequest,
    Slot, Slots,
};

/// The services, for one process.
#[derive(Debug)]
pub(super) struct Services {
    kind: &'static ProcessKind,
    files: FileService,
    file_slots: Slots,
    signing: SigningService,
    signing_slots: Slots,
}

impl Services {
    /// For a process of this kind.
    pub(super) fn new(
        kind: &'static ProcessKind,
        files: FileService,
        signing: SigningService,
    ) -> Self {
        Self {
            kind,
            files,
            file_slots: Slots::of(Service::Files),
            signing,
            signing_slots: Slots::of(Service::Signing),
        }
    }

    pub(super) fn files(&self) -> &FileService {
        &self.files
    }

    pub(super) fn signing(&self) -> &SigningService {
        &self.signing
    }

    /// Permits the process to call a service now.
    ///
    /// # Errors
    /// Why the call is refused.
    pub(super) fn admit(&self, service: Service) -> Result<Slot, CallRefusal> {
        let (kind, service_name) = (self.kind.name, service.name());
        if !self.kind.may_call(service) {
            tracing::warn!("a {kind} process calls the service {service_name}, and may not");
            return Err(CallRefusal::Forbidden);
        }
        let slots = match service {
            Service::Files => &self.file_slots,
            Service::Signing => &self.signing_slots,
            Service::People | Service::Changes => return Err(CallRefusal::Forbidden),
        };
        slots.take().ok_or_else(|| {
            tracing::warn!("a {kind} process calls the service {service_name} too often at a time");
            CallRefusal::Busy
        })
    }

    /// Answers a call. `length` is that of its message, and `files` came along with it.
    pub(super) fn serve(&self, call: ServiceCall, length: usize, files: Vec<OwnedFd>) {
        let service = call.request.service();
        let Some((mut incoming, request)) = IncomingCall::new(call, length, files) else {
            return tracing::warn!("a {} process calls as no process should", self.kind.name);
        };
        match self.admit(service) {
            Ok(slot) => incoming.hold(slot),
            Err(refusal) => return incoming.refuse(refusal),
        }
        let (files, signing) = (self.files.clone(), self.signing.clone());
        on_thread(service, move || {
            // The caller has stopped waiting, perhaps while this program was replaced.
            if incoming.is_late() {
                return;
            }
            match request {
                ServiceRequest::Files(request) => files.answer(&request, incoming),
                ServiceRequest::Signing(request) => match signing.ask(request) {
                    Ok(answer) => incoming.answer::<SigningRequest>(&answer, &[]),
                    Err(error) => tracing::warn!(%error, "no answer of the signing service"),
                },
                ServiceRequest::People(_) | ServiceRequest::Changes(_) => {
                    incoming.refuse(CallRefusal::Forbidden);
                }
            }
        });
    }
}

/// Handles a call on its own thread. A key may be in a slow agent, and opening a file may block
/// forever: neither may delay the process's other messages.
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
    use crate::ipc::{AllowedFiles, FilePurpose, FileRequest, MessageSocket};
    use crate::monitor::processes::WORKER;
    use crate::monitor::testing::{HangingFiles, OpenCas};
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
        ours.set_timeout(Duration::from_secs(20)).unwrap();
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

    #[test]
    fn a_call_is_answered_with_what_was_asked_for_or_why_not() {
        let cas = OpenCas::new();
        let (there, missing) = (cas.at("there"), cas.at("missing"));
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let files = AllowedFiles::new()
            .with(&there, FilePurpose::Read)
            .with(&missing, FilePurpose::Read);
        let services = cas.services(files);
        let append = FileRequest {
            purpose: FilePurpose::Append,
            ..read(&there)
        };
        for (request, outcome, count) in [
            (read(&there), r#""opened""#, 1),
            (read(&missing), r#"{"failed":2}"#, 0),
            (read(&cas.at("other")), r#"{"failed":13}"#, 0),
            (append, r#"{"failed":13}"#, 0),
        ] {
            let expected = format!(r#"{{"id":7,"outcome":{{"answer":{outcome}}}}}"#);
            assert_eq!(answer(&call(&services, request)), (expected, count));
        }
        let (checked, _) = answer(&call(&services, SigningRequest::Check));
        assert!(checked.contains("ssh-ed25519"), "{checked}");
    }

    /// A caller that has its answer may call again at once, while the thread that has answered still
    /// runs.
    #[test]
    fn as_many_callers_as_there_are_slots_are_never_refused() {
        let cas = OpenCas::new();
        let services = cas.services(AllowedFiles::new());
        std::thread::scope(|scope| {
            for _ in 0..Service::Signing.at_once() {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let (checked, _) = answer(&call(&services, SigningRequest::Check));
                        assert!(checked.contains("ssh-ed25519"), "{checked}");
                    }
                });
            }
        });
    }

    #[test]
    fn what_the_table_does_not_name_is_refused() {
        let cas = OpenCas::new();
        let there = cas.at("there");
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let files = AllowedFiles::new().with(&there, FilePurpose::Read);
        let services = cas.services_of(&ALONE, files);
        let refused = r#"{"id":7,"outcome":{"refused":"forbidden"}}"#.to_owned();
        let (check, file) = (
            call(&services, SigningRequest::Check),
            call(&services, read(&there)),
        );
        for socket in [check, file] {
            assert_eq!(answer(&socket), (refused.clone(), 0));
        }
    }

    #[test]
    fn a_call_without_a_socket_or_a_deadline_is_not_worked_on() {
        let cas = OpenCas::new();
        let services = cas.services(AllowedFiles::new());
        let late = call_until(&services, SigningRequest::Check, Duration::ZERO);
        assert!(late.receive().unwrap().is_none());
        let call = ServiceCall {
            id: 1,
            deadline_ms: u64::MAX,
            request: SigningRequest::Check.into(),
        };
        services.serve(call, 100, Vec::new());
    }

    #[test]
    fn a_file_that_does_not_open_holds_up_no_other() {
        let cas = OpenCas::new();
        let hanging = HangingFiles::new(&cas, |services, path| call(services, read(path)));
        assert_eq!(
            hanging.one_more.as_ref().unwrap().bytes,
            br#"{"id":7,"outcome":{"refused":"busy"}}"#
        );
        // Another service has slots of its own.
        let (checked, _) = answer(&call(&hanging.services, SigningRequest::Check));
        assert!(checked.contains("answer"), "{checked}");
        hanging.let_open();
    }
}
