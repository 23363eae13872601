//! Signs for workers, by the agent protocol: host certificates as the proxy shows them, with the host
//! CA's key, and nothing else.
//!
//! A worker may be somebody else's by now. It can ask for nothing with the user CA's key, for no
//! certificate that lives longer than an hour, and for no signature that is not a certificate's; and it
//! can keep nobody busy but itself.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ssh_encoding::Encode as _;

use super::authorities::Current;
use crate::agent::{self, AgentRequest, MAX_REQUEST};
use crate::ca::{CaError, CaKind};
use crate::model::chain;
use crate::sys::clock::Clock;

/// How many connections of one worker are served at a time; it signs four at a time.
const AT_ONCE: usize = 8;
/// How long a connection may say nothing, or take nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests that one connection may make: the signature, and the list, where that is refused.
const MAX_REQUESTS: usize = 4;

/// The signer of one worker.
#[derive(Debug)]
pub(super) struct Signer {
    current: Current,
    busy: Arc<AtomicUsize>,
}

/// A place among those who are served; given back when it is dropped.
struct SignerSlot(Arc<AtomicUsize>);

impl Drop for SignerSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Signer {
    pub(super) fn new(current: Current) -> Self {
        Self {
            current,
            busy: Arc::default(),
        }
    }

    /// Serves a connection on a thread of its own: the key may be in a slow agent. One too many is
    /// closed.
    pub(super) fn serve(&self, connection: OwnedFd) {
        let place = SignerSlot(Arc::clone(&self.busy));
        if self.busy.fetch_add(1, Ordering::AcqRel) >= AT_ONCE {
            drop(place);
            return;
        }
        let (stream, current) = (UnixStream::from(connection), self.current.clone());
        let serve = move || {
            let _place = place;
            if let Err(error) = converse(stream, &current) {
                tracing::debug!(%error, "a worker broke off a request for a signature");
            }
        };
        let started = std::thread::Builder::new()
            .name("signer".to_owned())
            .spawn(serve);
        if let Err(error) = started {
            tracing::warn!(%error, "no thread for a signature");
        }
    }
}

fn converse(mut stream: UnixStream, current: &Current) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for number in 0..MAX_REQUESTS {
        let Some(message) = read(&mut stream)? else {
            return Ok(());
        };
        // Who begins with it asks whether the key is within reach; later, what was refused.
        let is_checked = number == 0;
        stream.write_all(&answer(&message, current, is_checked))?;
    }
    Ok(())
}

/// One message; `None` where there is none any more.
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

fn answer(message: &[u8], current: &Current, is_checked: bool) -> Vec<u8> {
    match AgentRequest::parse(message) {
        Ok(AgentRequest::Identities) => identities(current, is_checked),
        Ok(AgentRequest::Sign { key, data }) => match sign(&key, &data, current) {
            Ok(signature) => agent::sign_response(&signature),
            Err(refused) => {
                tracing::warn!(reason = %chain(&*refused), "a worker asked for a signature that it does not get");
                agent::failure()
            }
        },
        Ok(AgentRequest::Other) | Err(_) => agent::failure(),
    }
}

/// The key that signs; with `is_checked` only if it is within reach.
fn identities(current: &Current, is_checked: bool) -> Vec<u8> {
    let authorities = current.get();
    let host = authorities
        .as_ref()
        .map(|authorities| authorities.of(CaKind::Host));
    let key = host
        .filter(|host| {
            let checked = if is_checked { host.check_key() } else { Ok(()) };
            if let Err(error) = &checked {
                tracing::warn!(error = %chain(error), "the host CA's key is out of reach");
            }
            checked.is_ok()
        })
        .map(|host| host.public_key());
    match key.and_then(|key| Some((key.to_bytes().ok()?, key.comment().to_string()))) {
        Some((blob, comment)) => agent::identities_answer(Some((&blob, &comment))),
        None => agent::identities_answer(None),
    }
}

