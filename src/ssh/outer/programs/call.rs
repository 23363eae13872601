//! The programs by their names, and how a command line is read.

/// Longest command line that is read, in bytes.
const MAX_COMMAND: usize = 1024;

macro_rules! programs {
    ($($program:ident $name:literal $usage:literal $for_all:literal $about:literal)*) => {
        /// A program of the outer connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum ProgramName {
            $(#[doc = $about] $program,)*
        }

        impl ProgramName {
            /// All programs, in the order of `help`.
            pub(super) const ALL: &'static [Self] = &[$(Self::$program,)*];

            /// The name, as it is typed and audited.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$program => $name,)* }
            }

            /// The name with its arguments.
            pub(super) const fn usage(self) -> &'static str {
                match self { $(Self::$program => $usage,)* }
            }

            /// Whether it is for clients with a certificate too.
            pub(super) const fn is_for_certificates(self) -> bool {
                match self { $(Self::$program => $for_all,)* }
            }

            /// What it does, in one line.
            pub(super) const fn about(self) -> &'static str {
                match self { $(Self::$program => $about,)* }
            }
        }
    };
}

programs! {
    Help "help" "help" true
        "this text"
    List "ls" "ls [--format json]" true
        "the hosts that you may log in to, and under which logins"
    Status "status" "status" true
        "who you are here, with which key, and until when"
    Join "join" "join [SESSION] [--observe] [--format json]" true
        "the live sessions that you may join; with an id, joins one (ssh -t)"
    Login "login" "login [--add]" false
        "signs in ahead of time; --add puts a key with a certificate into your agent (ssh -A)"
    Logout "logout" "logout [--everywhere]" false
        "ends the sign-in of this key, or all of yours, and the connections made with it"
    Certificate "cert" "cert" false
        "prints a certificate for the key of this connection"
    Password "passwd" "passwd" false
        "changes the password (ssh -t)"
    SecondFactor "mfa" "mfa" false
        "sets up the one-time codes again (ssh -t)"
    Keys "keys" "keys [rm FINGERPRINT]" false
        "your registered keys; rm removes one"
}

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProgramCall {
    /// `help`
    Help,
    /// `ls`
    List {
        /// As JSON instead of a table.
        as_json: bool,
    },
    /// `join`
    Joinable {
        /// As JSON instead of a table.
        as_json: bool,
    },
    /// `join SESSION`
    Join {
        /// The id, or how it begins.
        session: String,
        /// Only to see it, also where the policy allows more.
        observes: bool,
    },
    /// `status`
    Status,
    /// `login`
    Login {
        /// Adds a key and its certificate to the forwarded agent.
        adds: bool,
    },
    /// `logout`
    Logout {
        /// All of the person's sign-ins.
        everywhere: bool,
    },
    /// `cert`
    Certificate,
    /// `passwd`
    Password,
    /// `mfa`
    SecondFactor,
    /// `keys`
    Keys,
    /// `keys rm`
    RemoveKey {
        /// SHA-256, as `ssh-keygen -l` prints it.
        fingerprint: String,
    },
}

/// Why a command line is no [`ProgramCall`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotACall {
    /// There is no program of this name.
    Unknown,
    /// The program does not take these arguments.
    Arguments(ProgramName),
}

impl ProgramCall {
    /// Reads a command line: words between blanks, without quotes.
    ///
    /// # Errors
    /// There is no such program, or it takes other arguments.
    pub(super) fn parse(command: &[u8]) -> Result<Self, NotACall> {
        let text = std::str::from_utf8(command)
            .ok()
            .filter(|text| text.len() <= MAX_COMMAND)
            .ok_or(NotACall::Unknown)?;
        let mut words = text.split_ascii_whitespace();
        let first = words.next().ok_or(NotACall::Unknown)?;
        let name = ProgramName::ALL
            .iter()
            .find(|program| program.name() == first)
            .ok_or(NotACall::Unknown)?;
        let arguments: Vec<&str> = words.collect();
        match (name, arguments.as_slice()) {
            (ProgramName::Help, _) => Ok(Self::Help),
            (ProgramName::List, []) => Ok(Self::List { as_json: false }),
            (ProgramName::List, ["--format", "json"] | ["--format=json"]) => {
                Ok(Self::List { as_json: true })
            }
            (ProgramName::Join, []) => Ok(Self::Joinable { as_json: false }),
            (ProgramName::Join, ["--format", "json"] | ["--format=json"]) => {
                Ok(Self::Joinable { as_json: true })
            }
            (ProgramName::Join, [session] | ["--observe", session] | [session, "--observe"])
                if !session.starts_with('-') =>
            {
                Ok(Self::Join {
                    session: (*session).to_owned(),
                    observes: arguments.len() > 1,
                })
            }
            (ProgramName::Status, []) => Ok(Self::Status),
            (ProgramName::Login, []) => Ok(Self::Login { adds: false }),
            (ProgramName::Login, ["--add"]) => Ok(Self::Login { adds: true }),
            (ProgramName::Logout, []) => Ok(Self::Logout { everywhere: false }),
            (ProgramName::Logout, ["--everywhere"]) => Ok(Self::Logout { everywhere: true }),
            (ProgramName::Certificate, []) => Ok(Self::Certificate),
            (ProgramName::Password, []) => Ok(Self::Password),
            (ProgramName::SecondFactor, []) => Ok(Self::SecondFactor),
            (ProgramName::Keys, [] | ["ls"]) => Ok(Self::Keys),
            (ProgramName::Keys, ["rm", fingerprint]) => Ok(Self::RemoveKey {
                fingerprint: (*fingerprint).to_owned(),
            }),
            (name, _) => Err(NotACall::Arguments(*name)),
        }
    }

