//! `rproxy complete`: called by the scripts of `rproxy completions` while a user types.
//!
//! It runs at every completion: it reads little, waits for nothing, prints only candidates, and
//! reports no errors.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::SecondsFormat;
use clap::{Arg, Command};

use super::{Exit, Failure, ui};
use crate::ca::{CaKind, IssueRecord};
use crate::config::{Config, Source};
use crate::model::{Label, text};
use crate::state::State;
use crate::store::listing::{self, Entry, RecordingStatus};
use crate::sys::clock::Clock;

/// Most recordings that are offered, the newest ones.
const OFFERED: usize = 50;
/// Most recordings that are looked at for those whose sessions go on.
const LOOKED_AT: usize = 1000;
/// The argument that names a person of the state.
const STORED_USER: &str = "person";
/// The argument that names a host of the inventory.
const NODE: &str = "node";
/// The argument that names a host that has joined.
const JOINED_NODE: &str = "joined";
/// Most bytes of the ledger that are read.
const MAX_LEDGER: u64 = 8 << 20;

/// Print what may stand in place of a word, for shells
///
/// A line for each candidate: the whole word, a tab, what it is. Exit code 1 where the word is nothing that
/// this command knows more about than the shell.
#[derive(Debug, clap::Args)]
pub(crate) struct CompleteArgs {
    /// What there is of the word
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    word: String,
    /// The words before it, the program's name first
    #[arg(last = true, value_name = "WORD")]
    before: Vec<String>,
}

impl CompleteArgs {
    /// `cli` is the command line that is completed.
    pub(crate) fn run(self, mut cli: Command, source: Source) -> Result<(), Failure> {
        cli.build();
        let line = TypedLine::read(&cli, &self.before, &self.word);
        let Some((kind, typed)) = line.sought else {
            return Err(Failure::told(Exit::Failed));
        };
        let source = Source {
            file: line.config.or(source.file),
            data_dir: line.data_dir.or(source.data_dir),
        };
        let candidates = match source.load() {
            Ok(loaded) => kind.candidates(&loaded.config, typed),
            Err(_silent) => Vec::new(),
        };
        let whole = self.word.strip_suffix(typed).unwrap_or_default();
        let lines: String = candidates
            .iter()
            .filter(|candidate| is_plain(&candidate.value))
            .map(|candidate| {
                format!(
                    "{whole}{}\t{}\n",
                    candidate.value,
                    text::masked(&candidate.help)
                )
            })
            .collect();
        ui::result(&lines)
    }
}

/// A value, and what a person has to know to choose it.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    value: String,
    help: String,
}

/// Whether a value means itself in every shell, so that none has to be quoted.
fn is_plain(value: &str) -> bool {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+' | ',');
    !value.starts_with('-') && value.chars().all(is_plain)
}

/// What a value names. An argument says it by the name of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompletionKind {
    /// A recording, by its id.
    Recording,
    /// A session that goes on, by its id.
    Session,
    /// A person at a host.
    Subject,
    /// Hosts, with commas between them.
    Hosts,
    /// A host.
    Node,
    /// A host that has joined.
    JoinedNode,
    /// A token of the state, by its id.
    Token,
    /// A person.
    Person,
    /// A person of the state.
    User,
    /// Roles, with commas between them.
    Roles,
    /// The key id of a certificate that was issued.
    KeyId,
    /// The serial of a certificate that was issued.
    Serial,
}

impl CompletionKind {
    /// What the values of an argument name, where it is something known here.
    pub(super) fn of(argument: &Arg) -> Option<Self> {
        let name = argument.get_value_names()?.first()?.as_str();
        match (argument.get_long(), name) {
            (None, "ID|FILE") => Some(Self::Recording),
            (None, "ID") => Some(Self::Session),
            (None, "NAME") if argument.get_id() == STORED_USER => Some(Self::User),
            (None, "NAME") if argument.get_id() == NODE => Some(Self::Node),
            (None, "NAME") if argument.get_id() == JOINED_NODE => Some(Self::JoinedNode),
            (None, "TOKEN-ID") => Some(Self::Token),
            (Some("roles"), _) => Some(Self::Roles),
            (None, "USER@HOST[:PORT]") => Some(Self::Subject),
            (Some("host"), _) => Some(Self::Hosts),
            (Some("user"), _) => Some(Self::Person),
            (Some("key-id"), _) => Some(Self::KeyId),
            (Some("serial"), _) => Some(Self::Serial),
            _ => None,
        }
    }

