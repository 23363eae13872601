//! Our client against our server, and each against hostile peers.

mod client;
mod interactive;
mod orders;
mod server;
mod webauthn;

use ::signature::Signer as _;
use proptest::prelude::*;
use ssh_encoding::Encode as _;
use ssh_key::private::KeypairData;
use ssh_key::{Algorithm, HashAlg, PrivateKey, Signature};

use super::*;
use crate::cert::testing::{CertSpec, ed25519, keys, string};
use crate::cert::{OfferError, PresentedKey};

const SESSION: &[u8] = &[5; 32];
const HOST_KEY: &[u8] = b"the host key's blob";

#[test]
fn our_client_authenticates_to_our_server() {
    for (key, algorithm, blob) in offers() {
        for host_bound in [None, Some(HOST_KEY.to_vec())] {
            let is_bound = host_bound.is_some();
            let mut client = ClientAuth::new(
                SESSION.to_vec(),
                "deploy",
                &algorithm,
                blob.clone(),
                host_bound,
            );
            let mut server = server();
            let offer = Offer {
                user: "deploy".to_owned(),
                algorithm: algorithm.clone(),
                blob: blob.clone(),
                key: PresentedKey::decode(&blob).unwrap(),
                host_bound: is_bound,
            };
            let mut to_server = Vec::new();
            client.start(&mut to_server);
            let mut signatures = 0;
            let mut is_done = false;
            while !to_server.is_empty() {
                let mut to_client = Vec::new();
                for packet in std::mem::take(&mut to_server) {
                    match server.on_packet(&packet, &mut to_client).unwrap() {
                        ServerAuthEvent::Nothing => {}
                        ServerAuthEvent::Query(query) => {
                            assert_eq!(query, offer);
                            server.accept_query(&mut to_client);
                        }
                        ServerAuthEvent::Attempt(attempt, proof) => {
                            assert_eq!(attempt, offer);
                            assert_eq!(proof.request().key, blob);
                            server.banner("welcome", &mut to_client);
                            server.accept(&mut to_client);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                for packet in to_client {
                    match client.on_packet(&packet, &mut to_server).unwrap() {
                        ClientAuthEvent::Nothing => {}
                        ClientAuthEvent::Banner(text) => assert_eq!(text.shown(), "welcome\n"),
                        ClientAuthEvent::Sign { data } => {
                            signatures += 1;
                            let signature = sign(key, &algorithm, &data);
                            client.signed(&signature, &mut to_server).unwrap();
                        }
                        ClientAuthEvent::Success => is_done = true,
                        other => panic!("{other:?}"),
                    }
                }
            }
            assert!(is_done, "{algorithm}");
            assert_eq!(signatures, 1);
        }
    }
}

/// Every key type, plain and certified, under each of its algorithm names.
fn offers() -> Vec<(&'static PrivateKey, String, Vec<u8>)> {
    let ca = ed25519();
    let mut offers = Vec::new();
    for key in keys() {
        let names = match key.algorithm() {
            Algorithm::Rsa { .. } => [HashAlg::Sha256, HashAlg::Sha512]
                .map(|hash| Algorithm::Rsa { hash: Some(hash) })
                .to_vec(),
            algorithm => vec![algorithm],
        };
        let plain = key.public_key().to_bytes().unwrap();
        let cert = CertSpec::user(key).sign(&ca).to_bytes().unwrap();
        for name in names {
            offers.push((key, name.as_str().to_owned(), plain.clone()));
            offers.push((key, name.to_certificate_type(), cert.clone()));
        }
    }
    offers
}

fn server() -> ServerAuth {
    ServerAuth::new(
        SESSION.to_vec(),
        HOST_KEY.to_vec(),
        AuthLimits { max_attempts: 3 },
    )
}

fn started_server() -> ServerAuth {
    let mut server = server();
    let (event, out) = feed(&mut server, &service_request("ssh-userauth"));
    assert_eq!(event, Ok(ServerAuthEvent::Nothing));
    assert_eq!(out, [service_accept()]);
    server
}

fn feed(
    server: &mut ServerAuth,
    packet: &[u8],
) -> (Result<ServerAuthEvent, AuthError>, Vec<Vec<u8>>) {
    let mut out = Vec::new();
    let event = server.on_packet(packet, &mut out);
    (event, out)
}

fn service_request(name: &str) -> Vec<u8> {
    [vec![5], string(name.as_bytes())].concat()
}

fn service_accept() -> Vec<u8> {
    [vec![6], string(b"ssh-userauth")].concat()
}

fn request(user: &str, service: &str, method: &str) -> Vec<u8> {
    let fields = [user, service, method].map(|f| string(f.as_bytes()));
    [vec![50], fields.concat()].concat()
}

fn sign(key: &PrivateKey, algorithm: &str, data: &[u8]) -> Vec<u8> {
    let signature: Signature = match key.key_data() {
        KeypairData::Rsa(rsa) if algorithm.contains("256") => {
            (rsa, Some(HashAlg::Sha256)).try_sign(data).unwrap()
        }
        other => other.try_sign(data).unwrap(),
    };
    signature.encode_vec().unwrap()
}

fn hostile_packet() -> impl Strategy<Value = Vec<u8>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..80);
    let methods = prop_oneof![
        Just("none"),
        Just("publickey"),
        Just("publickey-hostbound-v00@openssh.com"),
        Just("password")
    ];
    prop_oneof![
        bytes.clone(),
        (prop_oneof![5..7_u8, 50..54_u8, 60..62_u8], bytes.clone()).prop_map(|(number, body)| [
            vec![number],
            body
        ]
        .concat()),
        (methods, bytes).prop_map(|(method, rest)| {
            [request("deploy", "ssh-connection", method), rest].concat()
        }),
        Just(service_accept()),
        Just(service_request("ssh-userauth")),
    ]
}

fn failure_packet() -> Vec<u8> {
    [vec![51], string(b"publickey"), vec![0]].concat()
}
