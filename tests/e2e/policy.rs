//! Roles: which users may log in to which hosts, what `rproxy explain` says about it, and what
//! happens to live sessions when the configuration is reloaded.

use std::io::{Read, Write};
use std::net::TcpStream;

use chrono::{DateTime, TimeDelta};
use serde_json::Value;

use crate::forwards::{forwarding, refused};
use crate::support::keys::{self, Certificate, Issuer};
use crate::support::ports::free_port;
use crate::support::recordings::text;
use crate::support::service::{ANSWER, ask, listens, on_port};
use crate::support::world::login;
use crate::support::{ClientOutcome, HostKey, World};

/// An account that the certificate names beside the tests' own.
const OTHER: &str = "somebody-else";

/// `alice` has the one role of this YAML.
fn alice_has(role: &str) -> String {
    format!("roles:\n  - name: tested\n{role}users:\n  - {{ name: alice, roles: [tested] }}\n")
}

/// Two hosts with labels, and a certificate for two accounts.
fn fleet(settings: &str) -> World {
    World::with()
        .labelled_node("db1", HostKey::Certified, "{ env: prod }")
        .labelled_node("web1", HostKey::Certified, "{ env: test, shared: x }")
        .labelled_node("web2", HostKey::Certified, "{ env: test, shared: x }")
        .certificate(Certificate {
            issuer: Issuer::Rproxy,
            principals: Some(format!("{},{OTHER}", login())),
        })
        .settings(settings)
        .start()
}

/// Everything that the tests' own account may, everywhere.
const EVERYWHERE: &str = "    allow: [{ nodes: [\"*\"] }]\n";

/// Tries to log in to a host as this account.
fn log_in(world: &World, host: &str, login: &str) -> ClientOutcome {
    world.ssh().args(["-l", login, host, "echo in"]).run()
}

/// The output of `rproxy explain` about alice, as JSON, and its exit code.
fn explain(world: &World, host: &str, login: &str, more: &[&str]) -> (Value, Option<i32>) {
    let output = world
        .rproxy()
        .args([
            "explain",
            &format!("alice@{host}"),
            "--login",
            login,
            "--format=json",
        ])
        .args(more)
        .output()
        .expect("rproxy runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty(), "{said}");
    let answer = serde_json::from_slice(&output.stdout).expect("JSON");
    (answer, output.status.code())
}

fn time(event: &Value) -> DateTime<chrono::FixedOffset> {
    DateTime::parse_from_rfc3339(text(event, "time")).expect("RFC 3339")
}

/// Roles that only the state gives are named on the command line.
#[test]
fn explain_counts_the_roles_that_it_is_given() {
    let own = login();
    let world = fleet(&format!("roles:\n  - name: tested\n{EVERYWHERE}"));
    let (answer, code) = explain(&world, "db1", &own, &[]);
    assert_eq!(code, Some(77), "{answer:#}");
    let (answer, code) = explain(&world, "db1", &own, &["--roles=tested"]);
    assert_eq!(code, Some(0), "{answer:#}");
    assert_eq!(answer["roles"][0], "tested");
    let mut unknown = world.rproxy();
    unknown.args(["explain", "alice@db1", "--login", &own, "--roles=gone"]);
    let output = unknown.output().expect("rproxy runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is no role \"gone\""), "{said}");
}