    /// What may stand in place of `typed`.
    fn candidates(self, config: &Config, typed: &str) -> Vec<Candidate> {
        match self {
            Self::Recording => recorded(&config.data_dir.recordings(), typed, LOOKED_AT, |_| true),
            Self::Session => recorded(&config.data_dir.recordings(), typed, LOOKED_AT, |entry| {
                entry.standing == RecordingStatus::Recording
            }),
            Self::Subject => subjects(config, typed),
            Self::Hosts => hosts(config, typed),
            Self::Node => nodes(config, typed),
            Self::JoinedNode => joined_nodes(config, typed),
            Self::Token => tokens(config, typed),
            Self::Person => people(config, typed),
            Self::User => users(config, typed),
            Self::Roles => roles(config, typed),
            Self::KeyId => key_ids(&certificates(config), typed),
            Self::Serial => serials(&certificates(config), typed),
        }
    }
}

/// Ids, the newest first: they begin with the time.
fn recorded(
    directory: &Path,
    typed: &str,
    most: usize,
    is_wanted: impl Fn(&Entry) -> bool,
) -> Vec<Candidate> {
    let found = listing::find(directory, typed).unwrap_or_default();
    let entries = found
        .iter()
        .rev()
        .take(most)
        .map(|path| listing::entry(path));
    entries
        .filter_map(Result::ok)
        .filter(is_wanted)
        .take(OFFERED)
        .map(|entry| {
            let header = &entry.header;
            let start = header.start.to_rfc3339_opts(SecondsFormat::Secs, true);
            let host = header.host();
            let (user, login, kind) = (&header.user, &header.login, header.kind.as_str());
            Candidate {
                value: header.session.to_string(),
                help: format!("{user}, {login}@{host}, {start}, {kind}"),
            }
        })
        .collect()
}

/// What was issued, the newest first; nothing where there is more than can be read at a key stroke.
fn certificates(config: &Config) -> Vec<IssueRecord> {
    let ledger = config.data_dir.ledger();
    let is_short = std::fs::metadata(ledger).is_ok_and(|file| file.len() <= MAX_LEDGER);
    let mut records = match is_short {
        true => config
            .installation(Clock::System)
            .records
            .issued
            .issued()
            .unwrap_or_default(),
        false => Vec::new(),
    };
    records.reverse();
    records
}

/// People of the configuration, then key ids of certificates that were issued to others.
fn people(config: &Config, typed: &str) -> Vec<Candidate> {
    let listed = config.users.iter().map(|member| Candidate {
        value: member.name.to_string(),
        help: "a person".to_owned(),
    });
    let mut certificates = certificates(config);
    certificates.retain(|record| record.kind == CaKind::User);
    let mut candidates = beginning_with(typed, listed);
    for candidate in key_ids(&certificates, typed) {
        if !candidates
            .iter()
            .any(|known| known.value == candidate.value)
        {
            candidates.push(candidate);
        }
    }
    candidates
}

/// People of the state; nobody where it cannot be read.
fn users(config: &Config, typed: &str) -> Vec<Candidate> {
    let users = state(config).and_then(|state| state.users().list().ok());
    let users = users.unwrap_or_default().into_iter().map(|user| Candidate {
        help: user.roles.join(","),
        value: user.name.to_string(),
    });
    beginning_with(typed, users)
        .into_iter()
        .take(OFFERED)
        .collect()
}

