//! What requests are for: some have more room than others.

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestPurpose {
    /// To read something, which changes nothing.
    Reading,
    /// To learn whether all is well: such a request never waits for others.
    Health,
    /// To show the interface, or to answer it: several requests on one connection.
    Browsing,
    /// To sign in: each request is of use once, so it is made with GET, and one that only looks (HEAD)
    /// is refused.
    SignIn,
}

impl RequestPurpose {
    /// The methods of HTTP, as `Allow` lists them.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Reading | Self::Health | Self::Browsing => "GET, HEAD",
            Self::SignIn => "GET",
        }
    }
}