    /// The program.
    pub(super) const fn name(&self) -> ProgramName {
        match self {
            Self::Help => ProgramName::Help,
            Self::List { .. } => ProgramName::List,
            Self::Joinable { .. } | Self::Join { .. } => ProgramName::Join,
            Self::Status => ProgramName::Status,
            Self::Login { .. } => ProgramName::Login,
            Self::Logout { .. } => ProgramName::Logout,
            Self::Certificate => ProgramName::Certificate,
            Self::Password => ProgramName::Password,
            Self::SecondFactor => ProgramName::SecondFactor,
            Self::Keys | Self::RemoveKey { .. } => ProgramName::Keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_a_program_or_not() {
        let call = |text: &str| ProgramCall::parse(text.as_bytes());
        assert_eq!(call("help"), Ok(ProgramCall::Help));
        assert_eq!(call(" help  ls "), Ok(ProgramCall::Help));
        assert_eq!(call("ls"), Ok(ProgramCall::List { as_json: false }));
        for json in ["ls --format json", "ls --format=json"] {
            assert_eq!(call(json), Ok(ProgramCall::List { as_json: true }));
        }
        assert_eq!(call("status"), Ok(ProgramCall::Status));
        assert_eq!(call("login --add"), Ok(ProgramCall::Login { adds: true }));
        let everywhere = ProgramCall::Logout { everywhere: true };
        assert_eq!(call("logout --everywhere"), Ok(everywhere));
        assert_eq!(call("keys ls"), Ok(ProgramCall::Keys));
        let fingerprint = "SHA256:abc".to_owned();
        assert_eq!(
            call("keys rm SHA256:abc"),
            Ok(ProgramCall::RemoveKey { fingerprint })
        );
        assert_eq!(call("join"), Ok(ProgramCall::Joinable { as_json: false }));
        assert_eq!(
            call("join --format=json"),
            Ok(ProgramCall::Joinable { as_json: true })
        );
        let join = |observes| {
            let session = "01920000".to_owned();
            Ok(ProgramCall::Join { session, observes })
        };
        assert_eq!(call("join 01920000"), join(false));
        for observes in ["join 01920000 --observe", "join --observe 01920000"] {
            assert_eq!(call(observes), join(true), "{observes}");
        }
        for unknown in ["", " ", "id", "LS", "help; id", "proxy:db1:22", "ls;id"] {
            assert_eq!(call(unknown), Err(NotACall::Unknown), "{unknown:?}");
        }
        let long = format!("help {}", "x".repeat(MAX_COMMAND));
        assert_eq!(call(&long), Err(NotACall::Unknown));
        assert_eq!(ProgramCall::parse(b"help \xff"), Err(NotACall::Unknown));
        for (other, name) in [
            ("ls db1", ProgramName::List),
            ("ls --format yaml", ProgramName::List),
            ("join --observe", ProgramName::Join),
            ("join --observe --observe", ProgramName::Join),
            ("join a b", ProgramName::Join),
            ("status -v", ProgramName::Status),
            ("keys rm", ProgramName::Keys),
            ("passwd secret", ProgramName::Password),
        ] {
            assert_eq!(call(other), Err(NotACall::Arguments(name)), "{other:?}");
        }
    }

    #[test]
    fn each_program_is_read_by_its_name() {
        for program in ProgramName::ALL {
            assert!(program.usage().starts_with(program.name()));
            let call = ProgramCall::parse(program.name().as_bytes()).unwrap();
            assert_eq!(call.name(), *program);
        }
    }
}
