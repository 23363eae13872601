//! People who sign in with the real ssh and the real ssh-agent.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use ssh_key::LineEnding;
use tokio::net::TcpListener;

use super::*;
use crate::cert::testing::ed25519;
use crate::ssh::people_client::PeopleClient;
use crate::ssh::testing::test_people::{RIGHT, TestPeople};
use crate::sys::fs::private_tempdir;
use tests::{LIMITS, OuterFixture};

/// Runs ssh with an agent of these keys; every question is answered by a program.
fn ssh(directory: &Path, port: u16, keys: usize, options: &[&str]) -> Output {
    let add: String = (0..keys)
        .map(|key| format!("ssh-add -q {}/{key}\n", directory.display()))
        .collect();
    let options = options.join(" ");
    let script = format!(
        "{add}exec ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
         -o GlobalKnownHostsFile=/dev/null {options} -p {port} deploy@127.0.0.1 status"
    );
    Command::new("ssh-agent")
        .args(["sh", "-ec", &script])
        .env("HOME", directory)
        .env("SSH_ASKPASS", directory.join("answer"))
        .env("SSH_ASKPASS_REQUIRE", "force")
        .output()
        .expect("ssh-agent is missing: install the package openssh-client")
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Makes keys, and the program that answers questions.
fn prepare(directory: &Path, keys: usize) -> Vec<Vec<u8>> {
    let write = |name: &str, text: &str, mode: &str| {
        let path = directory.join(name);
        let mut writer = Command::new("sh")
            .args(["-ec", "cat > \"$1\"; chmod \"$2\" \"$1\"", "sh"])
            .arg(path)
            .arg(mode)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        writer
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(writer.wait().unwrap().success());
    };
    write("answer", &format!("#!/bin/sh\necho {RIGHT}\n"), "700");
    (0..keys)
        .map(|number| {
            let key = ed25519();
            let text = key.to_openssh(LineEnding::LF).unwrap();
            write(&number.to_string(), &text, "600");
            key.public_key().to_bytes().unwrap()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_twenty_keys_signs_in_with_its_first_and_is_asked_once() {
    const KEYS: usize = 20;
    let directory = private_tempdir();
    let blobs = prepare(directory.path(), KEYS);
    let people = Arc::new(TestPeople::default());
    let asked = PeopleClient::new(people.clone());
    let outer = OuterFixture::new(LIMITS).with_people(asked);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async {
        loop {
            let (stream, address) = listener.accept().await.unwrap();
            outer.serve(stream, address);
        }
    };
    let place = directory.path().to_owned();
    let runs = tokio::task::spawn_blocking(move || {
        let batch = ssh(&place, port, KEYS, &["-o BatchMode=yes"]);
        let first = ssh(&place, port, KEYS, &[]);
        let second = ssh(&place, port, KEYS, &["-o BatchMode=yes"]);
        [batch, first, second]
    });
    let [batch, first, second] = tokio::select! {
        runs = runs => runs.unwrap(),
        () = serve => unreachable!("it serves until the clients are done"),
    };
    assert!(!batch.status.success());
    let told = "ssh -p 3023 deploy@PROXY login";
    assert!(said(&batch).contains(told), "{}", said(&batch));
    assert!(first.status.success(), "{}", said(&first));
    assert_eq!(people.record().registered, [blobs[0].clone()]);
    assert!(second.status.success(), "{}", said(&second));
    let begun = people
        .record()
        .asked
        .iter()
        .filter(|kind| **kind == "begin")
        .count();
    assert_eq!(begun, 1);
}
