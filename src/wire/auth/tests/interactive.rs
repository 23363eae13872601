//! Keyboard-interactive: our client against our server, and each against peers that lie.

use super::*;

/// A challenge with these questions, none of which may be seen.
pub(super) fn challenge(questions: &[&str]) -> Challenge {
    Challenge {
        name: "name".into(),
        instruction: "do this\nand that".into(),
        prompts: questions
            .iter()
            .map(|text| Prompt {
                text: (*text).into(),
                echo: false,
            })
            .collect(),
    }
}

pub(super) fn interactive() -> Vec<u8> {
    let none = string(b"");
    let start = request("deploy", "ssh-connection", "keyboard-interactive");
    [start, none.clone(), none].concat()
}

pub(super) fn answers(texts: &[&str]) -> Vec<u8> {
    let count = u32::try_from(texts.len()).unwrap().to_be_bytes();
    let texts = texts.iter().map(|text| string(text.as_bytes()));
    [vec![61], count.to_vec(), texts.collect::<Vec<_>>().concat()].concat()
}

pub(super) fn failure(methods: &str, partial: bool) -> Vec<u8> {
    let partial = vec![u8::from(partial)];
    [vec![51], string(methods.as_bytes()), partial].concat()
}

/// A server that has seen a good signature, and a client that has given it.
fn half_way() -> (ServerAuth, ClientAuth) {
    let key = ed25519();
    let blob = key.public_key().to_bytes().unwrap();
    let session = SESSION.to_vec();
    let mut client = ClientAuth::new(session, "deploy", "ssh-ed25519", blob, None);
    let (mut server, mut out) = (server(), Vec::new());
    client.start(&mut out);
    loop {
        let mut back = Vec::new();
        match server.on_packet(&out.remove(0), &mut back).unwrap() {
            ServerAuthEvent::Query(_) => server.accept_query(&mut back),
            ServerAuthEvent::Attempt(..) => {
                assert!(server.require_more(Methods::KEYBOARD_INTERACTIVE, &mut back));
            }
            _ => {}
        }
        match client.on_packet(&back.remove(0), &mut out).unwrap() {
            ClientAuthEvent::Sign { data } => {
                let signature = sign(&key, "ssh-ed25519", &data);
                client.signed(&signature, &mut out).unwrap();
            }
            ClientAuthEvent::Failure { methods, partial } => {
                assert!(partial && methods == ["keyboard-interactive"]);
                return (server, client);
            }
            _ => {}
        }
    }
}

#[test]
fn questions_and_answers_cross() {
    let (mut server, mut client) = half_way();
    let mut out = Vec::new();
    assert!(client.interact(&mut out));
    let (event, mut back) = feed(&mut server, &out.remove(0));
    let user = "deploy".to_owned();
    assert_eq!(event, Ok(ServerAuthEvent::Interactive { user }));
    for questions in [&["Password: ", "Code: "][..], &[]] {
        let challenge = challenge(questions);
        server.ask(&challenge, &mut back);
        let event = client.on_packet(&back.remove(0), &mut out);
        assert_eq!(event, Ok(ClientAuthEvent::Questions(challenge)));
        let typed = Answers::parse(
            &answers(&vec!["s\u{fc}\u{df}\u{0}"; questions.len()])[1..],
            questions.len(),
        )
        .unwrap();
        let packet = client.answer(&typed).unwrap();
        let (event, _) = feed(&mut server, &packet);
        assert_eq!(event, Ok(ServerAuthEvent::Answers(typed)));
    }
    server.accept(&mut back);
    let event = client.on_packet(&back.remove(0), &mut out);
    assert_eq!(event, Ok(ClientAuthEvent::Success));
    assert!(out.is_empty() && back.is_empty());
}

#[test]
fn wrong_answers_are_asked_for_again_so_often_and_no_more() {
    let (mut server, mut client) = half_way();
    let (mut out, mut back) = (Vec::new(), Vec::new());
    let mut tries = 0;
    while client.interact(&mut out) {
        tries += 1;
        server.on_packet(&out.remove(0), &mut back).unwrap();
        server.reject(None, &mut back);
        if server.is_exhausted() {
            server = half_way().0;
        }
        client.on_packet(&back.remove(0), &mut out).unwrap();
    }
    assert_eq!(tries, 6);
}

