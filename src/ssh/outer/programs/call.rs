//! The programs by their names, and how a command line is read.

/// Longest command line that is read, in bytes.
const MAX_COMMAND: usize = 1024;

macro_rules! programs {
    ($($program:ident $name:literal $usage:literal $about:literal)*) => {
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

            /// What it does, in one line.
            pub(super) const fn about(self) -> &'static str {
                match self { $(Self::$program => $about,)* }
            }
        }
    };
}

programs! {
    Help "help" "help" "this text"
    List "ls" "ls [--format json]" "the hosts that you may log in to, and under which logins"
    Status "status" "status" "who you are here, with which key, and until when"
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
    /// `status`
    Status,
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
            (ProgramName::Status, []) => Ok(Self::Status),
            (name, _) => Err(NotACall::Arguments(*name)),
        }
    }

    /// The program.
    pub(super) const fn name(&self) -> ProgramName {
        match self {
            Self::Help => ProgramName::Help,
            Self::List { .. } => ProgramName::List,
            Self::Status => ProgramName::Status,
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
        for unknown in ["", " ", "id", "LS", "help; id", "proxy:db1:22", "ls;id"] {
            assert_eq!(call(unknown), Err(NotACall::Unknown), "{unknown:?}");
        }
        let long = format!("help {}", "x".repeat(MAX_COMMAND));
        assert_eq!(call(&long), Err(NotACall::Unknown));
        assert_eq!(ProgramCall::parse(b"help \xff"), Err(NotACall::Unknown));
        for (other, name) in [
            ("ls db1", ProgramName::List),
            ("ls --format yaml", ProgramName::List),
            ("status -v", ProgramName::Status),
        ] {
            assert_eq!(call(other), Err(NotACall::Arguments(name)), "{other:?}");
        }
    }

    #[test]
    fn each_program_is_read_by_its_name() {
        for program in ProgramName::ALL {
            assert!(program.usage().starts_with(program.name()));
            if let Ok(call) = ProgramCall::parse(program.name().as_bytes()) {
                assert_eq!(call.name(), *program);
            }
        }
    }
}
