//! `proxy_checks_host_keys: no`: plain host keys are accepted, with warnings.

use crate::support::{HostKey, World};

#[test]
fn plain_host_keys_are_admitted_with_a_warning() {
    let world = World::with()
        .node("db1", HostKey::Plain)
        .auth_setting("proxy_checks_host_keys: no")
        .start();
    world.logged("proxy_checks_host_keys");
    let outcome = world.run("db1", "echo hello").success();
    assert_eq!(outcome.text(), "hello\n");
    let audit = world.audit();
    assert!(
        audit.iter().any(
            |event| event["event"] == "session.start" && event.to_string().contains("insecure")
        ),
        "{audit:#?}"
    );
}
