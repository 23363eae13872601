//! How much of a text goes into an event: bounded as it is written, escapes included.

use serde_json::Value;

use crate::model::text::is_unsafe;

/// Longest text of a field, in bytes after escaping; the rest is cut.
pub(super) const MAX_TEXT: usize = 4096;
/// The same before the client has authenticated.
pub(super) const MAX_STRANGERS_TEXT: usize = 256;
/// Most items of a list; OpenSSH allows as many principals.
const MAX_ITEMS: usize = 256;
/// Longest list, in bytes after escaping.
const MAX_LIST: usize = 16 * 1024;
/// Stands where a text or a list was cut.
pub(super) const CUT: &str = "[...]";

/// Bounds a field to texts of `limit` bytes.
pub(super) fn bound(value: &mut Value, limit: usize) {
    match value {
        Value::String(text) => cut(text, limit),
        Value::Array(items) => {
            let mut left = MAX_LIST;
            let mut kept = 0;
            for item in items.iter_mut().take(MAX_ITEMS) {
                bound(item, limit);
                let length = item.as_str().map_or(0, escaped);
                if length > left {
                    break;
                }
                left -= length;
                kept += 1;
            }
            if kept < items.len() {
                items.truncate(kept);
                items.push(Value::from(CUT));
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(|value| bound(value, limit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Cuts a text that is longer than `limit` once it is escaped. No character is cut in two.
fn cut(text: &mut String, limit: usize) {
    let mut length = 0;
    for (at, c) in text.char_indices() {
        length += escaped_char(c);
        if length > limit {
            text.truncate(at);
            text.push_str(CUT);
            return;
        }
    }
}

fn escaped(text: &str) -> usize {
    text.chars().map(escaped_char).sum()
}

/// How many bytes a character has in a line of the log: `serde_json` escapes the control characters of
/// ASCII, quotation marks and backslashes, `model::text::json` the rest of what is unsafe.
fn escaped_char(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if is_unsafe(c) => 6 * c.len_utf16(),
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::text;

    #[test]
    fn a_long_list_says_that_it_was_cut() {
        let items = |count: usize, length: usize| {
            let mut list = Value::from(vec!["x".repeat(length); count]);
            bound(&mut list, MAX_TEXT);
            match list {
                Value::Array(items) => items,
                other => panic!("{other}"),
            }
        };
        assert_eq!(items(256, 10).len(), 256);
        assert_eq!(items(256, 10)[255], "xxxxxxxxxx");
        for cut in [items(257, 10), items(256, 4000)] {
            assert_eq!(cut.last().unwrap(), CUT);
            assert!(
                cut.iter()
                    .map(|item| item.as_str().unwrap().len())
                    .sum::<usize>()
                    <= MAX_LIST + CUT.len()
            );
        }
    }

    proptest! {
        #[test]
        fn a_text_is_bounded_as_it_is_written(
            foreign in "[\\PC\\pC\u{1}\u{202e}\u{e0041}\"\\\\]{0,300}",
            limit in 0..600usize,
        ) {
            let mut value = Value::from(foreign.clone());
            bound(&mut value, limit);
            let written = text::json(&serde_json::to_string(&value).unwrap());
            prop_assert!(written.len() <= limit + CUT.len() + 2, "{written}");
            let kept = value.as_str().unwrap();
            if kept != foreign {
                prop_assert!(foreign.starts_with(kept.strip_suffix(CUT).unwrap()));
                // Not cut without need.
                let whole = text::json(&serde_json::to_string(&foreign).unwrap());
                prop_assert!(whole.len() - 2 > limit);
            }
        }
    }
}