/// Roles of the configuration that are not given yet.
fn roles(config: &Config, typed: &str) -> Vec<Candidate> {
    one_more(typed, |last| {
        let roles = config.roles.iter().map(|role| Candidate {
            value: role.name.clone(),
            help: "a role".to_owned(),
        });
        beginning_with(last, roles)
    })
}

/// Each key id once, with the newest of its certificates.
fn key_ids(certificates: &[IssueRecord], typed: &str) -> Vec<Candidate> {
    let mut seen = BTreeSet::new();
    certificates
        .iter()
        .filter(|record| record.key_id.starts_with(typed) && seen.insert(&record.key_id))
        .take(OFFERED)
        .map(|record| Candidate {
            value: record.key_id.clone(),
            help: format!("{} certificate, {}", record.kind, of_record(record)),
        })
        .collect()
}

fn serials(certificates: &[IssueRecord], typed: &str) -> Vec<Candidate> {
    certificates
        .iter()
        .map(|record| Candidate {
            value: record.serial.to_string(),
            help: format!("{}, {}", record.key_id, of_record(record)),
        })
        .filter(|candidate| candidate.value.starts_with(typed))
        .take(OFFERED)
        .collect()
}

fn of_record(record: &IssueRecord) -> String {
    let issued = record.time.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("{}, issued {issued}", record.principals.join(","))
}

/// People that the configuration names, then hosts behind them. A key id may have a `@` in it.
fn subjects(config: &Config, typed: &str) -> Vec<Candidate> {
    let people = config.users.iter().map(|member| Candidate {
        value: format!("{}@", member.name),
        help: "a person".to_owned(),
    });
    let mut candidates = beginning_with(typed, people);
    if let Some((person, host)) = typed.rsplit_once('@') {
        candidates.extend(nodes(config, host).into_iter().map(|node| Candidate {
            value: format!("{person}@{}", node.value),
            ..node
        }));
    }
    candidates
}

fn hosts(config: &Config, typed: &str) -> Vec<Candidate> {
    one_more(typed, |last| nodes(config, last))
}

/// What may stand behind the last comma; what stands before it is not offered again.
fn one_more(typed: &str, beginning: impl FnOnce(&str) -> Vec<Candidate>) -> Vec<Candidate> {
    let (before, last) = match typed.rsplit_once(',') {
        Some((before, last)) => (format!("{before},"), last),
        None => (String::new(), typed),
    };
    let listed: Vec<_> = before.split(',').collect();
    let mut found = beginning(last);
    found.retain(|one| !listed.contains(&&*one.value));
    for one in &mut found {
        one.value.insert_str(0, &before);
    }
    found
}

/// Hosts of the configuration, then those that have joined, as far as the state can be read.
fn nodes(config: &Config, typed: &str) -> Vec<Candidate> {
    let listed = config
        .nodes
        .iter()
        .map(|node| host(&node.name, &node.host, node.port, &node.labels));
    let mut candidates = beginning_with(typed, listed);
    for joined in joined_nodes(config, typed) {
        if !candidates.iter().any(|known| known.value == joined.value) {
            candidates.push(joined);
        }
    }
    candidates
}

fn joined_nodes(config: &Config, typed: &str) -> Vec<Candidate> {
    let nodes = state(config).and_then(|state| state.nodes().list().ok());
    let nodes = nodes.unwrap_or_default().into_iter();
    let nodes = nodes.map(|node| host(&node.name, &node.address, node.port, &node.labels));
    beginning_with(typed, nodes)
}

fn host(name: &str, address: &str, port: u16, labels: &[Label]) -> Candidate {
    let labels: String = labels
        .iter()
        .map(|label| format!(" {}", label.listed()))
        .collect();
    Candidate {
        value: name.to_owned(),
        help: format!("{address}:{port}{labels}"),
    }
}

/// Tokens that are remembered.
fn tokens(config: &Config, typed: &str) -> Vec<Candidate> {
    let tokens = state(config).and_then(|state| state.tokens().list().ok());
    let tokens = tokens.unwrap_or_default().into_iter();
    let tokens = tokens.map(|token| Candidate {
        value: token.id.to_string(),
        help: match token.names.is_empty() {
            true => "for any name".to_owned(),
            false => format!("for {}", token.names.join(",")),
        },
    });
    beginning_with(typed, tokens)
}

