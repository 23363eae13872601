//! People who sign in on the outer connection, with the clients that there are.

use std::time::Duration;

use ssh_key::PrivateKey;
use tokio::time::{Instant, sleep};

use super::*;
use crate::cert::testing::ed25519;
use crate::ipc::SignInEnd;
use crate::ssh::people_client::PeopleClient;
use crate::ssh::testing::GRACE;
use crate::ssh::testing::client::stay;
use crate::ssh::testing::keyed_user::{KeyedUser, Program, SILENT};
use crate::ssh::testing::test_people::{RIGHT, TestPeople};
use crate::ssh::testing::user::UserSaw;
use tests::{LIMITS, OuterFixture};

struct PeopleFixture {
    outer: OuterFixture,
    people: Arc<TestPeople>,
    keys: Vec<PrivateKey>,
}

impl PeopleFixture {
    /// A proxy at which people sign in, and a client's keys.
    fn new(keys: usize) -> Self {
        let people = Arc::new(TestPeople::default());
        let asked = PeopleClient::new(people.clone());
        Self {
            outer: OuterFixture::new(LIMITS).with_people(asked),
            people,
            keys: (0..keys).map(|_| ed25519()).collect(),
        }
    }

    fn user(&self, program: Program) -> KeyedUser {
        KeyedUser {
            program,
            name: "deploy",
            keys: self.keys.clone(),
            answer: Some(RIGHT),
        }
    }

    fn blob(&self, key: usize) -> Vec<u8> {
        self.keys[key].public_key().to_bytes().unwrap()
    }

    /// Logs in, and leaves; which keys have signed.
    async fn log_in(&self, user: &KeyedUser) -> (UserSaw, Vec<usize>) {
        let (saw, signed, leg) = user.log_in(self.outer.connect()).await;
        drop(leg);
        sleep(GRACE * 4).await;
        (saw, signed)
    }

