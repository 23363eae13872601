//! The server role against `ssh`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;

use ssh_encoding::Decode;

use super::*;

/// Our server's side of a session, with nothing asked of the user: what it sends comes out of ssh.
fn serve_session<S: Read + Write>(driver: &mut Driver<S>, output: &[u8]) {
    let request = driver.packet(&[message::SERVICE_REQUEST]);
    let mut accept = request.to_vec();
    accept[0] = message::SERVICE_ACCEPT;
    driver.transport.send(&accept).expect("sends");
    driver.packet(&[50]);
    driver
        .transport
        .send(&[message::USERAUTH_SUCCESS])
        .expect("sends");
    let channel = accept_session(driver, 1 << 20);
    loop {
        let request = driver.packet(&[98]);
        let mut reader = &request[5..];
        let kind = String::decode(&mut reader).expect("kind");
        if u8::decode(&mut reader).expect("flag") != 0 {
            let success = Payload::new(99).u32(channel);
            driver.transport.send(&success.0).expect("sends");
        }
        if kind == "exec" {
            break;
        }
    }
    for chunk in output.chunks(32 << 10) {
        let data = Payload::new(94).u32(channel).string(chunk);
        driver.transport.send(&data.0).expect("sends");
        // Waits for an answer, so that new keys come in between one chunk and the next.
        let request = Payload::new(98)
            .u32(channel)
            .string("keepalive@openssh.com")
            .byte(1);
        driver.transport.send(&request.0).expect("sends");
        driver.packet(&[100]);
    }
    let status = Payload::new(98)
        .u32(channel)
        .string("exit-status")
        .byte(0)
        .u32(7);
    for payload in [
        status,
        Payload::new(96).u32(channel),
        Payload::new(97).u32(channel),
    ] {
        driver.transport.send(&payload.0).expect("sends");
    }
    driver.packet(&[97]);
}

/// Runs ssh against our server, which accepts every user and sends `output`.
fn ssh(config: ServerConfig, known_hosts: &str, options: &[String], output: &[u8]) -> Output {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
    let address = listener.local_addr().expect("bound");
    let port = address.port().to_string();
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-v", "-p", &port]);
    for option in [
        "BatchMode=yes",
        "IdentityAgent=none",
        "IdentityFile=none",
        "GlobalKnownHostsFile=none",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        &format!("UserKnownHostsFile={known_hosts}"),
    ] {
        command.args(["-o", option]);
    }
    for option in options {
        command.args(["-o", option]);
    }
    let child = command
        .args(["127.0.0.1", "anything"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ssh runs");
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            let (stream, _) = listener.accept().expect("connects");
            stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
            let mut driver = Driver::new(Transport::server(Arc::new(config)), stream);
            serve_session(&mut driver, output);
        });
        let finished = child.wait_with_output().expect("ssh ends");
        // If ssh has not even connected, the server must not wait for it for ever.
        drop(TcpStream::connect(address));
        server
            .join()
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&finished.stderr)));
        finished
    })
}

#[test]
fn ssh_accepts_each_algorithm() {
    let keys = KeyDirectory::new();
    let key = keys.generate("host", &["-t", "ed25519"]);
    let public = key.public_key().to_openssh().expect("encodes");
    let known_hosts = keys.write("known_hosts", &format!("* {public}\n"));
    for (option, algorithms) in common() {
        let config = ServerConfig {
            algorithms,
            ..ServerConfig::new(vec![HostKey::new(key.clone(), None).expect("usable")])
        };
        let finished = ssh(
            config,
            &known_hosts,
            std::slice::from_ref(&option),
            b"hello",
        );
        let log = String::from_utf8_lossy(&finished.stderr);
        assert_eq!(finished.stdout, b"hello", "{option}: {log}");
        assert_eq!(finished.status.code(), Some(7), "{option}: {log}");
        assert!(log.contains("publickey-hostbound@openssh.com=<0>"));
    }
}

