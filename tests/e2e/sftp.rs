//! sftp(1) in batch mode: a subsystem, recorded like everything else.

use crate::bulk::random;
use crate::support::World;
use crate::support::recordings::text;

#[test]
fn a_file_goes_there_and_back() {
    let world = World::new();
    let dir = world.dir();
    let sent = random(300_000);
    std::fs::write(dir.join("sent"), &sent).expect("a writable directory");
    let batch = format!(
        "put {0}/sent {0}/stored\nget {0}/stored {0}/fetched\n",
        dir.display()
    );
    std::fs::write(dir.join("batch"), batch).expect("a writable directory");
    world
        .program("sftp")
        .arg("-F")
        .arg(dir.join("inner"))
        .arg("-b")
        .arg(dir.join("batch"))
        .arg("db1")
        .run()
        .success();
    let fetched = std::fs::read(dir.join("fetched")).expect("sftp has written it");
    assert!(fetched == sent, "the file has changed on its way");

    let recording = world.finished_recording();
    assert_eq!(text(&recording, "kind"), "subsystem");
    assert_eq!(text(&recording, "command"), "sftp");
}
