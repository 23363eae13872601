//! Bytes as hexadecimal digits: JSON has no bytes.

use serde::{Deserialize, Deserializer, Serializer, de};

use crate::model::text;

pub(in crate::ipc) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text::hex(bytes))
}

pub(in crate::ipc) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| match *pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    };
    let bytes = text.as_bytes().chunks(2).map(byte);
    bytes
        .collect::<Option<_>>()
        .ok_or_else(|| de::Error::custom("not hexadecimal"))
}
