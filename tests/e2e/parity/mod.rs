//! Parity: the same scenario straight to sshd and through the proxy must look the same to the user.
//!
//! Scenarios are data ([`scenarios`]); each test runs a group of them in one world and names those
//! that differ.

mod scenarios;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::client::ClientCommand;
use crate::support::sshd::HostKey;
use crate::support::{World, programs};

/// How much longer than a direct connection something may take on a busy machine: less than any
/// time limit for which it could wait by mistake.
const SLACK: Duration = Duration::from_secs(12);

/// A user's actions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    name: &'static str,
    /// Further arguments of ssh, before the destination.
    options: &'static [&'static str],
    /// The command; a shell without it.
    command: Option<&'static str>,
    env: &'static [(&'static str, &'static str)],
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// Without a terminal, with this on standard input, this many times.
    Piped(&'static [u8], usize),
    /// The same, but standard input stays open until there is an answer: at the end of its input,
    /// sftp's server discards its output.
    Answered(&'static [u8]),
    /// Standard output is closed after this many bytes.
    HangUp(usize),
    /// The requests to the client on its channels, from its log.
    Requests,
    /// In a terminal of these rows and columns, prepared by `stty`.
    Terminal(u16, u16, &'static str, &'static [Step]),
}

/// What a user at a terminal does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Await(&'static str),
    Type(&'static str),
    Resize(u16, u16),
}

const fn exec(name: &'static str, command: &'static str) -> Scenario {
    Scenario {
        name,
        options: &[],
        command: Some(command),
        env: &[],
        how: How::Piped(b"", 0),
    }
}

impl Scenario {
    const fn shell(mut self) -> Self {
        self.command = None;
        self
    }

    const fn options(mut self, options: &'static [&'static str]) -> Self {
        self.options = options;
        self
    }

    const fn env(mut self, env: &'static [(&'static str, &'static str)]) -> Self {
        self.env = env;
        self
    }

    const fn how(mut self, how: How) -> Self {
        self.how = how;
        self
    }

    const fn stdin(self, bytes: &'static [u8]) -> Self {
        self.how(How::Piped(bytes, 1))
    }

    const fn terminal(self, rows: u16, cols: u16, steps: &'static [Step]) -> Self {
        self.how(How::Terminal(rows, cols, "sane", steps))
    }
}

/// The two ways to the host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Direct,
    Proxied,
}

/// All that a user can see.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

/// The user's view, and the time from the first byte of output to the end.
struct Run {
    seen: Seen,
    took: Duration,
}

fn ssh<'w>(world: &'w World, way: Way, scenario: &Scenario) -> ClientCommand<'w> {
    let mut arguments: Vec<OsString> = vec!["-F".into()];
    match way {
        Way::Proxied => arguments.push(world.dir().join("inner").into()),
        Way::Direct => {
            arguments.push(world.dir().join("outer").into());
            let port = world.node().port.to_string();
            for word in ["-p", &port, "-o", "HostName=127.0.0.1", "-o"] {
                arguments.push(word.into());
            }
            arguments.extend(["HostKeyAlias=db1", "-o", "ForwardAgent=no"].map(OsString::from));
        }
    }
    arguments.extend(scenario.options.iter().map(OsString::from));
    arguments.push("db1".into());
    arguments.extend(scenario.command.map(OsString::from));
    let client = match scenario.how {
        How::Terminal(_, _, modes, _) => world
            .program("bash")
            .args(["-c", &format!("stty {modes}; exec \"$0\" \"$@\"")])
            .arg(programs::path("ssh")),
        How::Requests => world.program("ssh").arg("-v"),
        How::Piped(..) | How::Answered(_) | How::HangUp(_) => world.program("ssh"),
    };
    let client = client.args(arguments);
    scenario
        .env
        .iter()
        .fold(client, |client, (name, value)| client.env(name, value))
}

fn run(world: &World, way: Way, scenario: &Scenario) -> Run {
    let client = ssh(world, way, scenario);
    match scenario.how {
        How::Piped(bytes, times) => pipe(client, Input::All(bytes.repeat(times)), usize::MAX),
        How::Answered(bytes) => pipe(client, Input::UntilAnswered(bytes), usize::MAX),
        How::HangUp(after) => pipe(client, Input::UntilHungUp, after),
        How::Requests => {
            let mut run = pipe(client, Input::All(Vec::new()), usize::MAX);
            // When a command ends, `sshd` sends or does not send an EOW, depending on the timing.
            let ends = scenario.name.starts_with("exit-");
            let asked = |line: &&str| {
                line.contains("client_input_channel_req") && !(ends && line.contains("eow@"))
            };
            let lines: Vec<_> = run.seen.stderr.lines().filter(asked).collect();
            run.seen.stderr = lines.join("\n");
            run
        }
        How::Terminal(rows, cols, _, steps) => {
            let mut terminal = client.in_terminal(rows, cols);
            for step in steps {
                match step {
                    Step::Await(text) => {
                        terminal.expect(text);
                    }
                    Step::Type(text) => terminal.type_in(text),
                    Step::Resize(rows, cols) => terminal.resize(*rows, *cols),
                }
            }
            let (code, stdout) = terminal.finish();
            let stderr = String::new();
            Run {
                seen: Seen {
                    code,
                    stdout,
                    stderr,
                },
                took: Duration::ZERO,
            }
        }
    }
}