/// By login, node and label: what `explain` says is what happens, and both name the line.
#[test]
fn what_explain_says_is_what_happens() {
    let own = login();
    let world = fleet(&alice_has(&format!(
        "    allow:\n      \
           - {{ logins: [\"{own}\"], nodes: [\"db*\"] }}\n      \
           - {{ nodes: [\"web*\"], labels: {{ env: test }} }}\n      \
           - {{ nodes: [db1], labels: {{ env: test }} }}\n    \
         deny:\n      \
           - {{ logins: [\"{OTHER}\"], nodes: [web2] }}\n"
    )));
    // The account does not exist: if the policy allows the login, the host refuses it.
    for (host, login, allowed, line) in [
        ("db1", own.as_str(), true, "nodes: [\"db*\"]"),
        ("db1", OTHER, false, ""),
        ("web1", own.as_str(), true, "labels: { env: test } }"),
        ("web1", OTHER, true, "labels: { env: test } }"),
        ("web2", own.as_str(), true, "labels: { env: test } }"),
        ("web2", OTHER, false, "nodes: [web2]"),
        ("nowhere.invalid", own.as_str(), false, ""),
    ] {
        let (answer, code) = explain(&world, host, login, &["--from=127.0.0.1"]);
        let expected = if allowed { 0 } else { 77 };
        assert_eq!(code, Some(expected), "{login}@{host}: {answer:#}");
        let cited = answer["rule"]["line"].as_u64().unwrap_or_default();
        let file = std::fs::read_to_string(world.dir().join("rproxy.yaml")).expect("it is there");
        let cited = file
            .lines()
            .nth(usize::try_from(cited).unwrap_or_default().wrapping_sub(1));
        assert!(
            cited.unwrap_or_default().contains(line),
            "{login}@{host}: {answer:#}"
        );

        let outcome = log_in(&world, host, login);
        let says = format!("rproxy: proxy: access to {host}");
        assert_eq!(
            outcome.stderr.contains(&says),
            !allowed,
            "{}",
            outcome.stderr
        );
        assert_eq!(
            outcome.status.success(),
            allowed && login == own,
            "{}",
            outcome.stderr
        );
    }
    let audit = world.audit();
    let started = audit.iter().find(|event| event["event"] == "session.start");
    let rule = text(started.expect("a session began"), "rule");
    assert!(
        rule.starts_with("role tested, ") && rule.contains("rproxy.yaml:"),
        "{rule}"
    );
    let rules: Vec<_> = world
        .refusals()
        .iter()
        .filter(|event| event["reason"] == "policy")
        .map(|event| text(event, "rule").to_owned())
        .collect();
    assert!(
        rules
            .iter()
            .any(|rule| rule.starts_with("denied by role tested, ")),
        "{rules:#?}"
    );
    assert!(
        rules
            .iter()
            .any(|rule| rule.starts_with("no allow rule matches")),
        "{rules:#?}"
    );
}

/// A user who may not log in to a host cannot find out whether it exists, in any way of asking.
#[test]
fn who_is_not_allowed_cannot_probe() {
    let world = fleet(&alice_has(
        "    allow: [{ nodes: [db1], labels: { env: test } }]\n",
    ));
    let port = world.node().port;
    let asked = [
        ("db1", 22),
        ("db1", 2),
        ("db1.example.test", 22),
        ("127.0.0.1", port),
        ("127.0.0.1", 1),
        ("169.254.169.254", 80),
        ("nowhere.invalid", 22),
        ("env=prod", 22),
        ("env=test", 22),
        ("env=none", 22),
    ];
    let mut answers = Vec::new();
    for (host, port) in asked {
        let subsystem = format!("proxy:{host}:{port}");
        let outcome = world
            .outer_ssh()
            .args(["-s", "127.0.0.1", &subsystem])
            .run();
        assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
        let jump = world
            .outer_ssh()
            .args(["-W", &format!("{host}:{port}"), "127.0.0.1"])
            .run();
        for said in [outcome.stderr, jump.text()] {
            let said = said.replace(host, "HOST");
            let said = said
                .split("id: ")
                .next()
                .and_then(|said| said.split("(id ").next());
            answers.push(said.unwrap_or_default().to_owned());
        }
    }
    for said in &answers {
        assert!(
            said.contains("rproxy: proxy: access to HOST is denied"),
            "{said}"
        );
    }
    answers.sort();
    answers.dedup();
    assert_eq!(
        answers.len(),
        1,
        "one text, whichever way it is asked: {answers:#?}"
    );
    assert!(world.nodes().iter().all(|node| node.connections() == 0));
    // The audit log distinguishes them.
    let mut rules: Vec<_> = world
        .refusals()
        .iter()
        .map(|event| text(event, "rule").to_owned())
        .collect();
    rules.sort();
    rules.dedup();
    assert!(rules.len() > 5, "{rules:#?}");
}

