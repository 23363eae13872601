//! Durations as `sshd_config(5)` writes them: `90`, `10m`, `1h30m`, `52w`.

use std::time::Duration;

use thiserror::Error;

/// Why a text is not a duration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// Not a sequence of numbers with units.
    #[error(
        "{0:?} is not a duration: expected a number with a unit, as in 90s, 10m, 12h, 30d, 52w, 1h30m"
    )]
    Syntax(String),
    /// More seconds than fit.
    #[error("{0:?} is too long a duration")]
    Overflow(String),
}

/// Parses the TIME FORMATS of `sshd_config(5)`: numbers, each followed by `s`, `m`, `h`, `d` or `w`
/// (upper case too); a number alone is seconds.
///
/// # Errors
/// For anything else, and for more than `u64::MAX` seconds.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let syntax = || DurationError::Syntax(text.to_owned());
    let overflow = || DurationError::Overflow(text.to_owned());
    let mut total = 0u64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(syntax());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(syntax());
        }
        let number: u64 = number.parse().map_err(|_overflow| overflow())?;
        let mut chars = tail.chars();
        let unit = match chars.next() {
            None | Some('s' | 'S') => 1,
            Some('m' | 'M') => 60,
            Some('h' | 'H') => 3_600,
            Some('d' | 'D') => 86_400,
            Some('w' | 'W') => 604_800,
            Some(_) => return Err(syntax()),
        };
        rest = chars.as_str();
        total = number
            .checked_mul(unit)
            .and_then(|n| total.checked_add(n))
            .ok_or_else(overflow)?;
    }
    Ok(Duration::from_secs(total))
}

/// The same, and every number has its unit: what people type is not guessed at.
///
/// # Errors
/// As [`parse_duration`], and for a number alone.
pub fn parse_duration_with_units(text: &str) -> Result<Duration, DurationError> {
    let parsed = parse_duration(text)?;
    if text.trim().ends_with(|c: char| c.is_ascii_digit()) {
        return Err(DurationError::Syntax(text.to_owned()));
    }
    Ok(parsed)
}

/// A text of one number with the largest unit that it is whole in, as in `30h` for 1 day and 6 hours.
#[must_use]
pub fn format_in_one_unit(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(604_800, 'w'), (86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let is_whole = |(unit, _): &&(u64, char)| seconds > 0 && seconds.is_multiple_of(*unit);
    let (unit, name) = units.iter().find(is_whole).unwrap_or(&(1, 's'));
    format!("{}{name}", seconds / unit)
}

/// The shortest text that [`parse_duration`] reads back to the same number of seconds.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, name) in [
        (604_800, 'w'),
        (86_400, 'd'),
        (3_600, 'h'),
        (60, 'm'),
        (1, 's'),
    ] {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push(name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_secs(5_400));
        assert_eq!(parse_duration("90").unwrap(), Duration::from_secs(90));
        assert_eq!(
            parse_duration("2W").unwrap(),
            Duration::from_secs(1_209_600)
        );
    }

    #[test]
    fn one_unit_is_the_largest_that_is_whole() {
        for (seconds, text) in [
            (0, "0s"),
            (90, "90s"),
            (5_400, "90m"),
            (108_000, "30h"),
            (604_800, "1w"),
        ] {
            assert_eq!(format_in_one_unit(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn what_people_type_has_units() {
        let typed = parse_duration_with_units;
        assert_eq!(typed(" 90m ").unwrap(), Duration::from_secs(5_400));
        for bad in ["90", "1h30", "0"] {
            assert!(matches!(typed(bad), Err(DurationError::Syntax(_))), "{bad}");
        }
    }

    #[test]
    fn nonsense_and_overflow_are_refused() {
        for bad in ["", "h", "1x", "-1h", "1.5h", "1h m"] {
            assert!(
                matches!(parse_duration(bad), Err(DurationError::Syntax(_))),
                "{bad:?}"
            );
        }
        for bad in ["99999999999999999999", "18446744073709551615w"] {
            assert!(
                matches!(parse_duration(bad), Err(DurationError::Overflow(_))),
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_parses_back(seconds: u64) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
            prop_assert_eq!(parse_duration(&format_in_one_unit(duration)).unwrap(), duration);
        }
    }
}
