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
use ssh_key::PublicKey;

use super::services::{Services, on_thread};
use crate::agent::{self, AgentRequest, MAX_REQUEST};
use crate::ipc::{
    CaKeyLine, FileAnswer, FilePurpose, MessageSocket, Service, Signing, SigningAnswer,
    SigningRequest, decode,
};

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
            match MessageSocket::from_fd(file) {
                Ok(answers) => lend(services, path.into(), purpose, answers),
                Err(_) => services.note(Some(Service::Files), "malformed"),
            }
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
    if !files.has(&path, purpose) {
        services.note(Some(Service::Files), "not-allowed");
    }
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
    let signing = services.signing();
    on_thread(Service::Signing, move || {
        let mut stream = UnixStream::from(stream);
        if let Err(error) = converse(&mut stream, &signing) {
            tracing::debug!(%error, "a worker broke off a request for a signature");
        }
        // A worker whose stream has ended may begin another.
        drop(slot);
    });
}

fn converse(stream: &mut UnixStream, signing: &dyn Signing) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut conversation = Conversation {
        signing,
        refused_by: None,
    };
    for _ in 0..MAX_REQUESTS {
        let Some(message) = read(stream)? else {
            return Ok(());
        };
        stream.write_all(&conversation.answer(&message))?;
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

/// What was asked on one stream.
struct Conversation<'s> {
    signing: &'s dyn Signing,
    /// After a refused signature, the key that signs.
    refused_by: Option<Option<CaKeyLine>>,
}

impl Conversation<'_> {
    fn answer(&mut self, message: &[u8]) -> Vec<u8> {
        match AgentRequest::parse(message) {
            Ok(AgentRequest::Identities) => identities(self.key()),
            Ok(AgentRequest::Sign { key, data }) => match self.sign(&key, data) {
                Some(signature) => agent::sign_response(&signature),
                None => agent::failure(),
            },
            Ok(AgentRequest::Other) | Err(_) => agent::failure(),
        }
    }

    /// A list request first on a stream is a health check; later it asks why the last signature failed.
    fn key(&self) -> Option<CaKeyLine> {
        if let Some(key) = &self.refused_by {
            return key.clone();
        }
        match self.signing.ask(SigningRequest::Check) {
            Ok(SigningAnswer::Key(key)) => key,
            _ => None,
        }
    }

    fn sign(&mut self, key: &[u8], data: Vec<u8>) -> Option<Vec<u8>> {
        let key = PublicKey::from_bytes(key).ok()?;
        match self.signing.ask(SigningRequest::Sign { key, data }) {
            Ok(SigningAnswer::Signature(signature)) => Some(signature),
            Ok(SigningAnswer::Refused(key)) => {
                self.refused_by = Some(key);
                None
            }
            Ok(SigningAnswer::Key(_)) => None,
            Err(error) => {
                tracing::warn!(%error, "no signature for a worker of an earlier version");
                None
            }
        }
    }
}

fn identities(key: Option<CaKeyLine>) -> Vec<u8> {
    match key.and_then(|CaKeyLine(key)| Some((key.to_bytes().ok()?, key.comment().to_string()))) {
        Some((blob, comment)) => agent::identities_answer(Some((&blob, &comment))),
        None => agent::identities_answer(None),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::Shutdown;

    use super::*;
    use crate::agent::{AgentReply, ReplyDecoder, SignFlags, request_identities, sign_request};
    use crate::cert::testing::ed25519;
    use crate::ipc::{AllowedFiles, Datagram};
    use crate::monitor::testing::{HangingFiles, ServicesHome};
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
        let home = ServicesHome::new();
        let services = home.services(AllowedFiles::new());
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
        let home = ServicesHome::new();
        let (there, missing) = (home.at("there"), home.at("missing"));
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let files = AllowedFiles::new()
            .with(&there, FilePurpose::Read)
            .with(&missing, FilePurpose::Read);
        let services = home.services(files);
        let asked = |path: &Path, to_append| {
            let answer = ask(&services, path, to_append);
            answer.receive().unwrap().unwrap()
        };
        assert_eq!(read(asked(&there, false)), "text");
        for (path, to_append, number) in [
            (&missing, false, "2"),
            (&there, true, "13"),
            (&home.at("other"), false, "13"),
        ] {
            let answer = asked(path, to_append);
            assert_eq!(answer.bytes, number.as_bytes());
            assert!(answer.files.is_empty());
        }
    }

    /// One file too many gets no answer.
    #[test]
    fn a_file_that_does_not_open_holds_up_no_other() {
        let home = ServicesHome::new();
        let hanging = HangingFiles::new(&home, |services, path| ask(services, path, false));
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

    /// The signature that the auth process makes, as RFC 4253 section 6.6 encodes it.
    fn signature() -> Vec<u8> {
        let mut blob = vec![0, 0, 0, 11];
        blob.extend(b"ssh-ed25519");
        blob.extend([0, 0, 0, 64]);
        blob.extend([7; 64]);
        blob
    }

    #[test]
    fn the_auth_process_signs() {
        let home = ServicesHome::new();
        let services = home.services(AllowedFiles::new());
        let key = ed25519().public_key().clone();
        home.auth()
            .signs(&key, |data| (data == b"good").then(signature));
        let AgentReply::Identities(listed) = reply(&services, &request_identities()) else {
            panic!("no list");
        };
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].blob, key.to_bytes().unwrap());
        let signed = reply_to(&services, &key, b"good");
        assert!(matches!(signed, AgentReply::Signature(_)), "{signed:?}");
    }

    #[test]
    fn a_worker_that_was_taken_gets_nothing_else() {
        let home = ServicesHome::new();
        let services = home.services(AllowedFiles::new());
        let key = ed25519().public_key().clone();
        home.auth().signs(&key, |_| None);
        assert_eq!(reply_to(&services, &key, b"bad"), AgentReply::Failure);
        // Adding a key, removing all, locking: it is no agent for that.
        for kind in [17, 19, 22, 27] {
            assert_eq!(reply(&services, &[0, 0, 0, 1, kind]), AgentReply::Failure);
        }
    }

    /// After a refused signature, the list says which key signs, even if that key is out of reach.
    #[test]
    fn after_a_refusal_the_list_has_the_key_that_refused() {
        let home = ServicesHome::new();
        let services = home.services(AllowedFiles::new());
        let key = ed25519().public_key().clone();
        home.auth().signs(&key, |_| None);
        let signing = services.signing();
        let mut conversation = Conversation {
            signing: &signing,
            refused_by: None,
        };
        assert!(
            conversation
                .sign(&key.to_bytes().unwrap(), b"bad".to_vec())
                .is_none()
        );
        // The next auth process has another key.
        home.auth().signs(ed25519().public_key(), |_| None);
        assert_eq!(conversation.key(), Some(CaKeyLine(key)));
    }

    #[test]
    fn nobody_waits_for_who_asks_without_end() {
        let home = ServicesHome::new();
        let services = home.services(AllowedFiles::new());
        home.auth().signs(ed25519().public_key(), |_| None);
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