/// A user without a role may log in nowhere, and does not get the roles of another user.
#[test]
fn who_has_no_role_may_go_nowhere() {
    let roles = format!(
        "roles:\n  - name: all\n{EVERYWHERE}users:\n  - {{ name: \"bob*\", roles: [all] }}\n"
    );
    let world = World::with().settings(&roles).start();
    let outcome = world.run("db1", "true");
    assert_eq!(outcome.code(), 255);
    assert!(
        outcome.stderr.contains("access to db1 is denied"),
        "{}",
        outcome.stderr
    );
    assert_eq!(text(&world.refusals()[0], "rule"), "\"alice\" has no role");
    assert_eq!(world.node().connections(), 0);
}

/// A DNS name that leads to a node's address does not get around a rule that denies the node.
#[test]
fn another_name_for_a_node_is_the_node() {
    let role = format!("{EVERYWHERE}    deny: [{{ nodes: [db1] }}]\n");
    let world = World::with().settings(&alice_has(&role)).start();
    for host in ["127.0.0.1", "::ffff:127.0.0.1"] {
        let subsystem = format!("proxy:{host}:{}", world.node().port);
        let outcome = world
            .outer_ssh()
            .args(["-s", "127.0.0.1", &subsystem])
            .run();
        let says = format!("access to {host} is denied");
        assert!(outcome.stderr.contains(&says), "{}", outcome.stderr);
    }
    assert_eq!(world.node().connections(), 0);
}

#[test]
fn the_clients_address_decides() {
    let role =
        |networks: &str| alice_has(&format!("{EVERYWHERE}    may_connect_from: [{networks}]\n"));
    let world = World::with().settings(&role("127.0.0.0/8")).start();
    world.run("db1", "true").success();
    world.reconfigure(|config| config.replace("127.0.0.0/8", "192.0.2.0/24"));
    let outcome = world.run("db1", "true");
    let says = "rproxy: proxy: access to db1 is not allowed from 127.0.0.1";
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    for (from, expected) in [("127.0.0.1", 77), ("192.0.2.7", 0)] {
        let (_, code) = explain(&world, "db1", &login(), &["--from", from]);
        assert_eq!(code, Some(expected), "{from}");
    }
}

