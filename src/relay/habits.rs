//! What clients send by habit, and miss nothing by when it is refused: worth a line in the audit
//! log, once, and no warning.

use std::collections::BTreeSet;

use super::What;

/// Different ones that one connection may have; all others count as refusals.
const MAX_HABITS: usize = 64;

/// Longest name that may be one, in bytes.
const MAX_NAME: usize = 64;

/// Requests by name. PuTTY, and what is made of it, says so how it uses a channel, and asks for a
/// refusal to measure the window with.
const REQUESTS: &[&str] = &[
    "simple@putty.projects.tartarus.org",
    "winadj@putty.projects.tartarus.org",
];

/// How libraries begin the names of questions whether the other side is still there: any answer is
/// one, a refusal too.
const QUESTIONS: &[&str] = &["keepalive@", "keep-alive@"];

/// Variables that clients have in `SendEnv`, or set by themselves, and that change no program's way
/// of working; a `*` at the end stands for any rest.
const VARIABLES: &[&str] = &[
    "COLORFGBG",
    "COLORTERM",
    "EDITOR",
    "GIT_AUTHOR_*",
    "GIT_COMMITTER_*",
    "GIT_PROTOCOL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "NO_COLOR",
    "TERM",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "TZ",
    "VISUAL",
    "VTE_VERSION",
    "XMODIFIERS",
];

/// What one connection has sent by habit.
#[derive(Debug, Default)]
pub struct Habits {
    told: BTreeSet<String>,
}

/// What is to be made of something that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It is none.
    No,
    /// It is one, for the first time.
    First,
    /// It was told already.
    Again,
}

impl Habits {
    /// Looks at something that is refused. `detail` is the variable that a request is about.
    pub fn look(&mut self, what: What, name: &str, detail: Option<&str>) -> Habit {
        let key = detail.unwrap_or(name);
        if key.len() > MAX_NAME || !is_habit(what, name, detail) {
            return Habit::No;
        }
        if self.told.contains(key) {
            Habit::Again
        } else if self.told.len() < MAX_HABITS {
            self.told.insert(key.to_owned());
            Habit::First
        } else {
            Habit::No
        }
    }
}

fn is_habit(what: What, name: &str, detail: Option<&str>) -> bool {
    match what {
        What::Channel | What::Data => false,
        What::ChannelRequest if name == "env" => detail.is_some_and(is_usual),
        What::ChannelRequest => REQUESTS.contains(&name) || is_question(name),
        What::GlobalRequest => is_question(name),
    }
}

fn is_question(name: &str) -> bool {
    QUESTIONS.iter().any(|begin| name.starts_with(begin))
}

fn is_usual(variable: &str) -> bool {
    VARIABLES.iter().any(|usual| match usual.strip_suffix('*') {
        Some(begin) => variable.starts_with(begin),
        None => variable == *usual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_are_told_once_and_nothing_else_is_one() {
        let mut habits = Habits::default();
        let mut env = |name| habits.look(What::ChannelRequest, "env", Some(name));
        assert_eq!(env("GIT_PROTOCOL"), Habit::First);
        assert_eq!(env("GIT_PROTOCOL"), Habit::Again);
        assert_eq!(env("LC_ALL"), Habit::First);
        for name in [
            "LD_PRELOAD",
            "GIT_SSH_COMMAND",
            "PATH",
            "LC",
            "",
            "git_protocol",
        ] {
            assert_eq!(env(name), Habit::No, "{name}");
        }
        let mut request = |what, name| habits.look(what, name, None);
        for name in REQUESTS {
            assert_eq!(request(What::ChannelRequest, name), Habit::First);
            assert_eq!(request(What::ChannelRequest, name), Habit::Again);
            assert_eq!(request(What::GlobalRequest, name), Habit::No);
        }
        assert_eq!(
            request(What::GlobalRequest, "keepalive@lag.net"),
            Habit::First
        );
        for name in ["x11-req", "env", "tcpip-forward", "simple@example.com"] {
            assert_eq!(request(What::ChannelRequest, name), Habit::No, "{name}");
        }
    }

    #[test]
    fn no_connection_has_habits_without_end() {
        let mut habits = Habits::default();
        let told = (0..1_000)
            .map(|number| format!("LC_{number}"))
            .filter(|name| habits.look(What::ChannelRequest, "env", Some(name)) == Habit::First);
        assert_eq!(told.count(), MAX_HABITS);
    }
}
