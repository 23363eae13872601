//! The query with which an identity provider sends a browser back (RFC 6749, 4.1.2; RFC 9207).

use thiserror::Error;
use zeroize::Zeroizing;

/// Longest `state`, in bytes.
const MAX_STATE: usize = 512;
/// Longest `code`, in bytes.
const MAX_CODE: usize = 4096;
/// Longest `iss`, in bytes.
const MAX_ISS: usize = 512;
/// Longest `error`, in bytes.
const MAX_ERROR: usize = 128;

/// The parameters that count. Others are ignored, as the RFC asks for. `error_description` is among
/// those: any person can write a link with a text of their own in it.
#[derive(Debug)]
pub(super) struct Callback {
    pub(super) state: Zeroizing<String>,
    pub(super) outcome: Outcome,
    pub(super) iss: Option<String>,
}

/// What the provider says.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The authorization code.
    Code(Zeroizing<String>),
    /// The name of an error.
    Error(String),
}

/// Why a query is none of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum CallbackError {
    /// A parameter is missing.
    #[error("there is no parameter \"{0}\"")]
    Missing(&'static str),
    /// A parameter is there more than once.
    #[error("the parameter \"{0}\" is given twice")]
    Twice(&'static str),
    /// A parameter is too long, empty, or has characters that it cannot have.
    #[error("the parameter \"{0}\" cannot be read")]
    Unreadable(&'static str),
    /// An authorization code and an error.
    #[error("there are both a code and an error")]
    Both,
}

impl Callback {
    /// Reads a query.
    pub(super) fn parse(query: &str) -> Result<Self, CallbackError> {
        let mut state = Parameter::new("state", MAX_STATE);
        let mut code = Parameter::new("code", MAX_CODE);
        let mut error = Parameter::new("error", MAX_ERROR);
        let mut iss = Parameter::new("iss", MAX_ISS);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let parameters = [&mut state, &mut code, &mut error, &mut iss];
            if let Some(parameter) = parameters.into_iter().find(|one| one.name == name) {
                parameter.take(Zeroizing::new(value.into_owned()))?;
            }
        }
        let outcome = match (code.value, error.value) {
            (Some(code), None) => Outcome::Code(code),
            (None, Some(error)) => Outcome::Error(error.to_string()),
            (Some(_), Some(_)) => return Err(CallbackError::Both),
            (None, None) => return Err(CallbackError::Missing(code.name)),
        };
        Ok(Self {
            state: state.value.ok_or(CallbackError::Missing(state.name))?,
            outcome,
            iss: iss.value.map(|iss| iss.to_string()),
        })
    }
}

/// A parameter, as it is found.
struct Parameter {
    name: &'static str,
    /// Longest value, in bytes.
    limit: usize,
    value: Option<Zeroizing<String>>,
}

impl Parameter {
    fn new(name: &'static str, limit: usize) -> Self {
        Self {
            name,
            limit,
            value: None,
        }
    }

    /// A value has to be of visible ASCII (RFC 6749, appendix A). What was no UTF-8 is not.
    fn take(&mut self, value: Zeroizing<String>) -> Result<(), CallbackError> {
        let is_visible = |byte: u8| matches!(byte, b' '..=b'~');
        if value.is_empty() || value.len() > self.limit || !value.bytes().all(is_visible) {
            return Err(CallbackError::Unreadable(self.name));
        }
        match self.value.replace(value) {
            None => Ok(()),
            Some(_) => Err(CallbackError::Twice(self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_sends_is_read() {
        let read = Callback::parse(
            "state=a%2Bb&session_state=x&code=c+d%7E&iss=https%3A%2F%2Fid.example.com&scope=openid",
        )
        .unwrap();
        assert_eq!(*read.state, "a+b");
        assert_eq!(read.iss.as_deref(), Some("https://id.example.com"));
        let Outcome::Code(code) = read.outcome else {
            panic!("no code");
        };
        assert_eq!(*code, "c d~");
        let refused = Callback::parse("error=access_denied&error_description=%3Cb%3E&state=s");
        let Outcome::Error(error) = refused.unwrap().outcome else {
            panic!("no error");
        };
        assert_eq!(error, "access_denied");
    }

    #[test]
    fn what_no_provider_sends_is_refused() {
        let long = |name: &str, length: usize| format!("{name}={}&state=s", "a".repeat(length));
        for (query, error) in [
            ("", CallbackError::Missing("code")),
            ("=&&=;&", CallbackError::Missing("code")),
            ("state=s", CallbackError::Missing("code")),
            ("STATE=s&code=c", CallbackError::Missing("state")),
            ("code=c", CallbackError::Missing("state")),
            ("code=c&error=e&state=s", CallbackError::Both),
            ("code=c&code=c&state=s", CallbackError::Twice("code")),
            ("code=c&c%6fde=d&state=s", CallbackError::Twice("code")),
            ("code=c&state=s&state=t", CallbackError::Twice("state")),
            ("iss=a&code=c&state=s&iss=a", CallbackError::Twice("iss")),
            ("code=&state=s", CallbackError::Unreadable("code")),
            ("code&state=s", CallbackError::Unreadable("code")),
            ("code=c&state=", CallbackError::Unreadable("state")),
            ("code=%ff&state=s", CallbackError::Unreadable("code")),
            ("code=%00&state=s", CallbackError::Unreadable("code")),
            ("code=c&state=%0a", CallbackError::Unreadable("state")),
            ("code=%C3%A9&state=s", CallbackError::Unreadable("code")),
            (
                "error=%E2%80%AE&state=s",
                CallbackError::Unreadable("error"),
            ),
            (
                &*long("code", MAX_CODE + 1),
                CallbackError::Unreadable("code"),
            ),
            (
                &*long("error", MAX_ERROR + 1),
                CallbackError::Unreadable("error"),
            ),
            (&*long("iss", MAX_ISS + 1), CallbackError::Unreadable("iss")),
            (
                &*long("state", MAX_STATE + 1),
                CallbackError::Unreadable("state"),
            ),
        ] {
            assert_eq!(Callback::parse(query).unwrap_err(), error, "{query}");
        }
        Callback::parse(&long("code", MAX_CODE)).unwrap();
    }

    #[test]
    fn any_query_is_judged_without_a_panic() {
        for query in [
            "%",
            "%%%",
            "a=%&b=%z",
            "+=+&&&==",
            "code=%2",
            "\u{fffd}=\u{1f600}",
        ] {
            Callback::parse(query).unwrap_err();
        }
        let many = "x=y&".repeat(4000);
        let read = Callback::parse(&format!("{many}code=c&state=s")).unwrap();
        assert_eq!(*read.state, "s");
    }
}
