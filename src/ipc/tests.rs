//! Calls over a socket pair: what arrives, what is refused, what a peer can do wrong.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::call::{Outcome, Response};
use super::*;
use crate::sys::files::Files as _;
use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

/// A client, and the monitor's end of its socket.
fn connected() -> (Client, MessageSocket) {
    let (near, far) = MessageSocket::pair().unwrap();
    (Client::new(Arc::new(near)), far)
}

fn receive(monitor: &MessageSocket) -> (ServiceCall, usize, Vec<OwnedFd>) {
    let Datagram { bytes, files } = monitor.receive().unwrap().unwrap();
    let Ok(ProcessMessage::Call(call)) = decode(&bytes) else {
        panic!("{}", String::from_utf8_lossy(&bytes));
    };
    (call, bytes.len(), files)
}

fn take(monitor: &MessageSocket) -> (IncomingCall, ServiceRequest) {
    let (call, length, files) = receive(monitor);
    IncomingCall::new(call, length, files).unwrap()
}

/// A caller's thread.
fn calling(client: &Client) -> thread::JoinHandle<Result<SigningAnswer, CallError>> {
    let signing = RemoteSigning::new(client.clone());
    thread::spawn(move || signing.ask(SigningRequest::Check))
}

fn answer(incoming: IncomingCall) {
    incoming.answer::<SigningRequest>(&SigningAnswer::Key(None), &[]);
}

#[test]
fn answers_need_no_order() {
    let (client, monitor) = connected();
    let first = calling(&client);
    let (to_first, _) = take(&monitor);
    let second = calling(&client);
    let (to_second, request) = take(&monitor);
    assert_eq!(request, ServiceRequest::Signing(SigningRequest::Check));
    assert!(!to_second.is_late());
    answer(to_second);
    assert_eq!(
        second.join().unwrap().unwrap(),
        SigningAnswer::Key(None),
        "while the first one waits"
    );
    answer(to_first);
    first.join().unwrap().unwrap();
}

#[test]
fn a_call_that_is_dropped_is_sent_once_more() {
    let (client, monitor) = connected();
    let caller = calling(&client);
    let (dropped, request) = take(&monitor);
    drop(dropped);
    let (again, same) = take(&monitor);
    assert_eq!(request, same);
    answer(again);
    caller.join().unwrap().unwrap();

    let caller = calling(&client);
    drop(take(&monitor));
    drop(take(&monitor));
    assert!(matches!(caller.join().unwrap(), Err(CallError::HungUp)));
}

#[test]
fn a_caller_learns_why_its_call_is_refused() {
    let (client, monitor) = connected();
    for refusal in [CallRefusal::Busy, CallRefusal::Forbidden] {
        let caller = calling(&client);
        take(&monitor).0.refuse(refusal);
        let refused = caller.join().unwrap();
        assert!(
            matches!(refused, Err(CallError::Refused(why)) if why == refusal),
            "{refused:?}"
        );
    }
    drop(monitor);
    let gone = calling(&client).join().unwrap();
    assert!(matches!(gone, Err(CallError::Io(_))), "{gone:?}");
}