/// The state, if there is one that this account may read.
fn state(config: &Config) -> Option<State> {
    let place = config.state_place().ok()?;
    State::look(&place, Clock::System).ok()?
}

fn beginning_with(typed: &str, all: impl Iterator<Item = Candidate>) -> Vec<Candidate> {
    all.filter(|candidate| candidate.value.starts_with(typed))
        .collect()
}

/// What a command line says up to the word that is being typed.
#[derive(Debug, Default)]
struct TypedLine<'a> {
    config: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    /// What the word is, and what there is of its value.
    sought: Option<(CompletionKind, &'a str)>,
}

impl<'a> TypedLine<'a> {
    fn read(cli: &Command, before: &'a [String], word: &'a str) -> Self {
        let mut line = Self::default();
        let mut command = cli;
        // The flag whose value comes next, and how many positional arguments there were.
        let (mut flag, mut positional) = (None::<&Arg>, 0);
        for word in before.iter().skip(1) {
            if let Some(flag) = flag.take() {
                line.note(flag, word);
            } else if let Some((named, value)) = value_of_flag(command, word) {
                line.note(named, value);
            } else if word.starts_with('-') {
                flag = flag_of(command, word);
            } else if let Some(below) = command.find_subcommand(word) {
                command = below;
            } else {
                positional += 1;
            }
        }
        let sought = match (flag, value_of_flag(command, word)) {
            (Some(flag), _) => Some((flag, word)),
            (None, Some(found)) => Some(found),
            (None, None) if word.starts_with('-') => None,
            (None, None) => command
                .get_positionals()
                .nth(positional)
                .map(|argument| (argument, word)),
        };
        line.sought =
            sought.and_then(|(argument, typed)| Some((CompletionKind::of(argument)?, typed)));
        line
    }

    /// Keeps what decides where names and ids are to be found.
    fn note(&mut self, flag: &Arg, value: &str) {
        let path = || Some(expanded(value));
        match flag.get_id().as_str() {
            "config" => self.config = path(),
            "data_dir" => self.data_dir = path(),
            _ => {}
        }
    }
}

/// A flag that takes a value, as in `--flag`.
fn flag_of<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let name = word.strip_prefix("--")?;
    command
        .get_arguments()
        .find(|argument| argument.get_long() == Some(name))
        .filter(|argument| argument.get_action().takes_values())
}

/// `--flag=value`.
fn value_of_flag<'c, 'w>(command: &'c Command, word: &'w str) -> Option<(&'c Arg, &'w str)> {
    let (flag, value) = word.split_once('=')?;
    Some((flag_of(command, flag)?, value))
}

