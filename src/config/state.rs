//! The section `state`: where users, sign-ins, issued certificates and revocations are stored.

use std::path::PathBuf;
use std::time::Duration;

use super::key::{DefaultValue, Key, ValueType};
use super::scalar::{Composite, DURATION, NONE, PATH};
use super::table::{OnReload, Protection, section};
use super::value::yaml_text;
use crate::model::PostgresUrl;

section! {
    STATE = "state", StateConfig,
    "Where users, sign-ins, issued certificates and revocations are stored.", [Clone] {
        STATE_URL = "url" + STATE_PASSWORD_FILE => database: Option<StateDatabase> {
            value: DATABASE,
            default: DefaultValue::Nothing,
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "A PostgreSQL database. Without it, or with \"\", the state is the file state.db \
                  in data_dir.",
        }
        MAX_STALE = "max_stale" => max_stale: Duration {
            value: DURATION,
            default: DefaultValue::Value("30s"),
            reload: OnReload::NeedsRestart,
            protection: Protection::Weaker(|old, new| new > old),
            doc: "When the state cannot be read for this long, nobody can log in until it can be \
                  read again. Live sessions go on, and what was revoked stays revoked.",
        }
    }
}

/// `state.password_file`.
pub(super) const STATE_PASSWORD_FILE: Key = Key {
    name: "password_file",
    form: PATH.form,
    default: DefaultValue::Nothing,
    doc: "The file with the password of the database, in one line. A group may read it, others may \
          not.",
};

/// A PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDatabase {
    /// `state.url`.
    pub url: PostgresUrl,
    /// `state.password_file`. There is none if the URL has a password.
    pub password_file: Option<PathBuf>,
}

const DATABASE: Composite<Option<StateDatabase>> = Composite {
    form: ValueType::Text("a URL of PostgreSQL, as in postgresql://rproxy@db.example.com/rproxy"),
    read: |section, key, diagnostics| {
        let parse = |text: &str| match text {
            "" => Ok(None),
            text => text
                .parse::<PostgresUrl>()
                .map(Some)
                .map_err(|error| error.to_string()),
        };
        let url = section.value(key, parse, diagnostics);
        let file = &STATE_PASSWORD_FILE;
        let password_file =
            section.value(file, |text| super::value::absolute(file, text), diagnostics);
        let url = url.and_then(|url| url.value);
        let problem = match (&url, &password_file) {
            (None, Some(_)) => "is of no use without url",
            (Some(url), Some(_)) if url.password().is_some() => "the url has a password already",
            _ => {
                return Some(url.map(|url| StateDatabase {
                    url,
                    password_file: password_file.map(|file| file.value),
                }));
            }
        };
        diagnostics.error(section.place_of(file), &section.path_to(file.name), problem);
        None
    },
    print: |key, database| {
        let mut lines = Vec::new();
        if let Some(database) = database {
            lines.push(format!("{}: {}", key.name, yaml_text(database.url.shown())));
            lines.extend(database.password_file.iter().map(|file| {
                let file = yaml_text(&file.to_string_lossy());
                format!("{}: {file}", STATE_PASSWORD_FILE.name)
            }));
        }
        lines
    },
    show: |database| {
        database
            .as_ref()
            .map_or_else(|| NONE.to_owned(), |database| database.url.to_string())
    },
};
