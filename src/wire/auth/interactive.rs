//! Questions and answers of keyboard-interactive (RFC 4256), written and read.
//!
//! The side that asks is not trusted: the number of questions and every size are limited, and texts
//! contain no control characters for terminals. Answers are secrets: no `Debug` prints them, and they are
//! overwritten when they are dropped.

use std::fmt;

use ssh_encoding::Decode as _;
use zeroize::Zeroizing;

use super::message::{self, put_string};
use super::{AuthError, ForeignText};

/// Most questions at a time.
pub const MAX_PROMPTS: usize = 16;
/// Longest name and longest question, in bytes; what is longer is cut.
const MAX_LINE: usize = 1024;
/// Longest instruction, in bytes; what is longer is cut.
const MAX_INSTRUCTION: usize = 8 * 1024;
/// Longest answer, in bytes.
pub const MAX_ANSWER: usize = 4 * 1024;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Its text.
    pub text: ForeignText,
    /// Whether what is typed may be seen.
    pub echo: bool,
}

/// What a server asks at a time (RFC 4256 section 3.2). There may be no question in it, but a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// What it is called; may be empty.
    pub name: ForeignText,
    /// What to do; may be empty.
    pub instruction: ForeignText,
    /// The questions, [`MAX_PROMPTS`] at most.
    pub prompts: Vec<Prompt>,
}

impl Challenge {
    /// Reads the body of `INFO_REQUEST`.
    pub(super) fn parse(body: &[u8]) -> Result<Self, AuthError> {
        let mut rest = body;
        let (name, instruction, count) = head(&mut rest).ok().ok_or(AuthError::Malformed)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        // Nothing is reserved by the count before it is known to be small (CVE-2026-48107).
        if count > MAX_PROMPTS {
            return Err(AuthError::TooManyQuestions);
        }
        let mut prompts = Vec::with_capacity(count);
        for _ in 0..count {
            let (prompt, echo) = question(&mut rest).ok().ok_or(AuthError::Malformed)?;
            prompts.push(Prompt {
                text: ForeignText::new(prompt, MAX_LINE),
                echo,
            });
        }
        if !rest.is_empty() {
            return Err(AuthError::Malformed);
        }
        Ok(Self {
            name: ForeignText::new(name, MAX_LINE),
            instruction: ForeignText::new(instruction, MAX_INSTRUCTION),
            prompts,
        })
    }

    /// The whole message `INFO_REQUEST`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![message::INFO_REQUEST];
        put_string(&mut out, self.name.shown().as_bytes());
        put_string(&mut out, self.instruction.shown().as_bytes());
        put_string(&mut out, b""); // language
        put_count(&mut out, self.prompts.len());
        for prompt in &self.prompts {
            put_string(&mut out, prompt.text.shown().as_bytes());
            out.push(u8::from(prompt.echo));
        }
        out
    }
}

/// Answers to the questions of a [`Challenge`], in their order.
#[derive(Default, PartialEq, Eq)]
pub struct Answers(Vec<Zeroizing<Vec<u8>>>);

impl Answers {
    /// The answers as they were typed, by their bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.iter().map(|answer| answer.as_slice())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none: the answer to a text without a question.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the body of `INFO_RESPONSE`: exactly as many answers as there were questions.
    pub(super) fn parse(body: &[u8], expected: usize) -> Result<Self, AuthError> {
        let mut rest = body;
        let count = u32::decode(&mut rest).ok().ok_or(AuthError::Malformed)?;
        if usize::try_from(count) != Ok(expected) {
            return Err(AuthError::Malformed);
        }
        let mut answers = Vec::with_capacity(expected);
        for _ in 0..expected {
            let answer = Vec::decode(&mut rest).ok().ok_or(AuthError::Malformed)?;
            let answer = Zeroizing::new(answer);
            if answer.len() > MAX_ANSWER {
                return Err(AuthError::AnswerTooLong);
            }
            answers.push(answer);
        }
        if rest.is_empty() {
            Ok(Self(answers))
        } else {
            Err(AuthError::Malformed)
        }
    }

    /// The whole message `INFO_RESPONSE`. Its memory is reserved at once: what grows leaves copies.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let length = self.iter().map(|answer| 4 + answer.len()).sum::<usize>();
        let mut out = Zeroizing::new(Vec::with_capacity(1 + 4 + length));
        out.push(message::INFO_RESPONSE);
        put_count(&mut out, self.len());
        for answer in self.iter() {
            put_string(&mut out, answer);
        }
        out
    }
}

#[cfg(test)]
impl<'a> FromIterator<&'a str> for Answers {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let answers = texts.into_iter().map(|text| Zeroizing::new(text.into()));
        Self(answers.collect())
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Answers({} not shown)", self.0.len())
    }
}

type Head = (Vec<u8>, Vec<u8>, u32);

fn head(rest: &mut &[u8]) -> ssh_encoding::Result<Head> {
    let (name, instruction) = (Vec::decode(rest)?, Vec::decode(rest)?);
    let _language = Vec::<u8>::decode(rest)?;
    Ok((name, instruction, u32::decode(rest)?))
}

fn question(rest: &mut &[u8]) -> ssh_encoding::Result<(Vec<u8>, bool)> {
    Ok((Vec::decode(rest)?, bool::decode(rest)?))
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // Bounded by MAX_PROMPTS where it was read.
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_be_bytes());
}
