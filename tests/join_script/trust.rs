//! The proxy has to prove itself before anything is sent; after a rotation of the host CA its successors do.

use std::fs;

use crate::double::{Answer, CLUSTER, ProxyDouble, generate};
use crate::host::{ScratchHost, each_shell, one_shell, public, text};

const OPTION: &str = "critical:host-ca-successor@rproxy";

#[test]
fn nothing_is_sent_to_a_stranger() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        generate(&host.proxy.path("stranger"));
        host.proxy.present("stranger");
        let before = host.tree();
        let said = host.join(&[]).failure();
        assert!(said.contains("does not prove"), "{said}");
        let mut after = host.tree();
        after.remove(&host.at("run/rproxy-node").display().to_string());
        assert_eq!(after, before);
        // It was asked for successors, without the token.
        assert_eq!(host.proxy.programs(), ["successors"]);
        assert_eq!(host.proxy.last("successors").text, "rproxy-report 1\nend\n");
    });
}

/// A key without a certificate, and a certificate for another name.
#[test]
fn only_a_certificate_of_the_proxy_counts() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.proxy
            .sign("host_ca", &host.proxy.path("key"), &["-n", "db1"]);
        host.join(&[]).failure();
        host.proxy.sign(
            "host_ca",
            &host.proxy.path("key"),
            &["-n", "proxy.example.com", "-V", "20200101:20200102"],
        );
        let said = host.join(&[]).failure();
        assert!(said.contains("clock"), "{said}");
        assert!(!host.proxy.programs().contains(&"join".to_owned()));
    });
}

/// A line of the program `successors`: the key before certifies the key after.
fn link(proxy: &ProxyDouble, before: &str, after: &str, principal: &str, more: &[&str]) -> String {
    let arguments = [&["-n", principal], more].concat();
    proxy.sign(before, &proxy.path(after), &arguments);
    let certificate = text(&proxy.path(&format!("{after}-cert.pub")));
    let certificate: Vec<_> = certificate.split_whitespace().take(2).collect();
    let key = public(&proxy.path(after));
    let key: Vec<_> = key.split_whitespace().take(2).collect();
    format!("{} {}\n", certificate.join(" "), key.join(" "))
}

fn principal() -> String {
    format!("host-ca-successor@{CLUSTER}")
}

/// A host that has been off while the host CA was rotated twice.
fn long_absent(shell: &'static str) -> ScratchHost {
    let host = ScratchHost::new(shell);
    host.joined(&[]);
    for key in ["second_ca", "third_ca"] {
        generate(&host.proxy.path(key));
    }
    host.proxy.present("third_ca");
    let mut answer = Answer::new(&host.proxy);
    answer.host_cas = vec![host.proxy.public("third_ca")];
    answer.signer = "third_ca";
    answer.certificate = Some(host.proxy.certify("third_ca", &host.key(), 9));
    host.proxy.answer("heartbeat", &answer.text());
    host
}

fn chain(proxy: &ProxyDouble) -> String {
    link(proxy, "host_ca", "second_ca", &principal(), &["-O", OPTION])
        + &link(
            proxy,
            "second_ca",
            "third_ca",
            &principal(),
            &["-O", OPTION],
        )
}

#[test]
fn a_host_that_was_off_comes_back_by_itself() {
    each_shell(|shell| {
        let host = long_absent(shell);
        // Links of before its time come first.
        generate(&host.proxy.path("zeroth_ca"));
        let first = link(
            &host.proxy,
            "zeroth_ca",
            "host_ca",
            &principal(),
            &["-O", OPTION],
        );
        host.proxy
            .answer("successors", &format!("{first}{}end\n", chain(&host.proxy)));
        host.heartbeat().success();
        let known = text(&host.ours("known_hosts"));
        assert_eq!(known.lines().count(), 1, "{known}");
        assert!(known.contains(&host.proxy.public("third_ca")), "{known}");
        assert_eq!(host.proxy.last("heartbeat").values("certificate"), ["9"]);
        assert_eq!(host.reloads(), 2);
        // From now on it is known.
        let count = host.proxy.programs().len();
        host.heartbeat().success();
        assert_eq!(host.proxy.programs()[count..], ["heartbeat"]);
    });
}

