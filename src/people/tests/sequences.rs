//! Arbitrary sequences of questions: none leads to a sign-in without a proved key and right answers,
//! and none to a certificate without a sign-in.

use proptest::prelude::*;

use super::house::{House, HouseClient, HouseKey, PASSWORD};
use super::provider::{ALICE, BrowserThere, MALLORY, ORIGIN, ticket};
use crate::cert::testing::ed25519;
use crate::ipc::{BrowserAnswer, OwnCommand, PeopleAnswer, PeopleQuestion};
use crate::people::RequiredFactor;

/// What a client, or the process between, does next.
#[derive(Clone, Copy, Debug)]
enum SequenceStep {
    Offer,
    /// A valid signature by this key of the client.
    Prove(usize),
    /// A signature that does not verify.
    ProveWrongly(usize),
    Begin,
    /// As many answers, with the right password and name or without.
    Answer(usize, bool),
    Certificate,
    Own(usize),
    Close,
    /// A browser opens the last link of this client, or of another one.
    Open(bool),
    /// The browser that has opened a link comes back, as this person.
    ComeBack(usize),
    /// The last code that a browser has shown is typed, or a code of another terminal.
    TypeCode(bool),
}

fn step() -> impl Strategy<Value = SequenceStep> {
    prop_oneof![
        1 => Just(SequenceStep::Offer),
        1 => (0..2_usize).prop_map(SequenceStep::Prove),
        1 => (0..2_usize).prop_map(SequenceStep::ProveWrongly),
        3 => Just(SequenceStep::Begin),
        4 => (0..4_usize, any::<bool>()).prop_map(|(count, right)| SequenceStep::Answer(count, right)),
        2 => Just(SequenceStep::Certificate),
        1 => (0..4_usize).prop_map(SequenceStep::Own),
        1 => Just(SequenceStep::Close),
    ]
}

/// The same, and what browsers do.
fn step_with_browsers() -> impl Strategy<Value = SequenceStep> {
    prop_oneof![
        4 => step(),
        1 => any::<bool>().prop_map(SequenceStep::Open),
        1 => (0..2_usize).prop_map(SequenceStep::ComeBack),
        1 => any::<bool>().prop_map(SequenceStep::TypeCode),
    ]
}

/// What the client has really proved, on this connection.
#[derive(Clone, Copy, Debug, Default)]
struct Model {
    /// A signature by one of its keys was valid.
    has_proved: bool,
    /// The right password was among the answers.
    has_answered: bool,
    is_signed_in: bool,
}

fn own(number: usize) -> OwnCommand {
    match number {
        0 => OwnCommand::Status,
        1 => OwnCommand::Certificate,
        2 => OwnCommand::ChangePassword,
        _ => OwnCommand::Keys,
    }
}

fn take(client: &mut HouseClient<'_>, keys: &[HouseKey], step: SequenceStep) -> PeopleAnswer {
    match step {
        SequenceStep::Offer => client.offer(),
        SequenceStep::Prove(key) => {
            client.key = keys[key].clone();
            client.prove()
        }
        SequenceStep::ProveWrongly(key) => {
            client.key = keys[key].clone();
            let mut proof = client.proof();
            proof.session.reverse();
            client.ask(PeopleQuestion::Prove(proof))
        }
        SequenceStep::Begin => client.begin(),
        SequenceStep::Answer(count, is_right) => {
            let answer = if is_right { PASSWORD } else { "wrong password" };
            client.answer(&vec![answer; count])
        }
        SequenceStep::Certificate => client.certificate("postgres"),
        SequenceStep::Own(number) => client.own(own(number)),
        SequenceStep::Close => client.ask(PeopleQuestion::Close),
        SequenceStep::Open(_) | SequenceStep::ComeBack(_) | SequenceStep::TypeCode(_) => {
            unreachable!("a step of browsers")
        }
    }
}

/// The browsers beside a client: one with the client's links, one with those of another terminal.
#[derive(Default)]
struct BrowsersBeside {
    /// The last link that the client was shown.
    link: Option<String>,
    /// The browser that is at the provider, and whether it has the client's link.
    there: Option<(BrowserThere, bool)>,
    /// The last code of the client's link.
    own: Option<String>,
    /// The last code of another link.
    foreign: Option<String>,
}

impl BrowsersBeside {
    /// Notes the link that a client was shown.
    fn see(&mut self, answer: &PeopleAnswer) {
        if let PeopleAnswer::Questions(questions) = answer
            && questions.banner.contains(ORIGIN)
        {
            self.link = Some(ticket(&questions.banner));
            // What was shown for the link before is not of use for this one.
            self.foreign = self.own.take().or_else(|| self.foreign.take());
            self.there = self.there.take().map(|(there, _)| (there, false));
        }
    }