fn sign(
    key: &[u8],
    data: &[u8],
    current: &Current,
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let authorities = current.get().ok_or("the CAs are not open")?;
    let host = authorities.of(CaKind::Host);
    if host.public_key().to_bytes()? != key {
        return Err("it is not with the host CA's key".into());
    }
    let signature = host
        .sign_for_proxy(data, Clock::System.unix_seconds())
        .map_err(|error: CaError| Box::new(error))?;
    let mut blob = Vec::new();
    signature.encode(&mut blob)?;
    Ok(blob)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use ssh_key::certificate::{Builder, CertType};
    use ssh_key::{Certificate, PublicKey};

    use super::*;
    use crate::agent::{AgentReply, ReplyDecoder, SignFlags, request_identities, sign_request};
    use crate::ca::testing::CaHome;
    use crate::ca::{Authorities, HostCertIssuer, RemoteHostKey, SignsHosts as _};
    use crate::cert::testing::ed25519;

    struct Home {
        _ca: CaHome,
        authorities: Arc<Authorities>,
        signer: Arc<Signer>,
    }

    impl Home {
        fn new() -> Self {
            let ca = CaHome::new();
            let current = Current::of(ca.open().unwrap());
            Self {
                _ca: ca,
                authorities: current.get().unwrap(),
                signer: Arc::new(Signer::new(current)),
            }
        }

        fn key(&self, kind: CaKind) -> &PublicKey {
            self.authorities.of(kind).public_key()
        }

        fn connect(&self) -> UnixStream {
            let (ours, theirs) = UnixStream::pair().unwrap();
            self.signer.serve(OwnedFd::from(theirs));
            ours
        }

        fn ask(&self, request: &[u8]) -> AgentReply {
            let mut stream = self.connect();
            stream.write_all(request).unwrap();
            let mut decoder = ReplyDecoder::default();
            let mut buffer = [0; 4096];
            loop {
                if let Some(reply) = decoder.next_reply().unwrap() {
                    return reply;
                }
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "hung up");
                decoder.feed(&buffer[..count]).unwrap();
            }
        }

        fn ask_for(&self, key: &PublicKey, data: &[u8]) -> AgentReply {
            let key = key.to_bytes().unwrap();
            self.ask(&sign_request(&key, data, SignFlags::NONE))
        }
    }

    /// What a worker that is somebody else's would like to have signed: a certificate of any kind, as
    /// its signer would see it, for this CA.
    fn unsigned(kind: CertType, seconds: u64, authority: &PublicKey) -> Vec<u8> {
        let now = Clock::System.unix_seconds();
        let subject = ed25519().public_key().key_data().clone();
        let mut builder = Builder::new(vec![1; 32], subject, now - 1, now + seconds).unwrap();
        builder.serial(7).unwrap();
        builder.cert_type(kind).unwrap();
        builder.key_id("root").unwrap();
        builder.valid_principal("root").unwrap();
        let other = ed25519();
        let signed = builder.sign(&other).unwrap();
        // The same with the CA's key in the place of the one that it was made with.
        let bytes = signed.to_bytes().unwrap();
        let own = other.public_key().to_bytes().unwrap();
        let at = bytes.windows(own.len()).rposition(|part| part == own);
        let mut data = bytes[..at.unwrap() - 4].to_vec();
        let blob = authority.to_bytes().unwrap();
        data.extend(u32::try_from(blob.len()).unwrap().to_be_bytes());
        data.extend(blob);
        data
    }

    #[test]
    fn the_proxys_own_certificates_are_signed() {
        let home = Home::new();
        let key = home.key(CaKind::Host).clone();
        let AgentReply::Identities(listed) = home.ask(&request_identities()) else {
            panic!("no list");
        };
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].blob, key.to_bytes().unwrap());

        let signer = Arc::clone(&home.signer);
        let connect = Box::new(move || {
            let (ours, theirs) = UnixStream::pair()?;
            signer.serve(theirs.into());
            Ok(ours)
        });
        let remote = RemoteHostKey::new(key.clone(), connect);
        assert_eq!(remote.public_key(), &key);
        let mint = HostCertIssuer::new(Arc::new(remote)).unwrap();
        let now = Clock::System.unix_seconds();
        let minted = mint.mint(&["db1".parse().unwrap()], now).unwrap();
        let certificate: &Certificate = &minted.certificate;
        assert_eq!(certificate.signature_key(), key.key_data());
        assert!(matches!(
            home.ask_for(&key, &unsigned(CertType::Host, 3_600, &key)),
            AgentReply::Signature(_)
        ));
    }

    #[test]
    fn a_worker_that_was_taken_gets_nothing_else() {
        let home = Home::new();
        let (user, host) = (home.key(CaKind::User), home.key(CaKind::Host));
        for (key, data) in [
            // Certificates for people, by either key.
            (user, unsigned(CertType::User, 3_600, user)),
            (host, unsigned(CertType::User, 3_600, host)),
            (host, unsigned(CertType::User, 3_600, user)),
            // Hosts that live on when the proxy is somebody's who has noticed.
            (host, unsigned(CertType::Host, 365 * 86_400, host)),
            (host, unsigned(CertType::Host, u64::from(u32::MAX), host)),
            // The user CA is asked for a host, or a host certificate claims to be its own.
            (user, unsigned(CertType::Host, 3_600, user)),
            (host, unsigned(CertType::Host, 3_600, user)),
            // Other signatures.
            (host, b"SSHSIG\0\0\0\x04file".to_vec()),
            (host, vec![0; 200]),
            (host, Vec::new()),
        ] {
            assert_eq!(home.ask_for(key, &data), AgentReply::Failure);
        }
        // Adding a key, removing all, locking: it is no agent for that.
        for kind in [17, 19, 22, 27] {
            assert_eq!(home.ask(&[0, 0, 0, 1, kind]), AgentReply::Failure);
        }
    }

    #[test]
    fn nobody_waits_for_who_asks_without_end() {
        let home = Home::new();
        let mut silent: Vec<_> = (0..AT_ONCE).map(|_| home.connect()).collect();
        let mut one_more = home.connect();
        assert_eq!(one_more.read(&mut [0]).unwrap(), 0, "closed at once");
        // Too long, and too often: closed too, and there is a place again.
        silent[0].write_all(&[0xff; 4]).unwrap();
        assert_eq!(silent[0].read(&mut [0]).unwrap(), 0);
        silent.clear();
        let mut stream = loop {
            let mut stream = home.connect();
            let asked = stream.write_all(&request_identities());
            if asked.is_ok() && stream.read(&mut [0; 4096]).unwrap_or(0) > 0 {
                break stream;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        for _ in 1..MAX_REQUESTS {
            stream.write_all(&request_identities()).unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        }
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}
