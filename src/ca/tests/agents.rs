//! CAs whose keys are in agents: real ones, agents that are gone or say no, agents that lie.

use std::os::unix::net::UnixListener;
use std::process::Command;

use ::signature::Signer as _;
use ssh_encoding::Encode as _;
use ssh_key::public::{KeyData, SkEd25519};
use ssh_key::{PrivateKey, PublicKey, Signature};

use crate::ca::testing::*;
use crate::ca::*;
use crate::cert::testing::{Browser, ed25519, keys, string};
use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};

/// A home whose user CA's key is this one, in a real agent.
fn with_user_key(key: &PrivateKey) -> (CaHome, TestAgent) {
    let mut home = CaHome::new();
    let agent = TestAgent::start(&home.path("agent"));
    agent.add(&[], &home.write("key", key));
    home.ca_keys.user.current = in_agent(&agent.socket, key);
    (home, agent)
}

/// What opening says, or else the first certificate.
fn fault(home: &CaHome) -> AgentKeyError {
    let opened = home.open();
    let signed =
        opened.and_then(|authorities| authorities.issue_user(user_request(ed25519().public_key())));
    match signed {
        Err(CaError::Agent(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn ssh_keygen_reads(home: &CaHome, certificate: &ssh_key::Certificate) -> String {
    let path = home.path("cert.pub");
    let text = certificate.to_openssh().unwrap();
    write_whole(&path, text.as_bytes(), PUBLIC_FILE, Replace::Allow).unwrap();
    let output = Command::new("ssh-keygen").arg("-Lf").arg(&path).output();
    let output = output.expect("ssh-keygen, of Debian's openssh-client");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn keys_of_every_kind_sign_for_both_authorities_and_never_come_here() {
    for (key, algorithm) in keys().iter().zip([
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
    ]) {
        let (mut home, agent) = with_user_key(key);
        let host_key = ed25519();
        agent.add(&[], &home.write("host", &host_key));
        home.ca_keys.host.current = in_agent(&agent.socket, &host_key);
        let authorities = home.open().unwrap();
        assert_eq!(home.key_files(), ["host_ca.pub", "user_ca.pub"]);
        let subject = ed25519();
        let user = authorities
            .issue_user(user_request(subject.public_key()))
            .unwrap();
        assert_eq!(user.record.ca, fingerprint(key.public_key()));
        let listed = ssh_keygen_reads(&home, &user.certificate);
        assert!(listed.contains(&format!("(using {algorithm})")), "{listed}");
        let host = authorities
            .issue_host(host_request(subject.public_key()))
            .unwrap();
        assert_eq!(
            host.certificate.signature_key(),
            host_key.public_key().key_data()
        );
        let minted = HostCertIssuer::new(authorities.of(CaKind::Host).clone()).unwrap();
        minted.mint(&["db1".parse().unwrap()], NOW).unwrap();
        let user = authorities.of(CaKind::User);
        let throwaways = user.throwaways(&"root".parse().unwrap(), &[], NOW);
        assert_eq!(throwaways.unwrap().len(), 1);
        user.check_key().unwrap();
        authorities.of(CaKind::Host).try_key().unwrap();
    }
}

#[test]
fn an_agent_that_is_gone_is_missed_only_when_something_is_signed() {
    let key = ed25519();
    let (home, agent) = with_user_key(&key);
    home.open().unwrap();
    drop(agent);
    let authorities = home.open().unwrap();
    let comment = authorities.of(CaKind::User).public_keys()[0].comment();
    assert_eq!(comment.as_str_lossy(), "rproxy user CA example.com");
    let error = fault(&home);
    assert!(matches!(error.fault(), AgentFault::Connect(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains(home.path("agent").to_str().unwrap())
    );
    assert!(authorities.of(CaKind::User).check_key().is_err());
    let lines = std::fs::read_to_string(home.path("data/issued.jsonl")).unwrap();
    assert_eq!(lines, "", "what was not signed is not in the ledger");
    let again = TestAgent::start(&home.path("agent"));
    again.add(&[], &home.path("key"));
    authorities
        .issue_user(user_request(ed25519().public_key()))
        .unwrap();
}

#[test]
fn an_agent_without_the_key_is_told_apart_from_one_that_is_locked_and_one_that_refuses() {
    let key = ed25519();
    let (home, agent) = with_user_key(&key);
    home.open().unwrap();
    agent.ssh_add(|command| command.arg("-x"));
    let locked = fault(&home);
    assert!(matches!(locked.fault(), AgentFault::Empty), "{locked}");
    assert!(locked.fault().hint().contains("ssh-add -X"));
    agent.ssh_add(|command| command.arg("-X"));

    agent.ssh_add(|command| command.arg("-D"));
    agent.add(&["-c"], &home.path("key"));
    let refused = fault(&home);
    assert!(
        matches!(refused.fault(), AgentFault::Refused(_)),
        "{refused}"
    );
    let authorities = home.open().unwrap();
    authorities.of(CaKind::User).check_key().unwrap();
    assert!(authorities.of(CaKind::User).try_key().is_err());

    agent.ssh_add(|command| command.arg("-D"));
    let other = ed25519();
    agent.add(&[], &home.write("other", &other));
    let missing = fault(&home);
    assert!(
        matches!(missing.fault(), AgentFault::NotHeld { .. }),
        "{missing}"
    );
    let said = missing.to_string();
    for key in [&key, &other] {
        assert!(said.contains(&fingerprint(key.public_key())), "{said}");
    }
}

#[test]
fn a_key_that_is_too_weak_is_not_taken() {
    let home = CaHome::new();
    let path = home.path("weak");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "rsa", "-b", "1024", "-N", "", "-f"])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    let weak = PrivateKey::read_openssh_file(&path).unwrap();
    let (home, _agent) = with_user_key(&weak);
    let error = fault(&home);
    assert!(matches!(error.fault(), AgentFault::Key(_)), "{error}");
    assert_eq!(home.key_files(), [""; 0], "nothing is written");
}

#[test]
fn the_files_must_agree_with_the_configuration() {
    let key = ed25519();
    let (mut home, agent) = with_user_key(&key);
    let configured = std::mem::take(&mut home.ca_keys);
    home.open().unwrap();
    home.ca_keys = configured;
    let other = home.open().unwrap_err();
    assert!(matches!(other, CaError::OtherKey { .. }), "{other}");
    assert!(other.hint().unwrap().contains("ca_keys.user.next"));

    std::fs::remove_file(home.ca("user_ca.pub")).unwrap();
    std::fs::copy(home.path("key"), home.ca("user_ca")).unwrap();
    let both = home.open().unwrap_err();
    assert!(matches!(both, CaError::StillHere(_)), "{both}");
    std::fs::remove_file(home.ca("user_ca")).unwrap();
    home.open().unwrap();

    home.ca_keys = CaKeys::default();
    let gone = home.open().unwrap_err();
    assert!(matches!(gone, CaError::PrivateKeyGone { .. }), "{gone}");
    home.ca_keys.user.next = in_agent(&agent.socket, &key);
    home.open()
        .expect("after its rotation, the key is still `next`");
    let public = home.ca("user_ca.pub");
    write_whole(&public, b"ssh-ed25519 AAAA", PUBLIC_FILE, Replace::Allow).unwrap();
    let broken = home.open().unwrap_err();
    assert!(matches!(broken, CaError::NotAPublicKey { .. }), "{broken}");
}

#[test]
fn a_rotation_goes_from_a_file_to_an_agent_and_from_there_to_the_next() {
    for kind in [CaKind::User, CaKind::Host] {
        let mut home = CaHome::new();
        let agent = TestAgent::start(&home.path("agent"));
        let (first, second) = (ed25519(), ed25519());
        let (_, file) = home.keys(kind);
        let places = |home: &mut CaHome, current, next| {
            let keys = match kind {
                CaKind::User => &mut home.ca_keys.user,
                CaKind::Host => &mut home.ca_keys.host,
            };
            *keys = KeysInAgents { current, next };
        };
        places(&mut home, None, in_agent(&agent.socket, &first));
        let refused = home.go(kind, RotationPhase::Init).unwrap_err();
        assert!(matches!(refused, CaError::Agent(_)), "{refused}");
        assert_eq!(
            home.keys(kind).0.len(),
            1,
            "not in the agent, nothing begins"
        );
        agent.add(&[], &home.write("first", &first));
        whole_rotation(&home, kind, &file, &first);
        assert!(!home.ca(&format!("{kind}_ca")).exists());

        places(&mut home, in_agent(&agent.socket, &first), None);
        let refused = home.go(kind, RotationPhase::Init).unwrap_err();
        assert!(matches!(refused, CaError::NoNextKey(_)), "{refused}");
        let next = in_agent(&agent.socket, &second);
        places(&mut home, in_agent(&agent.socket, &first), next);
        agent.add(&[], &home.write("second", &second));
        whole_rotation(&home, kind, &fingerprint(first.public_key()), &second);
        places(&mut home, in_agent(&agent.socket, &second), None);
        home.open().expect("the configuration is tidied up");
        places(&mut home, in_agent(&agent.socket, &first), None);
        assert!(home.open().is_err(), "the key that has gone");
    }
}

fn whole_rotation(home: &CaHome, kind: CaKind, old: &str, new: &PrivateKey) {
    let new = fingerprint(new.public_key());
    let both = vec![old.to_owned(), new.clone()];
    home.go(kind, RotationPhase::Init).unwrap();
    assert_eq!(home.keys(kind), (both.clone(), old.to_owned()));
    home.go(kind, RotationPhase::UpdateClients).unwrap();
    home.go(kind, RotationPhase::UpdateServers).unwrap();
    assert_eq!(home.keys(kind), (both.clone(), new.clone()));
    home.go(kind, RotationPhase::Rollback).unwrap();
    assert_eq!(home.keys(kind), (both, old.to_owned()));
    home.go(kind, RotationPhase::Standby).unwrap();
    assert_eq!(home.keys(kind), (vec![old.to_owned()], old.to_owned()));
    for phase in [
        RotationPhase::Init,
        RotationPhase::UpdateClients,
        RotationPhase::UpdateServers,
        RotationPhase::Standby,
    ] {
        home.go(kind, phase).unwrap();
    }
    assert_eq!(home.keys(kind), (vec![new.clone()], new));
    let authorities = home.open().unwrap();
    authorities.of(kind).try_key().unwrap();
}

/// The rotation is decided and the process dies before the keys are moved, between any two steps.
#[test]
fn a_crash_at_the_end_loses_no_key() {
    for steps in 0..=2 {
        let mut home = CaHome::new();
        let agent = TestAgent::start(&home.path("agent"));
        let key = ed25519();
        agent.add(&[], &home.write("key", &key));
        home.open().unwrap();
        home.ca_keys.user.next = in_agent(&agent.socket, &key);
        for phase in [
            RotationPhase::Init,
            RotationPhase::UpdateClients,
            RotationPhase::UpdateServers,
        ] {
            home.go(CaKind::User, phase).unwrap();
        }
        let state = home.ca("user_rotation.json");
        let standby = br#"{"phase":"standby","since":1,"keep":"new","moves":9}"#;
        write_whole(&state, standby, PUBLIC_FILE, Replace::Allow).unwrap();
        if steps > 0 {
            std::fs::remove_file(home.ca("user_ca")).unwrap();
        }
        if steps > 1 {
            std::fs::rename(home.ca("user_ca_new.pub"), home.ca("user_ca.pub")).unwrap();
        }
        let key = fingerprint(key.public_key());
        let before = everything_in(home.data_dir().path());
        let as_it_lies = home.with(|installation| Authority::open(installation, CaKind::User));
        assert_eq!(fingerprint(as_it_lies.unwrap().public_key()), key);
        assert_eq!(everything_in(home.data_dir().path()), before);
        assert_eq!(home.keys(CaKind::User), (vec![key.clone()], key));
        let files = ["host_ca", "host_ca.pub", "user_ca.pub"];
        assert_eq!(home.key_files(), files, "after {steps} steps");
    }
}

#[test]
fn the_old_key_stays_while_the_agent_lacks_the_new_one() {
    let mut home = CaHome::new();
    let agent = TestAgent::start(&home.path("agent"));
    let key = ed25519();
    agent.add(&[], &home.write("key", &key));
    home.open().unwrap();
    home.ca_keys.user.next = in_agent(&agent.socket, &key);
    for phase in [
        RotationPhase::Init,
        RotationPhase::UpdateClients,
        RotationPhase::UpdateServers,
    ] {
        home.go(CaKind::User, phase).unwrap();
    }
    agent.ssh_add(|command| command.arg("-D"));
    let refused = home.go(CaKind::User, RotationPhase::Standby).unwrap_err();
    assert!(matches!(refused, CaError::Agent(_)), "{refused}");
    assert!(home.ca("user_ca").exists());
    home.go(CaKind::User, RotationPhase::Rollback).unwrap();
    home.go(CaKind::User, RotationPhase::Standby).unwrap();
    assert_eq!(home.keys(CaKind::User).0.len(), 1);
}

// --- agents that lie ------------------------------------------------------------------------------

/// What becomes of an agent that answers the request for a signature so.
fn lied_to(sign: impl Fn(&PrivateKey, &[u8]) -> Option<Vec<u8>> + Send + 'static) -> AgentKeyError {
    let mut home = CaHome::new();
    let (key, socket) = (ed25519(), home.path("agent"));
    home.ca_keys.user.current = in_agent(&socket, &key);
    double(&socket, move |request| match to_sign(request) {
        Some(message) => sign(&key, &message),
        None => Some(listing(&[key.public_key().to_bytes().unwrap()])),
    });
    let error = fault(&home);
    assert_eq!(home.key_files(), [""; 0], "nothing is written");
    error
}

fn signature(key: &PrivateKey, message: &[u8]) -> Vec<u8> {
    let signature: Signature = key.key_data().try_sign(message).unwrap();
    [vec![14], string(&signature.encode_vec().unwrap())].concat()
}

#[test]
fn wrong_signatures_never_become_certificates() {
    for error in [
        lied_to(|key, _| Some(signature(key, b"another message"))),
        lied_to(|_, message| Some(signature(&ed25519(), message))),
        lied_to(|_, message| Some(signature(&keys()[1], message))),
        lied_to(|_, message| Some(signature(&keys()[4], message))),
    ] {
        assert!(
            matches!(error.fault(), AgentFault::Signature { .. }),
            "{error}"
        );
    }
}

#[test]
fn garbage_is_called_so() {
    let nonsense = [
        lied_to(|_, _| Some(vec![])),
        lied_to(|_, _| Some(vec![99, 1, 2, 3])),
        lied_to(|_, _| Some(vec![6])),
        lied_to(|_, _| Some(vec![14, 0xff, 0xff, 0xff, 0xff])),
        lied_to(|_, _| Some(vec![14; 300 * 1024])),
        lied_to(|key, _| Some(listing(&[key.public_key().to_bytes().unwrap()]))),
    ];
    for error in nonsense {
        assert!(matches!(error.fault(), AgentFault::Nonsense(_)), "{error}");
    }
    let empty = lied_to(|_, _| Some([vec![14], string(b"")].concat()));
    assert!(matches!(empty.fault(), AgentFault::Malformed(_)), "{empty}");
    let silent = lied_to(|_, _| None);
    assert!(matches!(silent.fault(), AgentFault::HungUp), "{silent}");
    let refused = lied_to(|_, _| Some(vec![5]));
    assert!(
        matches!(refused.fault(), AgentFault::Refused(_)),
        "{refused}"
    );
}

#[test]
fn a_list_may_hold_anything_and_is_shown_harmlessly() {
    let mut home = CaHome::new();
    let (key, socket) = (ed25519(), home.path("agent"));
    home.ca_keys.user.current = in_agent(&socket, &key);
    double(&socket, |_| {
        let young = string(b"ssh-mldsa44-ed25519@openssh.com");
        let mut keys = vec![b"garbage".to_vec(), young];
        keys.extend((0..20).map(|_| ed25519().public_key().to_bytes().unwrap()));
        Some(listing(&keys))
    });
    let said = fault(&home).to_string();
    assert!(
        said.contains(r"one that cannot be read: the public key is malformed (a \u{1b}[2Jcomment)"),
        "{said}"
    );
    assert!(
        said.contains("algorithm ssh-mldsa44-ed25519@openssh.com is not supported"),
        "{said}"
    );
    assert!(said.ends_with(" and 14 more"), "{said}");
}

/// Ten seconds, and no more for other requests at the same time.
#[test]
fn an_agent_that_hangs_is_waited_for_a_while_only() {
    let key = ed25519();
    let (home, agent) = with_user_key(&key);
    let authorities = home.open().unwrap();
    let user = authorities.of(CaKind::User);
    drop(agent);
    let listener = UnixListener::bind(home.path("agent")).unwrap();
    let hung = user.try_key().unwrap_err();
    assert!(
        matches!(&hung, CaError::Agent(error) if matches!(error.fault(), AgentFault::Timeout(_))),
        "{hung}"
    );
    // No connection is accepted: in the end the queue is full, and connecting would wait forever.
    let mut waiting = Vec::new();
    rustix::net::listen(&listener, 1).unwrap();
    while let Ok(stream) = agent_key::connect(&home.path("agent")) {
        waiting.push(stream);
        assert!(waiting.len() < 10_000);
    }
    assert!(user.try_key().is_err());
}

/// A security key as an agent has it, in software (PROTOCOL.u2f).
#[test]
fn a_security_key_signs_as_its_agent_does() {
    let mut home = CaHome::new();
    let (device, socket) = (ed25519(), home.path("agent"));
    let KeyData::Ed25519(half) = device.public_key().key_data() else {
        panic!("another kind");
    };
    let key = PublicKey::from(KeyData::SkEd25519(SkEd25519::new(*half, "ssh:")));
    home.ca_keys.user.current = Some(KeyInAgent {
        agent: AgentSocket::Path(socket.clone()),
        key: key.fingerprint(Default::default()),
    });
    let blob = key.to_bytes().unwrap();
    double(&socket, move |request| {
        let Some(message) = to_sign(request) else {
            return Some(listing(std::slice::from_ref(&blob)));
        };
        let hash = |bytes| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let touched = [1, 0, 0, 0, 7];
        let signed = [hash(b"ssh:").as_ref(), &touched, hash(&message).as_ref()].concat();
        let signature: Signature = device.key_data().try_sign(&signed).unwrap();
        let body = [
            string(b"sk-ssh-ed25519@openssh.com"),
            string(signature.as_bytes()),
            touched.to_vec(),
        ];
        Some([vec![14], string(&body.concat())].concat())
    });
    let issued = home
        .open()
        .unwrap()
        .issue_user(user_request(ed25519().public_key()))
        .unwrap();
    let listed = ssh_keygen_reads(&home, &issued.certificate);
    assert!(
        listed.contains("(using sk-ssh-ed25519@openssh.com)"),
        "{listed}"
    );
}

/// sshd before 10.3 takes certificates with such a signature from no CA unless it is told to.
#[test]
fn a_browser_signs_for_no_authority() {
    let mut home = CaHome::new();
    let (browser, socket) = (Browser::new(), home.path("agent"));
    let key = PublicKey::from(browser.public());
    home.ca_keys.user.current = Some(KeyInAgent {
        agent: AgentSocket::Path(socket.clone()),
        key: key.fingerprint(Default::default()),
    });
    let blob = key.to_bytes().unwrap();
    double(&socket, move |request| {
        Some(match to_sign(request) {
            Some(message) => [vec![14], string(&browser.sign(&message))].concat(),
            None => listing(std::slice::from_ref(&blob)),
        })
    });
    let refused = fault(&home);
    let AgentFault::Signature { source, .. } = refused.fault() else {
        panic!("{refused}");
    };
    assert!(source.to_string().contains("webauthn-sk-ecdsa"), "{source}");
}
