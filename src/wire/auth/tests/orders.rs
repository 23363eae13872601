//! Orders of proof: a key and then answers, answers and then a key, and clients that leave something out.

use super::interactive::{answers, challenge, failure, interactive};
use super::server::attempt;
use super::*;

const BOTH: &str = "publickey,keyboard-interactive";

/// A server that takes keys and asks.
fn asking() -> ServerAuth {
    let mut server = started_server();
    server.allow(Methods::PUBLIC_KEY_AND_QUESTIONS);
    server
}

fn query() -> Vec<u8> {
    let key = ed25519().public_key().to_bytes().unwrap();
    message::public_key_request("deploy", "ssh-ed25519", &key, None, false)
}

/// Has the server ask, and answers.
fn answer(server: &mut ServerAuth) {
    let event = feed(server, &interactive()).0;
    assert!(matches!(event, Ok(ServerAuthEvent::Interactive { .. })));
    let mut out = Vec::new();
    server.ask(&challenge(&["Code: "]), &mut out);
    assert_eq!(out.len(), 1);
    let event = feed(server, &answers(&["123456"])).0;
    assert!(matches!(event, Ok(ServerAuthEvent::Answers(_))));
}

#[test]
fn answers_come_first_and_the_key_that_signs_then_ends_it() {
    let mut server = asking();
    answer(&mut server);
    let mut out = Vec::new();
    assert!(server.require_key(&mut out));
    assert_eq!(out, [failure("publickey", true)]);
    let (event, out) = feed(&mut server, &interactive());
    assert_eq!(
        event,
        Ok(ServerAuthEvent::Nothing),
        "nothing is asked twice"
    );
    assert_eq!(out, [failure("publickey", false)]);
    let event = feed(&mut server, &query()).0;
    assert!(matches!(event, Ok(ServerAuthEvent::Query(_))));
    server.accept_query(&mut Vec::new());
    let event = feed(&mut server, &attempt(&ed25519(), |_| {})).0;
    assert!(matches!(event, Ok(ServerAuthEvent::Attempt(..))));
    let mut out = Vec::new();
    server.accept(&mut out);
    assert_eq!(out, [[52]]);
}

#[test]
fn right_answers_alone_lead_to_no_success() {
    let mut server = asking();
    answer(&mut server);
    let mut out = Vec::new();
    server.accept(&mut out);
    assert_eq!(out, [failure(BOTH, false)], "without a key");
    answer(&mut server);
    let mut out = Vec::new();
    assert!(server.require_key(&mut out));
    for packet in [interactive(), query()] {
        feed(&mut server, &packet).0.unwrap();
        let mut out = Vec::new();
        server.accept(&mut out);
        assert!(out.iter().all(|packet| packet != &[52]), "no signature");
    }
}

/// A key that was proved before does not count for answers that another key has to follow.
#[test]
fn a_key_has_to_prove_itself_after_the_answers_that_require_it() {
    let mut server = asking();
    let key = ed25519();
    let mut out = Vec::new();
    feed(&mut server, &attempt(&key, |_| {})).0.unwrap();
    assert!(server.require_more(Methods::PUBLIC_KEY_AND_QUESTIONS, &mut out));
    answer(&mut server);
    assert!(server.require_key(&mut out));
    server.allow(Methods::PUBLIC_KEY_AND_QUESTIONS);
    answer(&mut server);
    let mut out = Vec::new();
    server.accept(&mut out);
    assert_eq!(out, [failure(BOTH, false)]);
}

#[test]
fn answers_without_questions_end_the_connection() {
    let mut server = asking();
    let unasked = Err(AuthError::Unexpected(61));
    assert_eq!(feed(&mut server, &answers(&["123456"])).0, unasked);
    feed(&mut server, &interactive()).0.unwrap();
    assert_eq!(
        feed(&mut server, &answers(&["123456"])).0,
        Err(AuthError::Unanswered),
        "the questions have not been sent yet"
    );
    let mut server = asking();
    answer(&mut server);
    server.reject(None, &mut Vec::new());
    let twice = feed(&mut server, &answers(&["123456"])).0;
    assert_eq!(twice, unasked, "they were judged already");
}

#[test]
fn neither_more_nor_fewer_answers_than_questions_are_taken() {
    for texts in [&[][..], &["1", "2"], &["1"; 1000]] {
        let mut server = asking();
        feed(&mut server, &interactive()).0.unwrap();
        server.ask(&challenge(&["Code: "]), &mut Vec::new());
        assert_eq!(
            feed(&mut server, &answers(texts)).0,
            Err(AuthError::Malformed)
        );
    }
}

