//! The fuzz targets' bodies on stable Rust: with seeds, with damaged seeds, with anything.

#[cfg(test)]
#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public in the crate of the fuzz targets")]
mod targets;

#[cfg(test)]
mod fuzz {
    use std::path::Path;
    use std::process::Command;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::targets;

    /// Packets for authentication and relay, each after its length.
    fn packets() -> impl Strategy<Value = Vec<u8>> {
        let number = prop_oneof![
            3 => proptest::sample::select(vec![
                5u8, 6, 20, 21, 30, 31, 50, 51, 52, 53, 60, 80, 81, 82, 90, 91, 92, 93, 94, 95, 96,
                97, 98, 99, 100,
            ]),
            1 => any::<u8>(),
        ];
        let field = prop_oneof![
            proptest::sample::select(vec![
                "ssh-userauth",
                "ssh-connection",
                "publickey",
                "none",
                "root",
                "ssh-ed25519",
                "session",
                "direct-tcpip",
                "forwarded-tcpip",
                "exec",
                "pty-req",
                "exit-status",
                "keepalive@openssh.com",
            ])
            .prop_map(|name| string(name.as_bytes())),
            any::<u32>().prop_map(|number| number.to_be_bytes().to_vec()),
            (0u32..3).prop_map(|number| number.to_be_bytes().to_vec()),
            any::<bool>().prop_map(|flag| vec![u8::from(flag)]),
            vec(any::<u8>(), 0..12),
        ];
        let packet = (any::<bool>(), any::<bool>(), number, vec(field, 0..6)).prop_map(
            |(sided, side, number, fields)| {
                let mut packet = Vec::new();
                if sided {
                    packet.push(u8::from(side));
                }
                packet.push(number);
                packet.extend(fields.concat());
                packet.truncate(255);
                packet.insert(0, u8::try_from(packet.len()).expect("truncated"));
                packet
            },
        );
        vec(packet, 0..30).prop_map(|packets| packets.concat())
    }

    fn string(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).expect("short");
        [&length.to_be_bytes(), bytes].concat()
    }

    /// Changes one byte after the other, and cuts after each.
    fn damaged(seed: &[u8], step: usize, run: impl Fn(&[u8])) {
        run(seed);
        for at in (0..seed.len()).step_by(step) {
            run(&seed[..at]);
            let mut copy = seed.to_vec();
            for bits in [0x01, 0x80, 0xff] {
                copy[at] = seed[at] ^ bits;
                run(&copy);
            }
        }
    }

    #[test]
    fn damaged_recordings() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings");
        for entry in std::fs::read_dir(dir).expect("golden recordings") {
            let path = entry.expect("a directory entry").path();
            let seed = std::fs::read(&path).expect("a golden recording");
            damaged(&seed, 7, targets::recording);
        }
    }

    #[test]
    fn damaged_certificates() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        let keygen = |arguments: &[&str]| {
            let status = Command::new("ssh-keygen").args(arguments).status();
            assert!(status.expect("ssh-keygen runs").success(), "{arguments:?}");
        };
        for kind in ["ed25519", "ecdsa"] {
            let (ca, key) = (path(&format!("ca_{kind}")), path(kind));
            for file in [&ca, &key] {
                keygen(&[
                    "-q",
                    "-t",
                    kind,
                    "-N",
                    "",
                    "-f",
                    &file.display().to_string(),
                ]);
            }
            let public = path(&format!("{kind}.pub")).display().to_string();
            let ca = ca.display().to_string();
            keygen(&[
                "-q",
                "-s",
                &ca,
                "-I",
                "id",
                "-n",
                "a,b",
                "-O",
                "source-address=::1/128",
                &public,
            ]);
            let certificate = path(&format!("{kind}-cert.pub"));
            let certificate = ssh_key::Certificate::read_file(&certificate).expect("ssh-keygen's");
            let seed = certificate.to_bytes().expect("a certificate has bytes");
            damaged(&seed, 1, targets::certificate);
        }
    }

    /// A browser's signature for a security key, with every field that it can have (PROTOCOL.u2f).
    #[test]
    fn damaged_signatures() {
        let ecdsa = [string(&[0x12; 32]), string(&[0x34; 32])].concat();
        let message = "what nobody has signed";
        let challenge = "d2hhdCBub2JvZHkgaGFzIHNpZ25lZA";
        assert_eq!(challenge.len(), (message.len() * 4).div_ceil(3));
        let client_data = format!(
            "{{\"type\":\"webauthn.get\",\"challenge\":\"{challenge}\",\"origin\":\"https://a\"}}"
        );
        let browsers = [
            string(b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com"),
            string(&ecdsa),
            vec![0x81, 0, 0, 0, 7],
            string(b"https://a"),
            string(client_data.as_bytes()),
            string(b"\xa1\x61x\x01"),
        ];
        damaged(&browsers.concat(), 1, targets::signature);
        let own = [
            string(b"sk-ecdsa-sha2-nistp256@openssh.com"),
            string(&ecdsa),
            vec![0x01, 0, 0, 0, 7],
        ];
        damaged(&own.concat(), 1, targets::signature);
    }

    #[test]
    fn tampered_handshakes() {
        for at in 0..=255 {
            for bits in [0x01, 0x80] {
                for place in 0..4 {
                    // Honest rounds first, then the change.
                    let mut data = vec![2];
                    data.extend([0, 0].repeat(place));
                    data.extend([at, bits]);
                    targets::transport_server(&data);
                    targets::transport_client(&data);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn packets_of_any_kind(data in packets()) {
            targets::server_auth(&data);
            targets::client_auth(&data);
            targets::relay(&data);
            targets::agent_replies(&data);
            let in_the_clear = [&[1], data.as_slice()].concat();
            targets::transport_server(&in_the_clear);
            targets::transport_client(&in_the_clear);
        }

        #[test]
        fn bytes_of_any_kind(data in vec(any::<u8>(), 0..400)) {
            targets::transport_server(&data);
            targets::transport_client(&data);
            targets::server_auth(&data);
            targets::client_auth(&data);
            targets::relay(&data);
            targets::agent_replies(&data);
            targets::certificate(&data);
            targets::signature(&data);
            targets::recording(&data);
        }

        #[test]
        fn targets_of_any_kind(text in "(proxy:)?[a-z0-9.:@\\[\\]=%-]{0,40}|\\PC{0,40}") {
            targets::target(text.as_bytes());
        }

        #[test]
        fn reports_of_any_kind(
            begins in any::<bool>(),
            lines in vec(
                "(name|label|address|port|sshd|clock|tunnel|token|problem|end|x) ?\\PC{0,30}",
                0..30,
            ),
            more in vec(any::<u8>(), 0..200),
        ) {
            let header = if begins { "rproxy-report 1\n" } else { "" };
            let text = format!("{header}{}\n", lines.join("\n"));
            targets::report(&[text.as_bytes(), &more].concat());
        }
    }
}
