//! `SSH_MSG_EXT_INFO` (RFC 8308 section 2.3).

use ssh_encoding::{Decode, Encode, Reader};

use super::config::PeerExtensions;
use crate::wire::error::{Error, Violation};
use crate::wire::message;
use crate::wire::signature::SignatureAlgorithm;

const SERVER_SIG_ALGS: &str = "server-sig-algs";
const HOSTBOUND: &str = "publickey-hostbound@openssh.com";
const PING: &str = "ping@openssh.com";
/// Agent forwarding under the names of RFC 9987.
const AGENT_FORWARD: &str = "agent-forward";

/// Most messages of this kind that a peer may send in all.
pub(super) const MAX_MESSAGES: u32 = 4;
/// Most extensions in one message. OpenSSH sends five.
const MAX_EXTENSIONS: u32 = 256;
/// Longest list of signature algorithms that is read, in bytes; what is beyond it is cut off.
const MAX_LIST: usize = 4096;

/// What we say as a server.
pub(super) fn announce() -> Result<Vec<u8>, Error> {
    let algorithms: Vec<&str> = SignatureAlgorithm::ALL
        .iter()
        .map(|one| one.name())
        .collect();
    let algorithms = algorithms.join(",");
    let extensions = [
        (SERVER_SIG_ALGS, algorithms.as_str()),
        (HOSTBOUND, "0"),
        (PING, "0"),
        (AGENT_FORWARD, "0"),
    ];
    let mut payload = vec![message::EXT_INFO, 0, 0, 0, 4];
    for (name, value) in extensions {
        name.encode(&mut payload)
            .and_then(|()| value.encode(&mut payload))
            .map_err(|_too_long| Error::Crypto("extensions"))?;
    }
    Ok(payload)
}

/// Reads what the peer says into `known`; what it said before and does not repeat stays.
pub(super) fn read(payload: &[u8], known: &mut PeerExtensions) -> Result<(), Error> {
    decode(payload, known).map_err(|_malformed| {
        Violation::Malformed {
            message: message::EXT_INFO,
            what: "not a list of extensions",
        }
        .into()
    })
}

fn decode(payload: &[u8], known: &mut PeerExtensions) -> ssh_encoding::Result<()> {
    let mut reader = payload;
    reader.drain(1)?;
    let count = u32::decode(&mut reader)?;
    if count > MAX_EXTENSIONS {
        return Err(ssh_encoding::Error::Overflow);
    }
    for _ in 0..count {
        let name = Vec::<u8>::decode(&mut reader)?;
        let mut value = Vec::<u8>::decode(&mut reader)?;
        if name == SERVER_SIG_ALGS.as_bytes() {
            value.truncate(MAX_LIST);
            let list = String::from_utf8(value).unwrap_or_default();
            known.server_sig_algs = Some(list.split(',').map(str::to_owned).collect());
        } else if name == HOSTBOUND.as_bytes() {
            known.hostbound = value == b"0";
        } else if name == PING.as_bytes() {
            known.ping = value == b"0";
        } else if name == AGENT_FORWARD.as_bytes() {
            known.agent_forward = value == b"0";
        }
    }
    reader.ensure_finished()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_read() {
        let mut known = PeerExtensions::default();
        read(&announce().expect("announced"), &mut known).expect("valid");
        assert!(known.hostbound && known.ping && known.agent_forward);
        let algorithms = known.server_sig_algs.expect("given");
        assert!(algorithms.iter().any(|one| one == "rsa-sha2-512"));
        assert!(!algorithms.iter().any(|one| one == "ssh-rsa"));
    }

    #[test]
    fn counts_that_lie_are_malformed() {
        let mut known = PeerExtensions::default();
        for count in [3, 5, MAX_EXTENSIONS + 1, u32::MAX] {
            let mut payload = announce().expect("announced");
            payload[1..5].copy_from_slice(&count.to_be_bytes());
            assert!(read(&payload, &mut known).is_err(), "{count}");
        }
    }
}
