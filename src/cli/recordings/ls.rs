//! `rproxy recordings ls`.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::filter::Filter;
use super::read;
use crate::cli::format::{ListFormat, json_list};
use crate::cli::table::{Cell, Surface, Table, Tint};
use crate::cli::{Context, Exit, Failure, existing_data_dir, ui};
use crate::model::text;
use crate::recording::{ExitNote, Verbatim};
use crate::store::listing::{self, Entry, Listing, RecordingStatus};

/// Longest command in the table, in characters.
const MAX_COMMAND: usize = 60;
/// Columns that are cut at a narrow terminal: the command, the host, the user, the login.
const YIELDING: &[usize] = &[10, 5, 3, 4];
/// Columns that a narrow terminal does without: the kind, the size, the login, the duration.
const OPTIONAL: &[usize] = &[6, 9, 4, 2];

/// List recordings, oldest first
///
/// At a terminal, ids are shortened to what tells them apart; every command takes them so.
#[derive(Debug, clap::Args)]
pub(crate) struct RecordingsLsArgs {
    #[command(flatten)]
    filter: Filter,
    /// How to print the list
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    format: ListFormat,
}

impl RecordingsLsArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        existing_data_dir(context)?;
        let mut listing =
            listing::list(&context.config.data_dir.recordings()).map_err(|error| {
                Failure::new(Exit::Failed, "cannot list the recordings").because(error)
            })?;
        let surface = Surface::stdout();
        let shown = if surface.width.is_some() {
            shortest(&listing.entries)
        } else {
            FULL_ID
        };
        listing.entries.retain(|entry| self.filter.takes(entry));
        let found = listing.entries.len();
        read::tell(context, &read::list(self.filter.words(), found))?;
        for (path, error) in &listing.unreadable {
            ui::note(&format!("rproxy: skipping {}: {error}", text::path(path)));
        }
        match self.format {
            ListFormat::Text => ui::rendered(&table(&listing, shown).render(surface)),
            ListFormat::Json => ui::result(&json(&listing)),
        }
    }
}

/// One object of `--format json`; the keys are fixed.
#[derive(Serialize)]
struct RecordingRow<'a> {
    id: String,
    connection: String,
    user: &'a str,
    login: &'a str,
    host: &'a str,
    kind: &'static str,
    command: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_hex: Option<String>,
    start: String,
    end: Option<String>,
    /// Seconds from start to end.
    duration: Option<f64>,
    /// Bytes of the file.
    size: u64,
    exit_status: Option<u32>,
    exit_signal: Option<Cow<'a, str>>,
    state: &'static str,
    target: &'a str,
    client: Option<&'a str>,
    file: String,
}