#[test]
fn nobody_is_asked_who_did_not_admit_it() {
    let mut server = started_server();
    let (event, out) = feed(&mut server, &interactive());
    assert_eq!(event, Ok(ServerAuthEvent::Nothing));
    assert_eq!(out, [failure("publickey", false)]);
    assert_eq!(
        feed(&mut server, &answers(&[])).0,
        Err(AuthError::Unexpected(61))
    );
    let mut out = Vec::new();
    assert!(!server.require_more(Methods::KEYBOARD_INTERACTIVE, &mut out));
    server.ask(&challenge(&[]), &mut out);
    server.accept(&mut out);
    assert!(out.is_empty());

    // A request alone is no answer, unless a signature came before it.
    let mut server = started_server();
    server.allow(Methods::PUBLIC_KEY_AND_QUESTIONS);
    feed(&mut server, &interactive()).0.unwrap();
    let mut out = Vec::new();
    server.accept(&mut out);
    assert_eq!(out, [failure("publickey,keyboard-interactive", false)]);

    // After a signature keys are not looked at any more.
    let (mut server, _) = half_way();
    let key = ed25519().public_key().to_bytes().unwrap();
    let query = message::public_key_request("deploy", "ssh-ed25519", &key, None, false);
    let (event, out) = feed(&mut server, &query);
    assert_eq!(event, Ok(ServerAuthEvent::Nothing));
    assert_eq!(out, [failure("keyboard-interactive", false)]);
    feed(&mut server, &interactive()).0.unwrap();
    let mut out = Vec::new();
    server.accept(&mut out);
    assert_eq!(out, [[52]]);
}

#[test]
fn answers_are_as_many_as_the_questions_and_as_long_as_they_may_be() {
    let long = "x".repeat(MAX_ANSWER + 1);
    for (typed, error) in [
        (answers(&[]), AuthError::Malformed),
        (answers(&["a"]), AuthError::Malformed),
        (answers(&["a", "b", "c"]), AuthError::Malformed),
        (
            [answers(&["a", "b"]), vec![0]].concat(),
            AuthError::Malformed,
        ),
        (answers(&["a", &long]), AuthError::AnswerTooLong),
    ] {
        let (mut server, _) = half_way();
        feed(&mut server, &interactive()).0.unwrap();
        server.ask(&challenge(&["1", "2"]), &mut Vec::new());
        assert_eq!(feed(&mut server, &typed).0, Err(error));
    }
    // A client may leave them and try again.
    let (mut server, _) = half_way();
    feed(&mut server, &interactive()).0.unwrap();
    server.ask(&challenge(&["1"]), &mut Vec::new());
    let (event, _) = feed(&mut server, &interactive());
    assert!(matches!(event, Ok(ServerAuthEvent::Interactive { .. })));
    let no_answer = feed(&mut server, &answers(&["a"])).0;
    assert_eq!(no_answer, Err(AuthError::Unanswered));
}

/// A host that has not taken the key gets no answers: any machine could ask for them.
#[test]
fn questions_before_the_key_was_taken_end_it() {
    let asked = challenge(&["Password: "]).encode();
    let wants = failure("publickey,keyboard-interactive", true);
    let key = ed25519();
    let blob = key.public_key().to_bytes().unwrap();
    for first in [&asked, &wants] {
        let session = SESSION.to_vec();
        let mut client = ClientAuth::new(session, "deploy", "ssh-ed25519", blob.clone(), None);
        let mut out = Vec::new();
        client.start(&mut out);
        client.on_packet(&service_accept(), &mut out).unwrap();
        let _event = client.on_packet(first, &mut out);
        assert!(!client.can_interact() && !client.interact(&mut Vec::new()));
        assert_eq!(client.answer(&Answers::default()), Err(AuthError::Finished));
    }
}