    fn open(&mut self, house: &House, other: &str, is_own: bool) {
        let link = match (is_own, &self.link) {
            (true, Some(link)) => link,
            _ => other,
        };
        let is_own = Some(link.to_owned()) == self.link;
        if let BrowserAnswer::Redirect { .. } = house.open(link) {
            self.there = Some((house.follow(link), is_own));
        }
    }

    fn come_back(&mut self, house: &House, person: usize) {
        let Some((there, is_own)) = &self.there else {
            return;
        };
        let person = [ALICE, MALLORY][person];
        if let BrowserAnswer::Code { code, .. } = house.browse(there.signed_in(person)) {
            let code = Some(code.expose().to_owned());
            match is_own {
                true => self.own = code,
                false => self.foreign = code,
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Without the code of its own link and a key, no client is signed in, whatever browsers do.
    #[test]
    fn no_sequence_with_browsers_signs_in_without_the_code_and_the_key(
        has_local in any::<bool>(),
        steps in prop::collection::vec(step_with_browsers(), 1..32),
    ) {
        let house = House::with_provider(has_local);
        let keys = [HouseKey::Plain(ed25519()), HouseKey::Plain(ed25519())];
        let other = house.client("other");
        let asked = other.begin();
        let asked = if has_local { other.answer(&["browser"]) } else { asked };
        let PeopleAnswer::Questions(asked) = asked else { panic!("{asked:?}") };
        let other_link = ticket(&asked.banner);
        let mut client = house.client("browser");
        let mut browsers = BrowsersBeside::default();
        let mut model = Model::default();
        for step in steps {
            let answer = match step {
                SequenceStep::Open(is_own) => {
                    browsers.open(&house, &other_link, is_own);
                    continue;
                }
                SequenceStep::ComeBack(person) => {
                    browsers.come_back(&house, person);
                    continue;
                }
                SequenceStep::TypeCode(is_own) => {
                    let code = if is_own { &browsers.own } else { &browsers.foreign };
                    let answer = client.answer(&[code.as_deref().unwrap_or("2222-2222")]);
                    model.has_answered |= is_own && browsers.own.is_some();
                    answer
                }
                // The name that asks for a link.
                SequenceStep::Answer(1, true) => client.answer(&["browser"]),
                step => take(&mut client, &keys, step),
            };
            browsers.see(&answer);
            match step {
                SequenceStep::Prove(_) => model.has_proved = true,
                SequenceStep::Close => model = Model::default(),
                _ => {}
            }
            if let PeopleAnswer::SignedIn(_) = &answer {
                prop_assert!(model.has_proved, "{step:?}");
                let users = house.admin().list().unwrap();
                let is_live = users.iter().any(|user| {
                    !house.admin().show(user.name.as_str()).unwrap().sign_ins.is_empty()
                });
                prop_assert!(model.has_answered || is_live, "{step:?}");
                model.is_signed_in = true;
            }
            if let PeopleAnswer::Certificate(_) | PeopleAnswer::Text(_) = &answer {
                prop_assert!(model.is_signed_in, "{step:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_sequence_signs_in_without_proof_and_answers(steps in prop::collection::vec(step(), 1..24)) {
        let house = House::new(RequiredFactor::Off);
        // The one key is registered for alice, and has no sign-in any more.
        let first = house.client("signup");
        first.begin();
        first.answer(&[&house.invite("alice")]);
        first.answer(&[PASSWORD, PASSWORD]);
        first.prove();
        first.own(OwnCommand::Logout { everywhere: true });
        let keys = [first.key, HouseKey::Plain(ed25519())];
        let mut client = house.client("alice");
        let mut model = Model::default();
        for step in steps {
            let answer = take(&mut client, &keys, step);
            match step {
                SequenceStep::Prove(_) => model.has_proved = true,
                SequenceStep::Answer(_, true) => model.has_answered = true,
                SequenceStep::Close => model = Model::default(),
                _ => {}
            }
            match answer {
                PeopleAnswer::SignedIn(_) => {
                    prop_assert!(model.has_proved, "{step:?}");
                    // Its own sign-in of an earlier conversation is proved by the key alone.
                    let is_live = !house.admin().show("alice").unwrap().sign_ins.is_empty();
                    prop_assert!(model.has_answered || is_live, "{step:?}");
                    model.is_signed_in = true;
                }
                PeopleAnswer::Certificate(_) | PeopleAnswer::Text(_) => {
                    prop_assert!(model.is_signed_in, "{step:?}");
                }
                PeopleAnswer::Questions(_) | PeopleAnswer::ProveKey | PeopleAnswer::AskFirst
                | PeopleAnswer::Usable | PeopleAnswer::Useless | PeopleAnswer::Refused(_)
                | PeopleAnswer::Closed => {}
            }
        }
    }
}
