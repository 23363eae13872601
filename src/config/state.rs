//! The section `state`: where users, sign-ins, issued certificates and revocations are stored.

use std::path::PathBuf;
use std::time::Duration;

use super::key::{DefaultValue, Key, ValueType};
use super::scalar::{Composite, DURATION, NONE, PATH};
use super::secret_file;
use super::table::{OnReload, Protection, section};
use super::value::{absolute, yaml_text};
use crate::model::{DataDir, PostgresUrl, PostgresUrlError};
use crate::state::{StateError, StatePlace, check_address};
use crate::sys::fs::FsError;

section! {
    STATE = "state", StateConfig,
    "Where users, sign-ins, issued certificates and revocations are stored.", [Clone] {
        STATE_URL = "url" + STATE_PASSWORD_FILE => database: Option<StateDatabase> {
            value: DATABASE,
            default: DefaultValue::Nothing,
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "A PostgreSQL database. Without it, or with \"\", the state is the file state.db \
                  in data_dir. Connections to another machine are encrypted, and the server's \
                  certificate is verified, as with sslmode=verify-full; sslrootcert=FILE names the \
                  CA if it is not one of the system's.",
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

impl StateConfig {
    /// Where the state is, with the password of the database.
    ///
    /// # Errors
    /// When the file of the password cannot be read, or others may read it.
    pub(super) fn place(&self, data_dir: &DataDir) -> Result<StatePlace, FsError> {
        let Some(database) = &self.database else {
            return Ok(StatePlace::Sqlite(data_dir.state_db()));
        };
        let url = database.url.clone();
        Ok(StatePlace::Postgres(match &database.password_file {
            Some(file) => url.with_password(secret_file::read(file)?),
            None => url,
        }))
    }
}

/// The URL of a database; `None` for an empty text.
fn address(text: &str) -> Result<Option<PostgresUrl>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let url: PostgresUrl = text
        .parse()
        .map_err(|error: PostgresUrlError| error.to_string())?;
    match check_address(&url) {
        Ok(_weakness) => Ok(Some(url)),
        Err(StateError::Address(why)) => Err(why),
        Err(error) => Err(error.to_string()),
    }
}

const DATABASE: Composite<Option<StateDatabase>> = Composite {
    form: ValueType::Text(
        "a URL of PostgreSQL, as in postgresql://rproxy@/rproxy?host=/run/postgresql",
    ),
    read: |section, key, diagnostics| {
        let url = section.value(key, address, diagnostics);
        let file = &STATE_PASSWORD_FILE;
        let password_file = section.value(file, |text| absolute(file, text), diagnostics);
        let place = url.as_ref().and_then(|url| url.place);
        let url = url.and_then(|url| url.value);
        let weakness = url.as_ref().map(check_address);
        if let Some(Ok(Some(weakness))) = weakness {
            diagnostics.warning(place, &section.path_to(key.name), weakness);
        }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;
    use crate::sys::fs::{Replace, write_whole};

    fn place(text: &str) -> Result<StatePlace, FsError> {
        let data = Some(Path::new("/data"));
        parse(Path::new("f"), text, data)
            .unwrap()
            .config
            .state_place()
    }

    #[test]
    fn the_state_is_a_file_unless_a_url_says_otherwise() {
        let file = StatePlace::Sqlite("/data/state.db".into());
        assert_eq!(place("").unwrap(), file);
        assert_eq!(place("state: { url: \"\" }").unwrap(), file);
        let url = "postgresql://u@localhost/d";
        let text = format!("state: {{ url: \"{url}\" }}");
        assert_eq!(
            place(&text).unwrap(),
            StatePlace::Postgres(url.parse().unwrap())
        );
    }

    #[test]
    fn the_password_of_a_file_that_others_cannot_read_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let read = |mode: u32, bytes: &[u8]| {
            let file = directory.path().join("password");
            write_whole(&file, bytes, mode, Replace::Allow).unwrap();
            place(&format!(
                "state: {{ url: \"postgresql://u@localhost/d\", password_file: {} }}",
                file.display()
            ))
        };
        for (mode, bytes) in [(0o600, &b"s3 cret\n"[..]), (0o640, b"s3 cret")] {
            let StatePlace::Postgres(url) = read(mode, bytes).unwrap() else {
                panic!("no PostgreSQL");
            };
            assert_eq!(url.password(), Some("s3 cret"));
        }
        let open = read(0o644, b"s3 cret").unwrap_err();
        assert!(matches!(open, FsError::TooOpen { .. }), "{open}");
        for empty in [&b""[..], b"\n"] {
            read(0o600, empty).unwrap_err();
        }
        read(0o600, b"\xff").unwrap_err();
        read(0o600, &[b'x'; 5000]).unwrap_err();
    }

    #[test]
    fn an_address_that_cannot_be_used_is_a_problem_of_the_file() {
        let refused = address("postgresql://u:s3cret@db/d?sslmode=allow").unwrap_err();
        assert!(refused.contains("sslmode"), "{refused}");
        assert!(!refused.contains("s3cret"), "{refused}");
    }

    #[test]
    fn less_than_a_verified_server_is_told() {
        let warnings = |url: &str| {
            let text = format!("state: {{ url: \"{url}\" }}");
            let loaded = parse(Path::new("f"), &text, Some(Path::new("/data"))).unwrap();
            let warnings = loaded.warnings.iter().map(ToString::to_string);
            warnings
                .filter(|warning| warning.contains("state.url"))
                .collect::<Vec<_>>()
        };
        let told = warnings("postgresql://u@db/d?sslmode=require");
        let [told] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert!(told.contains("verify-full"), "{told}");
        assert_eq!(warnings("postgresql://u@db/d?sslmode=verify-full"), [""; 0]);
    }
}
