//! Peers that make us work: key exchanges, traffic and extensions without end.

use std::time::Duration;

use super::*;

/// There is one key exchange before user authentication, and none that a login could be lost in.
#[test]
fn a_second_key_exchange_before_authentication_ends_the_connection() {
    for is_server in [true, false] {
        for strict in [true, false] {
            let mut puppet = Puppet::established(is_server, strict);
            is_unexpected(puppet.rekey(), message::KEXINIT);
            puppet.say(&[94]).expect("thrown away");
            assert!(puppet.events.is_empty());
            let early = Puppet::established(is_server, strict).tested.start_rekey();
            assert!(matches!(early, Err(Error::Misuse(_))));
        }
    }
}

#[test]
fn key_exchanges_without_end_end_the_connection() {
    for is_server in [true, false] {
        let mut puppet = Puppet::authenticated(is_server, true);
        let refused = (0..1000).find_map(|number| Some((number, puppet.rekey().err()?)));
        let (number, refused) = refused.expect("bounded");
        assert!((50..300).contains(&number), "{number}");
        assert!(matches!(refused, Error::Violation(Violation::Rekeys)));
    }
}

/// As `ssh -o RekeyLimit=16K` and `-o RekeyLimit="1G 1s"` do.
#[test]
fn key_exchanges_that_traffic_or_time_explain_are_welcome() {
    for is_server in [true, false] {
        let mut puppet = Puppet::authenticated(is_server, true);
        let data = [&[94][..], &vec![0; 15_000]].concat();
        for _ in 0..400 {
            puppet.say(&data).expect("taken");
            puppet.rekey().expect("after 16 KiB");
        }
        let mut puppet = Puppet::authenticated(is_server, true);
        for second in 1..400 {
            let now = Duration::from_secs(second);
            puppet.tested.tick(now).expect("nothing is due");
            puppet.rekey().expect("after a second");
        }
    }
}

#[test]
fn traffic_without_authentication_is_bounded() {
    for is_server in [true, false] {
        for size in [0, 30_000] {
            let mut puppet = Puppet::established(is_server, true);
            let ignored = [&[message::IGNORE][..], &vec![0; size]].concat();
            let refused = (0..20_000).find_map(|_| puppet.say(&ignored).err());
            let Some(Error::Violation(Violation::Unauthenticated)) = refused else {
                panic!("{refused:?}");
            };
            let mut puppet = Puppet::authenticated(is_server, true);
            for _ in 0..10_000 {
                puppet.say(&ignored).expect("as much as it likes");
            }
        }
    }
}

/// Memory that a peer's extensions take does not grow, however often it says them.
#[test]
fn extensions_are_said_a_few_times_and_kept_short() {
    let list = vec![b','; 200_000];
    let mut payload = vec![message::EXT_INFO, 0, 0, 0, 1];
    for part in [&b"server-sig-algs"[..], &list] {
        part.encode(&mut payload).expect("short");
    }
    for is_server in [true, false] {
        let mut puppet = Puppet::established(is_server, true);
        puppet.say(&payload).expect("taken");
        let known = puppet.tested.peer_extensions().server_sig_algs.as_ref();
        assert!(known.expect("given").len() < 10_000);
        let refused = (0..100).find_map(|_| puppet.say(&payload).err());
        let refused = Err(refused.expect("bounded"));
        is_unexpected(refused, message::EXT_INFO);
    }
}
