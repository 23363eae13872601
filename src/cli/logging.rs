//! The log lines' destination: standard error (`sys::log`), filtered by `RPROXY_LOG`.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use super::{Exit, Failure};
use crate::model::text;
use crate::sys::log;

/// The variable that says what is logged: `debug`, or per part, as in `info,audit=off`.
const VARIABLE: &str = "RPROXY_LOG";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Writes lines with what others said in them, made safe to read.
#[derive(Clone, Copy, Debug)]
struct Safe {
    format: LogFormat,
    /// ESC is ours: the subscriber has escaped those of others.
    has_colours: bool,
}

impl Safe {
    fn line(self, line: &str) -> String {
        match (self.format, self.has_colours) {
            (LogFormat::Json, _) => text::json(line),
            (LogFormat::Text, false) => text::Lines(line).to_string(),
            (LogFormat::Text, true) => {
                let parts = line
                    .split('\u{1b}')
                    .map(|part| text::Lines(part).to_string());
                parts.collect::<Vec<_>>().join("\u{1b}")
            }
        }
    }
}

impl Write for Safe {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let safe = self.line(&String::from_utf8_lossy(line));
        log::Lines.write_all(safe.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        log::Lines.flush()
    }
}

/// Starts logging for the whole process. Lines wait until [`log::start`].
///
/// # Errors
/// When `RPROXY_LOG` is no filter, or logging was started before.
pub(crate) fn start(format: LogFormat) -> Result<(), Failure> {
    let wrong = || Failure::new(Exit::Usage, format!("{VARIABLE} is not a log filter"));
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => EnvFilter::try_new(text).map_err(|error| {
            wrong()
                .because(error)
                .hint("expected a level (error, warn, info, debug, trace), or PART=LEVEL,...")
        })?,
        Err(std::env::VarError::NotPresent) => EnvFilter::new("info"),
        Err(error) => return Err(wrong().because(error)),
    };
    let has_colours = format == LogFormat::Text && io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Safe {
            format,
            has_colours,
        })
        // It would tell standard error, and panic where that cannot be written, as on a full disk:
        // the thread that logs then would end with it.
        .log_internal_errors(false);
    let started = match format {
        LogFormat::Text => lines.with_ansi(has_colours).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::new(Exit::Internal, "cannot start logging").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_safe_to_read() {
        let line = "refused \u{9b}6n \u{202e}x\u{200b}\n";
        let text = Safe {
            format: LogFormat::Text,
            has_colours: false,
        };
        assert_eq!(text.line(line), "refused \\u{9b}6n \\u{202e}x\\u{200b}\n");
        let coloured = Safe {
            has_colours: true,
            ..text
        };
        assert_eq!(coloured.line("\u{1b}[2mx\u{9b}\n"), "\u{1b}[2mx\\u{9b}\n");
        let json = Safe {
            format: LogFormat::Json,
            has_colours: false,
        };
        let safe = json.line("{\"a\":\"\u{9b}\u{202e}\"}\n");
        assert_eq!(safe, "{\"a\":\"\\u009b\\u202e\"}\n");
    }
}
