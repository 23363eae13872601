//! The services that a process can call, each with its limits: one table.

use std::time::Duration;

/// A service that one process provides to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Opens files that the caller's sandbox does not permit.
    Files,
    /// Signs with the host CA's key.
    Signing,
    /// Decides about people and their connections.
    People,
    /// Decides about hosts that join, and about their reports.
    Nodes,
    /// Tells proxies that share a state where the others are.
    Peers,
    /// Tells browsers where people sign in, and which code to type.
    Browser,
    /// Answers browsers in which people are signed in.
    BrowserSessions,
    /// Checks passwords that are typed in a browser.
    BrowserPasswords,
    /// Tells what was revoked, which sign-ins have ended, and what users may do when that changes.
    Changes,
    /// Tells what everybody may know: the CAs' public keys, and what is revoked as a list for hosts.
    Published,
    /// Says what was counted.
    Telemetry,
}

/// The process that provides a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The process that starts all others.
    Monitor,
    /// The process that has the CAs and the state.
    Auth,
}

/// How many calls of a service a process may make at once, after it has made none for a while; then
/// [`Service::per_second`] limits them.
pub const CALL_BURST: u32 = 5_000;

impl Service {
    /// All services, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Signing,
        Self::Files,
        Self::People,
        Self::Browser,
        Self::BrowserSessions,
        Self::BrowserPasswords,
        Self::Nodes,
        Self::Peers,
        Self::Changes,
        Self::Published,
        Self::Telemetry,
    ];

    /// Its name, in messages and documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Signing => "signing",
            Self::People => "people",
            Self::Browser => "browser",
            Self::BrowserSessions => "browser-sessions",
            Self::BrowserPasswords => "browser-passwords",
            Self::Nodes => "nodes",
            Self::Peers => "peers",
            Self::Changes => "changes",
            Self::Published => "published",
            Self::Telemetry => "telemetry",
        }
    }

    /// The process that answers.
    #[must_use]
    pub const fn provider(self) -> Provider {
        match self {
            Self::Files => Provider::Monitor,
            Self::Signing
            | Self::People
            | Self::Browser
            | Self::BrowserSessions
            | Self::BrowserPasswords
            | Self::Nodes
            | Self::Peers
            | Self::Changes
            | Self::Published
            | Self::Telemetry => Provider::Auth,
        }
    }

    /// What a call yields, for the documentation.
    #[must_use]
    pub const fn yields(self) -> &'static str {
        match self {
            Self::Files => {
                "a file of the list below, opened to read or to append. No other file, and not for \
                 another purpose"
            }
            Self::Signing => {
                "a host certificate that is valid for an hour at most, signed with the host CA's \
                 key; or whether that key can be used. No user certificate, no other signature"
            }
            Self::People => {
                "for a connection whose client has proved itself by a signature and by answers, which \
                 are verified there: who it is; user certificates of five minutes for that key; as \
                 long as the sign-in, one for that key and one for another key, if the user has a \
                 list of logins. No password, no second factor, no invitation"
            }
            Self::Browser => {
                "for a link that a waiting terminal shows: the page of the identity provider; for what \
                 the provider has answered there, which is verified: the code that the terminal \
                 waits for, once. No token of the provider, and no sign-in"
            }
            Self::BrowserSessions => {
                "for the token of a browser in which a person is signed in: who it is, the hosts that \
                 this person may log in to, and the person's keys and sign-ins, which can be ended. \
                 No token, no certificate, and nothing about other people"
            }
            Self::BrowserPasswords => {
                "for the name, password and code of a person, which are verified there: a token of 256 \
                 random bits; for a token with the password and a code: another password. Wrong \
                 answers count as those of `ssh` do"
            }
            Self::Nodes => {
                "for a connection whose client has proved a host key, which is verified there: with a \
                 token that is not spent, a host certificate for that key under the names that the \
                 token allows; for a node that has joined, a new one under its names. No token, and \
                 nothing about other nodes"
            }
            Self::Peers => {
                "for a node: at which other proxy on the same state its tunnel is, with that proxy's \
                 address and host key; whether another proxy has a host key. It also says where this \
                 proxy is, under an id that it cannot choose"
            }
            Self::Changes => {
                "what is revoked, which sign-ins have ended, and the roles and logins of users who \
                 have signed in, when these change"
            }
            Self::Published => {
                "the CAs' public keys, and the list of what is revoked as `/webapi/auth/krl` serves it. \
                 Nothing that is not for everybody"
            }
            Self::Telemetry => {
                "numbers for the metrics: how often what happened, how long the state takes and how \
                 large it is. No name, no address"
            }
        }
    }

    /// Longest encoded request, in bytes.
    #[must_use]
    pub const fn max_request(self) -> usize {
        match self {
            // A path of 4096 bytes, each as a number.
            Self::Files => 20 * 1024,
            // A certificate in hexadecimal digits, and a key.
            Self::Signing => 60 * 1024,
            // Two keys and a signature in hexadecimal digits, or answers of 4 KiB in all.
            Self::People => 40 * 1024,
            // Names and labels of a host.
            Self::Nodes => 40 * 1024,
            // An authorization code, of 4 KiB at most.
            Self::Browser => 8 * 1024,
            // A token, and a fingerprint or a name.
            Self::BrowserSessions => 4 * 1024,
            // A name, two passwords and a code, with every character escaped.
            Self::BrowserPasswords => 24 * 1024,
            // An address and a key.
            Self::Peers => 4 * 1024,
            Self::Changes | Self::Published | Self::Telemetry => 1024,
        }
    }

    /// Longest encoded answer, in bytes.
    #[must_use]
    pub const fn max_answer(self) -> usize {
        match self {
            Self::Files => 1024,
            Self::Peers => 4 * 1024,
            // An RSA key of 16384 bits has signatures of 2 KiB.
            Self::Signing | Self::People => 16 * 1024,
            // A page's address; some hundred numbers with their names.
            Self::Browser | Self::BrowserPasswords | Self::Telemetry => 8 * 1024,
            // Certificates and keys, of RSA too; hosts with their labels; a piece of the list of
            // revocations in hexadecimal digits.
            Self::Changes | Self::Nodes | Self::BrowserSessions | Self::Published => 60 * 1024,
        }
    }

    /// How long a caller waits for the answer.
    #[must_use]
    pub const fn timeout(self) -> Duration {
        match self {
            Self::Files
            | Self::Signing
            | Self::Peers
            | Self::Changes
            | Self::BrowserSessions
            | Self::Published => Duration::from_secs(10),
            // Passwords are slow to check by design, and a CA's key may be in a slow agent.
            Self::People | Self::Nodes | Self::BrowserPasswords => Duration::from_secs(30),
            // A scrape of the metrics waits for it.
            Self::Telemetry => Duration::from_secs(1),
            // The identity provider is asked up to three times, for ten seconds each.
            Self::Browser => Duration::from_secs(30),
        }
    }

    /// How many calls of one process are handled, or wait, at a time. Further calls are refused.
    #[must_use]
    pub const fn at_once(self) -> usize {
        match self {
            Self::Files | Self::Signing | Self::Peers | Self::BrowserSessions => 8,
            // They wait for each other: few are worked on at a time.
            Self::BrowserPasswords => 64,
            Self::People | Self::Browser | Self::Nodes => 16,
            Self::Changes | Self::Published | Self::Telemetry => 2,
        }
    }

    /// How many calls a process may make in a second, on average. Further calls are refused.
    #[must_use]
    pub const fn per_second(self) -> u32 {
        match self {
            Self::Files => 500,
            // One for each name that a client asks for, and an hour old.
            Self::Signing => 1_000,
            // Several for each client that signs in.
            Self::People => 1_000,
            // Three for each heartbeat, once a minute, and for each tunnel.
            Self::Nodes => 500,
            // One for each connection to a node whose tunnel is elsewhere, and for each of other proxies.
            Self::Peers => 500,
            // Two for each person who signs in with a browser.
            Self::Browser => 200,
            // Several for each page that is opened. Each judges 1,000 hosts at most.
            Self::BrowserSessions => 300,
            // One for each person who signs in; a hash takes 50 ms.
            Self::BrowserPasswords => 20,
            // Five times a second, and more at once for a long list at the start.
            Self::Changes => 100,
            // As often, and for a long list many at once.
            Self::Published => 500,
            // Once for each scrape, and those are answered from one result for a second.
            Self::Telemetry => 20,
        }
    }
}
