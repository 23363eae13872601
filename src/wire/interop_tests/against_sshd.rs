//! The client role against `sshd`.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use ::signature::Signer;
use bytes::{Buf, BytesMut};
use ssh_encoding::{Decode, Encode};
use ssh_key::PrivateKey;

use super::signature::SignatureAlgorithm;
use super::*;

const SSHD: &str = "/usr/sbin/sshd";

/// A child that does not outlive its test.
struct TestChild(Child);

impl Drop for TestChild {
    fn drop(&mut self) {
        let _gone: std::io::Result<()> = self.0.kill();
        let _reaped: std::io::Result<std::process::ExitStatus> = self.0.wait();
    }
}

/// Starts sshd for one connection, on the other end of the stream.
fn sshd(keys: &KeyDirectory, host_keys: &[&str], options: &[String]) -> (UnixStream, TestChild) {
    if rustix::process::geteuid().is_root() {
        fs::create_dir_all("/run/sshd").expect("sshd wants it as root");
    }
    let mut config = "UsePAM no\nStrictModes no\nPidFile none\n".to_owned();
    for host_key in host_keys {
        writeln!(config, "HostKey {}", keys.path(host_key)).expect("grows");
        if Path::new(&keys.path(&format!("{host_key}-cert.pub"))).exists() {
            let path = keys.path(&format!("{host_key}-cert.pub"));
            writeln!(config, "HostCertificate {path}").expect("grows");
        }
    }
    for option in options {
        writeln!(config, "{}", option.replacen('=', " ", 1)).expect("grows");
    }
    let name = format!(
        "sshd_config{}",
        options.join("").replace(['/', '=', '\n'], "_")
    );
    let config = keys.write(&name, &config);
    let (ours, theirs) = UnixStream::pair().expect("pair");
    ours.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let stdout = OwnedFd::from(theirs.try_clone().expect("clone"));
    let child = Command::new(SSHD)
        .args(["-i", "-e", "-f", &config])
        .stdin(OwnedFd::from(theirs))
        .stdout(stdout)
        .stderr(Stdio::null())
        .spawn()
        .expect("sshd runs");
    (ours, TestChild(child))
}

fn client(algorithms: &Algorithms) -> Transport {
    Transport::client(Arc::new(ClientConfig {
        algorithms: algorithms.clone(),
        ..ClientConfig::default()
    }))
}

/// Goes as far as the service that user authentication is.
fn request_userauth<S: Read + Write>(driver: &mut Driver<S>) {
    let request = Payload::new(message::SERVICE_REQUEST).string("ssh-userauth");
    driver.transport.send(&request.0).expect("sends");
    let accept = driver.packet(&[message::SERVICE_ACCEPT]);
    assert!(accept.ends_with(b"ssh-userauth"));
}

#[test]
fn sshd_accepts_each_algorithm() {
    let keys = KeyDirectory::new();
    let _host_key = keys.generate("host", &["-t", "ed25519"]);
    for (option, algorithms) in common().into_iter().chain(legacy()) {
        let (stream, _sshd) = sshd(&keys, &["host"], std::slice::from_ref(&option));
        let mut driver = Driver::new(client(&algorithms), stream);
        request_userauth(&mut driver);
        let transport = &driver.transport;
        let negotiated = format!("{:?}", transport.negotiated().expect("agreed"));
        let extensions = transport.peer_extensions();
        assert!(extensions.hostbound, "{option}: {negotiated}");
        assert!(
            transport
                .peer_ident()
                .is_some_and(|id| id.contains("OpenSSH"))
        );
    }
}

#[test]
fn each_kind_of_host_key_of_sshd_is_verified() {
    let keys = KeyDirectory::new();
    let _ca = keys.generate("ca", &["-t", "ed25519"]);
    let kinds: [(&str, &[&str], &[SignatureAlgorithm]); 5] = [
        (
            "ed25519",
            &["-t", "ed25519"],
            &[SignatureAlgorithm::Ed25519],
        ),
        (
            "p256",
            &["-t", "ecdsa", "-b", "256"],
            &[SignatureAlgorithm::EcdsaP256],
        ),
        (
            "p384",
            &["-t", "ecdsa", "-b", "384"],
            &[SignatureAlgorithm::EcdsaP384],
        ),
        (
            "p521",
            &["-t", "ecdsa", "-b", "521"],
            &[SignatureAlgorithm::EcdsaP521],
        ),
        (
            "rsa",
            &["-t", "rsa", "-b", "2048"],
            &[
                SignatureAlgorithm::RsaSha512,
                SignatureAlgorithm::RsaSha256,
                SignatureAlgorithm::RsaSha1,
            ],
        ),
    ];
    for (name, kind, algorithms) in kinds {
        let key = keys.generate(name, kind);
        let certificate = keys.certify(name, "ca");
        let presented = [
            (certificate.to_bytes().expect("encodes"), true),
            (key.public_key().to_bytes().expect("encodes"), false),
        ];
        for algorithm in algorithms {
            for (expected, certified) in &presented {
                let wanted = if *certified {
                    algorithm.certificate_name()
                } else {
                    algorithm.name()
                };
                let option = format!("HostKeyAlgorithms={wanted}");
                let (stream, _sshd) = sshd(&keys, &[name], &[option]);
                let config = ClientConfig::default().with_legacy(&all_legacy());
                let mut driver = Driver::new(Transport::client(Arc::new(config)), stream);
                let event = driver.event().expect("protocol").expect("host key");
                let TransportEvent::HostKey { algorithm, blob } = event else {
                    panic!("{wanted}: {event:?}");
                };
                assert_eq!(algorithm, wanted);
                assert_eq!(&blob, expected);
                request_userauth_after_acceptance(driver);
            }
        }
    }
}

