//! Much data, through the proxy and its recording, unchanged.

use std::io::Read;

use crate::support::World;

const MIB: usize = 1 << 20;

/// Every byte comes out of `cat` as it went in, with both directions busy at once.
#[test]
fn a_hundred_mebibytes_there_and_back() {
    let world = World::new();
    let sent = random(100 * MIB);
    let outcome = world
        .ssh()
        .args(["db1", "cat"])
        .stdin(sent.clone())
        .run()
        .success();
    assert_eq!(outcome.stdout.len(), sent.len());
    assert!(
        outcome.stdout == sent,
        "what came back is not what was sent"
    );

    let recording = world.finished_recording();
    assert!(
        world.exported(&recording, "stdin") == sent,
        "the recording of standard input differs"
    );
    assert!(
        world.exported(&recording, "stdout") == sent,
        "the recording of standard output differs"
    );
}

/// Random bytes, which do not compress.
pub(crate) fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .expect("/dev/urandom never ends");
    bytes
}
