//! The messages of workers of protocol version 1, which request signatures and files in other
//! formats. Such workers serve until their last connection has ended, so the same services answer
//! their requests, with the same limits and the same table of processes.
//!
//! `sign` comes with a stream on which the worker speaks the agent protocol
//! (draft-miller-ssh-agent). `lend` comes with a message socket for one answer: `0` and the open
//! file, or the number of the operating system's error.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::services::{Services, on_thread};
use super::signing_service::SigningService;
use crate::agent::{self, AgentRequest, MAX_REQUEST};
use crate::ipc::{FileAnswer, FilePurpose, MessageSocket, Service, decode};

/// How long a stream may be idle, in either direction.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Requests on one stream: the signature, and the list, where that is refused.
const MAX_REQUESTS: usize = 4;

/// The requests of a worker of version 1.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request1 {
    Sign,
    Lend { path: OsString, to_append: bool },
}

/// Answers a message if it is a request of version 1. `files` are the file descriptors that were
/// attached to it.
pub(super) fn serve(services: &Services, message: &[u8], files: &mut Vec<OwnedFd>) -> bool {
    let Ok(request) = decode::<Request1>(message) else {
        return false;
    };
    let Some(file) = files.drain(..).next() else {
        return true;
    };
    match request {
        Request1::Sign => sign(services, file),
        Request1::Lend { path, to_append } => {
            let purpose = if to_append {
                FilePurpose::Append
            } else {
                FilePurpose::Read
            };
            lend(services, path.into(), purpose, MessageSocket::from_fd(file));
        }
    }
    true
}

/// Opens one file and sends it, or the error's number. A refused request gets no answer.
fn lend(services: &Services, path: PathBuf, purpose: FilePurpose, answers: MessageSocket) {
    let Ok(slot) = services.admit(Service::Files) else {
        return;
    };
    let files = services.files().clone();
    on_thread(Service::Files, move || {
        let opened = files.open(Path::new(&path), purpose);
        // A worker that has its answer may ask again.
        drop(slot);
        let sent = match opened {
            Ok(file) => answers.send(b"0", &[file.as_fd()]),
            Err(error) => answers.send(number(&error).to_string().as_bytes(), &[]),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a worker did not wait for its file");
        }
    });
}

fn number(error: &io::Error) -> i32 {
    match FileAnswer::failed(error) {
        FileAnswer::Failed(number) => number,
        FileAnswer::Opened => 0,
    }
}

/// Serves a stream. If the request is refused, the stream is closed.
fn sign(services: &Services, stream: OwnedFd) {
    let Ok(slot) = services.admit(Service::Signing) else {
        return;
    };
    let signing = services.signing().clone();
    on_thread(Service::Signing, move || {
        let mut stream = UnixStream::from(stream);
        if let Err(error) = converse(&mut stream, &signing) {
            tracing::debug!(%error, "a worker broke off a request for a signature");
        }
        // A worker whose stream has ended may begin another.
        drop(slot);
    });
}

fn converse(stream: &mut UnixStream, signing: &SigningService) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    for number in 0..MAX_REQUESTS {
        let Some(message) = read(stream)? else {
            return Ok(());
        };
        // A list request first on a stream is a health check; later it asks why the last signature
        // failed.
        let is_checked = number == 0;
        stream.write_all(&answer(&message, signing, is_checked))?;
    }
    Ok(())
}

/// One message; `None` at the end of the stream.
fn read(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_REQUEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message)?;
    Ok(Some(message))
}

fn answer(message: &[u8], signing: &SigningService, is_checked: bool) -> Vec<u8> {
    match AgentRequest::parse(message) {
        Ok(AgentRequest::Identities) => identities(signing, is_checked),
        Ok(AgentRequest::Sign { key, data }) => match signing.sign(&key, &data) {
            Some(signature) => agent::sign_response(&signature),
            None => agent::failure(),
        },
        Ok(AgentRequest::Other) | Err(_) => agent::failure(),
    }
}

