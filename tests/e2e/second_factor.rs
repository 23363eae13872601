//! A host that accepts the key and requires a second factor: its questions reach the user, the
//! answers reach the host.

use std::borrow::Cow;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use russh::keys::Certificate;
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Response, Session};
use russh::{Channel, ChannelId, Error, MethodKind, MethodSet};

use crate::support::recordings::text;
use crate::support::{ClientOutcome, HostKey, World, keys, programs, russh_host};

/// Must not be in any file that the proxy writes.
const SECRET: &str = "correct horse battery";

/// Accepts every certificate, and then asks for a password and a code.
struct Host {
    /// The answers.
    heard: Arc<Mutex<Vec<String>>>,
}

impl server::Handler for Host {
    type Error = Error;

    async fn auth_openssh_certificate(&mut self, _: &str, _: &Certificate) -> Result<Auth, Error> {
        Ok(Auth::Reject {
            proceed_with_methods: Some(MethodSet::from(&[MethodKind::KeyboardInteractive][..])),
            partial_success: true,
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Error> {
        let Some(answers) = response else {
            return Ok(Auth::Partial {
                name: Cow::Borrowed("Two\u{1b}[2J steps"),
                instructions: Cow::Borrowed("of db2"),
                prompts: Cow::Borrowed(&[
                    (Cow::Borrowed("Password: "), false),
                    (Cow::Borrowed("Code: "), true),
                ]),
            });
        };
        let answers: Vec<String> = answers
            .map(|answer| String::from_utf8_lossy(&answer).into_owned())
            .collect();
        let is_right = answers == [SECRET, "123456"];
        self.heard.lock().expect("nobody panics").extend(answers);
        Ok(match is_right {
            true => Auth::Accept,
            false => Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(&[MethodKind::KeyboardInteractive][..])),
                partial_success: false,
            },
        })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_success(channel)?;
        session.data(channel, b"in\n".to_vec())?;
        session.exit_status_request(channel, 0)?;
        session.eof(channel)?;
        session.close(channel)
    }
}

/// A world with such a host as `db2`, and the answers that it gets.
fn world() -> (World, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a port").port();
    let world = World::with()
        .node("db1", HostKey::Certified)
        .foreign_node("db2", port)
        .start();
    let config = server::Config {
        auth_rejection_time: std::time::Duration::from_millis(10),
        ..russh_host::config(&world, "db2")
    };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    russh_host::serve(listener, config, move || Host {
        heard: Arc::clone(&hears),
    });
    (world, heard)
}

/// The program that answers the questions of the user's `ssh`.
fn person(world: &World, password: &str) -> PathBuf {
    let path = world.dir().join("askpass");
    programs::put_script(
        &format!("#!/bin/sh\ncase \"$1\" in *Code:*) echo 123456;; *) echo '{password}';; esac\n"),
        &path,
    );
    path
}

fn log_in(world: &World, password: &str, options: &[&str]) -> ClientOutcome {
    world
        .ssh()
        .env("SSH_ASKPASS", person(world, password))
        .env("SSH_ASKPASS_REQUIRE", "force")
        .args(options)
        .args(["db2", "true"])
        .run()
}

#[test]
fn questions_are_asked_on_the_users_own_connection() {
    let (world, heard) = world();
    let outcome = log_in(&world, SECRET, &["-o", "BatchMode=no"]).success();
    assert_eq!(outcome.text(), "in\n");
    assert_eq!(*heard.lock().expect("nobody panics"), [SECRET, "123456"]);
    assert!(!outcome.stderr.contains('\u{1b}'), "{}", outcome.stderr);

    let recording = world.finished_recording();
    let events = world.exported_as_json(&recording);
    for said in ["keyboard-interactive", "Password: ", "Code: ", "of db2"] {
        assert!(events.contains(said), "{said} in {events}");
    }
    // Control sequences were not shown, and are recorded as they were sent.
    let name: String = b"Two\x1b[2J steps"
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(
        events.contains(&format!(r#""name_hex":"{name}""#)),
        "{events}"
    );
    let audit = world.audit();
    let asked = audit
        .iter()
        .find(|event| event["event"] == "auth.second_factor")
        .expect("the exchange is audited");
    assert_eq!(
        (&asked["questions"], &asked["accepted"]),
        (&2.into(), &true.into())
    );
    assert_eq!(text(asked, "user"), "alice");
    // The answers are in no file.
    for file in keys::files(&world.data()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let bytes = String::from_utf8_lossy(&bytes);
        assert!(
            !bytes.contains(SECRET) && !bytes.contains("123456"),
            "{file:?}"
        );
    }
    assert!(!events.contains(SECRET) && !world.proxy_log().contains(SECRET));
}

#[test]
fn wrong_answers_are_said_to_be_what_was_wrong() {
    let (world, heard) = world();
    let once = ["-o", "BatchMode=no", "-o", "NumberOfPasswordPrompts=1"];
    let outcome = log_in(&world, "wrong", &once);
    assert_eq!(outcome.code(), 255);
    assert_eq!(heard.lock().expect("nobody panics").len(), 2);
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(refusals[0]["reason"], "second-factor", "{refusals:#?}");
}

/// A client that cannot be asked, as in a script.
#[test]
fn a_client_that_does_not_answer_is_audited() {
    let (world, heard) = world();
    let outcome = log_in(&world, SECRET, &[]);
    assert_eq!(outcome.code(), 255);
    assert!(
        outcome.stderr.contains("(keyboard-interactive)"),
        "{}",
        outcome.stderr
    );
    assert!(heard.lock().expect("nobody panics").is_empty());
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(refusals[0]["reason"], "second-factor", "{refusals:#?}");
}

#[test]
fn by_jump_nobody_can_be_asked_and_that_is_said() {
    let (world, _) = world();
    let jump = crate::jump::config(&world);
    let outcome = world
        .program("ssh")
        .args(["-F", &jump, "-A", "db2", "true"])
        .run();
    assert_eq!(outcome.code(), 255);
    for said in ["wants a second factor besides", "use ProxyCommand"] {
        assert!(
            outcome.stderr.contains(said),
            "{said} in {}",
            outcome.stderr
        );
    }
}

/// Stock `sshd`: it accepts the key and requires a password, which the proxy does not ask for.
#[test]
fn a_host_that_wants_a_password_is_not_said_to_refuse_the_certificate() {
    let world = World::with()
        .tuned_node(
            "db1",
            HostKey::Certified,
            "PasswordAuthentication yes\nAuthenticationMethods publickey,password\n",
        )
        .start();
    let outcome = world.run("db1", "true");
    assert_eq!(outcome.code(), 255);
    for said in [
        "rproxy: host authentication: db1 takes the certificate of",
        "wants a second factor besides (password)",
        "AuthenticationMethods publickey,keyboard-interactive",
    ] {
        assert!(
            outcome.stderr.contains(said),
            "{said} in {}",
            outcome.stderr
        );
    }
    assert!(
        !outcome.stderr.contains("TrustedUserCAKeys"),
        "{}",
        outcome.stderr
    );
    assert_eq!(world.refusals()[0]["reason"], "second-factor");
}
