//! Commands for a running proxy: an operator reloads, upgrades and stops it without a process id,
//! names recordings without a whole id, and finds help in the usual places.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::recordings::text;
use crate::support::terminal::Terminal;
use crate::support::{World, keys};

fn rproxy(world: &World, args: &[&str]) -> Output {
    world.rproxy().args(args).output().expect("rproxy starts")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_proxy_is_reloaded_upgraded_and_stopped_without_a_process_id() {
    let world = World::with().own_program().start();
    let reloaded = rproxy(&world, &["reload"]);
    assert!(reloaded.status.success(), "{}", told(&reloaded));
    world.eventually("the configuration is read again", || {
        let reloaded = world.events("configuration.reloaded");
        reloaded
            .iter()
            .any(|event| event["at"] == "reload")
            .then_some(())
    });

    // The command reports a mistake, and sends nothing to the proxy.
    world.edit_configuration(|text| format!("{text}\nno_such_key: 1\n"));
    let refused = rproxy(&world, &["reload"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(told(&refused).contains("no_such_key"), "{}", told(&refused));
    world.edit_configuration(|text| text.replace("\nno_such_key: 1\n", ""));
    assert_eq!(world.events("configuration.refused").len(), 0);

    let before = world.workers();
    let upgraded = rproxy(&world, &["upgrade"]);
    assert!(upgraded.status.success(), "{}", told(&upgraded));
    assert_ne!(world.workers(), before);
    assert_eq!(world.run("db1", "echo on").text(), "on\n");

    let stopped = rproxy(&world, &["stop"]);
    assert!(stopped.status.success(), "{}", told(&stopped));
    assert_eq!(world.proxy_end(), Some(0));
    for command in ["reload", "upgrade", "stop"] {
        let nobody = rproxy(&world, &[command]);
        assert_eq!(nobody.status.code(), Some(69), "{}", told(&nobody));
        assert!(told(&nobody).contains("no proxy is running here"));
    }
}

#[test]
fn an_upgrade_that_is_refused_is_a_failure() {
    let world = World::with().own_program().start();
    world.replace_program(Some("#!/bin/sh\nexit 3\n"));
    let refused = rproxy(&world, &["upgrade"]);
    assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
    assert!(told(&refused).contains("server.upgrade_refused"));
    assert_eq!(world.run("db1", "echo on").text(), "on\n");
}

#[test]
fn recordings_are_found_by_filters_and_by_the_word_last() {
    let world = World::new();
    world.run("db1", "echo first").success();
    assert_eq!(world.run("db1", "echo second; exit 3").code(), 3);
    let list = |args: &[&str]| -> Vec<Value> {
        let mut all = vec!["recordings", "ls", "--format=json"];
        all.extend(args);
        serde_json::from_str(&keys::tool(world.rproxy().args(all))).expect("JSON")
    };
    world.eventually("both are complete", || {
        (list(&["--state=complete"]).len() == 2).then_some(())
    });
    let first = list(&["--command=first", "--host=DB1", "--kind=exec", "--since=1h"]);
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0]["size"].as_u64().is_some_and(|size| size > 0));
    assert!(first[0]["duration"].as_f64().is_some());
    assert!(list(&["--until=1h"]).is_empty());
    assert!(list(&["--user=nobody*"]).is_empty());

    let last = keys::tool(world.rproxy().args(["play", "last"]));
    assert_eq!(last, "second\n");
    let mut command = world.rproxy();
    command
        .args(["recordings", "ls"])
        .env("TERM", "xterm-256color");
    let terminal = Terminal::start(&world.children, command, 24, 80);
    let (code, shown) = terminal.finish();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("\u{1b}[31m3\u{1b}[0m"), "{shown:?}");
    for line in shown.lines() {
        assert!(without_colours(line).chars().count() <= 80, "{line:?}");
    }
}

/// The visible part of a line.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |seen, part| {
        seen + part.split_once('m').map_or(part, |(_, rest)| rest)
    })
}