#[test]
fn a_script_from_before_the_rotation_joins() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        for key in ["second_ca", "third_ca"] {
            generate(&host.proxy.path(key));
        }
        host.proxy.present("third_ca");
        host.proxy
            .answer("successors", &format!("{}end\n", chain(&host.proxy)));
        let mut answer = Answer::new(&host.proxy);
        answer.host_cas = vec![host.proxy.public("third_ca")];
        answer.signer = "third_ca";
        answer.certificate = Some(host.proxy.certify("third_ca", &host.key(), 1));
        host.proxy.answer("join", &answer.text());
        answer.certificate = None;
        host.proxy.answer("heartbeat", &answer.text());
        host.joined(&[]);
        assert!(host.is_in_force());
    });
}

#[test]
fn forged_chains_lead_nowhere() {
    one_shell(|shell| {
        let host = long_absent(shell);
        let before = host.stamped();
        let proxy = &host.proxy;
        let good = chain(proxy);
        let to_second = good.lines().next().unwrap().to_owned() + "\n";
        generate(&proxy.path("stranger"));
        let option = ["-O", OPTION];
        let last = link(proxy, "second_ca", "third_ca", &principal(), &option);
        // Each has one link that does not count.
        let forged = [
            ("no link", String::new()),
            ("a link is missing", last.clone()),
            ("in the wrong order", format!("{last}{to_second}")),
            (
                "of a stranger",
                link(proxy, "stranger", "third_ca", &principal(), &option),
            ),
            // What a host that was taken over has of the CA.
            (
                "a host's certificate",
                link(proxy, "host_ca", "third_ca", "db1", &[]),
            ),
            (
                "a host's name too",
                link(
                    proxy,
                    "host_ca",
                    "third_ca",
                    &format!("{},db1", principal()),
                    &option,
                ),
            ),
            (
                "without the option",
                link(proxy, "host_ca", "third_ca", &principal(), &[]),
            ),
            (
                "of another cluster",
                link(
                    proxy,
                    "host_ca",
                    "third_ca",
                    "host-ca-successor@other",
                    &option,
                ),
            ),
            ("another key behind it", {
                let link = link(proxy, "host_ca", "second_ca", &principal(), &option);
                let certificate: Vec<_> = link.split_whitespace().take(2).collect();
                format!("{} {}\n", certificate.join(" "), proxy.public("third_ca"))
            }),
            ("damaged", good.replacen("AAAA", "AAAB", 1)),
            ("too long", to_second.repeat(70) + &last),
        ];
        for (name, lines) in forged {
            proxy.answer("successors", &format!("{lines}end\n"));
            println!("{name}");
            let count = proxy.programs().len();
            host.heartbeat().failure();
            assert!(
                !proxy.programs()[count..].contains(&"heartbeat".to_owned()),
                "{name}"
            );
        }
        // Cut: without its end.
        proxy.answer("successors", &good);
        host.heartbeat().failure();
        assert_eq!(host.stamped(), before);
        // A certificate of users is none of hosts.
        let user = {
            let mut command = std::process::Command::new("ssh-keygen");
            command.args(["-q", "-I", "x", "-n", &principal(), "-O", OPTION, "-s"]);
            crate::double::run(
                command
                    .arg(proxy.path("host_ca"))
                    .arg(proxy.path("third_ca.pub")),
            );
            let text = fs::read_to_string(proxy.path("third_ca-cert.pub")).unwrap();
            let words: Vec<_> = text.split_whitespace().take(2).collect();
            format!("{} {}\nend\n", words.join(" "), proxy.public("third_ca"))
        };
        proxy.answer("successors", &user);
        host.heartbeat().failure();
        assert_eq!(host.stamped(), before);
    });
}