/// A client that leaves questions unanswered has answered none.
#[test]
fn a_client_that_skips_to_a_key_has_not_answered() {
    let mut server = asking();
    feed(&mut server, &interactive()).0.unwrap();
    server.ask(&challenge(&["Code: "]), &mut Vec::new());
    feed(&mut server, &query()).0.unwrap();
    let mut out = Vec::new();
    assert!(!server.require_key(&mut out) && out.is_empty());
    server.accept(&mut out);
    assert_eq!(out, [failure(BOTH, false)]);
    let late = feed(&mut server, &answers(&["123456"])).0;
    assert_eq!(late, Err(AuthError::Unexpected(61)));
}

#[test]
fn what_is_right_and_not_enough_is_bounded() {
    let (mut server, key) = (asking(), ed25519());
    let mut steps = 0;
    loop {
        feed(&mut server, &attempt(&key, |_| {})).0.unwrap();
        let mut out = Vec::new();
        if !server.require_more(Methods::PUBLIC_KEY_AND_QUESTIONS, &mut out) {
            assert!(out.is_empty());
            server.reject(None, &mut out);
            break;
        }
        answer(&mut server);
        if !server.require_key(&mut out) {
            server.reject(None, &mut out);
            break;
        }
        steps += 1;
        assert!(steps < 10);
    }
    assert_eq!(steps, 2);
}

#[test]
fn refused_queries_leave_the_attempts_for_those_who_are_asked() {
    let mut server = asking();
    for _ in 0..20 {
        feed(&mut server, &query()).0.unwrap();
        server.reject(None, &mut Vec::new());
    }
    answer(&mut server);
    assert!(server.require_key(&mut Vec::new()));
    let refused = (0..1000).take_while(|_| {
        let is_taken = feed(&mut server, &query()).0.is_ok();
        server.reject(None, &mut Vec::new());
        is_taken
    });
    assert_eq!(refused.count(), 64, "and they are bounded");
    let mut server = started_server();
    for _ in 0..3 {
        feed(&mut server, &query()).0.unwrap();
        server.reject(None, &mut Vec::new());
    }
    assert!(server.is_exhausted(), "without questions they are attempts");
}

#[test]
fn signatures_and_answers_that_are_wrong_are_attempts() {
    let mut server = asking();
    feed(&mut server, &attempt(&ed25519(), |_| {})).0.unwrap();
    server.reject(None, &mut Vec::new());
    for _ in 0..2 {
        answer(&mut server);
        server.reject(None, &mut Vec::new());
    }
    assert!(server.is_exhausted());
}

#[test]
fn nothing_is_kept_for_another_user_name() {
    let mut server = asking();
    answer(&mut server);
    assert!(server.require_key(&mut Vec::new()));
    let other = attempt(&ed25519(), |attempt| attempt.user = "root".to_owned());
    let renamed = message::public_key_request(
        "root",
        "ssh-ed25519",
        &ed25519().public_key().to_bytes().unwrap(),
        None,
        false,
    );
    // The first is signed for another name than it carries.
    let event = feed(&mut server, &other).0;
    assert!(matches!(event, Ok(ServerAuthEvent::Refused { .. })));
    server.reject(None, &mut Vec::new());
    assert_eq!(feed(&mut server, &renamed).0, Err(AuthError::UserChanged));
}

proptest! {
    /// Whatever a client sends: without a signature there is no success, however its answers are judged.
    #[test]
    fn no_order_of_messages_gets_in_without_a_signature(
        packets in proptest::collection::vec(
            prop_oneof![
                hostile_packet(),
                Just(query()),
                Just(interactive()),
                Just(answers(&["a"])),
                Just(answers(&[])),
            ],
            0..20,
        ),
        judgements in proptest::collection::vec(0..5_u8, 20),
    ) {
        let mut server = asking();
        for (packet, judgement) in packets.iter().zip(judgements) {
            let mut out = Vec::new();
            if server.on_packet(packet, &mut out).is_err() {
                break;
            }
            match judgement {
                0 => server.ask(&challenge(&["1"]), &mut out),
                1 => {
                    let _judged = server.require_key(&mut out);
                }
                2 => {
                    let methods = Methods::PUBLIC_KEY_AND_QUESTIONS;
                    let _judged = server.require_more(methods, &mut out);
                }
                3 => server.accept_query(&mut out),
                _ => {}
            }
            server.accept(&mut out);
            prop_assert!(out.iter().all(|packet| packet.first() != Some(&52)));
        }
    }
}
