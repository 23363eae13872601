//! `SSH_MSG_KEXINIT` (RFC 4253 section 7.1): proposals, and the choice made from two of them.

use aws_lc_rs::rand;
use ssh_encoding::{Decode, Encode, Reader};

use crate::model::text::Printable;
use crate::wire::algorithm::{Algorithms, Cipher, Compression, Kex, Mac};
use crate::wire::error::{Error, Mismatch, NoCommonAlgorithm, Violation};
use crate::wire::legacy::Legacy;
use crate::wire::message;
use crate::wire::transport::{Directional, Negotiated};

/// What a side adds to its list of key exchange methods to say what else it can do.
pub(in crate::wire) const EXT_INFO_CLIENT: &str = "ext-info-c";
pub(in crate::wire) const STRICT_CLIENT: &str = "kex-strict-c-v00@openssh.com";
pub(in crate::wire) const STRICT_SERVER: &str = "kex-strict-s-v00@openssh.com";

const COOKIE: usize = 16;

/// Longest part of a peer's list that an error repeats.
const MAX_SHOWN: usize = 200;

/// Builds the payload of our proposal.
pub(in crate::wire) fn propose(
    algorithms: &Algorithms,
    markers: &[&str],
    host_keys: &[&str],
) -> Result<Vec<u8>, Error> {
    let mut cookie = [0; COOKIE];
    rand::fill(&mut cookie).map_err(|_failed| Error::Crypto("entropy"))?;
    let kex: Vec<&str> = algorithms
        .kex
        .iter()
        .map(|kex| kex.name())
        .chain(markers.iter().copied())
        .collect();
    let ciphers: Vec<&str> = algorithms.ciphers.iter().map(|one| one.name()).collect();
    let macs: Vec<&str> = algorithms.macs.iter().map(|one| one.name()).collect();
    let compression: Vec<&str> = algorithms
        .compression
        .iter()
        .map(|one| one.name())
        .collect();
    let lists: [&[&str]; 10] = [
        &kex,
        host_keys,
        &ciphers,
        &ciphers,
        &macs,
        &macs,
        &compression,
        &compression,
        &[],
        &[],
    ];
    let mut payload = vec![message::KEXINIT];
    payload.extend_from_slice(&cookie);
    for list in lists {
        list.join(",")
            .encode(&mut payload)
            .map_err(|_too_long| Error::Crypto("proposal too long"))?;
    }
    // No guess follows; reserved.
    payload.extend_from_slice(&[0, 0, 0, 0, 0]);
    Ok(payload)
}

/// A side's proposal, parsed.
#[derive(Debug)]
pub(in crate::wire) struct Proposal {
    kex: String,
    host_keys: String,
    ciphers: Directional<String>,
    macs: Directional<String>,
    compression: Directional<String>,
    guess_follows: bool,
}

impl Proposal {
    /// Parses a payload that begins with the message number.
    pub(in crate::wire) fn parse(payload: &[u8]) -> Result<Self, Error> {
        Self::decode(payload).map_err(|_malformed| {
            Violation::Malformed {
                message: message::KEXINIT,
                what: "not a proposal",
            }
            .into()
        })
    }

    fn decode(payload: &[u8]) -> ssh_encoding::Result<Self> {
        let mut reader = payload;
        reader.drain(1 + COOKIE)?;
        let mut list = || String::decode(&mut reader);
        let (kex, host_keys) = (list()?, list()?);
        let mut both = || -> ssh_encoding::Result<_> {
            Ok(Directional {
                client_to_server: list()?,
                server_to_client: list()?,
            })
        };
        let (ciphers, macs, compression) = (both()?, both()?, both()?);
        let _languages = both()?;
        let guess_follows = u8::decode(&mut reader)? != 0;
        let _reserved = u32::decode(&mut reader)?;
        reader.finish(Self {
            kex,
            host_keys,
            ciphers,
            macs,
            compression,
            guess_follows,
        })
    }

    /// Whether the list of key exchange methods carries this marker.
    pub(in crate::wire) fn has(&self, marker: &str) -> bool {
        self.kex.split(',').any(|name| name == marker)
    }