/// A line by which a key names one of the user CA.
fn proof(proxy: &ProxyDouble, signer: &str, key: &str, principal: &str, more: &[&str]) -> String {
    let link = link(proxy, signer, key, principal, more);
    format!("user-ca-proof {link}")
}

/// The proxy's process that speaks with hosts is an attacker's: it has a certificate of the proxy, and nothing
/// that a key of the host CA has signed for a key of its own.
#[test]
fn keys_of_an_attacker_in_the_proxy_are_not_trusted() {
    const USER_CA: &str = "critical:user-ca@rproxy";
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&[]);
        let proxy = &host.proxy;
        for key in ["evil", "other"] {
            generate(&proxy.path(key));
        }
        let before = host.stamped();
        let named = format!("user-ca@{CLUSTER}");
        let forged = [
            ("nothing", String::new()),
            (
                "its own signature",
                proof(proxy, "evil", "evil", &named, &["-O", USER_CA]),
            ),
            // What it gets of the service for certificates of the proxy, and a host that it has taken.
            (
                "a host's certificate",
                proof(proxy, "host_ca", "evil", "db1", &[]),
            ),
            (
                "without the option",
                proof(proxy, "host_ca", "evil", &named, &[]),
            ),
            (
                "of another cluster",
                proof(proxy, "host_ca", "evil", "user-ca@other", &["-O", USER_CA]),
            ),
            (
                "a successor's",
                proof(proxy, "host_ca", "evil", &principal(), &["-O", OPTION]),
            ),
            ("another key's", {
                let line = proof(proxy, "host_ca", "other", &named, &["-O", USER_CA]);
                line.replace(&proxy.public("other"), &proxy.public("evil"))
            }),
            ("the right key's, beside it", {
                proof(proxy, "host_ca", "user_ca", &named, &["-O", USER_CA])
            }),
        ];
        for (name, lines) in forged {
            println!("{name}");
            let mut answer = Answer::new(proxy);
            answer.user_cas.push(proxy.public("evil"));
            answer.signer = "";
            let text = answer.text().replace("\nend\n", &format!("\n{lines}end\n"));
            proxy.answer("heartbeat", &text);
            let said = host.heartbeat().failure();
            assert!(said.contains("key of the user CA"), "{name}: {said}");
            assert_eq!(host.stamped(), before, "{name}");
        }
        // The host has said so.
        let told = proxy.last("heartbeat").values("problem").join("");
        assert!(told.contains("was left out"), "{told}");
        // Nor a key of its own for the next connection, nor a certificate of that.
        for signer in ["", "evil"] {
            let mut answer = Answer::new(proxy);
            answer.host_cas.push(proxy.public("evil"));
            answer.signer = signer;
            proxy.answer("heartbeat", &answer.text());
            let said = host.heartbeat().failure();
            assert!(said.contains("key of the host CA"), "{said}");
            answer.certificate = Some(proxy.certify("evil", &host.key(), 9));
            proxy.answer("heartbeat", &answer.text());
            let said = host.heartbeat().failure();
            assert!(said.contains("not for this host"), "{said}");
            answer.host_cas = vec![proxy.public("evil")];
            answer.certificate = None;
            proxy.answer("heartbeat", &answer.text());
            let said = host.heartbeat().failure();
            assert!(said.contains("no key of the host CA"), "{said}");
        }
        assert_eq!(host.stamped(), before);
    });
}

/// The same when it joins: nothing remains.
#[test]
fn a_host_does_not_join_with_the_keys_of_an_attacker() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        generate(&host.proxy.path("evil"));
        let mut answer = Answer::new(&host.proxy);
        answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), 1));
        answer.user_cas = vec![host.proxy.public("evil")];
        answer.signer = "evil";
        host.proxy.answer("join", &answer.text());
        let said = host.join(&[]).failure();
        assert!(said.contains("no key of the user CA"), "{said}");
        assert!(!host.ours("user_ca.pub").exists());
        // With the right ones it joins.
        answer.user_cas = vec![host.proxy.public("user_ca")];
        answer.signer = "host_ca";
        host.proxy.answer("join", &answer.text());
        host.join(&[]).success();
    });
}
