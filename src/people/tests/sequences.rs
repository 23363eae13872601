//! Arbitrary sequences of questions: none leads to a sign-in without a proved key and right answers,
//! and none to a certificate without a sign-in.

use proptest::prelude::*;

use super::house::{House, HouseClient, HouseKey, PASSWORD};
use crate::cert::testing::ed25519;
use crate::ipc::{OwnCommand, PeopleAnswer, PeopleQuestion};
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
