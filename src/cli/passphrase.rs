//! Passphrases, typed on a terminal that does not show them.

use std::io::{self, IsTerminal, Read, Write};

use zeroize::Zeroizing;

use super::signals::Signals;
use super::{Exit, Failure, ui};
use crate::model::text::Printable;
use crate::sys::tty::ModeGuard;

/// Longest passphrase, in bytes.
const LONGEST: usize = 1024;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const CTRL_U: u8 = 21;
const BACKSPACE: [u8; 2] = [8, 127];

/// Asks for a passphrase; `None` without a terminal.
///
/// # Errors
/// Ctrl-C, or a terminal that goes away.
pub(crate) fn ask(question: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let terminal = io::stdin();
    if !(terminal.is_terminal() && io::stderr().is_terminal()) {
        return Ok(None);
    }
    let typed = {
        // Before the question: what is typed at once is not shown either. All keys arrive as bytes,
        // so that Ctrl-C cannot leave the terminal as it is now.
        let silent = Signals::take().and_then(|signals| {
            let silent = ModeGuard::raw(&terminal)?;
            signals.end_at_once(silent.modes());
            Ok(silent)
        });
        silent.and_then(|_silent| {
            write!(io::stderr().lock(), "{}: ", Printable(question))?;
            read_line(Unbuffered(&terminal))
        })
    };
    ui::note("");
    match typed {
        Ok(passphrase) => Ok(Some(passphrase)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            Err(Failure::new(Exit::Interrupted, "interrupted"))
        }
        Err(error) => Err(Failure::new(Exit::Failed, "cannot ask on the terminal").because(error)),
    }
}

/// Standard input without the buffer of the standard library, which is not wiped.
struct Unbuffered<'t>(&'t io::Stdin);

impl Read for Unbuffered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, buffer)?)
    }
}

/// Reads up to Enter, with what one can do to a line that one does not see.
fn read_line(mut keys: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // All at once: a vector that grows leaves copies.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    loop {
        let mut key = [0];
        keys.read_exact(&mut key)?;
        let [key] = key;
        match key {
            b'\r' | b'\n' => return Ok(line),
            CTRL_C => return Err(io::ErrorKind::Interrupted.into()),
            CTRL_D if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            CTRL_U => line.clear(),
            _ if BACKSPACE.contains(&key) => remove_last(&mut line),
            _ if line.len() == LONGEST => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("longer than {LONGEST} bytes"),
                ));
            }
            _ => line.push(key),
        }
    }
}

/// Removes the last character, which has several bytes in UTF-8.
fn remove_last(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str) -> Result<String, io::ErrorKind> {
        match read_line(keys.as_bytes()) {
            Ok(line) => Ok(String::from_utf8(line.to_vec()).unwrap()),
            Err(error) => Err(error.kind()),
        }
    }

    #[test]
    fn a_line_can_be_corrected() {
        for (keys, line) in [
            ("\r", ""),
            ("correct horse\r", "correct horse"),
            ("wrong\u{15}right\nmore", "right"),
            ("caf\u{e9}\u{7f}e\r", "cafe"),
            ("\u{8}\u{7f}a\r", "a"),
            ("a\u{4}\r", "a\u{4}"),
        ] {
            assert_eq!(typed(keys).as_deref(), Ok(line), "{keys:?}");
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_none() {
        assert_eq!(typed("abc\u{3}"), Err(io::ErrorKind::Interrupted));
        for keys in ["", "abc", "\u{4}"] {
            assert_eq!(typed(keys), Err(io::ErrorKind::UnexpectedEof), "{keys:?}");
        }
        let endless = "a".repeat(LONGEST + 1);
        assert_eq!(typed(&endless), Err(io::ErrorKind::InvalidData));
        assert_eq!(
            typed(&format!("{}\r", &endless[1..])).unwrap().len(),
            LONGEST
        );
    }
}
