//! A host that runs russh's server, in the test's own process: our client's role.

use std::net::{Ipv4Addr, TcpListener};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, HashAlg, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session};
use russh::{Channel, ChannelId, Error};

use crate::support::world::login;
use crate::support::{HostKey, World, keys, russh_host};

/// Accepts the certificates of one CA for one login; every command prints its name on both outputs
/// and sends its input back.
struct Host {
    authority: PublicKey,
    login: String,
}

impl server::Handler for Host {
    type Error = Error;

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Error> {
        let authority = self.authority.fingerprint(HashAlg::Sha256);
        let is_valid = certificate.validate([&authority]).is_ok();
        let principals = certificate.valid_principals();
        let is_his = certificate.cert_type() == CertType::User
            && principals.contains(&self.login)
            && user == self.login;
        Ok(if is_valid && is_his {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_success(channel)?;
        let said = [b"command: ", command, b"\n"].concat();
        session.data(channel, said)?;
        session.extended_data(channel, 1, b"to stderr\n".to_vec())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        session.data(channel, data.to_vec())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.exit_status_request(channel, 7)?;
        session.eof(channel)?;
        session.close(channel)
    }
}

/// It presents a host certificate and checks the user's; its session keys change every hundred
/// kilobytes.
#[test]
fn russh_host() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a port").port();
    let world = World::with()
        .node("db1", HostKey::Certified)
        .foreign_node("russh1", port)
        .start();
    let authority = keys::tool(world.rproxy().args(["auth", "export", "--type=user"]));
    let config = server::Config {
        limits: russh::Limits::new(100_000, 100_000, std::time::Duration::from_secs(3600)),
        ..russh_host::config(&world, "russh1")
    };
    let authority = PublicKey::from_openssh(authority.trim()).expect("a key");
    let login = login();
    russh_host::serve(listener, config, move || Host {
        authority: authority.clone(),
        login: login.clone(),
    });

    let typed = crate::bulk::random(1 << 20);
    let outcome = world
        .ssh()
        .args(["russh1", "anything"])
        .stdin(typed.clone())
        .run();
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    let expected = [b"command: anything\n".as_slice(), &typed].concat();
    assert!(outcome.stdout == expected, "not what was sent");
    assert!(outcome.stderr.contains("to stderr"), "{}", outcome.stderr);
    let recording = world.finished_recording();
    assert!(world.exported(&recording, "stdout") == expected);
    assert!(world.exported(&recording, "stdin") == typed);
}