#[test]
fn an_answer_that_makes_no_sense_is_none() {
    let (client, monitor) = connected();
    let respond = |bytes: &dyn Fn(u64) -> Vec<u8>| {
        let caller = calling(&client);
        let (call, _, files) = receive(&monitor);
        let [socket] = <[OwnedFd; 1]>::try_from(files).unwrap();
        let socket = MessageSocket::from_fd(socket).unwrap();
        socket.send(&bytes(call.id), &[]).unwrap();
        caller.join().unwrap()
    };
    let with_id = |id| Response {
        id,
        outcome: Outcome::Answer(SigningAnswer::Key(None)),
    };
    respond(&|id| encode(&with_id(id)).unwrap()).unwrap();
    let long = "0".repeat(Service::Signing.max_answer());
    let wrong: [&dyn Fn(u64) -> Vec<u8>; 4] = [
        &|id| encode(&with_id(id + 1)).unwrap(),
        &|_| b"no".to_vec(),
        &|id| format!(r#"{{"id":{id},"outcome":{{"answer":"opened"}}}}"#).into_bytes(),
        &|id| format!(r#"{{"id":{id},"outcome":{{"answer":{{"signature":"{long}"}}}}}}"#).into(),
    ];
    for bytes in wrong {
        let nonsense = respond(bytes);
        assert!(matches!(nonsense, Err(CallError::Nonsense)), "{nonsense:?}");
    }
}

#[test]
fn a_request_has_a_longest_size_on_both_sides() {
    let (client, monitor) = connected();
    let long = |length: usize| FileRequest {
        path: "/".repeat(length).into(),
        purpose: FilePurpose::Read,
    };
    let refused = client.call(&long(10_000)).unwrap_err();
    assert!(matches!(refused, CallError::Io(_)), "{refused:?}");
    // A caller that does not keep to it.
    let (ours, theirs) = MessageSocket::pair().unwrap();
    let call = ServiceCall {
        id: 1,
        deadline_ms: u64::MAX,
        request: long(10_000).into(),
    };
    let message = encode(&ProcessMessage::Call(call.clone())).unwrap();
    let theirs = theirs.as_fd().try_clone_to_owned().unwrap();
    assert!(IncomingCall::new(call.clone(), message.len(), [theirs]).is_none());
    let told = ours.receive().unwrap().unwrap().bytes;
    assert_eq!(told, br#"{"id":1,"outcome":{"refused":"forbidden"}}"#);
    // Without a socket there is no answer.
    assert!(IncomingCall::new(call, 10, []).is_none());
    drop(monitor);
}

#[test]
fn a_call_that_nobody_waits_for_is_late() {
    let (_ours, theirs) = MessageSocket::pair().unwrap();
    let theirs = theirs.as_fd().try_clone_to_owned().unwrap();
    let call = ServiceCall {
        id: 1,
        deadline_ms: 1,
        request: SigningRequest::Check.into(),
    };
    let (incoming, _) = IncomingCall::new(call, 10, [theirs]).unwrap();
    assert!(incoming.is_late(), "the machine runs for longer");
}

#[test]
fn slots_are_given_back() {
    let slots = Slots::of(Service::Signing);
    let mut taken: Vec<_> = (0..Service::Signing.at_once())
        .map(|_| slots.take().unwrap())
        .collect();
    assert!(slots.clone().take().is_none());
    assert!(slots.take().is_none());
    taken.pop();
    let again = slots.take().unwrap();
    assert!(slots.take().is_none());
    drop((again, taken));
    assert!(slots.take().is_some());
}

/// What is to be signed comes as it was sent, or not at all.
#[test]
fn bytes_are_hexadecimal_digits() {
    let read = |text: &str| decode::<SigningAnswer>(text.as_bytes());
    let bytes: Vec<u8> = (0..=255).collect();
    let answer = SigningAnswer::Signature(bytes);
    assert_eq!(
        decode::<SigningAnswer>(&encode(&answer).unwrap()).unwrap(),
        answer
    );
    for wrong in ["0", "0g", "+1", "é", "012"] {
        assert!(
            read(&format!(r#"{{"signature":"{wrong}"}}"#)).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn only_the_files_of_the_list_are_opened_and_for_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["read", "secret"] {
        write_whole(&at(name), b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
    }
    let allowed = AllowedFiles::new()
        .with(at("read"), FilePurpose::Read)
        .with(at("log"), FilePurpose::Append);
    allowed.open(&at("read"), FilePurpose::Read).unwrap();
    allowed.open(&at("log"), FilePurpose::Append).unwrap();
    for (name, purpose) in [
        ("read", FilePurpose::Append),
        ("log", FilePurpose::Read),
        ("secret", FilePurpose::Read),
        ("./read", FilePurpose::Read),
        ("x/../read", FilePurpose::Read),
    ] {
        let refused = allowed.open(&at(name), purpose).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    }
}

#[test]
fn a_process_has_the_files_of_the_list_opened_and_opens_others_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (listed, own, elsewhere) = (
        directory.path().join("listed"),
        directory.path().join("own"),
        directory.path().join("elsewhere"),
    );
    for path in [&own, &elsewhere] {
        let name = path.file_name().unwrap().as_encoded_bytes();
        write_whole(path, name, PRIVATE_FILE, Replace::Refuse).unwrap();
    }
    let (client, monitor) = connected();
    let allowed = AllowedFiles::new().with(&listed, FilePurpose::Read);
    let files = RemoteFiles::new(allowed, client);
    let read = |file: File| {
        let mut text = String::new();
        let mut file = file;
        file.read_to_string(&mut text).unwrap();
        text
    };
    assert_eq!(read(files.open_read(&own).unwrap()), "own");
    // For another purpose it is no file of the list.
    drop(files.open_append(&listed).unwrap());

    let ask = |respond: &dyn Fn(IncomingCall)| {
        thread::scope(|scope| {
            let asked = scope.spawn(|| files.open_read(&listed));
            let (incoming, request) = take(&monitor);
            let expected = FileRequest {
                path: listed.as_os_str().to_owned(),
                purpose: FilePurpose::Read,
            };
            assert_eq!(request, ServiceRequest::Files(expected));
            respond(incoming);
            asked.join().unwrap()
        })
    };
    let opened = ask(&|incoming| {
        let file = File::open(&elsewhere).unwrap();
        incoming.answer::<FileRequest>(&FileAnswer::Opened, &[file.as_fd()]);
    });
    assert_eq!(read(opened.unwrap()), "elsewhere");
    let missing = ask(&|incoming| {
        let error = File::open(Path::new("/nonexistent/file")).unwrap_err();
        incoming.answer::<FileRequest>(&FileAnswer::failed(&error), &[]);
    });
    assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    let without = ask(&|incoming| incoming.answer::<FileRequest>(&FileAnswer::Opened, &[]));
    assert_eq!(without.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    for (refusal, expected) in [
        (CallRefusal::Busy, std::io::ErrorKind::UnexpectedEof),
        (CallRefusal::Forbidden, std::io::ErrorKind::PermissionDenied),
    ] {
        let refused = ask(&|incoming| incoming.refuse(refusal));
        assert_eq!(refused.unwrap_err().kind(), expected);
    }
}