/// The data for standard input.
enum Input {
    All(Vec<u8>),
    UntilAnswered(&'static [u8]),
    /// No data; standard input ends after the output was closed.
    UntilHungUp,
}

/// Runs a client without a terminal; closes its output after this many bytes.
fn pipe(client: ClientCommand<'_>, input: Input, limit: usize) -> Run {
    let mut live = client.start();
    let is_open = matches!(input, Input::UntilHungUp);
    match input {
        Input::UntilHungUp => {}
        Input::All(bytes) => live.feed(bytes),
        Input::UntilAnswered(bytes) => {
            let stdin = live.stdin.as_mut().expect("it is piped");
            stdin.write_all(bytes).expect("the client reads it");
        }
    }
    let mut stdout = Vec::new();
    let mut first = None;
    let mut buffer = [0; 65_536];
    let mut pipe = live.stdout.take().expect("it is piped");
    while stdout.len() < limit {
        let count = pipe.read(&mut buffer).expect("a readable pipe");
        if count == 0 {
            break;
        }
        first.get_or_insert_with(Instant::now);
        if !is_open {
            live.stdin = None;
        }
        stdout.extend_from_slice(&buffer[..count]);
    }
    stdout.truncate(limit);
    drop(pipe);
    live.stdin = None;
    let outcome = live.finish();
    Run {
        seen: Seen {
            code: outcome.status.code(),
            stdout,
            stderr: outcome.stderr,
        },
        took: first.map_or(Duration::ZERO, |first| first.elapsed()),
    }
}

/// How the ways differ, if they do.
fn difference(world: &World, scenario: &Scenario) -> Option<String> {
    let direct = run(world, Way::Direct, scenario);
    let mut proxied = run(world, Way::Proxied, scenario);
    // The direct connection uses an address, which `ssh` repeats in its messages.
    let renamed = |text: &str| text.replace("127.0.0.1", "db1");
    let expected = Seen {
        stderr: renamed(&direct.seen.stderr),
        stdout: match scenario.how {
            How::Terminal(..) => renamed(&String::from_utf8_lossy(&direct.seen.stdout)).into(),
            _ => direct.seen.stdout,
        },
        code: direct.seen.code,
    };
    if matches!(scenario.how, How::Terminal(..)) {
        let lossy = String::from_utf8_lossy(&proxied.seen.stdout).into_owned();
        proxied.seen.stdout = lossy.into_bytes();
    }
    let name = scenario.name;
    if proxied.seen != expected {
        return Some(format!(
            "{name}\n  direct:  {}\n  proxied: {}\n",
            shown(&expected),
            shown(&proxied.seen)
        ));
    }
    let (one, other) = (direct.took, proxied.took);
    let apart = one.max(other).saturating_sub(one.min(other));
    (apart > SLACK).then(|| format!("{name}: took {one:?} directly, {other:?} through the proxy\n"))
}

fn shown(seen: &Seen) -> String {
    let end = seen.stdout.len().min(2_000);
    format!(
        "{:?}, {} bytes: {:?}, stderr: {:?}",
        seen.code,
        seen.stdout.len(),
        String::from_utf8_lossy(&seen.stdout[..end]),
        seen.stderr.chars().take(2_000).collect::<String>()
    )
}

fn compare(world: &World, scenarios: &[Scenario]) {
    let differences: String = scenarios
        .iter()
        .filter_map(|scenario| difference(world, scenario))
        .collect();
    assert!(differences.is_empty(), "not the same:\n{differences}");
}

#[test]
fn ends() {
    compare(&World::new(), scenarios::ENDS);
}

#[test]
fn streams() {
    compare(&World::new(), scenarios::STREAMS);
}

#[test]
fn order_and_timing() {
    compare(&World::new(), scenarios::TIMING);
}

#[test]
fn environment() {
    compare(&World::new(), scenarios::ENVIRONMENT);
}

#[test]
fn terminals() {
    compare(&World::new(), scenarios::TERMINALS);
}

#[test]
fn requests() {
    compare(&World::new(), scenarios::REQUESTS);
}

/// A host that refuses: the user reads the same refusal.
#[test]
fn strict_hosts() {
    let settings = "PermitTTY no\nForceCommand echo forced: $SSH_ORIGINAL_COMMAND; cat\n";
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, settings)
        .start();
    compare(&world, scenarios::STRICT_HOST);
}

#[test]
fn there_are_enough_scenarios_and_each_has_a_name_of_its_own() {
    let names: Vec<_> = scenarios::all().map(|scenario| scenario.name).collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    assert!(names.len() >= 60, "only {}", names.len());
}