    fn last_audited(&self) -> String {
        self.outer.proxy.audited_briefly().pop().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_registered_key_is_asked_for_answers_once_and_then_for_none() {
    for program in [Program::OpenSsh, Program::OffersOnce] {
        let fixture = PeopleFixture::new(3);
        fixture.people.record().registered.push(fixture.blob(2));
        let user = fixture.user(program);
        let (saw, signed) = fixture.log_in(&user).await;
        assert!(saw.is_in, "{saw:?}");
        assert_eq!(signed, [2], "{program:?}");
        assert_eq!(saw.questions, ["password: ", "code: "]);
        let told = "hint: a program that cannot ask you needs this first; on your machine: ssh -p 3023 deploy@PROXY login";
        assert!(saw.text().contains(told), "{saw:?}");
        assert_eq!(fixture.last_audited(), "auth.success");

        let (saw, _) = fixture.log_in(&user).await;
        assert!(saw.is_in && saw.banners.is_empty(), "{saw:?}");
        assert_eq!(saw.questions, [""; 0]);
        let asked = fixture.people.record().asked.clone();
        assert_eq!(asked.last(), Some(&"close"));
        assert_eq!(asked.iter().filter(|kind| **kind == "close").count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn with_an_agent_of_unknown_keys_the_questions_come_first_and_the_first_key_is_registered() {
    for keys in [1, 2, 20] {
        let fixture = PeopleFixture::new(keys);
        let (saw, signed) = fixture.log_in(&fixture.user(Program::OpenSsh)).await;
        assert!(saw.is_in, "{keys}: {saw:?}");
        assert_eq!(signed, [0], "{keys}");
        assert_eq!(saw.questions.len(), 3);
        assert_eq!(fixture.people.record().registered, [fixture.blob(0)]);
        assert!(!saw.text().contains("now a key has to"), "{saw:?}");
        let (saw, signed) = fixture.log_in(&fixture.user(Program::OpenSsh)).await;
        assert!(saw.is_in && saw.questions.is_empty(), "{saw:?}");
        assert_eq!(signed, [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_ends_ends_the_connection_with_the_reason() {
    let fixture = PeopleFixture::new(1);
    let user = fixture.user(Program::OpenSsh);
    let (saw, _, mut leg) = user.log_in(fixture.outer.connect()).await;
    assert!(saw.is_in, "{saw:?}");
    let proxy = &fixture.outer.proxy;
    let audited = proxy.audited();
    let id = audited[0]["sign_in"].as_str().unwrap().parse().unwrap();
    proxy.end_sign_in(id, SignInEnd::Locked);
    let goodbye = stay(&mut leg).await.unwrap();
    assert!(
        goodbye.contains("your sign-in has ended: your account here is locked"),
        "{goodbye}"
    );
    assert_eq!(fixture.last_audited(), "refusal sign-in-ended");
}

#[tokio::test(start_paused = true)]
async fn answers_may_come_before_every_key() {
    let fixture = PeopleFixture::new(2);
    let (saw, signed) = fixture.log_in(&fixture.user(Program::AnswersFirst)).await;
    assert!(saw.is_in, "{saw:?}");
    assert_eq!(signed, [0]);
}

/// PuTTY signs up with the key that it offers first, because it never offers one again; a key that is
/// unknown elsewhere is refused, with what to do.
#[tokio::test(start_paused = true)]
async fn a_client_that_offers_each_key_once_signs_up_with_the_first() {
    let fixture = PeopleFixture::new(2);
    let sign_up = KeyedUser {
        name: "signup",
        ..fixture.user(Program::OffersOnce)
    };
    let (saw, signed) = fixture.log_in(&sign_up).await;
    assert!(saw.is_in, "{saw:?}");
    assert_eq!(signed, [0]);
    let shown = "\u{2588}\u{2580}\notpauth://totp/x";
    assert!(saw.instructions.concat().contains(shown), "{saw:?}");
    assert!(!saw.text().contains(shown), "it would show that too late");

    let fixture = PeopleFixture::new(2);
    let (saw, signed) = fixture.log_in(&fixture.user(Program::OffersOnce)).await;
    assert!(!saw.is_in && signed.is_empty(), "{saw:?}");
    assert!(
        saw.text().contains("a program that offers each key once"),
        "{saw:?}"
    );
    assert_eq!(fixture.last_audited(), "auth.failure key-required");
}

/// `BatchMode`: the last thing that such a client reads is what to type.
#[tokio::test(start_paused = true)]
async fn a_client_that_cannot_ask_reads_what_to_type() {
    for registered in [false, true] {
        let fixture = PeopleFixture::new(3);
        if registered {
            fixture.people.record().registered.push(fixture.blob(1));
        }
        let batch = KeyedUser {
            answer: None,
            ..fixture.user(Program::OpenSsh)
        };
        let (saw, _) = fixture.log_in(&batch).await;
        assert!(!saw.is_in);
        let told = "on your machine: ssh -p 3023 deploy@PROXY login\n";
        assert!(saw.text().contains(told), "{saw:?}");
        assert_eq!(fixture.last_audited(), "auth.failure not-signed-in");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_key_right_answers_are_not_enough() {
    let fixture = PeopleFixture::new(0);
    for program in [Program::OpenSsh, Program::AnswersFirst] {
        let (saw, _) = fixture.log_in(&fixture.user(program)).await;
        assert!(!saw.is_in);
        assert!(saw.text().contains("to make a key: ssh-keygen"), "{saw:?}");
        assert_eq!(fixture.last_audited(), "auth.failure key-required");
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_answers_are_asked_again_as_often_as_the_client_likes_or_end_it() {
    for is_strict in [false, true] {
        let fixture = PeopleFixture::new(2);
        fixture.people.record().is_strict = is_strict;
        let wrong = KeyedUser {
            answer: Some("wrong"),
            ..fixture.user(Program::OpenSsh)
        };
        let (saw, signed) = fixture.log_in(&wrong).await;
        assert!(!saw.is_in && signed.is_empty());
        assert_eq!(saw.questions.len(), if is_strict { 3 } else { 9 });
        assert!(saw.text().contains("the password or the code is wrong"));
        assert_eq!(fixture.last_audited(), "auth.failure sign-in-wrong");
        assert_eq!(saw.ended.is_some(), is_strict, "{saw:?}");
    }
}

/// Certificates count while nobody can be asked about people, and others read which part failed.
#[tokio::test(start_paused = true)]
async fn when_people_cannot_be_asked_certificates_count_and_keys_are_refused_with_the_part_that_failed()
 {
    for program in [Program::OpenSsh, Program::OffersOnce, Program::AnswersFirst] {
        let fixture = PeopleFixture::new(3);
        fixture.people.record().is_away = true;
        let (saw, _) = fixture.log_in(&fixture.user(program)).await;
        assert!(!saw.is_in);
        let told = "rproxy: proxy: the auth process cannot say who you are: the other process gives no answer";
        assert!(saw.text().contains(told), "{program:?}: {saw:?}");
        assert_eq!(fixture.last_audited(), "auth.failure people-unavailable");
        let asked = fixture.people.record().asked.clone();
        assert!(asked.len() <= 2, "once, and the end: {asked:?}");
        let certified = fixture.outer.proxy.user();
        let (saw, _leg) = certified.log_in(fixture.outer.connect()).await;
        assert!(saw.is_in, "{saw:?}");
    }
}

/// A person who types slowly has five minutes in all; one who leaves the question has the grace.
#[tokio::test(start_paused = true)]
async fn a_question_is_not_open_for_ever() {
    let fixture = PeopleFixture::new(1);
    let began = Instant::now();
    let silent = KeyedUser {
        answer: Some(SILENT),
        ..fixture.user(Program::OpenSsh)
    };
    let (saw, _, _leg) = silent.log_in(fixture.outer.connect()).await;
    assert!(!saw.is_in);
    let took = began.elapsed();
    assert!(took >= GRACE && took < Duration::from_secs(301), "{took:?}");
}
