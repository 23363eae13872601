//! `rproxy recordings export`.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use super::harmless::Harmless;
use crate::cli::{Context, Exit, Failure, ui};
use crate::recording::export::{self, ExportError, Format, Part};
use crate::recording::{State, Stream};
use crate::sys::fs;

/// Write a recording in a format that other programs read
///
/// A pipe or a file gets the exact bytes. A terminal gets them with everything escaped that could act
/// on it, or deceive whoever reads it.
#[derive(Debug, clap::Args)]
pub(crate) struct RecordingsExportArgs {
    /// Session id, or its beginning, or `last`, or a file
    #[arg(value_name = "ID|FILE")]
    recording: String,
    /// What to write
    #[arg(long, value_enum, default_value_t = FormatArg::Asciicast)]
    format: FormatArg,
    /// Which bytes `--format=raw` writes
    #[arg(long, value_enum, required_if_eq("format", "raw"))]
    stream: Option<StreamArg>,
    /// Write to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    /// asciicast v3, for asciinema and other players
    Asciicast,
    /// What was on the screen
    Text,
    /// One JSON object per event, with all bytes
    Json,
    /// The bytes of one stream, of the command or of the environment, unchanged but for a terminal
    Raw,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StreamArg {
    /// Standard input
    Stdin,
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
    /// The command line, or the subsystem's name
    Command,
    /// The environment that the client sent, each NAME=VALUE ended by a zero byte
    Environment,
}

impl From<StreamArg> for Part {
    fn from(stream: StreamArg) -> Self {
        match stream {
            StreamArg::Stdin => Self::Stream(Stream::Stdin),
            StreamArg::Stdout => Self::Stream(Stream::Stdout),
            StreamArg::Stderr => Self::Stream(Stream::Stderr),
            StreamArg::Command => Self::Command,
            StreamArg::Environment => Self::Environment,
        }
    }
}

impl RecordingsExportArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let format = self.format()?;
        let mut reader = super::open(context, &self.recording, "export")?;
        let exported = match &self.out {
            Some(path) => {
                let file = fs::create_new(path, fs::PRIVATE_FILE).map_err(|error| {
                    Failure::new(Exit::Failed, "cannot write the export").because(error)
                })?;
                export::export(&mut reader, format, &mut BufWriter::new(file))
            }
            None if io::stdout().is_terminal() => {
                let mut out = Harmless::new(BufWriter::new(io::stdout().lock()), format);
                let exported = export::export(&mut reader, format, &mut out);
                exported.and_then(|()| Ok(out.finish()?))
            }
            None => {
                let mut out = BufWriter::new(io::stdout().lock());
                let exported = export::export(&mut reader, format, &mut out);
                // What came before the damage is a result too.
                exported.and_then(|()| Ok(out.flush()?))
            }
        };
        match exported {
            Err(ExportError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(());
            }
            Err(ExportError::Output(error)) => {
                return Err(Failure::new(Exit::Failed, "cannot write the export").because(error));
            }
            Err(ExportError::Recording(error)) => {
                return Err(Failure::new(
                    Exit::Failed,
                    "the recording was exported only up to where it is damaged",
                )
                .because(error));
            }
            Ok(()) => {}
        }
        if *reader.state() == State::Truncated {
            ui::note(
                "rproxy: the recording has no end: it is still being written, or its writer was \
                 killed; exported up to its last complete event",
            );
        }
        Ok(())
    }

    fn format(&self) -> Result<Format, Failure> {
        Ok(match (self.format, self.stream) {
            (FormatArg::Raw, Some(stream)) => Format::Raw(stream.into()),
            (FormatArg::Raw, None) => {
                return Err(Failure::new(Exit::Usage, "--format=raw needs --stream"));
            }
            (_, Some(_)) => {
                return Err(Failure::new(
                    Exit::Usage,
                    "--stream goes with --format=raw only",
                ));
            }
            (FormatArg::Asciicast, None) => Format::Asciicast,
            (FormatArg::Text, None) => Format::Text,
            (FormatArg::Json, None) => Format::Json,
        })
    }
}