#[test]
fn questions_are_bounded_and_harmless() {
    let asked = |count: u32, rest: &[u8]| {
        let head = [string(b"n"), string(b"i"), string(b"")].concat();
        Challenge::parse(&[head, count.to_be_bytes().to_vec(), rest.to_vec()].concat())
    };
    for count in [17, u32::MAX] {
        assert_eq!(asked(count, &[]), Err(AuthError::TooManyQuestions));
    }
    assert_eq!(asked(1, &[]), Err(AuthError::Malformed));
    assert_eq!(asked(0, &[1]), Err(AuthError::Malformed));
    let text = "\u{1b}]0;x\u{7}Pass\u{202e}word\u{200b}: ".to_owned() + &"y".repeat(100_000);
    let hostile = [string(text.as_bytes()), vec![1]].concat();
    let challenge = asked(1, &hostile).unwrap();
    let prompt = &challenge.prompts[0];
    assert!(prompt.echo && prompt.text.shown().starts_with("]0;xPassword: y"));
    assert_eq!(
        prompt.text.sent(),
        &text.as_bytes()[..1024],
        "as it was sent"
    );
    assert!(prompt.text.shown().len() <= 1024);

    let (_, mut client) = half_way();
    assert!(client.interact(&mut Vec::new()));
    let empty = Challenge::default().encode();
    for _ in 0..32 {
        client.on_packet(&empty, &mut Vec::new()).unwrap();
        client.answer(&Answers::default()).unwrap();
    }
    assert_eq!(
        client.on_packet(&empty, &mut Vec::new()),
        Err(AuthError::EndlessQuestions)
    );
}

#[test]
fn answers_are_not_shown() {
    let typed = Answers::parse(&answers(&["hunter2"])[1..], 1).unwrap();
    assert!(!format!("{typed:?}").contains("hunter2"));
}

#[test]
fn a_client_is_sent_round_its_keys_without_being_let_in() {
    let key = ed25519().public_key().to_bytes().unwrap();
    let query = message::public_key_request("deploy", "ssh-ed25519", &key, None, false);
    let mut server = started_server();
    let mut out = Vec::new();
    assert!(!server.postpone(&mut out), "nothing waits for an answer");
    for round in 0..6 {
        feed(&mut server, &query).0.unwrap();
        out.clear();
        let went_round = server.postpone(&mut out);
        assert_eq!(went_round, round < 4);
        if went_round {
            assert_eq!(out, [failure("publickey", true)]);
        } else {
            server.reject(None, &mut out);
            assert_eq!(out, [failure("publickey", false)]);
        }
    }
}

#[test]
fn everybody_reads_the_greeting_once_before_the_first_answer() {
    let mut server = server();
    server.greet("recorded here");
    feed(&mut server, &service_request("ssh-userauth"))
        .0
        .unwrap();
    let none = request("deploy", "ssh-connection", "none");
    let greeting = [vec![53], string(b"recorded here\r\n"), string(b"")].concat();
    let answer = failure("publickey", false);
    assert_eq!(feed(&mut server, &none).1, [greeting, answer.clone()]);
    assert_eq!(feed(&mut server, &none).1, [answer]);
}

proptest! {
    #[test]
    fn no_bytes_upset_those_who_ask_and_answer(
        packets in proptest::collection::vec(
            prop_oneof![
                hostile_packet(),
                Just(interactive()),
                Just(answers(&["a"])),
                Just(challenge(&["1"]).encode()),
                Just(failure("keyboard-interactive", true)),
            ],
            0..10,
        )
    ) {
        let (mut server, mut client) = half_way();
        for packet in packets {
            let mut out = Vec::new();
            match server.on_packet(&packet, &mut out) {
                Ok(ServerAuthEvent::Interactive { .. }) => server.ask(&challenge(&["1"]), &mut out),
                Ok(ServerAuthEvent::Answers(answers)) => {
                    prop_assert_eq!(answers.len(), 1);
                    server.reject(None, &mut out);
                }
                _ => {}
            }
            prop_assert!(out.iter().all(|packet| packet.first() != Some(&52)));
            if let Ok(ClientAuthEvent::Questions(asked)) = client.on_packet(&packet, &mut out) {
                prop_assert!(asked.prompts.len() <= MAX_PROMPTS);
            }
            let _sent = client.interact(&mut out);
        }
    }
}
