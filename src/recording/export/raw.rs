//! The bytes as they were relayed: of one stream, of the command, of the environment.

use std::io::{Read, Write};

use super::super::event::{EventKind, Stream};
use super::super::reader::Reader;
use super::super::verbatim::Verbatim;
use super::error::ExportError;

/// What a raw export takes of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The bytes of one stream.
    Stream(Stream),
    /// The command line, or the subsystem's name.
    Command,
    /// The environment that the client asked for: `NAME=VALUE`, each ended by a NUL.
    Environment,
}

pub(super) fn export<R: Read>(
    reader: &mut Reader<R>,
    part: Part,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    match part {
        Part::Stream(stream) => streamed(reader, stream, out),
        Part::Command => {
            let command = reader.header().command.as_ref();
            Ok(out.write_all(command.map_or(b"", Verbatim::bytes))?)
        }
        Part::Environment => environment(reader, out),
    }
}

fn environment<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> Result<(), ExportError> {
    for event in reader {
        let EventKind::Request(note) = event?.kind else {
            continue;
        };
        if note.name == "env"
            && let (Some(name), Some(value)) = (note.bytes("variable"), note.bytes("value"))
        {
            out.write_all(&[&name[..], b"=", &value, b"\0"].concat())?;
        }
    }
    Ok(())
}

fn streamed<R: Read>(
    reader: &mut Reader<R>,
    stream: Stream,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    for event in reader {
        match event?.kind {
            EventKind::Output {
                stream: of,
                ref bytes,
            } if of == stream => out.write_all(bytes)?,
            EventKind::Input(ref bytes) if stream == Stream::Stdin => out.write_all(bytes)?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::tests::{Call, calls};
    use super::super::super::{ChannelNote, Side};
    use super::super::Format;
    use super::super::tests::exported;
    use super::*;

    #[test]
    fn the_environment_comes_back_byte_for_byte() {
        let note = |name: &[u8], value: &[u8]| {
            let note = ChannelNote::new(Side::Client, "env");
            Call::Request(note.with_bytes("variable", name).with_bytes("value", value))
        };
        let calls = [
            note(b"LANG", b"\xff\n"),
            Call::Request(ChannelNote::new(Side::Client, "signal").with("signal", "INT")),
            note(b"LC_\xa0", "é".as_bytes()),
        ];
        let exported = exported(&calls, false, Format::Raw(Part::Environment));
        assert_eq!(exported, b"LANG=\xff\n\0LC_\xa0=\xc3\xa9\0");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn every_stream_comes_back_byte_for_byte(calls in calls(), pty: bool) {
            for stream in [Stream::Stdin, Stream::Stdout, Stream::Stderr] {
                let told: Vec<u8> = calls
                    .iter()
                    .filter_map(|call| match call {
                        Call::Input(bytes) if stream == Stream::Stdin => Some(bytes.clone()),
                        Call::Output(of, bytes) if *of == stream => Some(bytes.clone()),
                        _ => None,
                    })
                    .flatten()
                    .collect();
                prop_assert_eq!(exported(&calls, pty, Format::Raw(Part::Stream(stream))), told);
            }
        }
    }
}