/// `auth sign` signs no certificate with a longer life than the roles allow, and the proxy refuses
/// such a certificate that another program has signed.
#[test]
fn certificates_live_as_long_as_roles_have_it() {
    let world = World::with()
        .settings(&alice_has(&format!("{EVERYWHERE}    max_ttl: 2h\n")))
        .start();
    world.run("db1", "true").success();
    let key = keys::with_suffix(&world.user.key, ".pub");
    let sign = |ttl: &[&str]| {
        let out = world.dir().join("another-cert.pub");
        let mut command = world.rproxy();
        command
            .args(["auth", "sign", "--user=alice", "--overwrite", "--logins"])
            .arg(login())
            .arg(format!("--public-key={}", key.display()))
            .arg(format!("--out={}", out.display()))
            .args(ttl);
        command.output().expect("rproxy runs")
    };
    let refused = sign(&["--ttl=3h"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("may live 2h at most, not 3h: role tested, "),
        "{said}"
    );
    let signed = sign(&["--ttl=2h"]);
    let said = String::from_utf8_lossy(&signed.stderr);
    assert!(signed.status.success(), "{said}");
    assert!(
        said.starts_with("hint: copy ") && said.lines().count() == 1,
        "{said}"
    );

    let foreign = World::with()
        .settings(&alice_has(&format!("{EVERYWHERE}    max_ttl: 2h\n")))
        .certificate(Certificate {
            issuer: Issuer::UserAuthority(&["-V", "-5m:+20h"]),
            principals: None,
        })
        .start();
    let outcome = foreign.run("db1", "true");
    let says = "access to db1 takes certificates that live at most 2h, yours lives 20h5m";
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
}

/// The permits of a role that applies replace those of the section `permit`.
#[test]
fn permits_go_by_role() {
    let world = fleet(
        "permit: { port_forwarding: no }\n\
         roles:\n  \
           - name: tunnels\n    \
             allow: [{ labels: { env: test } }]\n    \
             permit: { port_forwarding: local }\n  \
           - name: all\n    \
             allow: [{ nodes: [\"*\"] }]\n\
         users:\n  - { name: alice, roles: [tunnels, all] }\n",
    );
    let destination = format!("127.0.0.1:{}", on_port());
    let through = |host: &str| {
        let client = world.ssh().args(["-W", &destination, host]);
        client.stdin("question").run()
    };
    let answered = through("web1").success();
    assert_eq!(answered.stdout, [ANSWER, b"question"].concat());
    assert_ne!(through("db1").code(), 0);
    refused(&world, "channel", "direct-tcpip");
    for (host, value, cited) in [("web1", "local", 1), ("db1", "no", 0)] {
        let (answer, _) = explain(&world, host, &login(), &[]);
        let permits = answer["permits"].as_array().expect("a list");
        let permit = permits
            .iter()
            .find(|permit| permit["key"] == "port_forwarding");
        let permit = permit.expect("every permit is there");
        assert_eq!(permit["value"], value, "{host}");
        assert_eq!(
            permit["decided_by"].as_array().map(Vec::len),
            Some(cited),
            "{host}"
        );
    }
}

/// SIGHUP: a session that is not allowed any more ends within two seconds, with the reason on the
/// user's terminal.
#[test]
fn a_live_session_ends_when_its_role_does() {
    let world = World::with().settings(&alice_has(EVERYWHERE)).start();
    let mut terminal = world.shell();
    let mut kept = world
        .ssh()
        .args(["-l", &login(), "db1", "echo begins; cat"])
        .start();
    assert_eq!(kept.read(7), b"begins\n");
    // A change that does not concern these sessions.
    world.reconfigure(|config| format!("{config}recording: {{ pty_input: no }}\n"));
    terminal.type_in("echo still $((40 + 2))\r");
    terminal.expect("still 42");

    let reloaded = world.reconfigure(|config| {
        config.replace(
            EVERYWHERE,
            &format!("{EVERYWHERE}    deny: [{{ nodes: [db1] }}]\n"),
        )
    });
    let says = format!(
        "rproxy: proxy: access to db1 as {} is denied, the policy has changed",
        login()
    );
    terminal.expect(&says);
    assert_eq!(terminal.finish().0, Some(255));
    let outcome = kept.finish();
    assert_eq!(outcome.code(), 255);
    assert!(outcome.stderr.contains(&says), "{}", outcome.stderr);
    let ended = world.eventually("both refusals are audited", || {
        let mut found = world.refusals_so_far();
        found.retain(|event| event["reason"] == "policy");
        (found.len() == 2).then_some(found)
    });
    for event in ended {
        assert!(
            text(&event, "rule").starts_with("denied by role tested, "),
            "{event:#}"
        );
        let taken = time(&event) - time(&reloaded);
        assert!(taken < TimeDelta::seconds(2), "{taken}");
    }
    world.eventually("the sessions have ended so", || {
        let audit = world.audit();
        let mut ends = audit.iter().filter(|event| event["event"] == "session.end");
        ends.all(|event| event["reason"] == "policy").then_some(())
    });
}

/// The present labels of a node count.
#[test]
fn other_labels_are_judged_too() {
    let world = fleet(&alice_has("    allow: [{ labels: { env: prod } }]\n"));
    let mut terminal = world.shell();
    // In the file, the node comes before the role.
    world.reconfigure(|config| config.replacen("env: prod", "env: gone", 1));
    terminal.expect("is denied, the policy has changed");
    assert_eq!(terminal.finish().0, Some(255));
}

/// A configuration with mistakes is refused as a whole: the earlier one stays in force, and the
/// mistake is reported.
#[test]
fn a_broken_configuration_changes_nothing() {
    let world = World::with().settings(&alice_has(EVERYWHERE)).start();
    let mut terminal = world.shell();
    let refused = world.reconfigure(|config| {
        config
            .replace(EVERYWHERE, "    deny: [{ nodes: [\"*\"] }]\n")
            .replace("roles: [tested]", "roles: [testing]")
    });
    assert_eq!(text(&refused, "event"), "configuration.refused");
    assert!(
        text(&refused, "message").contains("there is no role \"testing\""),
        "{refused:#}"
    );
    world.logged("cannot take over the configuration");
    terminal.type_in("echo still $((40 + 2))\r");
    terminal.expect("still 42");
    terminal.type_in("exit\r");
    assert_eq!(terminal.finish().0, Some(0));
    world.run("db1", "true").success();

    let reloaded = world.reconfigure(|config| {
        config
            .replace("    deny: [{ nodes: [\"*\"] }]\n", EVERYWHERE)
            .replace("roles: [testing]", "roles: [tested]")
            .replace("public_addr:", "max_starting: 7\n  public_addr:")
    });
    assert_eq!(text(&reloaded, "event"), "configuration.reloaded");
    assert_eq!(
        reloaded["needs_restart"][0], "proxy_service.max_starting",
        "{reloaded:#}"
    );
    world.run("db1", "true").success();
}

/// What logrotate does: it renames the file, then sends a signal to the proxy.
#[test]
fn a_renamed_audit_log_is_followed() {
    let world = World::new();
    world.run("db1", "true").success();
    // It is written when the disk has the recording.
    let has_ended = || {
        let ended = |event: &Value| event["event"] == "session.end";
        world.audit().iter().any(ended).then_some(())
    };
    world.eventually("the session has ended", has_ended);
    let (log, kept) = (
        world.data().join("audit.jsonl"),
        world.data().join("audit.jsonl.1"),
    );
    std::fs::rename(&log, &kept).expect("our own file");
    let reloaded = world.reconfigure(str::to_owned);
    assert_eq!(text(&reloaded, "event"), "configuration.reloaded");
    world.run("db1", "true").success();
    world.eventually("the new file has the session", has_ended);
    let kept = std::fs::read_to_string(kept).expect("it is kept");
    assert!(kept.contains("session.end") && !kept.contains("\"at\":\"reload\""));
}

/// If a permit is taken away, the proxy closes what uses it, refuses new uses, and leaves the rest
/// open.
#[test]
fn a_changed_permit_holds_for_live_connections() {
    let (with, without) = ("port_forwarding: yes", "port_forwarding: no");
    let role = alice_has(&format!("{EVERYWHERE}    permit: {{ {with} }}\n"));
    let world = World::with().settings(&role).start();
    let (service, local, remote) = (on_port(), free_port(), free_port());
    let mut ssh = forwarding(&world, "-L", &format!("{local}:127.0.0.1:{service}"))
        .args(["-R", &format!("{remote}:127.0.0.1:{service}")])
        .start();
    world.eventually("both listen", || {
        (listens(local) && listens(remote)).then_some(())
    });
    let mut open = TcpStream::connect(("127.0.0.1", local)).expect("ssh listens");
    open.write_all(b"question").expect("it is open");
    world.eventually("it is forwarded", || {
        let audit = world.audit();
        audit
            .into_iter()
            .find(|event| event["event"] == "forward.opened")
    });

    world.reconfigure(|config| config.replace(with, without));
    // Closed or reset: it is over.
    open.read_to_end(&mut Vec::new()).unwrap_or_default();
    refused(&world, "channel", "direct-tcpip");
    world.eventually("the host listens no more", || {
        (!listens(remote)).then_some(())
    });
    assert!(ask(local, b"question").is_empty());

    world.reconfigure(|config| config.replace(without, with));
    let again = ask(local, b"question");
    assert_eq!(
        again,
        [ANSWER, b"question"].concat(),
        "the connection itself is still there"
    );
    ssh.stdin = None;
}

/// `serve --check` knows the users and accounts of issued certificates, and warns about rules that
/// name others. It does not warn about wildcards that match one of them.
#[test]
fn a_check_warns_of_people_and_logins_that_nobody_has() {
    let account = login();
    let world = fleet(&format!(
        "roles:\n  - name: ops\n    allow:\n      - {{ logins: [{account}, postgers], nodes: [\"*\"] }}\n    \
         deny: [{{ logins: [\"some*\"], labels: {{ env: prdo }} }}]\n\
         users:\n  - {{ name: alice, roles: [ops] }}\n  - {{ name: \"al*\", roles: [ops] }}\n  \
         - {{ name: alcie, roles: [ops] }}\n"
    ));
    let output = world.rproxy().args(["serve", "--check"]).output();
    let output = output.expect("rproxy runs");
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let warnings: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once(": warning: "))
        .map(|(_, warning)| warning)
        .collect();
    assert_eq!(
        warnings,
        [
            "roles[0].deny[0].labels: no node of the configuration has a label \"env=prdo\"",
            "login postgers is in no certificate that was issued here",
            "user alcie is in no certificate that was issued here",
        ],
        "{said}"
    );
    assert!(said.ends_with("configuration ok\n"), "{said}");
}