    /// Whether a packet follows that was guessed and guessed wrong, because the first methods
    /// differ: it is to be ignored (RFC 4253 section 7).
    pub(in crate::wire) fn wrong_guess(&self, other: &Self) -> bool {
        let first = |list: &str| list.split(',').next().map(str::to_owned);
        self.guess_follows
            && (first(&self.kex) != first(&other.kex)
                || first(&self.host_keys) != first(&other.host_keys))
    }
}

/// Chooses: the first of the client's that the server has too. `peer_is_client` tells whose list
/// an error repeats.
pub(in crate::wire) fn negotiate(
    client: &Proposal,
    server: &Proposal,
    peer_is_client: bool,
) -> Result<Negotiated, Error> {
    let mut choose = Chooser {
        peer_is_client,
        lacking: Vec::new(),
    };
    let kex = choose.first("key exchange", &client.kex, &server.kex, Kex::from_name);
    let host_key = choose.first(
        NoCommonAlgorithm::HOST_KEY,
        &client.host_keys,
        &server.host_keys,
        |name| Some(name.to_owned()),
    );
    let up = choose.direction(client, server, |both| &both.client_to_server);
    let down = choose.direction(client, server, |both| &both.server_to_client);
    match (kex, host_key, up, down) {
        (Some(kex), Some(host_key), Some(up), Some(down)) => Ok(Negotiated {
            kex,
            host_key,
            cipher: Directional {
                client_to_server: up.0,
                server_to_client: down.0,
            },
            mac: Directional {
                client_to_server: up.1,
                server_to_client: down.1,
            },
            compression: Directional {
                client_to_server: up.2,
                server_to_client: down.2,
            },
        }),
        _ => Err(Mismatch::Algorithms(choose.lacking).into()),
    }
}

/// Chooses from one list after the other, and notes lists without a common algorithm: the error has
/// to name all of them at once.
struct Chooser {
    peer_is_client: bool,
    lacking: Vec<NoCommonAlgorithm>,
}

impl Chooser {
    /// The algorithms of one direction.
    fn direction(
        &mut self,
        client: &Proposal,
        server: &Proposal,
        which: fn(&Directional<String>) -> &String,
    ) -> Option<(Cipher, Option<Mac>, Compression)> {
        let (ours, theirs) = (which(&client.ciphers), which(&server.ciphers));
        let cipher = self.first("cipher", ours, theirs, Cipher::from_name);
        let mac = if cipher.is_some_and(Cipher::is_aead) {
            Some(None)
        } else {
            let (ours, theirs) = (which(&client.macs), which(&server.macs));
            self.first("MAC", ours, theirs, Mac::from_name).map(Some)
        };
        let (ours, theirs) = (which(&client.compression), which(&server.compression));
        let compression = self.first("compression", ours, theirs, Compression::from_name);
        Some((cipher?, mac?, compression?))
    }