#[test]
fn forwards_are_not_played_and_the_way_out_is_named() {
    let world = World::new();
    let port = world.node().port;
    let forward = format!("127.0.0.1:{port}");
    world.ssh().args(["-W", &forward, "db1"]).run();
    let forwards = || {
        let listing = keys::tool(world.rproxy().args([
            "recordings",
            "ls",
            "--kind=forward",
            "--format=json",
        ]));
        let listed: Vec<Value> = serde_json::from_str(&listing).expect("JSON");
        listed.into_iter().next()
    };
    let recorded = world.eventually("a recording of forwards", forwards);
    let played = rproxy(&world, &["play", text(&recorded, "id")]);
    assert_eq!(played.status.code(), Some(1));
    assert!(
        told(&played).contains("there is nothing to play"),
        "{}",
        told(&played)
    );
    assert!(
        told(&played).contains("recordings export"),
        "{}",
        told(&played)
    );
}

#[test]
fn help_and_version_are_commands_too() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rproxy"))
            .args(args)
            .output()
            .expect("rproxy starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &told(&output),
        )
    };
    assert_eq!(run(&["version"]), run(&["--version"]));
    assert_eq!(run(&["help"]), run(&["--help"]));
    assert_eq!(
        run(&["help", "auth", "sign"]),
        run(&["auth", "sign", "--help"])
    );
    let (code, unknown) = run(&["help", "auth", "sing"]);
    assert_eq!(code, Some(2));
    assert!(unknown.contains("sing"), "{unknown}");
}

/// The printed lines are right for the host: they have the host's paths, and name the files to copy
/// and their destinations.
#[test]
fn what_is_signed_says_what_to_copy_where() {
    let world = World::new();
    let at_home = |args: &[&str]| {
        let mut command = world.rproxy();
        let output = command.current_dir(world.dir()).args(args).output();
        let output = output.expect("rproxy starts");
        assert!(output.status.success(), "{}", told(&output));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        (printed, told(&output))
    };
    let (printed, hint) = at_home(&["auth", "sign", "--host=db7", "--out=db7"]);
    assert_eq!(
        printed,
        "The credentials have been written to db7, db7.pub, db7-cert.pub\n\
         HostKey /etc/ssh/db7\nHostCertificate /etc/ssh/db7-cert.pub\n"
    );
    assert!(
        hint.contains(
            "copy db7, db7.pub, db7-cert.pub to /etc/ssh on db7; on db7: add these lines"
        ),
        "{hint}"
    );

    // The host's own key was copied here under another name.
    std::fs::rename(world.dir().join("db7.pub"), world.dir().join("db8.pub")).expect("it is there");
    let (printed, _) = at_home(&["auth", "sign", "--host=db8", "--public-key=db8.pub"]);
    assert_eq!(
        printed,
        "The credentials have been written to db8-cert.pub\n\
         HostCertificate /etc/ssh/db8-cert.pub\n"
    );

    let (_, hint) = at_home(&[
        "auth",
        "sign",
        "--user=carol",
        "--logins=root",
        "--public-key=db8.pub",
        "--out=carol-cert.pub",
    ]);
    assert!(
        hint.contains("copy carol-cert.pub to the machine of carol, beside the private key"),
        "{hint}"
    );

    let (printed, _) = at_home(&["host", "setup", "--host=db9", "--out-dir=rproxy-db9"]);
    let here = world.dir().join("rproxy-db9");
    assert!(
        printed.contains(&format!(
            "Copy the directory {} to /etc/ssh/rproxy-db9 on db9",
            here.display()
        )) && printed.contains("On db9:\n")
            && printed.contains("  Include /etc/ssh/rproxy-db9/rproxy.conf\n"),
        "{printed}"
    );
    let snippet = std::fs::read_to_string(here.join("rproxy.conf")).expect("it was written");
    assert!(
        snippet.contains("HostKey /etc/ssh/rproxy-db9/ssh_host_rproxy_key\n")
            && snippet.contains("TrustedUserCAKeys /etc/ssh/rproxy-db9/rproxy_user_ca.pub\n")
            && !snippet.contains(&world.dir().display().to_string()),
        "{snippet}"
    );

    let (_, hint) = at_home(&["auth", "krl", "--out=revoked"]);
    assert!(
        hint.contains("copy revoked to where RevokedKeys points"),
        "{hint}"
    );
}
