//! Fields that several events have, and how they are written.

use chrono::{DateTime, SecondsFormat};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::sys::account::Actor;

/// A moment as certificates have it: seconds after the epoch, `u64::MAX` for "forever". Written as
/// RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(pub u64);

impl Serialize for UnixSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = i64::try_from(self.0)
            .ok()
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        match time {
            Some(time) => {
                serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true))
            }
            None => serializer.serialize_str("forever"),
        }
    }
}

/// The fields of the account that has done it; `null` each if no account has.
pub(super) fn or_nulls<S: Serializer>(
    actor: &Option<Actor>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match actor {
        Some(actor) => actor.serialize(serializer),
        None => {
            let mut fields = serializer.serialize_struct("Actor", 3)?;
            for name in ["by", "uid", "sudo_user"] {
                fields.serialize_field(name, &None::<()>)?;
            }
            fields.end()
        }
    }
}
