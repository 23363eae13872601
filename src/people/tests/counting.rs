//! What happens is counted, once, and where it belongs.

use std::collections::BTreeMap;

use super::house::{House, HouseKey, PASSWORD, refusal, signed_in};
use crate::cert::testing::ed25519;
use crate::ipc::{OwnCommand, PeopleAnswer};
use crate::people::RequiredFactor;

fn counts<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    let named = expected.map(|(name, count)| (name.to_owned(), count));
    named.into()
}

#[test]
fn what_happens_to_clients_is_counted_by_method_and_reason() {
    let house = House::new(RequiredFactor::Otp);
    let (key, secret) = house.signed_up("alice");
    assert_eq!(house.meters.sign_ins.readings(), counts([("local", 1)]));
    // The sign-in goes on: the key is enough.
    let client = house.client_with("postgres", key);
    signed_in(client.prove());
    let certificate = client.certificate("postgres");
    assert!(matches!(certificate, PeopleAnswer::Certificate(_)));
    client.own(OwnCommand::Certificate);
    refusal(client.certificate("oracle"));
    // A stranger guesses until the answers are not looked at any more.
    let stranger = house.client_with("alice", HouseKey::Plain(ed25519()));
    for _ in 0..5 {
        stranger.begin();
        stranger.answer(&[""]);
        refusal(stranger.answer(&["wrong password", "000000"]));
    }
    stranger.begin();
    assert_eq!(refusal(stranger.answer(&[""])).reason, "sign-in-throttled");
    let later = house.later(30);
    let signup = later.client("signup");
    signup.begin();
    refusal(signup.answer(&["AAAA-AAAA-AAAA-AAAA"]));
    later.admin().lock("alice", None).unwrap();
    let locked = later.client("alice");
    locked.begin();
    locked.answer(&[""]);
    let code = secret.code(later.now());
    refusal(locked.answer(&[PASSWORD, &code]));

    let meters = &house.meters;
    let expected = counts([("local", 1), ("key", 1)]);
    assert_eq!(meters.sign_ins.readings(), expected);
    let expected = counts([("answers", 5), ("forbidden", 1)]);
    assert_eq!(meters.refusals.readings(), expected);
    assert_eq!(meters.throttled.readings(), counts([("account", 1)]));
    let expected = counts([("connection", 1), ("user", 1)]);
    assert_eq!(meters.certificates.readings(), expected);
    let expected = counts([("invitation", 1), ("account", 1)]);
    assert_eq!(later.meters.refusals.readings(), expected);
}