fn request_userauth_after_acceptance(mut driver: Driver<UnixStream>) {
    driver.transport.accept_host_key().expect("asked");
    request_userauth(&mut driver);
}

/// Logs in as the account that runs the test, and runs a command.
fn exec<S: Read + Write>(driver: &mut Driver<S>, key: &PrivateKey, command: &str) {
    let user = Command::new("id").arg("-un").output().expect("id runs");
    let user = String::from_utf8(user.stdout).expect("name");
    let blob = key.public_key().to_bytes().expect("encodes");
    let request = Payload::new(50)
        .string(user.trim())
        .string("ssh-connection")
        .string("publickey")
        .byte(1)
        .string("ssh-ed25519")
        .string(blob);
    let session_id = driver.transport.session_id().expect("established");
    let mut signed = Vec::new();
    session_id.encode(&mut signed).expect("short");
    signed.extend_from_slice(&request.0);
    let signature = key.try_sign(&signed).expect("signs");
    let request = request.string(signature.encode_vec().expect("encodes"));
    driver.transport.send(&request.0).expect("sends");
    driver.packet(&[message::USERAUTH_SUCCESS]);
    let open = Payload::new(90)
        .string("session")
        .u32(0)
        .u32(64 << 20)
        .u32(32 << 10);
    driver.transport.send(&open.0).expect("sends");
    driver.packet(&[91]);
    let exec = Payload::new(98)
        .u32(0)
        .string("exec")
        .byte(1)
        .string(command);
    driver.transport.send(&exec.0).expect("sends");
    driver.packet(&[99]);
}

/// Sends a mebibyte through `cat` on the host and back, and counts the key exchanges seen.
fn echo_through_sshd(
    keys: &KeyDirectory,
    user: &PrivateKey,
    options: &[String],
    ours: ClientConfig,
) -> u32 {
    let authorized = format!("AuthorizedKeysFile={}", keys.path("user.pub"));
    let login = [authorized, "PermitRootLogin=yes".to_owned()];
    let (stream, _sshd) = sshd(keys, &["host"], &[options, &login].concat());
    let mut driver = Driver::new(Transport::client(Arc::new(ours)), stream);
    request_userauth(&mut driver);
    let session_id = driver.transport.session_id().map(<[u8]>::to_vec);
    exec(&mut driver, user, "cat");
    let sent: Vec<u8> = (0..1 << 18).flat_map(u32::to_le_bytes).collect();
    let mut echoed = Vec::new();
    let mut exchanges = 0;
    for chunk in sent.chunks(32 << 10) {
        let data = Payload::new(94).u32(0).string(chunk);
        driver.transport.send(&data.0).expect("sends");
        exchanges += u32::from(driver.transport.is_rekeying());
        let due = echoed.len() + chunk.len();
        while echoed.len() < due {
            echoed.extend_from_slice(&channel_data(driver.packet(&[94])));
        }
    }
    assert!(echoed == sent, "{options:?}");
    assert_eq!(driver.transport.session_id(), session_id.as_deref());
    exchanges
}

#[test]
fn keys_change_under_load_with_sshd() {
    let keys = KeyDirectory::new();
    let _host_key = keys.generate("host", &["-t", "ed25519"]);
    let user = keys.generate("user", &["-t", "ed25519"]);
    let ciphers = Cipher::ALL.iter().chain(Cipher::LEGACY);
    for (n, cipher) in ciphers.enumerate() {
        // Every other time the host asks for new keys, every other time we do.
        let (theirs, bytes) = if n % 2 == 0 {
            ("100K", u64::MAX)
        } else {
            ("1G", 100_000)
        };
        let mut options = vec![format!("Ciphers={cipher}"), format!("RekeyLimit={theirs}")];
        // What both prefer may take a tenth of a second each time: once for each side will do.
        if n >= 2 {
            options.push("KexAlgorithms=curve25519-sha256".to_owned());
        }
        let ours = ClientConfig {
            rekey: RekeyLimits {
                bytes,
                ..RekeyLimits::default()
            },
            ..ClientConfig::default().with_legacy(&all_legacy())
        };
        let exchanges = echo_through_sshd(&keys, &user, &options, ours);
        assert!(n % 2 == 0 || exchanges > 3, "{cipher}: {exchanges}");
    }
}

#[test]
fn sshd_compresses_as_we_do() {
    let keys = KeyDirectory::new();
    let _host_key = keys.generate("host", &["-t", "ed25519"]);
    let user = keys.generate("user", &["-t", "ed25519"]);
    for limit in ["RekeyLimit=1G", "RekeyLimit=100K"] {
        let ours = ClientConfig {
            algorithms: Algorithms::default().only_compression(Compression::ZlibOpenssh),
            ..ClientConfig::default()
        };
        let options = ["Compression=yes".to_owned(), limit.to_owned()];
        let _exchanges = echo_through_sshd(&keys, &user, &options, ours);
    }
}

fn channel_data(mut payload: BytesMut) -> Vec<u8> {
    payload.advance(5);
    Vec::decode(&mut &payload[..]).expect("string")
}
