//! Which recordings `recordings ls` lists.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::access::Pattern;
use crate::model::{SessionKind, parse_duration};
use crate::recording::Verbatim;
use crate::store::listing::{Entry, RecordingStatus};
use crate::sys::clock::Clock;

/// What a recording must be like to be listed; everything that is given must be so.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Only those of this user; `*` and `?` are wildcards
    #[arg(long, value_name = "NAME", value_parser = pattern)]
    user: Option<Pattern>,
    /// Only those of this login on the host
    #[arg(long, value_name = "LOGIN", value_parser = pattern)]
    login: Option<Pattern>,
    /// Only those of this host, by its name in the inventory or as it was asked for
    #[arg(long, value_name = "NAME", value_parser = any_case)]
    host: Option<Pattern>,
    /// Only those of this kind
    #[arg(long, value_name = "KIND", value_parser = named(KINDS, SessionKind::as_str))]
    kind: Option<SessionKind>,
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = named(STATES, RecordingStatus::as_str))]
    state: Option<RecordingStatus>,
    /// Only those whose command has this text in it
    #[arg(long, value_name = "TEXT")]
    command: Option<String>,
    /// Only those that began at this time or later: 2h, 7d (ago), 2026-11-29, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Only those that began before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<DateTime<Utc>>,
}

/// The kinds, and what each is called on the command line.
const KINDS: [(SessionKind, &str); 4] = [
    (SessionKind::Shell, "A shell"),
    (SessionKind::Exec, "A command"),
    (SessionKind::Subsystem, "A subsystem, such as sftp"),
    (SessionKind::Forward, "The forwards of a connection"),
];

/// The states, in the same way.
const STATES: [(RecordingStatus, &str); 3] = [
    (RecordingStatus::Recording, "The session goes on"),
    (RecordingStatus::Complete, "With its end"),
    (
        RecordingStatus::Recovered,
        "Without its end: the proxy was killed",
    ),
];

impl Filter {
    /// Whether this one is listed.
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        let header = &entry.header;
        let fits = |pattern: &Option<Pattern>, name: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
        };
        fits(&self.user, &header.user)
            && fits(&self.login, &header.login)
            && (fits(&self.host, header.host()) || fits(&self.host, header.asked_host()))
            && self.kind.is_none_or(|kind| kind == header.kind)
            && self.state.is_none_or(|state| state == entry.standing)
            && self.has_command(header.command.as_ref().map(Verbatim::text).as_deref())
            && self.since.is_none_or(|since| header.start >= since)
            && self.until.is_none_or(|until| header.start < until)
    }

    /// What was given, for the audit log: each option's name and its value.
    pub(super) fn words(&self) -> BTreeMap<&'static str, String> {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let name = |pattern: &Option<Pattern>| pattern.as_ref().map(ToString::to_string);
        let Self {
            user,
            login,
            host,
            kind,
            state,
            command,
            since,
            until,
        } = self;
        let words = [
            ("user", name(user)),
            ("login", name(login)),
            ("host", name(host)),
            ("kind", kind.map(|kind| kind.as_str().to_owned())),
            ("state", state.map(|state| state.as_str().to_owned())),
            ("command", command.clone()),
            ("since", since.map(time)),
            ("until", until.map(time)),
        ];
        let given = words.into_iter();
        given
            .filter_map(|(name, word)| Some((name, word?)))
            .collect()
    }

    fn has_command(&self, command: Option<&str>) -> bool {
        let Some(text) = &self.command else {
            return true;
        };
        command.is_some_and(|command| command.contains(text.as_str()))
    }
}

/// Takes the values of a table by their names.
fn named<T: Copy + Send + Sync + 'static, const N: usize>(
    all: [(T, &'static str); N],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let names = all.map(|(value, help)| PossibleValue::new(name(value)).help(help));
    PossibleValuesParser::new(names).try_map(move |typed| {
        let mut values = all.into_iter().map(|(value, _)| value);
        values
            .find(|value| name(*value) == typed)
            .ok_or("there is no such value")
    })
}

fn pattern(text: &str) -> Result<Pattern, String> {
    text.parse::<Pattern>().map_err(|error| error.to_string())
}

/// Names of hosts have no case.
fn any_case(text: &str) -> Result<Pattern, String> {
    Ok(pattern(text)?.folding_case())
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let expected = || "expected 2h, 7d, 2026-11-29 or 2026-11-29T12:00:00Z".to_owned();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        // A number alone would be seconds to some and a year to others.
        return Err(expected());
    }
    let ago = parse_duration(text).map_err(|_error| expected())?;
    let ago = chrono::TimeDelta::from_std(ago).map_err(|_error| expected())?;
    let now = i64::try_from(Clock::System.unix_seconds()).ok();
    now.and_then(|now| DateTime::from_timestamp(now, 0))
        .and_then(|now| now.checked_sub_signed(ago))
        .ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::ls::tests::entry;
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct FilterCli {
        #[command(flatten)]
        filter: Filter,
    }

    fn takes(args: &[&str]) -> bool {
        let words = std::iter::once("ls").chain(args.iter().copied());
        FilterCli::try_parse_from(words)
            .unwrap()
            .filter
            .takes(&entry())
    }

    #[test]
    fn everything_that_is_given_must_be_so() {
        for args in [
            &[][..],
            &["--user=alice"],
            &["--user=al*", "--login=deploy"],
            &["--host=[2001:DB8::1]"],
            &["--kind=exec", "--state=complete"],
            &["--command=echo"],
            &["--since=2025-10-09", "--until=2025-10-10"],
            &["--since=2025-10-09T08:53:20Z", "--until=1h"],
        ] {
            assert!(takes(args), "{args:?}");
        }
        for args in [
            &["--user=bob"][..],
            &["--user=alic"],
            &["--user=alice", "--login=root"],
            &["--host=db1"],
            &["--kind=shell"],
            &["--state=recording"],
            &["--command=rm"],
            &["--since=2025-10-10"],
            &["--since=1h"],
            &["--until=2025-10-09T08:53:20Z"],
        ] {
            assert!(!takes(args), "{args:?}");
        }
        let words = |args: &[&str]| {
            let args = std::iter::once("ls").chain(args.iter().copied());
            FilterCli::try_parse_from(args).unwrap().filter.words()
        };
        assert!(words(&[]).is_empty());
        let given = words(&["--user=al*", "--kind=exec", "--since=2025-10-09"]);
        let expected = [
            ("kind", "exec"),
            ("since", "2025-10-09T00:00:00Z"),
            ("user", "al*"),
        ];
        assert!(
            given
                .iter()
                .map(|(name, word)| (*name, word.as_str()))
                .eq(expected)
        );
        for wrong in ["--since=yesterday", "--since=2025", "--until=", "--kind=x"] {
            assert!(FilterCli::try_parse_from(["ls", wrong]).is_err(), "{wrong}");
        }
    }
}
