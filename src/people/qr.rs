//! QR codes in half blocks, for terminals.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

/// Columns that every terminal has.
const COLUMNS: usize = 80;
/// Light squares around the code, on each side (ISO/IEC 18004 section 9.1).
const QUIET_ZONE: usize = 4;

/// A text as a QR code of two squares in a character, with the light border that telephones need.
/// Light squares are drawn and dark ones left out, as it has to be where text is lighter than its
/// background. `None` if the text is too long for [`COLUMNS`] columns.
#[must_use]
pub(super) fn qr_code(text: &str) -> Option<Zeroizing<String>> {
    // The lowest level of correction: a screen has no scratches, and the code stays small.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    if code.width() + 2 * QUIET_ZONE > COLUMNS {
        return None;
    }
    let picture = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    Some(Zeroizing::new(picture))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "otpauth://totp/example.com:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=example.com";

    /// The squares of a picture: true where it is dark.
    fn squares(picture: &str) -> Vec<Vec<bool>> {
        let half = |c: char| match c {
            ' ' => (true, true),
            '\u{2580}' => (false, true),
            '\u{2584}' => (true, false),
            '\u{2588}' => (false, false),
            other => panic!("{other:?}"),
        };
        let rows = picture.lines().flat_map(|line| {
            let halves: Vec<_> = line.chars().map(half).collect();
            [
                halves.iter().map(|pair| pair.0).collect(),
                halves.iter().map(|pair| pair.1).collect(),
            ]
        });
        rows.collect()
    }

    #[test]
    fn the_picture_has_the_squares_of_the_code_and_a_border() {
        let picture = qr_code(URI).unwrap();
        let code = QrCode::with_error_correction_level(URI, EcLevel::L).unwrap();
        let width = code.width() + 8;
        let squares = squares(&picture);
        assert!(width <= 80);
        assert!(squares.iter().all(|row| row.len() == width));
        for y in 0..width {
            for x in 0..width {
                let is_in = |at: usize| (4..width - 4).contains(&at);
                let is_dark = is_in(x) && is_in(y) && code[(x - 4, y - 4)] == qrcode::Color::Dark;
                assert_eq!(squares[y][x], is_dark, "{x} {y}");
            }
        }
    }

    #[test]
    fn what_is_wider_than_a_terminal_is_not_drawn() {
        assert!(qr_code(&"x".repeat(425)).is_some());
        assert!(qr_code(&"x".repeat(426)).is_none());
        assert!(qr_code(&"x".repeat(10_000)).is_none());
    }
}