/// What the shell would make of a path. Words come as they were typed.
fn expanded(typed: &str) -> PathBuf {
    match (typed.strip_prefix("~/"), std::env::home_dir()) {
        (Some(below), Some(home)) => home.join(below),
        _ => PathBuf::from(typed),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;
    use crate::cli::nodes::testing::{HostsFixture, node};

    fn sought(line: &str) -> Option<(CompletionKind, String)> {
        let mut cli = Cli::command();
        cli.build();
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let (word, before) = words.split_last().unwrap();
        let sought = TypedLine::read(&cli, before, word).sought;
        sought.map(|(kind, typed)| (kind, typed.to_owned()))
    }

    fn values(kind: CompletionKind, typed: &str) -> Vec<String> {
        let text = "
nodes:
  - { name: db1, addr: 10.0.0.5, labels: { env: prod } }
  - { name: db2, addr: \"10.0.0.6:2222\" }
  - { name: web1, addr: 10.0.0.7 }
roles: [{ name: all, allow: [{ nodes: [\"*\"] }] }]
users:
  - { name: alice@example.com, roles: [all] }
  - { name: bob, roles: [all] }
  - { name: \"*\", roles: [all] }
  - { name: \"a b$(id)\", roles: [all] }
";
        let data = Some(Path::new("/nonexistent"));
        let loaded = crate::config::parse(Path::new("r.yaml"), text, data).unwrap();
        let found = kind.candidates(&loaded.config, typed).into_iter();
        found
            .map(|candidate| candidate.value)
            .filter(|value| is_plain(value))
            .collect()
    }

    #[test]
    fn the_word_that_is_typed_is_known_by_what_stands_before_it() {
        use CompletionKind::{
            Hosts, JoinedNode, KeyId, Node, Person, Recording, Roles, Serial, Subject, Token, User,
        };
        for (line, expected) in [
            ("rproxy play ", Some((Recording, ""))),
            ("rproxy play --speed 2 01", Some((Recording, "01"))),
            (
                "rproxy --config x play --skip-idle 01",
                Some((Recording, "01")),
            ),
            (
                "rproxy recordings export --format=raw ",
                Some((Recording, "")),
            ),
            (
                "rproxy explain --login root alice@",
                Some((Subject, "alice@")),
            ),
            ("rproxy auth sign --host ", Some((Hosts, ""))),
            ("rproxy auth sign --host=db1,", Some((Hosts, "db1,"))),
            ("rproxy host setup --host db", Some((Hosts, "db"))),
            ("rproxy ", None),
            ("rproxy play --", None),
            ("rproxy play --speed ", None),
            ("rproxy play x ", None),
            ("rproxy recordings ls ", None),
            ("rproxy auth sign --user ", Some((Person, ""))),
            ("rproxy auth revoke --key-id=al", Some((KeyId, "al"))),
            ("rproxy auth revoke --serial 1", Some((Serial, "1"))),
            ("rproxy recordings ls --user=b", Some((Person, "b"))),
            ("rproxy users lock al", Some((User, "al"))),
            ("rproxy users add al", None),
            ("rproxy nodes show d", Some((Node, "d"))),
            ("rproxy nodes lock --reason x d", Some((JoinedNode, "d"))),
            ("rproxy nodes unlock d", Some((JoinedNode, "d"))),
            ("rproxy nodes rm d", Some((JoinedNode, "d"))),
            ("rproxy nodes ls ", None),
            ("rproxy tokens rm 01", Some((Token, "01"))),
            ("rproxy tokens add --names=d", None),
            ("rproxy users add alice --roles=dba,", Some((Roles, "dba,"))),
            ("rproxy nonsense ", None),
            ("", None),
        ] {
            let expected = expected.map(|(kind, typed)| (kind, typed.to_owned()));
            assert_eq!(sought(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_live_session_is_what_an_id_alone_names() {
        let positional = Arg::new("session").value_name("ID");
        assert_eq!(
            CompletionKind::of(&positional),
            Some(CompletionKind::Session)
        );
        assert_eq!(CompletionKind::of(&positional.long("session")), None);
    }

    #[test]
    fn the_line_says_where_to_look() {
        let mut cli = Cli::command();
        cli.build();
        let before = ["rproxy", "--config=/c", "play", "--data-dir", "~/d"].map(str::to_owned);
        let line = TypedLine::read(&cli, &before, "");
        assert_eq!(line.config, Some("/c".into()));
        let data_dir = line.data_dir.unwrap();
        assert!(
            data_dir.is_absolute() && data_dir.ends_with("d"),
            "{data_dir:?}"
        );
    }

    #[test]
    fn people_and_hosts_come_from_the_configuration() {
        let none = Vec::<String>::new();
        for (kind, typed, expected) in [
            (CompletionKind::Hosts, "", vec!["db1", "db2", "web1"]),
            (CompletionKind::Hosts, "db", vec!["db1", "db2"]),
            (CompletionKind::Hosts, "db1,", vec!["db1,db2", "db1,web1"]),
            (
                CompletionKind::Subject,
                "",
                vec!["alice@example.com@", "bob@"],
            ),
            (CompletionKind::Subject, "bob@d", vec!["bob@db1", "bob@db2"]),
            (
                CompletionKind::Subject,
                "alice@e",
                vec!["alice@example.com@"],
            ),
            (
                CompletionKind::Subject,
                "alice@example.com@w",
                vec!["alice@example.com@web1"],
            ),
        ] {
            assert_eq!(values(kind, typed), expected, "{kind:?} {typed:?}");
        }
        assert_eq!(
            values(CompletionKind::Person, ""),
            ["alice@example.com", "bob", "*"].map(str::to_owned)[..2]
        );
        assert_eq!(values(CompletionKind::Roles, ""), ["all"]);
        assert_eq!(values(CompletionKind::Roles, "all,"), none);
        assert_eq!(values(CompletionKind::User, ""), none);
        assert_eq!(values(CompletionKind::KeyId, ""), none);
        assert_eq!(values(CompletionKind::Recording, ""), none);
        assert_eq!(values(CompletionKind::Session, ""), none);
    }

    #[test]
    fn certificates_are_offered_by_key_id_and_by_serial() {
        let record = |key_id: &str, serial: u64, kind| IssueRecord {
            time: chrono::DateTime::from_timestamp(1_760_000_000, 0).unwrap(),
            kind,
            serial: crate::model::Serial::new(serial).unwrap(),
            key_id: key_id.to_owned(),
            principals: vec!["deploy".to_owned()],
            valid_after: 0,
            valid_before: 1,
            public_key: "SHA256:x".to_owned(),
            ca: "SHA256:y".to_owned(),
            critical_options: std::collections::BTreeMap::new(),
            issued_for: crate::ca::IssuedFor::Signed,
        };
        let records = [
            record("alice", 17, CaKind::User),
            record("bob", 18, CaKind::User),
            record("alice", 27, CaKind::User),
        ];
        let values = |found: Vec<Candidate>| -> Vec<String> {
            found.into_iter().map(|candidate| candidate.value).collect()
        };
        assert_eq!(values(key_ids(&records, "")), ["alice", "bob"]);
        assert_eq!(values(key_ids(&records, "b")), ["bob"]);
        assert_eq!(values(serials(&records, "1")), ["17", "18"]);
        assert_eq!(
            serials(&records, "27")[0].help,
            "alice, deploy, issued 2025-10-09T08:53:20Z"
        );
    }

    #[test]
    fn help_is_one_line() {
        assert_eq!(
            text::masked("a\tb\n\u{1b}[31m\u{202e}c"),
            "a\u{fffd}b\u{fffd}\u{fffd}[31m\u{fffd}c"
        );
        for odd in ["a b", "$(id)", "a;b", "-x", "a'b", "a*"] {
            assert!(!is_plain(odd), "{odd}");
        }
    }

    #[test]
    fn hosts_that_have_joined_and_tokens_come_from_the_state() {
        let fixture = HostsFixture::new();
        fixture.join(&node("db1", &["env=prod"]));
        let config = &fixture.context.config;
        let found = |kind: CompletionKind, typed: &str| -> Vec<Candidate> {
            kind.candidates(config, typed)
        };
        let values = |kind, typed| -> Vec<String> {
            let found = found(kind, typed).into_iter();
            found.map(|candidate| candidate.value).collect()
        };
        assert_eq!(values(CompletionKind::Node, ""), ["web1", "db1"]);
        assert_eq!(values(CompletionKind::JoinedNode, ""), ["db1"]);
        assert_eq!(values(CompletionKind::Hosts, "web1,"), ["web1,db1"]);
        assert_eq!(values(CompletionKind::Subject, "alice@d"), ["alice@db1"]);
        let help = &found(CompletionKind::Node, "db")[0].help;
        assert_eq!(help, "10.0.0.5:2222 env=prod");
        let token = fixture.state().tokens().list().unwrap()[0].id.to_string();
        assert_eq!(values(CompletionKind::Token, &token[..8]), [token]);
    }
}