    fn first<T>(
        &mut self,
        kind: &'static str,
        client: &str,
        server: &str,
        from_name: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        // Our own list is short, so that this is not quadratic in what a peer sends.
        let chosen = client
            .split(',')
            .filter(|name| !name.is_empty())
            .filter(|name| server.split(',').any(|other| other == *name))
            .find_map(from_name);
        if chosen.is_none() && !self.lacking.iter().any(|lacking| lacking.kind == kind) {
            let offered = if self.peer_is_client { client } else { server };
            self.lacking.push(NoCommonAlgorithm {
                kind,
                offered: Printable(offered).within(MAX_SHOWN),
                legacy: Legacy::all()
                    .filter(|one| {
                        offered
                            .split(',')
                            .any(|name| Legacy::from_wire(name) == Some(*one))
                    })
                    .collect(),
            });
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::transport::ClientConfig;

    fn proposal(algorithms: &Algorithms, host_keys: &[&str]) -> Proposal {
        let payload = propose(algorithms, &[STRICT_CLIENT], host_keys).expect("proposal");
        Proposal::parse(&payload).expect("our own")
    }

    #[test]
    fn the_clients_order_decides() {
        let client = Algorithms {
            kex: vec![Kex::EcdhSha2Nistp256, Kex::Curve25519Sha256],
            ciphers: vec![Cipher::Aes256Ctr, Cipher::Aes128Gcm],
            ..Algorithms::default()
        };
        let client = proposal(&client, &["rsa-sha2-512", "ssh-ed25519"]);
        let server = proposal(&Algorithms::default(), &["ssh-ed25519", "rsa-sha2-512"]);
        let chosen = negotiate(&client, &server, true).expect("common ground");
        assert_eq!(chosen.kex, Kex::EcdhSha2Nistp256);
        assert_eq!(chosen.host_key, "rsa-sha2-512");
        assert_eq!(chosen.cipher.client_to_server, Cipher::Aes256Ctr);
        assert_eq!(chosen.mac.server_to_client, Some(Mac::HmacSha256Etm));
    }

    #[test]
    fn nothing_in_common_names_the_list_and_what_the_peer_offers() {
        let client = proposal(
            &Algorithms::default().only_cipher(Cipher::Aes128Ctr),
            &["ssh-ed25519"],
        );
        let server = proposal(
            &Algorithms::default().only_cipher(Cipher::Aes256Ctr),
            &["ssh-ed25519"],
        );
        let refused = negotiate(&client, &server, true).expect_err("nothing in common");
        assert_eq!(
            refused.to_string(),
            "nothing in common with the peer: no common cipher, the peer offers aes128-ctr"
        );
    }

    #[test]
    fn all_that_is_lacking_is_named_at_once_and_what_would_help() {
        let old = ClientConfig::default().with_legacy(&Legacy::all().collect::<Vec<_>>());
        let server = Algorithms {
            kex: Kex::LEGACY.to_vec(),
            ciphers: vec![Cipher::Aes256Cbc],
            macs: vec![Mac::HmacSha1],
            ..Algorithms::default()
        };
        let server = proposal(&server, &["ssh-rsa-cert-v01@openssh.com", "ssh-dss"]);
        let client = proposal(&Algorithms::default(), &["ssh-ed25519"]);
        let refused = negotiate(&client, &server, false).expect_err("nothing in common");
        let Error::Mismatch(Mismatch::Algorithms(lacking)) = &refused else {
            panic!("{refused}");
        };
        let kinds: Vec<_> = lacking.iter().map(|one| one.kind).collect();
        assert_eq!(kinds, ["key exchange", "host key", "cipher", "MAC"]);
        let legacy: Vec<_> = lacking.iter().flat_map(|one| &one.legacy).collect();
        let names: Vec<_> = legacy.iter().map(|one| one.name()).collect();
        let all = "diffie-hellman-group14-sha1 ssh-rsa aes256-cbc hmac-sha1";
        assert_eq!(names.join(" "), all);

        let names: Vec<&str> = old.host_key_algorithms.iter().map(String::as_str).collect();
        let client = proposal(&old.algorithms, &names);
        let chosen = negotiate(&client, &server, false).expect("common ground");
        let legacy: Vec<_> = chosen.legacy().iter().map(|one| one.name()).collect();
        assert_eq!(
            legacy.join(" "),
            "diffie-hellman-group14-sha1 aes256-cbc hmac-sha1 ssh-rsa"
        );
    }

    #[test]
    fn a_marker_is_never_chosen() {
        let mut client = proposal(&Algorithms::default(), &["ssh-ed25519"]);
        let mut server = proposal(&Algorithms::default(), &["ssh-ed25519"]);
        client.kex = STRICT_CLIENT.to_owned();
        server.kex = STRICT_CLIENT.to_owned();
        assert!(negotiate(&client, &server, true).is_err());
    }

    #[test]
    fn guesses() {
        let ours = proposal(&Algorithms::default(), &["ssh-ed25519"]);
        let mut theirs = proposal(&Algorithms::default(), &["rsa-sha2-512"]);
        assert!(!theirs.wrong_guess(&ours), "no guess");
        theirs.guess_follows = true;
        assert!(theirs.wrong_guess(&ours));
        theirs.host_keys = "ssh-ed25519,x".to_owned();
        assert!(!theirs.wrong_guess(&ours));
    }

    #[test]
    fn trailing_bytes_and_truncation_are_malformed() {
        let payload = propose(&Algorithms::default(), &[], &["ssh-ed25519"]).expect("proposal");
        for cut in 0..payload.len() {
            assert!(Proposal::parse(&payload[..cut]).is_err());
        }
        let longer = [payload.as_slice(), &[0]].concat();
        assert!(Proposal::parse(&longer).is_err());
    }
}