impl<'a> RecordingRow<'a> {
    fn new(entry: &'a Entry) -> Self {
        let header = &entry.header;
        let (exit_status, exit_signal) = match &entry.exit {
            ExitNote::Status(status) => (Some(*status), None),
            ExitNote::Signal(signal) => (None, Some(signal.name.text())),
            ExitNote::Unknown => (None, None),
        };
        Self {
            id: header.session.to_string(),
            connection: header.connection.to_string(),
            user: &header.user,
            login: &header.login,
            host: header.host(),
            kind: header.kind.as_str(),
            command: header.command.as_ref().map(Verbatim::text),
            command_hex: header.command.as_ref().and_then(Verbatim::hex),
            start: time(header.start),
            end: entry.end.map(time),
            duration: duration(entry).map(|milliseconds| milliseconds as f64 / 1000.0),
            size: entry.size,
            exit_status,
            exit_signal,
            state: entry.standing.as_str(),
            target: &header.target,
            client: header.client.as_deref(),
            file: entry.file.display().to_string(),
        }
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn json(listing: &Listing) -> String {
    json_list(listing.entries.iter().map(RecordingRow::new))
}

/// Characters of a session id.
const FULL_ID: usize = 36;
/// Fewest characters of an id that are shown.
const SHORT_ID: usize = 8;

/// How many characters of each id tell it from all others.
fn shortest(entries: &[Entry]) -> usize {
    let mut ids: Vec<_> = entries
        .iter()
        .map(|entry| entry.header.session.to_string())
        .collect();
    ids.sort_unstable();
    let common = |pair: &[String]| match pair {
        [a, b] => a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    };
    let longest = ids.windows(2).map(common).max();
    longest.map_or(SHORT_ID, |common| (common + 1).clamp(SHORT_ID, FULL_ID))
}

/// How long the session took, in milliseconds; `None` while it goes on.
fn duration(entry: &Entry) -> Option<i64> {
    let took = entry.end? - entry.header.start;
    Some(took.num_milliseconds().max(0))
}

/// `5s`, `12m05s`, `3h07m`, `2d04h`.
fn duration_text(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        (_, _, _) => format!("{days}d{:02}h", hours % 24),
    }
}

fn table(listing: &Listing, id_length: usize) -> Table<11> {
    let heads = [
        "ID", "START", "DURATION", "USER", "LOGIN", "HOST", "KIND", "STATE", "EXIT", "SIZE",
        "COMMAND",
    ];
    let mut table = Table::new(heads, YIELDING).without_if_narrow(OPTIONAL);
    for entry in &listing.entries {
        let row = RecordingRow::new(entry);
        let exit = match (row.exit_status, row.exit_signal) {
            (Some(0), _) => Cell::from("0".to_owned()),
            (Some(status), _) => Cell::tinted(status.to_string(), Tint::Bad),
            (None, Some(signal)) => Cell::tinted(signal, Tint::Bad),
            (None, None) => Cell::from("-".to_owned()),
        };
        let state = match entry.standing {
            RecordingStatus::Recording => Tint::Good,
            RecordingStatus::Complete => Tint::Plain,
            RecordingStatus::Recovered => Tint::Odd,
        };
        let command = row.command.as_deref().unwrap_or("-").chars();
        let command = command.take(MAX_COMMAND);
        let start = entry.header.start;
        let took = duration(entry).map_or_else(|| "-".to_owned(), duration_text);
        table.push([
            Cell::from(row.id.chars().take(id_length).collect::<String>()),
            start.to_rfc3339_opts(SecondsFormat::Secs, true).into(),
            took.into(),
            row.user.into(),
            row.login.into(),
            row.host.into(),
            row.kind.into(),
            Cell::tinted(row.state, state),
            exit,
            ui::size(row.size).into(),
            command.collect::<String>().into(),
        ]);
    }
    table
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::model::SessionKind;
    use crate::recording::{Header, Pty};

    pub(in crate::cli::recordings) fn entry() -> Entry {
        Entry {
            header: Header {
                session: "01920000-0000-7000-8000-000000000001".parse().unwrap(),
                connection: "01920000-0000-7000-8000-000000000002".parse().unwrap(),
                cluster: "example.com".to_owned(),
                user: "alice".to_owned(),
                login: "deploy".to_owned(),
                target: "[2001:db8::1]:22".to_owned(),
                node: None,
                address: None,
                egress_addr: None,
                kind: SessionKind::Exec,
                command: Some("echo \u{1b}[31m\u{9b}".into()),
                client: None,
                serial: None,
                fingerprint: None,
                start: DateTime::from_timestamp(1_760_000_000, 0).unwrap(),
                pty: None::<Pty>,
            },
            standing: RecordingStatus::Complete,
            end: DateTime::from_timestamp(1_760_000_061, 500_000_000),
            exit: ExitNote::Status(3),
            size: 2048,
            file: Path::new("/r/x.cast.zst").to_owned(),
        }
    }

    fn listing() -> Listing {
        Listing {
            entries: vec![entry()],
            unreadable: Vec::new(),
        }
    }

    #[test]
    fn the_keys_are_fixed() {
        let text = json(&listing());
        assert!(!text.contains('\u{9b}'));
        let rows: Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!([{
            "id": "01920000-0000-7000-8000-000000000001",
            "connection": "01920000-0000-7000-8000-000000000002",
            "user": "alice",
            "login": "deploy",
            "host": "[2001:db8::1]",
            "kind": "exec",
            "command": "echo \u{1b}[31m\u{9b}",
            "start": "2025-10-09T08:53:20.000Z",
            "end": "2025-10-09T08:54:21.500Z",
            "duration": 61.5,
            "size": 2048,
            "exit_status": 3,
            "exit_signal": null,
            "state": "complete",
            "target": "[2001:db8::1]:22",
            "client": null,
            "file": "/r/x.cast.zst",
        }]);
        assert_eq!(rows, expected);
    }

    #[test]
    fn the_table_is_safe_to_print() {
        let table = table(&listing(), FULL_ID).render(Surface::default());
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("ID  "));
        assert!(
            lines[1].ends_with("exec  complete  3     2.00KiB  echo \u{fffd}[31m\u{fffd}"),
            "{table}"
        );
    }

    #[test]
    fn ids_are_as_short_as_they_can_be_told_apart() {
        let with = |id: &str| {
            let mut entry = entry();
            entry.header.session = id.parse().unwrap();
            entry
        };
        assert_eq!(shortest(&[]), SHORT_ID);
        assert_eq!(shortest(&[entry()]), SHORT_ID);
        let entries = [
            with("01920000-0000-7000-8000-00000000000a"),
            with("01930000-0000-7000-8000-000000000000"),
            with("01920000-0001-7000-8000-000000000000"),
        ];
        assert_eq!(shortest(&entries), "01920000-0001".len());
        assert_eq!(shortest(&[entry(), entry()]), FULL_ID);
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (725, "12m05s"),
            (11_220, "3h07m"),
            (187_200, "2d04h"),
        ] {
            assert_eq!(duration_text(seconds * 1000 + 999), text);
        }
    }

    #[test]
    fn no_recordings_are_an_empty_array() {
        assert_eq!(json(&Listing::default()), "[]\n");
    }
}