fn identities(signing: &SigningService, is_checked: bool) -> Vec<u8> {
    let key = signing.key(is_checked);
    match key.and_then(|key| Some((key.to_bytes().ok()?, key.comment().to_string()))) {
        Some((blob, comment)) => agent::identities_answer(Some((&blob, &comment))),
        None => agent::identities_answer(None),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::Shutdown;

    use ssh_key::PublicKey;
    use ssh_key::certificate::CertType;

    use super::*;
    use crate::agent::{AgentReply, ReplyDecoder, SignFlags, request_identities, sign_request};
    use crate::ca::CaKind;
    use crate::ipc::{AllowedFiles, Datagram};
    use crate::monitor::testing::{HangingFiles, OpenCas, forbidden, unsigned};
    use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

    /// Sends a recorded message of version 1 with this file descriptor.
    fn say(services: &Services, message: &str, file: impl Into<OwnedFd>) {
        let mut files = vec![file.into()];
        assert!(serve(services, message.as_bytes(), &mut files), "{message}");
        assert!(files.is_empty());
    }

    /// Asks for a file; gives the socket on which the answer comes.
    fn ask(services: &Services, path: &Path, to_append: bool) -> MessageSocket {
        let (ours, theirs) = MessageSocket::pair().unwrap();
        ours.set_timeout(Duration::from_secs(20)).unwrap();
        let theirs = theirs.as_fd().try_clone_to_owned().unwrap();
        let bytes = path.as_os_str().as_encoded_bytes();
        let message =
            format!(r#"{{"lend":{{"path":{{"Unix":{bytes:?}}},"to_append":{to_append}}}}}"#);
        say(services, &message, theirs);
        ours
    }

    fn read(answer: Datagram) -> String {
        assert_eq!(answer.bytes, b"0");
        let [file] = <[OwnedFd; 1]>::try_from(answer.files).unwrap();
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn only_what_asks_for_something_is_taken() {
        let cas = OpenCas::new();
        let services = cas.services(AllowedFiles::new());
        for message in [r#""ready""#, r#"{"draining":{"seconds":30}}"#, "no", "{}"] {
            let (_ours, theirs) = UnixStream::pair().unwrap();
            let mut files = vec![OwnedFd::from(theirs)];
            assert!(!serve(&services, message.as_bytes(), &mut files));
            assert_eq!(files.len(), 1, "{message}");
        }
        // Without a socket there is no answer.
        assert!(serve(&services, br#""sign""#, &mut Vec::new()));
    }

    #[test]
    fn what_is_on_the_list_is_sent_and_why_not_otherwise() {
        let cas = OpenCas::new();
        let (there, missing) = (cas.at("there"), cas.at("missing"));
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let files = AllowedFiles::new()
            .with(&there, FilePurpose::Read)
            .with(&missing, FilePurpose::Read);
        let services = cas.services(files);
        let asked = |path: &Path, to_append| {
            let answer = ask(&services, path, to_append);
            answer.receive().unwrap().unwrap()
        };
        assert_eq!(read(asked(&there, false)), "text");
        for (path, to_append, number) in [
            (&missing, false, "2"),
            (&there, true, "13"),
            (&cas.at("other"), false, "13"),
        ] {
            let answer = asked(path, to_append);
            assert_eq!(answer.bytes, number.as_bytes());
            assert!(answer.files.is_empty());
        }
    }

    /// One file too many gets no answer.
    #[test]
    fn a_file_that_does_not_open_holds_up_no_other() {
        let cas = OpenCas::new();
        let hanging = HangingFiles::new(&cas, |services, path| ask(services, path, false));
        assert!(hanging.one_more.is_none());
        hanging.let_open();
    }

    fn connect(services: &Services) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        say(services, r#""sign""#, theirs);
        ours
    }

    fn reply(services: &Services, request: &[u8]) -> AgentReply {
        let mut stream = connect(services);
        stream.write_all(request).unwrap();
        let mut decoder = ReplyDecoder::default();
        let mut buffer = [0; 4096];
        loop {
            if let Some(reply) = decoder.next_reply().unwrap() {
                // At the stream's end its slot is free.
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(stream.read(&mut buffer).unwrap(), 0);
                return reply;
            }
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "hung up");
            decoder.feed(&buffer[..count]).unwrap();
        }
    }

    fn reply_to(services: &Services, key: &PublicKey, data: &[u8]) -> AgentReply {
        let key = key.to_bytes().unwrap();
        reply(services, &sign_request(&key, data, SignFlags::NONE))
    }

    #[test]
    fn the_proxys_own_certificates_are_signed() {
        let cas = OpenCas::new();
        let services = cas.services(AllowedFiles::new());
        let key = cas.key(CaKind::Host).clone();
        let AgentReply::Identities(listed) = reply(&services, &request_identities()) else {
            panic!("no list");
        };
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].blob, key.to_bytes().unwrap());
        assert!(matches!(
            reply_to(&services, &key, &unsigned(CertType::Host, 3_600, &key)),
            AgentReply::Signature(_)
        ));
    }

    #[test]
    fn a_worker_that_was_taken_gets_nothing_else() {
        let cas = OpenCas::new();
        let services = cas.services(AllowedFiles::new());
        for (key, data) in forbidden(&cas) {
            assert_eq!(reply_to(&services, &key, &data), AgentReply::Failure);
        }
        // Adding a key, removing all, locking: it is no agent for that.
        for kind in [17, 19, 22, 27] {
            assert_eq!(reply(&services, &[0, 0, 0, 1, kind]), AgentReply::Failure);
        }
    }

    #[test]
    fn nobody_waits_for_who_asks_without_end() {
        let cas = OpenCas::new();
        let services = cas.services(AllowedFiles::new());
        let at_once = Service::Signing.at_once();
        let mut silent: Vec<_> = (0..at_once).map(|_| connect(&services)).collect();
        let mut one_more = connect(&services);
        assert_eq!(one_more.read(&mut [0]).unwrap(), 0, "closed at once");
        // Too long, and too often: closed too, and there is a place again.
        silent[0].write_all(&[0xff; 4]).unwrap();
        assert_eq!(silent[0].read(&mut [0]).unwrap(), 0);
        silent.clear();
        let mut stream = loop {
            let mut stream = connect(&services);
            let asked = stream.write_all(&request_identities());
            if asked.is_ok() && stream.read(&mut [0; 4096]).unwrap_or(0) > 0 {
                break stream;
            }
            std::thread::yield_now();
        };
        for _ in 1..MAX_REQUESTS {
            stream.write_all(&request_identities()).unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        }
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}