#[test]
fn ssh_verifies_each_kind_of_host_key_of_ours() {
    let keys = KeyDirectory::new();
    let ca = keys.generate("ca", &["-t", "ed25519"]);
    let ca = ca.public_key().to_openssh().expect("encodes");
    let authority = keys.write("authority", &format!("@cert-authority * {ca}\n"));
    let kinds: [(&str, &[&str], &[&str]); 5] = [
        ("ed25519", &["-t", "ed25519"], &["ssh-ed25519"]),
        (
            "p256",
            &["-t", "ecdsa", "-b", "256"],
            &["ecdsa-sha2-nistp256"],
        ),
        (
            "p384",
            &["-t", "ecdsa", "-b", "384"],
            &["ecdsa-sha2-nistp384"],
        ),
        (
            "p521",
            &["-t", "ecdsa", "-b", "521"],
            &["ecdsa-sha2-nistp521"],
        ),
        (
            "rsa",
            &["-t", "rsa", "-b", "2048"],
            &["rsa-sha2-512", "rsa-sha2-256"],
        ),
    ];
    for (name, kind, algorithms) in kinds {
        let key = keys.generate(name, kind);
        let certificate = keys.certify(name, "ca");
        let public = key.public_key().to_openssh().expect("encodes");
        let known = keys.write(&format!("known_{name}"), &format!("* {public}\n"));
        for algorithm in algorithms {
            let plain = HostKey::new(key.clone(), None).expect("usable");
            let certified = HostKey::new(key.clone(), Some(certificate.clone())).expect("usable");
            let certified_name = format!("{algorithm}-cert-v01@openssh.com");
            for (key, wanted, known_hosts) in [
                (plain, (*algorithm).to_owned(), &known),
                (certified, certified_name, &authority),
            ] {
                let option = format!("HostKeyAlgorithms={wanted}");
                let finished = ssh(ServerConfig::new(vec![key]), known_hosts, &[option], b"x");
                let log = String::from_utf8_lossy(&finished.stderr);
                assert_eq!(finished.status.code(), Some(7), "{wanted}: {log}");
            }
        }
    }
}

#[test]
fn keys_change_under_load_with_ssh() {
    let keys = KeyDirectory::new();
    let key = keys.generate("host", &["-t", "ed25519"]);
    let public = key.public_key().to_openssh().expect("encodes");
    let known_hosts = keys.write("known_hosts", &format!("* {public}\n"));
    let output: Vec<u8> = (0..400_000u32).flat_map(u32::to_le_bytes).collect();
    for (n, cipher) in Cipher::ALL.iter().enumerate() {
        let (theirs, ours) = if n % 2 == 0 {
            ("100K", u64::MAX)
        } else {
            ("1G", 100_000)
        };
        let config = ServerConfig {
            rekey: RekeyLimits {
                bytes: ours,
                ..RekeyLimits::default()
            },
            ..ServerConfig::new(vec![HostKey::new(key.clone(), None).expect("usable")])
        };
        let mut options = vec![format!("Ciphers={cipher}"), format!("RekeyLimit={theirs}")];
        // What both prefer may take a tenth of a second each time: once for each side will do.
        if n >= 2 {
            options.push("KexAlgorithms=curve25519-sha256".to_owned());
        }
        let finished = ssh(config, &known_hosts, &options, &output);
        let log = String::from_utf8_lossy(&finished.stderr);
        assert!(finished.stdout == output, "{cipher}: {log}");
        let exchanges = log.matches("rekey in after").count();
        assert!(exchanges > 3, "{cipher}: {exchanges} exchanges");
    }
}

#[test]
fn ssh_compresses_as_we_do() {
    let keys = KeyDirectory::new();
    let key = keys.generate("host", &["-t", "ed25519"]);
    let public = key.public_key().to_openssh().expect("encodes");
    let known_hosts = keys.write("known_hosts", &format!("* {public}\n"));
    let output: Vec<u8> = (0..400_000u32).flat_map(u32::to_le_bytes).collect();
    for limit in ["RekeyLimit=1G", "RekeyLimit=100K"] {
        let key = HostKey::new(key.clone(), None).expect("usable");
        let options = ["Compression=yes".to_owned(), limit.to_owned()];
        let finished = ssh(
            ServerConfig::new(vec![key]),
            &known_hosts,
            &options,
            &output,
        );
        let log = String::from_utf8_lossy(&finished.stderr);
        assert!(finished.stdout == output, "{log}");
        assert!(log.contains("compression: zlib@openssh.com"), "{log}");
    }
}
