//! The fields of a message in the table: read one by one, and encoded again.
//!
//! Only the fields' values are passed on. A field is either recorded, or replaced by an empty
//! value.

use bytes::Bytes;

use crate::wire::connection::{Fields, Head, MalformedMessage};

/// What a field holds (RFC 4251, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A string of at most so many bytes.
    Text(usize),
    /// A `uint32`.
    Number,
    /// A `boolean`.
    Flag,
    /// Terminal modes, encoded as RFC 4254, section 8, has it.
    Modes,
}

/// What happens with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on and recorded.
    Recorded,
    /// It is replaced by an empty string or zero, because no receiver uses it.
    Blank,
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in recordings.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// What happens with it.
    pub fate: Fate,
}

/// What a field held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string that is recorded as text.
    Text(Bytes),
    /// A number.
    Number(u32),
    /// A boolean.
    Flag(bool),
    /// Bytes that are not text.
    Bytes(Bytes),
}

/// The content of one message, without its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// The fields that are recorded, in their order.
    pub values: Vec<(&'static str, Value)>,
    /// All fields as they are passed on.
    pub(super) data: Bytes,
}

/// `TTY_OP_END` (RFC 4254, section 8).
const MODES_END: u8 = 0;
/// The first opcode whose argument has an unknown size: the modes end there.
const MODES_UNKNOWN: u8 = 160;
/// How many modes a terminal may have. Known clients send each opcode once.
const MAX_MODES: usize = 256;

impl Content {
    /// Reads exactly these fields.
    ///
    /// # Errors
    /// When one is missing or too long, or something follows the last.
    pub(super) fn parse(
        shape: &'static [Field],
        mut fields: Fields,
    ) -> Result<Self, MalformedMessage> {
        let mut content = Self::default();
        let mut data = Head::of_data();
        for field in shape {
            let value = read(field.holds, &mut fields)?;
            data = match field.fate {
                Fate::Recorded => write(data, &value),
                Fate::Blank => write(data, &blank(field.holds)),
            };
            if field.fate == Fate::Recorded {
                content.values.push((field.name, value));
            }
        }
        fields.end()?;
        content.data = data.into_bytes();
        Ok(content)
    }

    /// A string; empty where there is no such field.
    pub(super) fn text(&self, name: &str) -> Bytes {
        match self.value(name) {
            Some(Value::Text(text) | Value::Bytes(text)) => text.clone(),
            Some(Value::Number(_) | Value::Flag(_)) | None => Bytes::new(),
        }
    }

    /// A number; zero where there is no such field.
    pub(super) fn number(&self, name: &str) -> u32 {
        match self.value(name) {
            Some(Value::Number(number)) => *number,
            Some(Value::Text(_) | Value::Flag(_) | Value::Bytes(_)) | None => 0,
        }
    }

    /// A boolean; `false` where there is no such field.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.value(name) == Some(&Value::Flag(true))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let found = self.values.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }
}

fn read(holds: Holds, fields: &mut Fields) -> Result<Value, MalformedMessage> {
    Ok(match holds {
        Holds::Text(longest) => Value::Text(fields.string_of(longest)?),
        Holds::Number => Value::Number(fields.uint32()?),
        Holds::Flag => Value::Flag(fields.boolean()?),
        Holds::Modes => {
            let modes = fields.string_of(1 + 5 * MAX_MODES)?;
            Value::Bytes(written_modes(&modes, fields)?)
        }
    })
}

fn write(data: Head, value: &Value) -> Head {
    match value {
        Value::Text(bytes) | Value::Bytes(bytes) => data.string(bytes),
        Value::Number(number) => data.uint32(*number),
        Value::Flag(flag) => data.boolean(*flag),
    }
}

fn blank(holds: Holds) -> Value {
    match holds {
        Holds::Text(_) | Holds::Modes => Value::Text(Bytes::new()),
        Holds::Number => Value::Number(0),
        Holds::Flag => Value::Flag(false),
    }
}

/// The modes up to their end, each an opcode and a number. No modes at all stay none: some clients
/// leave out the end marker then.
fn written_modes(modes: &Bytes, fields: &Fields) -> Result<Bytes, MalformedMessage> {
    let mut written = Vec::with_capacity(modes.len() + 1);
    let mut rest = modes.as_ref();
    while let Some((&opcode, after)) = rest.split_first() {
        if opcode == MODES_END || opcode >= MODES_UNKNOWN {
            if opcode == MODES_END && !after.is_empty() {
                return Err(fields.too_long());
            }
            break;
        }
        let Some((argument, after)) = after.split_first_chunk::<4>() else {
            return Err(fields.too_short());
        };
        written.push(opcode);
        written.extend_from_slice(argument);
        rest = after;
    }
    if !modes.is_empty() {
        written.push(MODES_END);
    }
    Ok(written.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modes(bytes: &'static [u8]) -> Result<Bytes, MalformedMessage> {
        const SHAPE: &[Field] = &[Field {
            name: "modes",
            holds: Holds::Modes,
            fate: Fate::Recorded,
        }];
        let data = Head::of_data().string(bytes).into_bytes();
        let content = Content::parse(SHAPE, Fields::of_request(&data))?;
        Ok(content.text("modes"))
    }

    #[test]
    fn modes_are_written_up_to_their_end_and_no_further() {
        let speed: &[u8] = b"\x80\x00\x00\x96\x00\x00";
        assert_eq!(modes(b"").unwrap(), &b""[..]);
        assert_eq!(modes(b"\0").unwrap(), &b"\0"[..]);
        assert_eq!(modes(b"\x80\x00\x00\x96\x00\x00").unwrap(), speed);
        assert_eq!(modes(b"\x80\x00\x00\x96\x00").unwrap(), speed);
        let unknown = b"\x80\x00\x00\x96\x00\xa0whatever stands there";
        assert_eq!(modes(unknown).unwrap(), speed);
        for wrong in [&b"\0behind the end"[..], b"\x80\x00\x00"] {
            assert!(modes(wrong).is_err(), "{wrong:?}");
        }
    }
}
