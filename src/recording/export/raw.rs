//! The bytes of one stream, exactly.

use std::io::{Read, Write};

use super::super::event::{EventKind, Stream};
use super::super::reader::Reader;
use super::ExportError;

pub(super) fn export<R: Read>(
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
    use super::super::Format;
    use super::super::tests::exported;
    use super::*;

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
                prop_assert_eq!(exported(&calls, pty, Format::Raw(stream)), told);
            }
        }
    }
}
